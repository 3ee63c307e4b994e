package trace

import (
	"flag"
	"fmt"
	"strconv"
	"time"
)

// Options select the part of a trace, its speed and its number of requests. The zero value plays all of it as recorded.
type Options struct {
	// Start and Length select the part, in the trace's own time; Length 0 goes to its end.
	Start, Length time.Duration
	// Speed divides the times between requests: 2 plays twice as fast. 0 means 1.
	Speed float64
	// Scale multiplies the number of requests: below 1 a random share of them is played, above 1 copies of the trace that
	// are shifted in time are played together. 0 means 1.
	Scale float64
	// Seed draws what Scale leaves to chance, and the requests of synthetic loads that have no seed of their own.
	Seed uint64
	// MaxInput and MaxOutput limit a request's tokens; 0 for no limit.
	MaxInput, MaxOutput int
}

// Register adds the flags of the part, the speed, the number of requests and the cap on input tokens. The seed has no flag
// here: a command has one for everything that it draws.
func (o *Options) Register(flags *flag.FlagSet) {
	o.Speed, o.Scale = 1, 1
	flags.Var(factor{&o.Speed, minSpeed, maxSpeed}, "speed", "`factor` by which the trace is replayed faster than it was recorded")
	flags.Var(factor{&o.Scale, minScale, maxScale}, "scale",
		"`factor` for the number of requests: below 1 a random share of them, above 1 copies of the trace that are shifted in time")
	flags.DurationVar(&o.Start, "trace-start", 0, "where in the trace to begin, in its own time")
	flags.DurationVar(&o.Length, "trace-length", 0, "how much of the trace to replay, in its own time; 0 for all")
	flags.IntVar(&o.MaxInput, "max-input-tokens", 0, "cap on a trace's input tokens; 0 for none")
}

const (
	minSpeed, maxSpeed = 0.001, 1e6
	// maxScale bounds the copies, each of which reads a large trace's file on its own.
	minScale, maxScale = 0.001, 100
	// longest bounds Start and Length.
	longest = 50 * 365 * 24 * time.Hour
)

// factor is the value of a flag that is a number between two bounds.
type factor struct {
	value       *float64
	least, most float64
}

func (f factor) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.FormatFloat(*f.value, 'g', -1, 64)
}

// Set implements flag.Value. A factor of 0, which stands for 1 in Options, is out of range here.
func (f factor) Set(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !f.allows(value) {
		return fmt.Errorf("want a factor from %g to %g", f.least, f.most)
	}
	*f.value = value
	return nil
}

// allows reports whether a number is within the bounds; NaN is not.
func (f factor) allows(value float64) bool { return value >= f.least && value <= f.most }

// withDefaults returns the options with 1 for factors of 0, or an error that names the flag with a bad value.
func (o Options) withDefaults() (Options, error) {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case !(factor{nil, minSpeed, maxSpeed}).allows(o.Speed):
		return fmt.Errorf("-speed %g: want a factor from %g to %g", o.Speed, minSpeed, maxSpeed)
	case !(factor{nil, minScale, maxScale}).allows(o.Scale):
		return fmt.Errorf("-scale %g: want a factor from %g to %g", o.Scale, minScale, float64(maxScale))
	case o.Start < 0 || o.Start > longest:
		return fmt.Errorf("-trace-start %s: want a time from 0 to %s", o.Start, longest)
	case o.Length < 0 || o.Length > longest:
		return fmt.Errorf("-trace-length %s: want a time from 0 to %s", o.Length, longest)
	case o.MaxInput < 0:
		return fmt.Errorf("-max-input-tokens %d: want a number from 0 on", o.MaxInput)
	case o.MaxOutput < 0:
		return fmt.Errorf("-max-tokens %d: want a number from 0 on", o.MaxOutput)
	}
	return nil
}

// played returns a request, whose time counts from the trace's beginning, as it is played, and whether it belongs to the
// part. Scale is not applied.
func (o Options) played(r Request) (Request, bool) {
	// A part includes its start but not its end, so that consecutive parts make up the whole.
	if r.At < o.Start || o.after(r.At) {
		return Request{}, false
	}
	r.At = o.faster(r.At - o.Start)
	if o.MaxInput > 0 {
		r.InputTokens = min(r.InputTokens, o.MaxInput)
	}
	if o.MaxOutput > 0 {
		r.OutputTokens = min(r.OutputTokens, o.MaxOutput)
	}
	return r, true
}

// after reports whether a time, counted from the trace's beginning, is after the part.
func (o Options) after(at time.Duration) bool { return o.Length > 0 && at >= o.Start+o.Length }

func (o Options) faster(d time.Duration) time.Duration {
	return time.Duration(float64(d) / o.Speed)
}

// lasts returns how long the part of a trace with that length takes at its speed.
func (o Options) lasts(whole time.Duration) (time.Duration, error) {
	length := whole - o.Start
	if o.Length > 0 {
		length = o.Length
	}
	if float64(length)/o.Speed > float64(longest) {
		return 0, fmt.Errorf("-speed %g: the trace would last longer than %s", o.Speed, longest)
	}
	return o.faster(length), nil
}
