package presets

import (
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/hpa"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// The numbers are those of the source: a change of either is a change of the published policy.
func TestPolicies(t *testing.T) {
	published := []struct{ name, source, policy string }{
		{
			"exercise", "kubernetes/examples@279e8e4fe314",
			"requests running 4; up by the default rules, down after 30s by 100 % per 15s; maxNumSeqs 64",
		},
		{
			"exercise-gpu", "kubernetes/examples@279e8e4fe314",
			"GPU utilization 20; up after 0s by 4 pods per 15s or 100 % per 15s, down after 30s by 100 % per 15s; maxNumSeqs 64",
		},
		{"production-stack", "vllm-project/production-stack@a6c01db05f65", "sum of requests waiting / 5; default scaling rules"},
		{"accelerated-platforms", "GoogleCloudPlatform/accelerated-platforms@9320f3b27aa0", "requests waiting 10; default scaling rules"},
		{"accelerated-platforms-running", "GoogleCloudPlatform/accelerated-platforms@9320f3b27aa0", "requests running 10; default scaling rules"},
		{
			"llm-d-in-flight", "llm-d/llm-d@057abb4a5165",
			"sum of requests in flight / 16; up after 300s by 100 % per 15s, down after 300s by 100 % per 15s",
		},
		{
			"llm-d-slo-aware", "llm-d/llm-d@3d016852a467",
			"p90 latency of 60s / objective (3s to the first token, 0.1s between tokens), at most 2, average of 3 evaluations, " +
				"kept in 0.4 to 0.55; " +
				"up after 30s by 100 % per 60s or 4 pods per 60s, down after 180s by 1 pod per 120s",
		},
		{
			"kubeai", "kubeai-project/kubeai@f442a2cd620c",
			"requests in flight, average of 600s, / 100, every 10s; down after 30s",
		},
		{"kserve", "kserve/website@05b83a6cf9d6", "sum of requests running / 2; up after 0s, down after 300s"},
		{
			"202218d", "this project at commit 202218d",
			"requests running 12 or requests waiting 4 or GPU utilization guarded with 12 requests 80; " +
				"up after 0s by 4 pods per 15s or 100 % per 15s, down after 300s by 1 pod per 60s; maxNumSeqs 16",
		},
	}
	all := All()
	require.Len(t, all, len(published))
	for i, want := range published {
		assert.Equal(t, want.name, all[i].Name)
		assert.Equal(t, want.policy, all[i].Policy(), want.name)
		assert.True(t, strings.HasPrefix(all[i].Source, want.source), "%s: %s", want.name, all[i].Source)
		assert.NotEmpty(t, all[i].Note, want.name)
	}
}

// base is a deployment of 1 to 6 replicas, of which one works on about 9 requests a second.
func base() simulate.Settings {
	return simulate.Settings{
		Replicas: 1,
		Autoscaler: &autoscalingv2.HorizontalPodAutoscalerSpec{
			MinReplicas: ptr.To[int32](1), MaxReplicas: 6, Metrics: []autoscalingv2.MetricSpec{metric{pods, running, 1}.spec()},
		},
		Signals: []simulate.Signal{running.signal},
		Server: simulate.Server{
			Profile: speed.Profile{Fixed: 0.001, Weights: 0.015, PerToken: 0.0001},
			Limits:  replica.Limits{MaxNumSeqs: 20, BatchedTokens: 2048, CacheBytes: 1e9}, Cache: speed.Cache{FullBytes: 1000},
		},
		Start: simulate.Start{Node: 30, Warmup: 30}, Nodes: simulate.Nodes{Replicas: 1, Max: 8, GPUs: 1, Idle: 120},
		Metrics: simulate.Metrics{Scrape: 2, Rule: 2}, Drain: 60, Routing: simulate.LeastInFlight, Seed: 3,
		Objective: simulate.Objective{FirstToken: 1},
	}
}

// peak yields 30 requests a second for 10 minutes, and one every 10 seconds for 20 minutes.
func peak() iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		r := rand.New(rand.NewPCG(1, 2))
		for at := 0.0; at < 1800; {
			rate := 30.0
			if at > 600 {
				rate = 0.1
			}
			at += r.ExpFloat64() / rate
			if !yield(simulate.Arrival{At: at, Input: 200, Output: 100}) {
				return
			}
		}
	}
}

func TestEveryPresetFollowsTheLoad(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			got, err := simulate.Run(p.Settings(base()), peak())
			require.NoError(t, err)
			assert.Greater(t, got.Most, 1, "replicas are added")
			assert.LessOrEqual(t, got.Most, 6, "up to the maximum of the configuration")
			last := got.Timeline[len(got.Timeline)-1]
			assert.Less(t, last.Wanted, got.Most, "and removed when the load is gone")
			again, err := simulate.Run(p.Settings(base()), peak())
			require.NoError(t, err)
			assert.Equal(t, got.Timeline, again.Timeline, "a run leaves nothing for the next one")
		})
	}
}

func TestSettingsKeepEverythingButThePolicy(t *testing.T) {
	for _, p := range All() {
		got, want := p.Settings(base()), base()
		if p.law == nil {
			assert.EqualValues(t, 1, *got.Autoscaler.MinReplicas, p.Name)
			assert.EqualValues(t, 6, got.Autoscaler.MaxReplicas, p.Name)
			assert.Len(t, got.Signals, len(got.Autoscaler.Metrics), p.Name)
		}
		if p.maxNumSeqs > 0 {
			want.Server.Limits.MaxNumSeqs = p.maxNumSeqs
		}
		got.Autoscaler, got.Signals, got.Law, want.Autoscaler, want.Signals = nil, nil, nil, nil, nil
		assert.Equal(t, want, got, p.Name)
	}
	static := base()
	static.Autoscaler, static.Signals = nil, nil
	assert.Equal(t, limits{minimum: 1, maximum: 8}, limitsOf(&static), "the nodes limit a deployment without an autoscaler")
}

// A replica that runs 20 of 25 requests.
func TestGauges(t *testing.T) {
	server := base().Server
	e := replica.New(server.Profile, server.Limits, server.Cache)
	gauges := []gauge{running, waiting, inFlight, gpuUtilization, guarded(50)}
	values := func() (all []float64) {
		for _, g := range gauges {
			all = append(all, g.signal.Value(e))
		}
		return all
	}
	assert.Equal(t, []float64{0, 0, 0, 0, 0}, values())
	for range 25 {
		e.Submit(&replica.Request{Input: 10, Output: 1000})
	}
	e.Advance(0.5)
	busy := signals.SimulatedBusyUtilization
	assert.Equal(t, []float64{20, 5, 25, float64(busy), float64(busy) / 2}, values())
}

// An average over the pods considers pods without a sample; a sum divided by the target does not. Here two of four pods start.
func TestAMetricOfKEDAIgnoresPodsThatStart(t *testing.T) {
	pod := hpa.Pod{Ready: true}
	starting := hpa.Pod{Pending: true}
	sample := hpa.Sample{Milli: 25_000, Present: true}
	o := hpa.Observation{
		Time: time.Minute, SpecReplicas: 4, StatusReplicas: 4, Pods: []hpa.Pod{pod, pod, starting, starting},
		Readings: []hpa.Reading{{Pods: []hpa.Sample{sample, sample, {}, {}}, TotalMilli: 50_000}},
	}
	for name, want := range map[string]int32{
		"production-stack":      6, // 50 / 5 = 10, up to the maximum.
		"accelerated-platforms": 5, // 25 is too much for two pods, 50 / 4 a bit too much for four.
	} {
		c, err := hpa.New(*named(t, name).Settings(base()).Autoscaler, hpa.Options{})
		require.NoError(t, err)
		assert.Equal(t, want, c.Decide(&o).Replicas, name)
	}
}

func named(t *testing.T, name string) Preset {
	t.Helper()
	for _, p := range All() {
		if p.Name == name {
			return p
		}
	}
	require.Failf(t, "no such preset", name)
	return Preset{}
}
