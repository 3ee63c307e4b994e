package compare

import (
	"iter"
	"math"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/trace"
)

// LoadOf returns the requests of a trace.
func LoadOf(t *trace.Trace) Load {
	return func() iter.Seq[simulate.Arrival] {
		return func(yield func(simulate.Arrival) bool) {
			for r := range t.Arrivals() {
				if !yield(simulate.Arrival{At: r.At.Seconds(), Input: r.InputTokens, Output: r.OutputTokens}) {
					return
				}
			}
		}
	}
}

// Length returns the time of the last arrival of a load in seconds, and the number of its arrivals; 0 for no load.
func (l Load) Length() (seconds float64, arrivals int) {
	if l == nil {
		return 0, 0
	}
	for a := range l() {
		seconds = a.At
		arrivals++
	}
	return seconds, arrivals
}

// Shifted returns a load that begins at a moment of the given one, and continues after its end with its beginning.
func (l Load) Shifted(from, length float64) Load {
	return func() iter.Seq[simulate.Arrival] {
		return func(yield func(simulate.Arrival) bool) {
			_ = part(l(), from, math.Inf(1), -from, yield) && part(l(), 0, from, length-from, yield)
		}
	}
}

// part yields the arrivals of a load from a moment up to another, moved in time. It reports whether to go on.
func part(load iter.Seq[simulate.Arrival], from, to, move float64, yield func(simulate.Arrival) bool) bool {
	for a := range load {
		if a.At >= to {
			return true
		}
		if a.At < from {
			continue
		}
		a.At += move
		if !yield(a) {
			return false
		}
	}
	return true
}

// Alone returns a load of the same requests, so far apart that none meets another.
func (l Load) Alone() Load {
	// apart is longer than any answer takes, in seconds.
	const apart = 3600
	return func() iter.Seq[simulate.Arrival] {
		return func(yield func(simulate.Arrival) bool) {
			at := 0.0
			for a := range l() {
				a.At = at
				at += apart
				if !yield(a) {
					return
				}
			}
		}
	}
}
