package compare

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
)

func settings() simulate.Settings {
	return simulate.Settings{
		Replicas: 1,
		Server: simulate.Server{
			Profile: replica.Profile{Fixed: 0.01, Weights: 0.01}, Cache: replica.Cache{FullBytes: 1},
			Limits: replica.Limits{MaxNumSeqs: 4, BatchedTokens: 2048, CacheBytes: 1e9},
		},
		Nodes:     simulate.Nodes{Replicas: 1, Max: 3, GPUs: 1},
		Metrics:   simulate.Metrics{Scrape: 2, Rule: 2},
		Objective: simulate.Objective{FirstToken: 1},
	}
}

// every yields a request of 2 s every half a second for ten minutes: one replica runs four at a time.
func every() iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		for i := range 1200 {
			if !yield(simulate.Arrival{At: float64(i) / 2, Input: 10, Output: 101}) {
				return
			}
		}
	}
}

func TestEvaluate(t *testing.T) {
	candidates, err := Evaluate(context.Background(), settings(), every, 2)
	require.NoError(t, err)
	var names []string
	for _, c := range candidates {
		names = append(names, c.Name)
		assert.Equal(t, 1200, c.Requests, c.Name)
		assert.InDelta(t, 2*c.GPUHours, c.Cost, 1e-9, c.Name)
	}
	assert.Equal(t, []string{"configured", "static-1", "static-2", "static-3"}, names)
	assert.Equal(t, candidates[1].Attainment, candidates[0].Attainment, "one replica without an autoscaler is what is configured")
	assert.Greater(t, candidates[3].GPUHours, 2*candidates[0].GPUHours)
	best, ok := StaticBest(candidates, 0.99)
	assert.True(t, ok)
	assert.Equal(t, "static-2", best.Name, "one is just too few: %+v", candidates)
}

func TestEvaluateEndsWithItsContext(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	_, err := Evaluate(ctx, settings(), every, 0)
	assert.ErrorIs(t, err, stop)
}

func TestVerdict(t *testing.T) {
	configured := func(attainment, hours float64) Candidate {
		return Candidate{Name: NameConfigured, Attainment: attainment, GPUHours: hours}
	}
	one, two := Candidate{Name: "static-1", Attainment: 0.8, GPUHours: 1}, Candidate{Name: "static-2", Attainment: 0.97, GPUHours: 2}
	for want, candidates := range map[string][]Candidate{
		"keeps the objective with 25 % less GPU-hours than static-2":                                      {configured(0.96, 1.5), one, two},
		"but a constant number of replicas does so for less: static-2 with 2.00 GPU-hours":                {configured(0.96, 3), one, two},
		"and so does static-2 for the same GPU-hours":                                                     {configured(0.97, 2), one, two},
		"misses the objective, and a constant number of replicas keeps it for less":                       {configured(0.9, 3), one, two},
		"misses the objective. The cheapest constant number":                                              {configured(0.9, 1.5), one, two},
		"no constant number of replicas does":                                                             {configured(0.96, 1), one},
		"Nothing here keeps the objective for 95 % of the requests. The closest is static-1 with 80.00 %": {configured(0.7, 1), one},
	} {
		assert.Contains(t, Verdict(candidates, 0.95), want)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, WriteTable(&out, []Candidate{
		{Name: NameConfigured, Attainment: 0.5, GPUHours: 1.25, Cost: 3.5, TTFT: Quantiles{0.0123, 1.5, 75}, Most: 3, TurnsPerHour: 2},
		{Name: "static-1"},
	}, 0.9))
	assert.Contains(t, out.String(), "configured  50.00 %       1.25  3.50      12ms  1.5s  1m15s     3      2.0")
	assert.Contains(t, out.String(), "static-1   0.00 %       0.00     -         -     -      -     0      0.0", "unknown is no 0")
}
