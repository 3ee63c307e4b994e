package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// format is a form of trace files: CSV with a header, or one JSON object a line.
type format struct {
	name      string
	jsonLines bool
	// unit is that of a time that is a number.
	unit time.Duration
	// names are the accepted names of each value, without regard to case; the first is the usual one.
	names [values][]string
}

// The values of a row.
const (
	valueTime = iota
	valueInput
	valueOutput
	values
)

// own is the project's own format.
const own = "the project's own"

// formats are the known formats. Values that a format has beside these, such as the model, are not read.
var formats = []format{
	{name: own, unit: time.Second,
		names: [values][]string{{"arrival_seconds", "timestamp"}, {"input_tokens"}, {"output_tokens"}}},
	// The LLM inference traces of 2023 and 2024, https://github.com/Azure/AzurePublicDataset.
	{name: "Azure", unit: time.Second,
		names: [values][]string{{"TIMESTAMP"}, {"ContextTokens"}, {"GeneratedTokens"}}},
	// https://github.com/HPMLL/BurstGPT
	{name: "BurstGPT", unit: time.Second,
		names: [values][]string{{"Timestamp"}, {"Request tokens"}, {"Response tokens"}}},
	// https://github.com/kvcache-ai/Mooncake, in milliseconds.
	{name: "Mooncake", jsonLines: true, unit: time.Millisecond,
		names: [values][]string{{"timestamp"}, {"input_length"}, {"output_length"}}},
}

// recognize returns the format with those names of columns or fields, and the position of each value's name.
func recognize(header []string, jsonLines bool) (format, [values]int, error) {
	noun := "column"
	if jsonLines {
		noun = "field"
	}
	var best format
	var bestAt [values]int
	most := 0
	for _, f := range formats {
		if f.jsonLines != jsonLines {
			continue
		}
		at, found := f.positions(header)
		if found == values {
			return f, at, f.unique(header, noun)
		}
		if found > most {
			best, bestAt, most = f, at, found
		}
	}
	// A time alone is no hint: three formats have a timestamp.
	if most < 2 {
		return format{}, bestAt, fmt.Errorf("%ss %s are of no known format: want %s", noun, list(header), known())
	}
	for value, at := range bestAt {
		if at < 0 {
			return format{}, bestAt, fmt.Errorf("no %s %q beside %s: want %s", noun, best.names[value][0], list(header), best)
		}
	}
	return best, bestAt, nil
}

// positions returns where the names of the values are, -1 for those that are missing, and how many were found.
func (f format) positions(header []string) (at [values]int, found int) {
	for value := range f.names {
		at[value] = slices.IndexFunc(header, func(name string) bool { return f.matches(value, name) })
		if at[value] >= 0 {
			found++
		}
	}
	return at, found
}

// unique returns an error if a value has two names in the header.
func (f format) unique(header []string, noun string) error {
	for value := range f.names {
		var found []string
		for _, name := range header {
			if f.matches(value, name) {
				found = append(found, name)
			}
		}
		if len(found) > 1 {
			return fmt.Errorf("%ss %s are the same: keep one", noun, list(found))
		}
	}
	return nil
}

// matches reports whether a name is that of the value.
func (f format) matches(value int, name string) bool {
	return slices.ContainsFunc(f.names[value], func(known string) bool { return strings.EqualFold(known, strings.TrimSpace(name)) })
}

// known describes all formats.
func known() string {
	var all []string
	for _, f := range formats {
		all = append(all, f.String())
	}
	return strings.Join(all, " or ")
}

// String returns the names of the values and of the format.
func (f format) String() string {
	var names []string
	for _, accepted := range f.names {
		names = append(names, accepted[0])
	}
	text := strings.Join(names, ",")
	if f.jsonLines {
		text = "a JSON object on each line with " + text
	}
	return fmt.Sprintf("%s (%s)", text, f.name)
}

// list quotes the names of a header, at most eight of them.
func list(header []string) string {
	const most = 8
	var all []string
	for _, name := range header[:min(most, len(header))] {
		all = append(all, quote(name))
	}
	if len(header) > most {
		all = append(all, fmt.Sprintf("and %d more", len(header)-most))
	}
	return strings.Join(all, ", ")
}

// quote returns at most 40 bytes of a text in quotes.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%q...", text[:most])
	}
	return fmt.Sprintf("%q", text)
}
