package trace

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// synthetic is the format of a trace that is drawn and not read.
const synthetic = "synthetic"

// mostDrawn bounds the expected requests of a synthetic load, which are drawn once before it is played: some ten seconds.
const mostDrawn = 100_000_000

// process draws the times of arrivals, in seconds below a length.
type process func(chance *rand.Rand, length float64) iter.Seq[float64]

// kind is a form of synthetic loads.
type kind struct {
	name string
	// keys are those of the kind alone.
	keys []string
	// read reads the values of the keys. It returns the arrivals, their mean number in a second and how long they last.
	read func(v *spec) (process, float64, time.Duration)
}

// kinds are the known forms. Rates are requests per second.
var kinds = []kind{
	{"poisson", []string{"rate", "length"}, func(v *spec) (process, float64, time.Duration) {
		rate := v.rate("rate", leastRate)
		return poisson(rate, func(float64) float64 { return rate }), rate, v.length(defaultLength)
	}},
	{"gamma", []string{"rate", "cv", "length"}, func(v *spec) (process, float64, time.Duration) {
		rate, cv := v.rate("rate", leastRate), v.number("cv", required, 0.1, 30)
		return renewal(rate, cv), rate, v.length(defaultLength)
	}},
	{"daily", []string{"low", "high", "period", "length"}, func(v *spec) (process, float64, time.Duration) {
		low, high, period := v.rate("low", 0), v.rate("high", leastRate), v.duration("period", 24*time.Hour)
		v.require(low <= high, "low is above high")
		return poisson(high, daily(low, high, period.Seconds())), (low + high) / 2, v.length(period)
	}},
	{"ramp", []string{"from", "to", "length"}, func(v *spec) (process, float64, time.Duration) {
		from, to, length := v.rate("from", 0), v.rate("to", 0), v.length(defaultLength)
		v.require(from+to > 0, "from and to are 0")
		return poisson(max(from, to), ramp(from, to, length.Seconds())), (from + to) / 2, length
	}},
	{"steps", []string{"rates", "each"}, func(v *spec) (process, float64, time.Duration) {
		rates, each := v.rates("rates"), v.duration("each", 10*time.Minute)
		top, mean := slices.Max(rates), 0.0
		for _, rate := range rates {
			mean += rate / float64(len(rates))
		}
		v.require(top > 0, "rates are all 0")
		length := each * time.Duration(len(rates))
		v.require(length <= maxLength, "all steps last longer than %s", maxLength)
		return poisson(top, steps(rates, each.Seconds())), mean, length
	}},
}

// defaultLength is how long a load lasts if its text does not say so.
const defaultLength = time.Hour

// isSpec reports whether a name is the text of a load and not that of a file.
func isSpec(name string) bool {
	before, _, _ := strings.Cut(name, ":")
	known := before == closedKind || slices.ContainsFunc(kinds, func(k kind) bool { return k.name == before })
	if !known && !specLike.MatchString(name) {
		return false
	}
	_, err := os.Stat(name)
	return err != nil
}

// specLike matches texts that look like the one of a load.
var specLike = regexp.MustCompile(`^[A-Za-z-]+:([A-Za-z]*=|$)`)

// openSynthetic returns the trace of a text such as poisson:rate=4,length=1h.
func openSynthetic(text string, o Options) (*Trace, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", text, err)
	}
	v, err := parseSpec(text)
	if err != nil {
		return nil, err
	}
	if v.kind == closedKind {
		return nil, fmt.Errorf("load %q: a closed loop is not a list of requests in time and cannot be replayed as one", text)
	}
	arrivals, mean, length := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == v.kind })].read(v)
	sizes := v.sizes()
	seed := v.seed(o.Seed)
	v.require(mean*length.Seconds() <= mostDrawn, "more than %d requests", mostDrawn)
	if err := v.err(); err != nil {
		return nil, err
	}
	t := &Trace{name: v.String(), format: synthetic, options: o}
	all := drawn(arrivals, sizes, length, seed)
	if err := t.play(o.part(all), o.count(all), length, 0); err != nil {
		return nil, fmt.Errorf("load %s: %w", text, err)
	}
	return t, nil
}

// drawn returns the requests of a load, which are the same each time.
func drawn(arrivals process, sizes Sizes, length time.Duration, seed uint64) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		chance := rand.New(rand.NewPCG(seed, arrivalStream))
		for at := range arrivals(chance, length.Seconds()) {
			input, output := sizes.Draw(chance)
			if !yield(Request{time.Duration(at * float64(time.Second)), input, output}) {
				return
			}
		}
	}
}

// part returns the requests of the part as they are played. All are in order of time.
func (o Options) part(all iter.Seq[Request]) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		for r := range all {
			if o.after(r.At) {
				return
			}
			if played, ok := o.played(r); ok && !yield(played) {
				return
			}
		}
	}
}

// count returns what the part has.
func (o Options) count(all iter.Seq[Request]) summary {
	var s summary
	for r := range all {
		if o.after(r.At) {
			break
		}
		if played, ok := o.played(r); ok {
			s.add(r, played)
		}
	}
	return s
}

// arrivalStream is the stream of the random numbers of a load, and no other than that of the project's own trace.
const arrivalStream = 11
