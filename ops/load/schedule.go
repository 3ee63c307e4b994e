package load

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"vllm-autoscaling/ops/trace"
)

// Arrival is one request of a schedule; tokens of 0 stand for the generator's defaults.
type Arrival = trace.Request

// Schedule is an open-loop load: the times of arrival are fixed in advance and do not depend on earlier requests.
// A trace.Trace is one.
type Schedule interface {
	// Arrivals yields the requests, earliest first; each call starts again and yields the same requests.
	Arrivals() iter.Seq[Arrival]
	// Length returns how long the schedule lasts; the last arrival is not after its end.
	Length() time.Duration
	// Rate returns the scheduled rate around a time, in requests per second.
	Rate(at time.Duration) float64
	// String describes the schedule, for progress and reports.
	String() string
}

// Segment is a part of a Profile with a constant rate or a linear ramp.
type Segment struct {
	// From and To are rates in requests per second; equal for a constant rate.
	From, To float64
	// Length of the segment.
	Length time.Duration
}

// Profile is a piecewise linear rate over time: constant, steps and ramps.
//
// Without Poisson the arrivals are as even as the rate allows, and their number is the integral of the rate, rounded:
// request k arrives where the integral reaches k + 1/2.
type Profile struct {
	Segments []Segment
	// Poisson makes the gaps between arrivals random (exponential) around the same rate, as with independent users;
	// the number of arrivals is then the integral only on average.
	Poisson bool
	// Seed of the random gaps; the same seed gives the same arrivals.
	Seed uint64
}

// Constant returns a profile of one rate, in requests per second.
func Constant(rate float64, length time.Duration) Profile {
	return Profile{Segments: []Segment{{From: rate, To: rate, Length: length}}}
}

// Ramp returns a profile that goes linearly from one rate to another.
func Ramp(from, to float64, length time.Duration) Profile {
	return Profile{Segments: []Segment{{From: from, To: to, Length: length}}}
}

// Length returns the sum of the segments.
func (p Profile) Length() time.Duration {
	var sum time.Duration
	for _, s := range p.Segments {
		sum += s.Length
	}
	return sum
}

// Requests returns the integral of the rate: the number of requests of the whole profile.
func (p Profile) Requests() float64 {
	sum := 0.0
	for _, s := range p.Segments {
		sum += s.requests()
	}
	return sum
}

func (s Segment) requests() float64 { return (s.From + s.To) / 2 * s.Length.Seconds() }

// Rate returns the profile's rate at a time; 0 outside of it.
func (p Profile) Rate(at time.Duration) float64 {
	if at < 0 {
		return 0
	}
	for _, s := range p.Segments {
		if at < s.Length {
			return s.From + (s.To-s.From)*at.Seconds()/s.Length.Seconds()
		}
		at -= s.Length
	}
	return 0
}

// Arrivals inverts the integral of the rate, so that rounding errors do not accumulate.
func (p Profile) Arrivals() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		chance := rand.New(rand.NewPCG(p.Seed, p.Seed))
		gap := func() float64 { return 1 }
		next := 0.5
		if p.Poisson {
			gap = chance.ExpFloat64
			next = gap()
		}
		begun, start := 0.0, time.Duration(0)
		for _, s := range p.Segments {
			// A request at the boundary of two segments belongs to the first, despite rounding.
			whole := s.requests()
			for next <= begun+whole+1e-9 {
				if !yield(Arrival{At: start + s.reached(min(next-begun, whole))}) {
					return
				}
				next += gap()
			}
			begun += whole
			start += s.Length
		}
	}
}

// reached returns when, from the segment's start, that many requests have arrived.
func (s Segment) reached(requests float64) time.Duration {
	if requests <= 0 {
		return 0
	}
	slope := (s.To - s.From) / s.Length.Seconds()
	// The solution of From*t + slope*t*t/2 = requests, in a form that is also valid for a slope of 0.
	seconds := 2 * requests / (s.From + math.Sqrt(max(0, s.From*s.From+2*slope*requests)))
	return min(s.Length, time.Duration(seconds*float64(time.Second)))
}

func (p Profile) String() string {
	var parts []string
	for _, s := range p.Segments {
		if s.From == s.To {
			parts = append(parts, fmt.Sprintf("%g requests/s for %s", s.From, s.Length))
		} else {
			parts = append(parts, fmt.Sprintf("%g to %g requests/s in %s", s.From, s.To, s.Length))
		}
	}
	text := strings.Join(parts, ", then ")
	if p.Poisson {
		text += fmt.Sprintf(" (Poisson arrivals, seed %d)", p.Seed)
	}
	return text
}

// Validate returns an error if the profile cannot be played.
func (p Profile) Validate() error {
	for i, s := range p.Segments {
		switch {
		case s.Length <= 0:
			return fmt.Errorf("load: segment %d lasts %s: give a time above 0", i+1, s.Length)
		case s.From < 0 || s.To < 0 || math.IsNaN(s.From+s.To) || math.IsInf(s.From+s.To, 0):
			return fmt.Errorf("load: segment %d goes from %g to %g requests/s: rates are numbers from 0 on", i+1, s.From, s.To)
		}
	}
	if p.Requests() <= 0 {
		return fmt.Errorf("load: %q is no load", p)
	}
	return nil
}
