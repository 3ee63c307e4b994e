package oracle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

const ratio = 0.95

// settings are those of replicas that serve about 5 requests a second each, with an autoscaler on the requests running.
func settings() simulate.Settings {
	return simulate.Settings{
		Replicas: 1,
		Server: simulate.Server{
			Profile: speed.Profile{Fixed: 0.001, Weights: 0.015, PerToken: 0.0001},
			Limits:  replica.Limits{MaxNumSeqs: 8, BatchedTokens: 2048, CacheBytes: 1e9}, Cache: speed.Cache{FullBytes: 1000},
		},
		Autoscaler: &autoscalingv2.HorizontalPodAutoscalerSpec{
			MinReplicas: ptr.To[int32](1), MaxReplicas: 6,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(3, resource.DecimalSI)},
			}}},
		},
		Signals:   []simulate.Signal{{Value: func(e *replica.Engine) float64 { return float64(e.Running()) }}},
		Start:     simulate.Start{Node: 30, Warmup: 15},
		Nodes:     simulate.Nodes{Replicas: 1, Max: 6, GPUs: 1, Idle: 60},
		Metrics:   simulate.Metrics{Scrape: 5, Rule: 5},
		Drain:     60,
		Objective: simulate.Objective{FirstToken: 2},
	}
}

// levels yields forty minutes with another rate every five, drawn from the seed.
func levels(seed uint64) compare.Load {
	return func() iter.Seq[simulate.Arrival] {
		return func(yield func(simulate.Arrival) bool) {
			r := rand.New(rand.NewPCG(seed, 3))
			for part := range 8 {
				end := float64(part+1) * 300
				rate := 0.5 + 14*r.Float64()*r.Float64()
				for at := end - 300 + r.ExpFloat64()/rate; at < end; at += r.ExpFloat64() / rate {
					if !yield(simulate.Arrival{At: at, Input: 100 + r.IntN(400), Output: 50 + r.IntN(100)}) {
						return
					}
				}
			}
		}
	}
}

func evaluated(t *testing.T, replay *compare.Replay) []compare.Candidate {
	t.Helper()
	configured := compare.Deployment{Name: compare.NameConfigured, Settings: settings()}
	known, err := replay.All(context.Background(), append([]compare.Deployment{configured}, compare.Statics(settings())...))
	require.NoError(t, err)
	return known
}

func TestNeverDearerThanWhatIsKnown(t *testing.T) {
	cheaper := 0
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("load ", seed), func(t *testing.T) {
			replay := &compare.Replay{Load: levels(seed)}
			known := evaluated(t, replay)
			best, found := compare.StaticBest(known, ratio)
			require.True(t, found)
			got, found, err := Find(context.Background(), replay, Input{Settings: settings(), Ratio: ratio, Known: known})
			require.NoError(t, err)
			require.True(t, found)
			assert.Equal(t, compare.NameOracle, got.Name)
			assert.GreaterOrEqual(t, got.Attainment, ratio)
			assert.LessOrEqual(t, got.GPUHours, best.GPUHours)
			if known[0].Keeps(ratio) {
				assert.LessOrEqual(t, got.GPUHours, known[0].GPUHours)
			}
			if got.GPUHours < 0.95*best.GPUHours {
				cheaper++
			}
		})
	}
	assert.GreaterOrEqual(t, cheaper, 3, "foresight saves replicas in the quiet parts")
}

func TestSameResultOnAnyNumberOfCores(t *testing.T) {
	var results []compare.Candidate
	for _, workers := range []int{1, 3} {
		got, _, err := Find(context.Background(), &compare.Replay{Load: levels(1), Workers: workers}, Input{Settings: settings(), Ratio: ratio})
		require.NoError(t, err)
		results = append(results, got)
	}
	assert.Equal(t, results[0].Plan, results[1].Plan)
}

func TestNothingKeepsTheObjective(t *testing.T) {
	s := settings()
	s.Objective.FirstToken = 0.001
	_, found, err := Find(context.Background(), &compare.Replay{Load: levels(1)}, Input{Settings: s, Ratio: ratio})
	require.NoError(t, err)
	assert.False(t, found)
}

func TestTheEndOfItsContext(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	replay := &compare.Replay{Load: levels(1)}
	known := evaluated(t, replay)
	cancel(stop)
	got, found, err := Find(ctx, replay, Input{Settings: settings(), Ratio: ratio, Known: known})
	require.ErrorIs(t, err, stop)
	best, _ := compare.StaticBest(known, ratio)
	assert.True(t, found)
	assert.LessOrEqual(t, got.GPUHours, best.GPUHours)
}

// The plan of a load with one busy window has its replica ready in that window, and pays for no other.
func TestPlanOfWindows(t *testing.T) {
	s := settings()
	s.Nodes.Idle = 120
	m := misses{settings: s, width: 60, length: 1200, cold: 90, counts: [][]int{make([]int, 20), make([]int, 20)}}
	for _, busy := range []int{6, 7, 11} {
		m.counts[0][busy] = 10
	}
	// Between the two busy times, three windows of a replica are cheaper than a cold start.
	assert.Equal(t, []simulate.Step{{At: 0, Replicas: 1}, {At: 360 - 90, Replicas: 2}, {At: 720, Replicas: 1}}, m.plan(1000))
	assert.Equal(t, []simulate.Step{{At: 0, Replicas: 1}}, m.plan(0.1), "a miss costs next to nothing")
	m.counts[0][0] = 10
	assert.Equal(t, 2, m.plan(1000)[0].Replicas, "no replica can be added before the first window")

	seconds, missed := m.estimate([]simulate.Step{{At: 0, Replicas: 1}, {At: 270, Replicas: 2}, {At: 480, Replicas: 1}})
	assert.InDelta(t, 1200+210+120, seconds, 61, "the second node, and the time until it is removed")
	assert.InDelta(t, 20, missed, 1e-9, "the windows 0 and 11")
}
