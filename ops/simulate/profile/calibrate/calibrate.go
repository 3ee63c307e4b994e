package calibrate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/simulate/profile"
)

// Options of Run.
type Options struct {
	// Target is the replica, and Model the name of the model that it serves.
	Target load.Target
	Model  string
	// APIKey is sent as a bearer token if it is not empty.
	APIKey string
	// Plan is what to measure.
	Plan []profile.Point
	// Length is when to stop. The points are measured again and again until then.
	Length time.Duration
	// Seed makes the prompts differ from those of other runs, which the server may have in its prefix cache.
	Seed uint64
	// Transport of the requests; nil for a usual one.
	Transport http.RoundTripper
	// Log is called with each point that was measured.
	Log func(format string, args ...any)
}

// Result is what was measured.
type Result struct {
	// RoundTrip is the time of a request that the server answers at once; it is taken off the times to the first token.
	RoundTrip time.Duration
	Points    []profile.Point
}

// burst is a schedule of equal requests at once.
type burst struct{ requests, input, output int }

// Arrivals implements load.Schedule.
func (b burst) Arrivals() iter.Seq[load.Arrival] {
	return func(yield func(load.Arrival) bool) {
		for range b.requests {
			if !yield(load.Arrival{InputTokens: b.input, OutputTokens: b.output}) {
				return
			}
		}
	}
}

// Length implements load.Schedule.
func (burst) Length() time.Duration { return 0 }

// Rate implements load.Schedule.
func (burst) Rate(time.Duration) float64 { return 0 }

// String implements load.Schedule.
func (b burst) String() string { return fmt.Sprintf("%d requests at once", b.requests) }

// runner measures one replica.
type runner struct {
	Options
	generator *load.Generator
	roundTrip time.Duration
}

// Run measures the points of the plan in turn until the time is over. It needs a replica that serves nobody else meanwhile.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := checkIdle(ctx, o); err != nil {
		return Result{}, err
	}
	roundTrip, err := measureRoundTrip(ctx, o)
	if err != nil {
		return Result{}, err
	}
	o.Log("round trip through the network: %s", roundTrip.Round(10*time.Microsecond))
	most := 1
	for _, p := range o.Plan {
		most = max(most, p.Concurrency)
	}
	r := runner{Options: o, roundTrip: roundTrip}
	r.generator, err = load.Start(ctx, load.Options{
		Targets: func(context.Context) ([]load.Target, error) { return []load.Target{o.Target}, nil },
		Model:   o.Model, APIKey: o.APIKey, Stream: true, MaxInFlight: most, Transport: o.Transport, Seed: o.Seed,
	})
	if err != nil {
		return Result{}, err
	}
	defer r.generator.Stop()
	points, err := r.rounds(ctx)
	return Result{RoundTrip: roundTrip, Points: points}, err
}

// rounds measures the plan again and again until the time is over, and returns the medians.
func (r *runner) rounds(ctx context.Context) ([]profile.Point, error) {
	for len(r.generator.Targets()) == 0 {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	// The first requests open connections and fill caches of the server.
	for _, warm := range []burst{{4, short, 8}, {1, 512, 1}} {
		if _, err := r.send(ctx, warm); err != nil {
			return nil, err
		}
	}
	all := make([]samples, len(r.Plan))
	for deadline := time.Now().Add(r.Length); ; {
		for i, p := range r.Plan {
			if !time.Now().Before(deadline) {
				return medians(r.Plan, all), nil
			}
			sample, err := r.measure(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			if len(all[i].seconds) == 0 {
				r.Log("%s: %s", p, time.Duration(sample.seconds*float64(time.Second)).Round(10*time.Microsecond))
			}
			all[i].add(sample)
		}
	}
}

// sample is a measured time, with the tokens of the prompts as the server counts them.
type sample struct {
	seconds float64
	input   int
}

// samples are those of a point.
type samples struct {
	seconds []float64
	input   int // Sum.
}

func (s *samples) add(one sample) {
	s.seconds = append(s.seconds, one.seconds)
	s.input += one.input
}

// medians returns the points that were measured.
func medians(plan []profile.Point, all []samples) []profile.Point {
	var points []profile.Point
	for i, p := range plan {
		n := len(all[i].seconds)
		if n == 0 {
			continue
		}
		slices.Sort(all[i].seconds)
		p.Seconds = (all[i].seconds[(n-1)/2] + all[i].seconds[n/2]) / 2
		p.Samples, p.InputTokens = n, all[i].input/n
		points = append(points, p)
	}
	return points
}

// measure measures a point once.
func (r *runner) measure(ctx context.Context, p profile.Point) (sample, error) {
	records, err := r.send(ctx, burst{p.Concurrency, p.InputTokens, p.OutputTokens})
	if err != nil {
		return sample{}, err
	}
	last := slices.MaxFunc(records, func(a, b load.Record) int { return int(a.First - b.First) })
	s := sample{input: p.InputTokens}
	if last.Counted && last.InputTokens > 0 {
		s.input = int(last.InputTokens)
	}
	if p.Quantity == profile.FirstToken {
		s.seconds = (last.First - last.Sent - r.roundTrip).Seconds()
	} else {
		s.seconds = (last.Ended - last.First).Seconds() / float64(p.OutputTokens-1)
	}
	if s.seconds <= 0 {
		return sample{}, fmt.Errorf("the network's round trip of %s is longer than the server's time: measure from a place nearer to the cluster", r.roundTrip)
	}
	return s, nil
}

// send sends requests at once and waits for their answers.
func (r *runner) send(ctx context.Context, b burst) ([]load.Record, error) {
	before := len(r.generator.Records())
	if err := r.generator.Play(ctx, b); err != nil {
		return nil, err
	}
	if err := r.generator.Drain(ctx); err != nil {
		return nil, err
	}
	records := r.generator.RecordsSince(before)
	for _, record := range records {
		switch {
		case record.Outcome != load.OK:
			return nil, fmt.Errorf("a request failed: %s", r.generator.Stats().LastError)
		case record.First == 0:
			return nil, errors.New("no event of an answer had text: its first token cannot be timed")
		case record.Counted && record.OutputTokens != int64(b.output):
			return nil, fmt.Errorf("an answer has %d tokens instead of %d: the server does not support ignore_eos", record.OutputTokens, b.output)
		}
	}
	return records, nil
}
