package compare

import (
	"context"
	"fmt"
	"runtime"
	"sync"

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

// Record runs the candidates whose settings are given, by name, once more and sets their Series. A run with the same settings and
// load has the same result.
func Record(ctx context.Context, candidates []Candidate, settings map[string]simulate.Settings, load Load) error {
	errs := make([]error, len(candidates))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var runs sync.WaitGroup
	for i := range candidates {
		s, ok := settings[candidates[i].Name]
		if !ok {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		runs.Go(func() {
			errs[i] = candidates[i].record(s, load)
			<-slots
		})
	}
	runs.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (c *Candidate) record(s simulate.Settings, load Load) error {
	s.Series = resolution
	r, err := simulate.Run(s, load())
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	c.Series = seriesOf(&r)
	return nil
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
