package trace

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxTokens is the most input or output tokens of one request: more than the context of the models that vLLM serves, and
// few enough that a wrong number cannot exhaust the client's memory.
const MaxTokens = 1_000_000

// latest bounds times, in seconds: nanoseconds since 1970 fit in 64 bits until the year 2262.
const latest = 9e9

// clock is what a time counts from. Times of two clocks cannot be compared.
type clock int

const (
	noClock clock = iota
	clockSeconds
	clockDate
	clockZoned
)

func (c clock) String() string {
	return [...]string{"", "a number", "a date without an offset from UTC", "a date with an offset from UTC"}[c]
}

// parser reads the values of rows of one format.
type parser struct {
	format format
	// layout is that of the latest date, which most likely is that of the next.
	layout string
	// clock is that of the first row, which all others must have as well.
	clock clock
	// counted reports for each number of tokens whether a row has had one above 0.
	counted [values]bool
}

// parse returns a request with its time from an arbitrary zero, which is the same for all rows.
func (p *parser) parse(r row) (Request, error) {
	at, clock, err := p.time(strings.TrimSpace(r.values[valueTime]))
	if err != nil {
		return Request{}, err
	}
	if p.clock == noClock {
		p.clock = clock
	}
	if clock != p.clock {
		return Request{}, fmt.Errorf("%s %s is %s, the first row has %s: use one form in a file",
			p.name(valueTime), quote(r.values[valueTime]), clock, p.clock)
	}
	request := Request{At: at}
	if request.InputTokens, err = p.tokens(valueInput, r.values[valueInput]); err != nil {
		return Request{}, err
	}
	request.OutputTokens, err = p.tokens(valueOutput, r.values[valueOutput])
	return request, err
}

func (p *parser) name(value int) string { return p.format.names[value][0] }

// tokens parses a number of tokens. A number such as 180.0, which data frames write, is a whole number.
func (p *parser) tokens(value int, text string) (int, error) {
	text = strings.TrimSpace(text)
	count, err := strconv.ParseFloat(text, 64)
	switch {
	case (err != nil && !errors.Is(err, strconv.ErrRange)) || count != math.Trunc(count) || count < 0: // NaN is not equal to itself
		return 0, fmt.Errorf("%s %s: want a whole number of tokens from 0 to %d", p.name(value), quote(text), MaxTokens)
	case count > MaxTokens:
		return 0, fmt.Errorf("%s %s: want at most %d tokens", p.name(value), quote(text), MaxTokens)
	}
	p.counted[value] = p.counted[value] || count > 0
	// Servers reject requests for no token; published traces have some, of requests that failed.
	return max(1, int(count)), nil
}

// checkTokens returns an error if no row has had tokens.
func (p *parser) checkTokens() error {
	for _, value := range []int{valueInput, valueOutput} {
		if !p.counted[value] {
			return fmt.Errorf("%s is 0 in every row: want the tokens of the requests", p.name(value))
		}
	}
	return nil
}

// time returns a time from the zero of its clock.
func (p *parser) time(text string) (time.Duration, clock, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		seconds *= p.format.unit.Seconds()
		if !(seconds >= 0 && seconds <= latest) {
			return 0, noClock, fmt.Errorf("%s %s: want %ss from 0 to %g", p.name(valueTime), quote(text), unitName(p.format.unit), latest/p.format.unit.Seconds())
		}
		return duration(text, p.format.unit), clockSeconds, nil
	}
	at, zoned, ok := p.date(text)
	if !ok {
		return 0, noClock, fmt.Errorf("%s %s: want %ss, or a date with time such as 2024-05-12 00:00:00.001163+00:00", p.name(valueTime), quote(text),
			unitName(p.format.unit))
	}
	if at.Year() < 1970 || at.Unix() > latest {
		return 0, noClock, fmt.Errorf("%s %s: want a date after 1970 and before 2255", p.name(valueTime), quote(text))
	}
	if zoned {
		return time.Duration(at.UnixNano()), clockZoned, nil
	}
	return time.Duration(at.UnixNano()), clockDate, nil
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "millisecond"
	}
	return "second"
}

// duration returns a number of units. Digits are read exactly: those of a time since 1970 exceed a float's.
func duration(text string, unit time.Duration) time.Duration {
	const digits = 9
	whole, fraction, _ := strings.Cut(text, ".")
	fraction += strings.Repeat("0", digits)
	units, err := strconv.ParseUint("0"+whole, 10, 63)
	nanos, err2 := strconv.ParseUint(fraction[:digits], 10, 63)
	if err != nil || err2 != nil || strings.ContainsAny(fraction, "eE") {
		value, _ := strconv.ParseFloat(text, 64)
		return time.Duration(math.Round(value * float64(unit)))
	}
	return time.Duration(units)*unit + time.Duration(nanos)*unit/time.Second
}

// layouts are those of dates with time, which may have a fraction of a second; those with an offset from UTC come last.
var layouts = []string{
	"2006-01-02 15:04:05", "2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00",
	"2006-01-02 15:04:05Z0700", "2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05Z07", "2006-01-02T15:04:05Z07",
}

// date parses a date; zoned reports whether it has an offset from UTC.
func (p *parser) date(text string) (at time.Time, zoned, ok bool) {
	// Longer texts are no dates; a failed attempt copies its text.
	if len(text) > 40 {
		return time.Time{}, false, false
	}
	text = strings.Replace(text, " UTC", "Z", 1)
	if p.layout != "" {
		if at, err := time.Parse(p.layout, text); err == nil {
			return at, strings.Contains(p.layout, "Z"), true
		}
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			p.layout = layout
			return at, strings.Contains(layout, "Z"), true
		}
	}
	return time.Time{}, false, false
}
