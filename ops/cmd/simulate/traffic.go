package main

import (
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/trace"
)

// traffic is what a deployment is given: a trace or a synthetic load, or the users of a closed loop.
type traffic struct {
	// trace is nil for a closed loop, and closed for a trace.
	trace  *trace.Trace
	closed *trace.Closed
}

func openTraffic(name string, part trace.Options) (traffic, error) {
	if !trace.IsClosed(name) {
		replayed, err := trace.Open(name, part)
		return traffic{trace: replayed}, err
	}
	closed, err := trace.ParseClosed(name, part)
	return traffic{closed: &closed}, err
}

// redrawn returns the load of another seed, which is the same load where nothing of it is drawn.
func (t traffic) redrawn(o *options, seed uint64) (compare.Load, error) {
	if t.trace == nil || !t.trace.Drawn() {
		return t.load(), nil
	}
	part := o.part
	part.Seed = seed
	other, err := openTraffic(o.trace, part)
	if err != nil {
		return nil, err
	}
	return other.load(), nil
}

// String describes the traffic.
func (t traffic) String() string {
	if t.closed != nil {
		return t.closed.String()
	}
	return t.trace.String()
}

// err returns the error that ended a replay early.
func (t traffic) err() error {
	if t.trace == nil {
		return nil
	}
	return t.trace.Err()
}

// load returns the arrivals, nil for a closed loop, whose arrivals depend on the answers.
func (t traffic) load() compare.Load {
	if t.trace == nil {
		return nil
	}
	return compare.LoadOf(t.trace)
}

// clients returns the users of a closed loop, or nil.
func (t traffic) clients() *simulate.Clients {
	if t.closed == nil {
		return nil
	}
	return &simulate.Clients{Users: t.closed.Users, Think: t.closed.Think.Seconds(), Length: t.closed.Length.Seconds(), Tokens: t.closed.Tokens}
}
