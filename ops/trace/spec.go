package trace

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// spec is the text of a synthetic load, kind:key=value,key=value, while it is read.
type spec struct {
	text, kind string
	given      map[string]string
	// used are the keys with the values that are in use, in the order in which they were read.
	used     []string
	problems []string
}

// sizeKeys are the keys of all kinds.
var sizeKeys = []string{"input", "inputSigma", "output", "outputSigma", "seed"}

// parseSpec splits the text of a load. Its error lists what is allowed.
func parseSpec(text string) (*spec, error) {
	v := &spec{text: text, given: map[string]string{}}
	var pairs string
	v.kind, pairs, _ = strings.Cut(text, ":")
	keys, ok := keysOf(v.kind)
	if !ok {
		return nil, fmt.Errorf("load %q: there is no kind %q and no file of that name: want %s", text, v.kind, usage())
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		_, twice := v.given[key]
		switch {
		case pairs == "":
			continue
		case !slices.Contains(keys, key):
			v.problem("%q is no key of %s: want %s", key, v.kind, strings.Join(keys, ", "))
		case twice:
			v.problem("%s is given twice", key)
		default:
			v.given[key] = strings.TrimSpace(value)
		}
	}
	return v, v.err()
}

// keysOf returns the keys of a kind.
func keysOf(name string) ([]string, bool) {
	if name == closedKind {
		return slices.Concat(closedKeys, sizeKeys), true
	}
	for _, k := range kinds {
		if k.name == name {
			return slices.Concat(k.keys, sizeKeys), true
		}
	}
	return nil, false
}

// usage describes all kinds.
func usage() string {
	form := func(name string, keys []string) string { return name + ":" + strings.Join(keys, "=,") + "=" }
	var all []string
	for _, k := range kinds {
		all = append(all, form(k.name, k.keys))
	}
	all = append(all, form(closedKind, closedKeys))
	return strings.Join(all, " or ") + ", each also with " + strings.Join(sizeKeys, ", ")
}

// String returns the text with all values that are in use.
func (v *spec) String() string { return v.kind + ":" + strings.Join(v.used, ",") }

// err returns all problems as one error.
func (v *spec) err() error {
	if v.problems == nil {
		return nil
	}
	return fmt.Errorf("load %q: %s", v.text, strings.Join(v.problems, "; "))
}

func (v *spec) problem(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// require adds a problem between values, unless a value itself has one.
func (v *spec) require(ok bool, format string, args ...any) {
	if !ok && v.problems == nil {
		v.problem(format, args...)
	}
}

func (v *spec) use(key, value string) { v.used = append(v.used, key+"="+value) }

// required marks a number that has no default.
var required = math.NaN()

const (
	leastRate, maxRate = 0.0001, 10_000
	maxLength          = 366 * 24 * time.Hour
)

// number returns the value of a key, which is at least and at most that.
func (v *spec) number(key string, orElse, least, most float64) float64 {
	text, ok := v.given[key]
	value, err := orElse, error(nil)
	if ok {
		value, err = strconv.ParseFloat(text, 64)
	}
	if err != nil || !(value >= least && value <= most) { // NaN is none
		v.problem("%s: want a number from %g to %g", v.assignment(key), least, most)
		return most
	}
	v.use(key, strconv.FormatFloat(value, 'g', -1, 64))
	return value
}

// assignment quotes what is given for a key.
func (v *spec) assignment(key string) string {
	if text, ok := v.given[key]; ok {
		return key + "=" + quote(text)
	}
	return key + " is missing"
}

// rate returns the value of a key in requests per second.
func (v *spec) rate(key string, least float64) float64 {
	return v.number(key, required, least, maxRate)
}

// rates returns the values of a key with slashes between them, at least one.
func (v *spec) rates(key string) []float64 {
	const most = 200
	var rates []float64
	for text := range strings.SplitSeq(v.given[key], "/") {
		rate, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || !(rate >= 0 && rate <= maxRate) || len(rates) == most {
			v.problem("%s: want up to %d numbers from 0 to %d, such as 1/8/2", v.assignment(key), most, maxRate)
			return []float64{maxRate}
		}
		rates = append(rates, rate)
	}
	v.use(key, v.given[key])
	return rates
}

// duration returns the value of a key of at least a second.
func (v *spec) duration(key string, orElse time.Duration) time.Duration {
	return v.durationFrom(key, orElse, time.Second)
}

func (v *spec) durationFrom(key string, orElse, least time.Duration) time.Duration {
	value, err := orElse, error(nil)
	if text, ok := v.given[key]; ok {
		value, err = time.ParseDuration(text)
	}
	if err != nil || value < least || value > maxLength {
		v.problem("%s: want a duration from %s to %s, such as 20m", v.assignment(key), least, maxLength)
		return maxLength
	}
	v.use(key, short(value))
	return value
}

// short returns a duration without units of 0 at its end.
func short(d time.Duration) string {
	text := d.String()
	for _, end := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, end) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// length returns how long the load lasts.
func (v *spec) length(orElse time.Duration) time.Duration { return v.duration("length", orElse) }

// sizes returns the distributions of tokens.
func (v *spec) sizes() Sizes {
	s := defaultSizes
	for _, one := range []struct {
		key string
		of  *LogNormal
	}{{"input", &s.Input}, {"output", &s.Output}} {
		one.of.Median = v.number(one.key, one.of.Median, 1, MaxTokens)
		one.of.Sigma = v.number(one.key+"Sigma", one.of.Sigma, 0, 3)
	}
	return s
}

// seed returns the value of the key seed.
func (v *spec) seed(orElse uint64) uint64 {
	value := orElse
	if text, ok := v.given["seed"]; ok {
		var err error
		if value, err = strconv.ParseUint(text, 10, 64); err != nil {
			v.problem("%s: want a whole number from 0 on", v.assignment("seed"))
		}
	}
	v.use("seed", strconv.FormatUint(value, 10))
	return value
}

// errNoClosedOption is the error of an option that has no meaning for a closed loop.
var errNoClosedOption = errors.New("a closed loop has no times of arrival, to which -speed, -scale, -trace-start and -trace-length apply: " +
	"change users, think and length instead")
