package trace

import (
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"
)

// Request is one request of a schedule.
type Request struct {
	// At is when the request arrives, from the schedule's start. Latency counts from here.
	At time.Duration
	// InputTokens and OutputTokens are at least 1 in a trace.
	InputTokens, OutputTokens int
}

// Trace is the part of a file's requests that is replayed, or a synthetic load, in order of time. It may be used from several
// goroutines.
type Trace struct {
	name, format string
	options      Options
	length       time.Duration
	// recorded is what the trace has before it is scaled.
	recorded summary
	layers   []layer
	requests int
	arrivals iter.Seq[Request]
	failure  atomic.Pointer[error]
}

// summary is what a pass over a trace counts.
type summary struct {
	requests int
	// cut counts the requests whose tokens were above a cap.
	cut   int
	rates histogram
}

// add counts a request of the part.
func (s *summary) add(recorded, played Request) {
	s.requests++
	if recorded.InputTokens != played.InputTokens || recorded.OutputTokens != played.OutputTokens {
		s.cut++
	}
	s.rates.add(played.At)
}

// play sets what is replayed: the requests of the part, which can be read again and again, of a trace with that length. It
// keeps the result of scaling in memory if that has at most that many requests.
func (t *Trace) play(part iter.Seq[Request], counted summary, whole time.Duration, most int) error {
	o := t.options
	var err error
	if t.length, err = o.lasts(whole); err != nil {
		return err
	}
	if counted.requests == 0 {
		to := "its end"
		if o.Length > 0 {
			to = fmt.Sprint(o.Start + o.Length)
		}
		return fmt.Errorf("no request between %s and %s: it lasts %s", o.Start, to, whole.Round(time.Second))
	}
	t.recorded, t.layers = counted, layers(o, t.length)
	for _, l := range t.layers {
		t.requests += l.requests(counted.requests)
	}
	if t.requests == 0 {
		return fmt.Errorf("-scale %g: none of %d requests is left: give a larger factor, or another seed", o.Scale, counted.requests)
	}
	t.arrivals = scaled(part, t.layers, t.length)
	if o.Scale != 1 && t.requests <= most {
		t.arrivals = slices.Values(slices.Collect(t.arrivals))
	}
	return nil
}

// Arrivals yields the selected part. Each call begins again and yields the same requests, unless Err returns an error.
func (t *Trace) Arrivals() iter.Seq[Request] { return t.arrivals }

// Err returns the error that ended a call of Arrivals early: a large trace is read from its file each time, which may have
// changed.
func (t *Trace) Err() error {
	if err := t.failure.Load(); err != nil {
		return fmt.Errorf("trace %s: %w", t.name, *err)
	}
	return nil
}

// Drawn reports whether the requests depend on Options.Seed: those of a synthetic load and of a scaled trace do.
func (t *Trace) Drawn() bool { return t.format == synthetic || t.options.Scale != 1 }

// Length returns the duration of the selected part at its speed.
func (t *Trace) Length() time.Duration { return t.length }

// Rate returns the mean over ten seconds around a time, or over longer in a trace of more than a day.
func (t *Trace) Rate(at time.Duration) float64 {
	rate := 0.0
	for _, l := range t.layers {
		rate += l.keep * t.recorded.rates.rate(l.before(at, t.length))
	}
	return rate
}

// Requests returns their number.
func (t *Trace) Requests() int { return t.requests }

// Format returns the name of the file's format.
func (t *Trace) Format() string { return t.format }

// String describes the trace and the options that differ from their defaults.
func (t *Trace) String() string {
	text := "trace " + t.name
	switch t.format {
	case own:
	case synthetic:
		text = t.name
	default:
		text += " (" + t.format + ")"
	}
	precision := time.Second
	if t.length < 10*time.Second {
		precision = time.Millisecond
	}
	text += fmt.Sprintf(", %d requests in %s", t.requests, t.length.Round(precision))
	if t.options.Scale != 1 {
		text += fmt.Sprintf(", %gx its %d requests (seed %d)", t.options.Scale, t.recorded.requests, t.options.Seed)
	}
	if t.options.Speed != 1 {
		text += fmt.Sprintf(", %gx its speed", t.options.Speed)
	}
	if t.options.Start > 0 {
		text += fmt.Sprintf(", from %s on", t.options.Start)
	}
	return text + t.cutText()
}

// cutText describes the requests that a cap changed.
func (t *Trace) cutText() string {
	what := "recorded"
	if t.format == synthetic {
		what = "drawn"
	}
	switch {
	case t.recorded.cut == 0:
		return ""
	case t.options.Scale != 1:
		return fmt.Sprintf(", %d of those with fewer tokens than %s", t.recorded.cut, what)
	}
	return fmt.Sprintf(", %d with fewer tokens than %s", t.recorded.cut, what)
}
