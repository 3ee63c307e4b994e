package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

func settings() simulate.Settings {
	return simulate.Settings{
		Replicas: 1,
		Server: simulate.Server{
			Profile: speed.Profile{Fixed: 0.01, Weights: 0.01}, Cache: speed.Cache{FullBytes: 1},
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

func TestReplay(t *testing.T) {
	done := atomic.Int32{}
	replay := &Replay{Load: every, Price: 2, Done: func() { done.Add(1) }}
	candidates, err := replay.All(context.Background(), append([]Deployment{{Name: NameConfigured, Settings: settings()}}, Statics(settings())...))
	require.NoError(t, err)
	assert.EqualValues(t, 4, done.Load())
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

func TestReplayEndsWithItsContext(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	replay := &Replay{Load: every, Workers: 1, Done: func() { cancel(stop) }}
	finished, err := replay.All(ctx, Statics(settings()))
	assert.ErrorIs(t, err, stop)
	require.Len(t, finished, 1, "what has finished is known")
	assert.Equal(t, "static-1", finished[0].Name)
}

func TestReplayErrors(t *testing.T) {
	s := settings()
	s.Nodes.Replicas = 0
	_, err := (&Replay{Load: every}).All(context.Background(), []Deployment{{Name: "bad", Settings: s}})
	assert.ErrorContains(t, err, "bad: simulation: replicas of a node is 0")
}

func TestLoads(t *testing.T) {
	load := Load(func() iter.Seq[simulate.Arrival] {
		return slices.Values([]simulate.Arrival{{At: 0, Input: 1}, {At: 4, Input: 2}, {At: 6, Input: 3}, {At: 10, Input: 4}})
	})
	seconds, arrivals := load.Length()
	assert.Equal(t, 10.0, seconds)
	assert.Equal(t, 4, arrivals)
	assert.Equal(t, []simulate.Arrival{{At: 1, Input: 3}, {At: 5, Input: 4}, {At: 5, Input: 1}, {At: 9, Input: 2}}, slices.Collect(load.Shifted(5, 10)()))
	for range load.Shifted(5, 10)() {
		break // Ends early without a panic.
	}
	assert.Equal(t, simulate.Arrival{At: 3 * 3600, Input: 4}, slices.Collect(load.Alone()())[3])
}

func TestVerdict(t *testing.T) {
	configured := func(attainment, hours float64) Candidate {
		return Candidate{Name: NameConfigured, Attainment: attainment, GPUHours: hours}
	}
	one, two := Candidate{Name: "static-1", Attainment: 0.8, GPUHours: 1}, Candidate{Name: "static-2", Attainment: 0.97, GPUHours: 2}
	for want, candidates := range map[string][]Candidate{
		"keeps the objective with 25 % less GPU-hours than static-2":                         {configured(0.96, 1.5), one, two},
		"but a constant number of replicas does so for less: static-2 with 2.00 GPU-hours":   {configured(0.96, 3), one, two},
		"and so does static-2 for the same GPU-hours":                                        {configured(0.97, 2), one, two},
		"misses the objective, and a constant number of replicas keeps it for less":          {configured(0.9, 3), one, two},
		"misses the objective. The cheapest constant number":                                 {configured(0.9, 1.5), one, two},
		"no constant number of replicas does":                                                {configured(0.96, 1), one},
		"keeps the objective for 95 % of the requests. The closest is static-1 with 80.00 %": {configured(0.7, 1), one},
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

// Of many constant numbers of replicas, five around the best are shown.
func TestTableOfManySizes(t *testing.T) {
	candidates := []Candidate{{Name: NameConfigured}}
	for n := 1; n <= 20; n++ {
		candidates = append(candidates, Candidate{Name: fmt.Sprint(NameStatic, n), Attainment: float64(n) / 10, GPUHours: float64(n)})
	}
	for ratio, want := range map[float64]string{0.9: "7 8 9 10 11", 0.1: "1 2 3 4 5", 2: "16 17 18 19 20", 3: "16 17 18 19 20"} {
		var numbers []string
		for _, c := range shown(candidates, ratio)[1:] {
			numbers = append(numbers, strings.TrimPrefix(c.Name, NameStatic))
		}
		assert.Equal(t, want, strings.Join(numbers, " "), ratio)
	}
}

func TestRecommendation(t *testing.T) {
	upTo := func(most int32) simulate.Settings {
		return simulate.Settings{Autoscaler: &autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: ptr.To[int32](1), MaxReplicas: most}}
	}
	configured := Candidate{Name: NameConfigured, Attainment: 0.9, GPUHours: 3}
	changed := Candidate{Name: NameRecommended, Attainment: 0.96, GPUHours: 1.5, Settings: upTo(4),
		Set: []string{"model.maxNumSeqs=64", "autoscaling.scaleDown.period=30s"}}
	judged, constant, same := changed, changed, changed
	judged.Robustness = []Judgement{{On: "seed 2", Attainment: 0.97, Met: true, GPUHours: 1.5}, {On: "the other half", Attainment: 0.94}}
	constant.Settings, constant.Most = upTo(1), 1
	same.Set = nil
	best := Candidate{Name: NameStaticBest, Attainment: 0.98, GPUHours: 2, Most: 2, Set: []string{"autoscaling.minReplicas=2"}}
	for name, test := range map[string]struct {
		candidates []Candidate
		want, not  []string
	}{
		"changed": {[]Candidate{configured, changed, best, {Name: NameOracle, Attainment: 0.95, GPUHours: 1}}, []string{
			"Recommended: 1.50 GPU-hours instead of 3.00, and 96.00 % within",
			"\n  pulumi config set --path --stack prod vllm-autoscaling:model.maxNumSeqs 64\n",
			"\n  pulumi config set --path --stack prod vllm-autoscaling:autoscaling.scaleDown.period 30s\n", "recommended takes 1.50 times as many",
		}, []string{"constant", "judged on"}},
		"judged": {[]Candidate{configured, judged}, []string{
			"seed 2          97.00 %           1.50\n", "the other half  94.00 %, too few  -\n", "misses the objective on 1 of these 2",
		}, nil},
		"constant": {[]Candidate{configured, constant}, []string{"It is a constant number of replicas, 1"}, nil},
		"as it is": {[]Candidate{configured, same}, []string{"Recommended: The configuration as it is."}, []string{"pulumi config"}},
		"none": {[]Candidate{configured, best}, []string{
			"A constant number of replicas, 2, takes 2.00 GPU-hours instead of 3.00", "autoscaling.minReplicas 2",
		}, nil},
		"none better": {[]Candidate{configured}, nil, []string{"pulumi config", "oracle"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, WriteRecommendation(&out, "prod", test.candidates, 0.95))
			for _, text := range test.want {
				assert.Contains(t, out.String(), text)
			}
			for _, text := range test.not {
				assert.NotContains(t, out.String(), text)
			}
		})
	}
}
