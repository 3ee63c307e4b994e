package compare

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"vllm-autoscaling/ops/simulate"
)

// Replay runs deployments against a load.
type Replay struct {
	// Load is nil where the requests are part of the settings.
	Load Load
	// Price is that of a GPU for one hour in US dollars, 0 for unknown.
	Price float64
	// Workers is the number of runs at a time; 0 for one on each core.
	Workers int
	// Done, if set, is called after each run, by several goroutines.
	Done func()
}

// With returns a Replay of another load.
func (r *Replay) With(load Load) *Replay {
	other := *r
	other.Load = load
	return &other
}

// Run runs one deployment. Its error is the cause of the context when that ends first.
func (r *Replay) Run(ctx context.Context, d *Deployment) (Candidate, error) {
	result, err := r.simulate(ctx, d.Name, d.Settings)
	if err != nil {
		return Candidate{}, err
	}
	if r.Done != nil {
		r.Done()
	}
	return candidateOf(d, &result, r.Price), nil
}

func (r *Replay) simulate(ctx context.Context, name string, s simulate.Settings) (simulate.Result, error) {
	var load iter.Seq[simulate.Arrival]
	if r.Load != nil {
		load = until(ctx, r.Load())
	}
	result, err := simulate.Run(s, load)
	if cause := context.Cause(ctx); cause != nil {
		return simulate.Result{}, cause
	}
	if err != nil {
		return simulate.Result{}, fmt.Errorf("%s: %w", name, err)
	}
	return result, nil
}

func candidateOf(d *Deployment, r *simulate.Result, price float64) Candidate {
	c := Candidate{
		Name: d.Name, Source: d.Source, Note: d.Note, Settings: d.Settings, Plan: r.Plan(),
		Attainment: r.Attainment(), GPUHours: r.GPUHours, Cost: r.GPUHours * price, TurnsPerHour: r.TurnsPerHour(),
		Most: r.Most, Requests: r.Requests, Refused: r.Refused, Lost: r.Lost,
	}
	if r.FirstToken.Count() > 0 {
		c.TTFT = Quantiles{r.FirstToken.Quantile(0.5), r.FirstToken.Quantile(0.95), r.FirstToken.Quantile(0.99)}
	}
	return c
}

// All runs deployments and returns the candidates in their order. When the context ends, it returns those that are finished and
// the cause.
func (r *Replay) All(ctx context.Context, deployments []Deployment) ([]Candidate, error) {
	all := make([]Candidate, len(deployments))
	err := Each(ctx, r.Workers, len(all), func(i int) (err error) {
		all[i], err = r.Run(ctx, &deployments[i])
		return err
	})
	var finished []Candidate
	for _, c := range all {
		if c.Name != "" {
			finished = append(finished, c)
		}
	}
	return finished, err
}

// Each calls work with 0 to n-1, several at a time, until the context ends, and returns its cause or the first error in the
// order of the numbers.
func Each(ctx context.Context, workers, n int, work func(int) error) error {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	errs := make([]error, n)
	next := make(chan int)
	var running sync.WaitGroup
	for range min(workers, n) {
		running.Go(func() {
			for i := range next {
				errs[i] = work(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// until yields a load until the context ends. What a run makes of the rest is not used.
func until(ctx context.Context, load iter.Seq[simulate.Arrival]) iter.Seq[simulate.Arrival] {
	const every = 1024
	return func(yield func(simulate.Arrival) bool) {
		count := 0
		for a := range load {
			if count++; count%every == 1 && ctx.Err() != nil {
				return
			}
			if !yield(a) {
				return
			}
		}
	}
}
