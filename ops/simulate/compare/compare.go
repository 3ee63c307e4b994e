package compare

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"vllm-autoscaling/ops/simulate"
)

// Names of candidates. Those of a constant number of replicas are NameStatic and the number, those of the policies that others
// ship NamePreset and the system.
const (
	NameConfigured  = "configured"
	NameRecommended = "recommended"
	NameOracle      = "oracle"
	NameStatic      = "static-"
	NameStaticBest  = "static-best"
	NamePreset      = "preset-"
)

// Candidate is a deployment and what became of it.
type Candidate struct {
	// Name is one of the names above.
	Name string `json:"name"`
	// Attainment is the share of the requests that kept the objective.
	Attainment float64 `json:"attainment"`
	// GPUHours are those of all nodes for the length of the load, Cost their price in US dollars; 0 where it is not known.
	GPUHours float64 `json:"gpuHours"`
	Cost     float64 `json:"cost,omitempty"`
	// TurnsPerHour is how often in an hour the autoscaler changed the direction.
	TurnsPerHour float64 `json:"turnsPerHour"`
	// TTFT are quantiles of the time to the first token, in seconds.
	TTFT Quantiles `json:"ttft"`
	// Most is the highest number of replicas.
	Most int `json:"mostReplicas"`
	// Requests, Refused and Lost are as in simulate.Result.
	Requests int `json:"requests"`
	Refused  int `json:"refused"`
	Lost     int `json:"lost"`
	// Series is what became of it over time, where Record was asked for it; documents do not show it.
	Series *Series `json:"-"`
}

// Quantiles are some quantiles of a duration, in seconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Load returns the load from its beginning, as often as it is called.
type Load func() iter.Seq[simulate.Arrival]

// Evaluate runs the deployment as it is and with each constant number of replicas up to the pool's maximum, in this order, on
// all cores. The price is that of a GPU for one hour, 0 for unknown.
func Evaluate(ctx context.Context, s simulate.Settings, load Load, price float64) ([]Candidate, error) {
	candidates := []Candidate{{Name: NameConfigured}}
	all := []simulate.Settings{s}
	for n := 1; n <= s.Nodes.Max*s.Nodes.Replicas; n++ {
		static := s
		static.Autoscaler, static.Signals, static.Replicas = nil, nil, n
		candidates, all = append(candidates, Candidate{Name: fmt.Sprint(NameStatic, n)}), append(all, static)
	}
	errs := make([]error, len(all))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				errs[i] = candidates[i].run(all[i], load(), price)
			}
		})
	}
	for i := range all {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return candidates, nil
}

func (c *Candidate) run(s simulate.Settings, load iter.Seq[simulate.Arrival], price float64) error {
	r, err := simulate.Run(s, load)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	c.Attainment, c.GPUHours, c.Cost, c.TurnsPerHour = r.Attainment(), r.GPUHours, r.GPUHours*price, r.TurnsPerHour()
	c.Most, c.Requests, c.Refused, c.Lost = r.Most, r.Requests, r.Refused, r.Lost
	if r.FirstToken.Count() > 0 {
		c.TTFT = Quantiles{r.FirstToken.Quantile(0.5), r.FirstToken.Quantile(0.95), r.FirstToken.Quantile(0.99)}
	}
	return nil
}

// StaticBest returns the cheapest constant number of replicas that keeps the objective, and whether there is one.
func StaticBest(candidates []Candidate, ratio float64) (Candidate, bool) {
	for _, c := range candidates {
		if c.Name != NameConfigured && c.Attainment >= ratio {
			return c, true
		}
	}
	return Candidate{}, false
}
