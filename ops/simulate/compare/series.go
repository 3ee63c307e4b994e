package compare

import (
	"context"
	"slices"

	"vllm-autoscaling/ops/simulate"
)

// Series is what became of a candidate over time.
type Series struct {
	// Seconds is the length of the interval of a point, and Points begin with the load.
	Seconds float64
	Points  []Point
	// Replicas are those that were wanted and ready from a moment on.
	Replicas []simulate.Replicas
}

// Point is an interval of a Series.
type Point struct {
	// Offered is the rate of the requests that arrived, per second.
	Offered float64
	// Requests is their number, Met how many of them kept the objective and Answered how many were answered.
	Requests, Met, Answered int
	// P50 and P95 are quantiles of the time to the first token of those that were answered, in seconds; 0 without any.
	P50, P95 float64
}

// resolution is the shortest interval of a Series, in seconds.
const resolution = 1

// Record runs the candidates of some names once more and sets their Series. A run with the same settings and load has the same result.
func (r *Replay) Record(ctx context.Context, candidates []Candidate, names []string) error {
	return Each(ctx, r.Workers, len(candidates), func(i int) error {
		if !slices.Contains(names, candidates[i].Name) {
			return nil
		}
		return r.record(ctx, &candidates[i])
	})
}

func (r *Replay) record(ctx context.Context, c *Candidate) error {
	s := c.Settings
	s.Series = resolution
	result, err := r.simulate(ctx, c.Name, s)
	if err == nil {
		c.Series = seriesOf(&result)
	}
	return err
}

func seriesOf(r *simulate.Result) *Series {
	s := &Series{Seconds: r.Series.Length, Points: make([]Point, len(r.Series.Intervals)), Replicas: r.Timeline}
	for i, interval := range r.Series.Intervals {
		p := Point{
			Offered:  float64(interval.Requests) / s.Seconds,
			Requests: interval.Requests, Met: interval.Met, Answered: interval.FirstToken.Count(),
		}
		if p.Answered > 0 {
			p.P50, p.P95 = interval.FirstToken.Quantile(0.5), interval.FirstToken.Quantile(0.95)
		}
		s.Points[i] = p
	}
	return s
}
