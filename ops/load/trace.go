package load

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trace is a schedule read from a file of recorded or synthetic requests.
type Trace struct {
	name     string
	arrivals []Arrival
	length   time.Duration
	options  TraceOptions
}

// TraceOptions select the part of a trace and its speed. The zero value plays all of it at its own speed.
type TraceOptions struct {
	// Start and Length select the part, in the trace's own time; Length 0 goes to its end.
	Start, Length time.Duration
	// Speed divides the times between requests: 2 plays twice as fast. 0 means 1.
	Speed float64
	// MaxInput and MaxOutput limit a request's tokens; 0 for no limit.
	MaxInput, MaxOutput int
}

// maxProblems is the number of bad rows that an error lists.
const maxProblems = 5

// columns are the accepted names of each column, the project's own first and then those of the traces that Microsoft
// publishes.
var columns = [3][]string{
	{"arrival_seconds", "timestamp"},
	{"input_tokens", "contexttokens"},
	{"output_tokens", "generatedtokens"},
}

// OpenTrace reads a trace from a CSV file.
func OpenTrace(file string, o TraceOptions) (*Trace, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer func() { _ = f.Close() }()
	return ReadTrace(filepath.Base(file), f, o)
}

// ReadTrace reads CSV with a header line. The columns arrival_seconds, input_tokens and output_tokens (or TIMESTAMP,
// ContextTokens and GeneratedTokens) may be in any order among others. A time is in seconds from any zero, or a date
// with time, the same for all rows; rows are sorted by it, and the first row is the trace's second 0. The error lists
// every bad row with its line, up to five.
func ReadTrace(name string, from io.Reader, o TraceOptions) (*Trace, error) {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if !(o.Speed > 0) || math.IsInf(o.Speed, 0) || o.Start < 0 || o.Length < 0 || o.MaxInput < 0 || o.MaxOutput < 0 {
		return nil, fmt.Errorf("trace %s: speed, start, length and caps are numbers from 0 on (speed above it)", name)
	}
	all, err := readArrivals(from)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("trace %s has no row", name)
	}
	t := &Trace{name: name, options: o}
	t.choose(all)
	if len(t.arrivals) == 0 {
		to := "its end"
		if o.Length > 0 {
			to = fmt.Sprint(o.Start + o.Length)
		}
		return nil, fmt.Errorf("trace %s has no request between %s and %s: it lasts %s", name, o.Start, to, all[len(all)-1].At.Round(time.Second))
	}
	return t, nil
}

// readArrivals reads all rows, in the order of the file and with times from an arbitrary zero.
func readArrivals(from io.Reader) ([]Arrival, error) {
	reader := csv.NewReader(from)
	reader.TrimLeadingSpace, reader.ReuseRecord = true, true
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	at, err := findColumns(header)
	if err != nil {
		return nil, err
	}
	var all []Arrival
	var problems []error
	dates := false // format of the first row, required for all others
	for len(problems) < maxProblems {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // the error has the line
			problems = append(problems, err)
			var bad *csv.ParseError
			if !errors.As(err, &bad) {
				break
			}
			continue
		}
		arrival, dated, err := parseRow(row[at[0]], row[at[1]], row[at[2]])
		if len(all) == 0 {
			dates = dated
		}
		if err == nil && dated != dates {
			err = fmt.Errorf("time %q: seconds and dates in one file have no common zero", row[at[0]])
		}
		if err != nil {
			line, _ := reader.FieldPos(0)
			problems = append(problems, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		all = append(all, arrival)
	}
	return all, errors.Join(problems...)
}

// findColumns returns the position of each of columns in a header.
func findColumns(header []string) (at [3]int, err error) {
	for i, names := range columns {
		at[i] = slices.IndexFunc(header, func(column string) bool {
			column = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(column, "\ufeff")))
			return slices.Contains(names, column)
		})
		if at[i] < 0 {
			return at, fmt.Errorf("line 1: no column %s (or %s) in %q", names[0], names[1], header)
		}
	}
	return at, nil
}

// choose selects the part that is played, with times from its start.
func (t *Trace) choose(all []Arrival) {
	o := t.options
	slices.SortStableFunc(all, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
	first := all[0].At
	for i := range all {
		all[i].At -= first
	}
	end := all[len(all)-1].At
	if o.Length > 0 {
		end = o.Start + o.Length
	}
	for _, a := range all {
		// A part includes its start but not its end, so that consecutive parts make up the whole.
		if a.At < o.Start || a.At > end || (o.Length > 0 && a.At == end) {
			continue
		}
		a.At = time.Duration(float64(a.At-o.Start) / o.Speed)
		if o.MaxInput > 0 {
			a.InputTokens = min(a.InputTokens, o.MaxInput)
		}
		if o.MaxOutput > 0 {
			a.OutputTokens = min(a.OutputTokens, o.MaxOutput)
		}
		t.arrivals = append(t.arrivals, a)
	}
	t.length = time.Duration(float64(end-o.Start) / o.Speed)
}

// parseRow parses one request; dated reports whether its time is a date.
func parseRow(at, input, output string) (a Arrival, dated bool, err error) {
	if a.At, dated, err = parseTime(at); err != nil {
		return Arrival{}, false, err
	}
	for _, field := range []struct {
		name, text string
		to         *int
	}{{columns[1][0], input, &a.InputTokens}, {columns[2][0], output, &a.OutputTokens}} {
		*field.to, err = strconv.Atoi(strings.TrimSpace(field.text))
		if err != nil || *field.to < 0 {
			return Arrival{}, false, fmt.Errorf("%s %q is not a number from 0 on", field.name, field.text)
		}
		// Servers reject requests for no token; published traces contain some.
		*field.to = max(1, *field.to)
	}
	return a, dated, nil
}

// parseTime returns a time from an arbitrary zero, which is the same for all dates, and for all numbers of seconds.
func parseTime(text string) (at time.Duration, dated bool, err error) {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0 && seconds < 1e9) {
			return 0, false, fmt.Errorf("time %q is not between 0 and 1e9 seconds", text)
		}
		return time.Duration(seconds * float64(time.Second)), false, nil
	}
	for _, layout := range []string{time.DateTime, time.RFC3339} { // both accept a fraction of a second
		if at, err := time.Parse(layout, text); err == nil {
			return time.Duration(at.UnixNano()), true, nil
		}
	}
	return 0, false, fmt.Errorf("time %q is neither seconds nor a date with time such as 2023-11-16 18:17:03.97", text)
}

// Arrivals yields the selected part.
func (t *Trace) Arrivals() iter.Seq[Arrival] { return slices.Values(t.arrivals) }

// Length returns the duration of the selected part at its speed.
func (t *Trace) Length() time.Duration { return t.length }

// Rate returns the mean over ten seconds around a time.
func (t *Trace) Rate(at time.Duration) float64 {
	const half = 5 * time.Second
	find := func(moment time.Duration) int {
		i, _ := slices.BinarySearchFunc(t.arrivals, moment, func(a Arrival, m time.Duration) int { return cmp.Compare(a.At, m) })
		return i
	}
	return float64(find(at+half)-find(at-half)) / (2 * half).Seconds()
}

// Requests returns their number.
func (t *Trace) Requests() int { return len(t.arrivals) }

func (t *Trace) String() string {
	text := fmt.Sprintf("trace %s, %d requests in %s", t.name, len(t.arrivals), t.length.Round(time.Second))
	if t.options.Speed != 1 {
		text += fmt.Sprintf(", %gx its speed", t.options.Speed)
	}
	if t.options.Start > 0 {
		text += fmt.Sprintf(", from %s on", t.options.Start)
	}
	return text
}
