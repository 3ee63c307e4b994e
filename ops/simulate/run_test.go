package simulate

import (
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// steady yields requests at a rate for some seconds, with exponential gaps.
func steady(seed uint64, from, seconds, rate float64) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		r := rand.New(rand.NewPCG(seed, 2))
		for at := from + r.ExpFloat64()/rate; at < from+seconds; at += r.ExpFloat64() / rate {
			if !yield(Arrival{At: at, Input: 200, Output: 100}) {
				return
			}
		}
	}
}

func join(parts ...iter.Seq[Arrival]) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for _, part := range parts {
			for a := range part {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// settings are those of a replica that takes about 1.6 s for a request and runs 8 at a time: 5 requests a second.
func settings(replicas int) Settings {
	return Settings{
		Replicas: replicas,
		Server: Server{
			Profile: speed.Profile{Fixed: 0.001, Weights: 0.015, PerToken: 0.0001},
			Limits:  replica.Limits{MaxNumSeqs: 8, BatchedTokens: 2048, CacheBytes: 1e9}, Cache: speed.Cache{FullBytes: 1000},
		},
		Start:     Start{Node: 60, Image: 10, Weights: 12, Warmup: 8},
		Nodes:     Nodes{Replicas: 1, Max: 10, GPUs: 2, Idle: 120},
		Metrics:   Metrics{Scrape: 2, Rule: 2},
		Drain:     60,
		Objective: Objective{FirstToken: 1},
	}
}

// scaled are settings with an autoscaler on the running and waiting requests.
func scaled(minimum, maximum int32) Settings {
	s := settings(int(minimum))
	target := func(requests int64) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(requests, resource.DecimalSI)},
		}}
	}
	s.Autoscaler = &autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: ptr.To(minimum), MaxReplicas: maximum, Metrics: []autoscalingv2.MetricSpec{target(6), target(4)},
	}
	s.Signals = []Signal{
		{Value: func(e *replica.Engine) float64 { return float64(e.Running()) }},
		{Value: func(e *replica.Engine) float64 { return float64(e.Waiting()) }, Recorded: true},
	}
	return s
}

func TestAConstantNumberOfReplicas(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		got, err := Run(settings(replicas), steady(1, 0, 3600, 3))
		require.NoError(t, err)
		assert.InDelta(t, 1, got.Hours, 0.01)
		assert.InDelta(t, got.Hours*2*float64(replicas), got.GPUHours, 1e-9)
		assert.Zero(t, got.Changes+got.Refused+got.Lost)
		assert.Equal(t, got.Requests, got.FirstToken.Count(), "every request is answered")
		assert.Greater(t, got.Attainment(), 0.9)
	}
	overloaded, err := Run(settings(1), steady(1, 0, 600, 8))
	require.NoError(t, err)
	assert.Less(t, overloaded.Attainment(), 0.2)
	assert.Greater(t, overloaded.FirstToken.Quantile(0.5), 60.0, "the queue grows by 3 requests a second")
}

func TestTheAutoscalerFollowsTheLoad(t *testing.T) {
	s := scaled(1, 8)
	load := join(steady(1, 0, 1200, 2), steady(2, 1200, 1800, 18), steady(3, 3000, 3000, 2))
	got, err := Run(s, load)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, got.Most, 4, "18 requests a second need four replicas")
	assert.Zero(t, got.Lost+got.Refused, "a removed replica finishes what it has")
	assert.Equal(t, got.Requests, got.FirstToken.Count())

	last := got.Timeline[len(got.Timeline)-1]
	assert.LessOrEqual(t, last.Wanted, 2, "replicas are removed when the load is gone")
	assert.Equal(t, last.Wanted, last.Ready)
	static, err := Run(settings(got.Most), load)
	require.NoError(t, err)
	assert.Less(t, got.GPUHours, 0.8*static.GPUHours)
	assert.LessOrEqual(t, got.Attainment(), static.Attainment())
}

func TestANewReplicaNeedsItsTime(t *testing.T) {
	s := scaled(1, 2)
	got, err := Run(s, steady(1, 0, 600, 8))
	require.NoError(t, err)
	wanted, ready := math.Inf(1), math.Inf(1)
	for _, at := range got.Timeline {
		if at.Wanted == 2 {
			wanted = min(wanted, at.At)
		}
		if at.Ready == 2 {
			ready = min(ready, at.At)
		}
	}
	assert.Less(t, wanted, 60.0)
	assert.InDelta(t, 90, ready-wanted, 1e-6, "a node and then a pod")
	assert.InDelta(t, 2*(got.Hours+(got.Hours-wanted/3600)), got.GPUHours, 1e-9, "a node is billed from when it is asked for")
}

func TestNodesLimitReplicas(t *testing.T) {
	s := scaled(1, 8)
	s.Nodes.Max = 2
	got, err := Run(s, steady(1, 0, 900, 20))
	require.NoError(t, err)
	assert.Greater(t, got.Most, 2)
	for _, at := range got.Timeline {
		assert.LessOrEqual(t, at.Ready, 2)
	}
}

func TestSameSeedSameResult(t *testing.T) {
	s := scaled(1, 8)
	first, err := Run(s, steady(1, 0, 1800, 10))
	require.NoError(t, err)
	second, err := Run(s, steady(1, 0, 1800, 10))
	require.NoError(t, err)
	assert.Equal(t, first.Timeline, second.Timeline)
	assert.Equal(t, first.Met, second.Met)
	s.Seed = 7
	other, err := Run(s, steady(1, 0, 1800, 10))
	require.NoError(t, err)
	assert.NotEqual(t, first.Timeline, other.Timeline)
}

func TestRoutingByLoadIsBetterThanByChance(t *testing.T) {
	attained := map[Routing]float64{}
	for _, routing := range []Routing{Random, RoundRobin, LeastInFlight} {
		s := settings(4)
		s.Routing = routing
		got, err := Run(s, steady(1, 0, 3600, 17))
		require.NoError(t, err)
		attained[routing] = got.Attainment()
	}
	assert.Greater(t, attained[LeastInFlight], attained[Random])
	assert.Greater(t, attained[RoundRobin], attained[Random])
}

func TestARemovedReplicaLosesWhatItCannotFinish(t *testing.T) {
	s := scaled(1, 8)
	s.Replicas, s.Drain = 3, 0
	got, err := Run(s, steady(1, 0, 1200, 1))
	require.NoError(t, err)
	assert.Positive(t, got.Lost)
	assert.Equal(t, got.Requests, got.FirstToken.Count()+got.Lost)
}

func TestInvalidSettings(t *testing.T) {
	s := scaled(1, 8)
	s.Replicas, s.Signals, s.Metrics.Scrape = 11, nil, 0
	_, err := Run(s, steady(1, 0, 1, 1))
	for _, part := range []string{"11 replicas do not fit 10 nodes", "0 signals for 2 metrics", "intervals"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = Run(settings(1), func(yield func(Arrival) bool) { _ = yield(Arrival{At: 2}) && yield(Arrival{At: 1}) })
	assert.ErrorContains(t, err, "an arrival at 1 s after one at 2 s")
}

func TestHistogram(t *testing.T) {
	var h Histogram
	assert.True(t, math.IsNaN(h.Quantile(0.5)))
	for i := range 1000 {
		h.Add(float64(i+1) / 100)
	}
	assert.Equal(t, 1000, h.Count())
	assert.InEpsilon(t, 5, h.Quantile(0.5), 0.011)
	assert.InEpsilon(t, 9.9, h.Quantile(0.99), 0.011)
	assert.InEpsilon(t, 10, h.Quantile(1), 0.011)
	assert.InEpsilon(t, 0.01, h.Quantile(0), 0.011)
}

// day yields 250,000 requests of a day with a daily curve.
func day(yield func(Arrival) bool) {
	r := rand.New(rand.NewPCG(1, 2))
	for at := 0.0; at < 86400; {
		rate := 2.9 * (1 - 0.8*math.Cos(2*math.Pi*at/86400))
		at += r.ExpFloat64() / rate
		if !yield(Arrival{At: at, Input: 100 + r.IntN(1500), Output: 20 + r.IntN(300)}) {
			return
		}
	}
}

// BenchmarkDay replays a day against an autoscaled deployment, without and with a series.
func BenchmarkDay(b *testing.B) {
	for name, length := range map[string]float64{"plain": 0, "series": 1} {
		b.Run(name, func(b *testing.B) {
			s := scaled(1, 10)
			s.Series = length
			for b.Loop() {
				got, err := Run(s, day)
				require.NoError(b, err)
				b.ReportMetric(float64(got.Requests), "requests")
				b.ReportMetric(got.Attainment()*100, "%met")
			}
		})
	}
}
