package search

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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

const ratio = 0.9

// defaults are the values of the keys without assignments.
func defaults() map[string]string {
	return map[string]string{
		keyMaxNumSeqs: "8", keyMinReplicas: "2", keyMaxReplicas: "4",
		keySignals + "requestsInFlight.enabled": "true", keySignals + "requestsInFlight.target": "6",
		keySignals + "requestsRunning.enabled": "false", keySignals + "requestsWaiting.enabled": "true", keySignals + "requestsWaiting.target": "4",
		keySignals + "gpuUtilization.enabled": "false", keySignals + "kvCacheUsage.enabled": "false",
		keyScaleUp + stabilization: "0s", keyScaleUp + pods: "4", keyScaleUp + period: "15s",
		keyScaleDown + stabilization: "5m", keyScaleDown + pods: "1", keyScaleDown + period: "1m",
	}
}

// decode stands in for the program's configuration: it follows two signals and the limits, and refuses to follow none.
func decode(assignments []string) (Decoded, error) {
	values := defaults()
	for _, assignment := range assignments {
		key, value, _ := strings.Cut(assignment, "=")
		values[key] = value
	}
	number := func(key string) int {
		n, err := strconv.ParseFloat(values[key], 64)
		if err != nil {
			panic(err)
		}
		return int(n)
	}
	s := simulate.Settings{
		Replicas: number(keyMinReplicas),
		Server: simulate.Server{
			Profile: speed.Profile{Fixed: 0.001, Weights: 0.015, PerToken: 0.0001},
			Limits:  replica.Limits{MaxNumSeqs: number(keyMaxNumSeqs), BatchedTokens: 2048, CacheBytes: 1e9}, Cache: speed.Cache{FullBytes: 1000},
		},
		Autoscaler: &autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: ptr.To(int32(number(keyMinReplicas))), MaxReplicas: int32(number(keyMaxReplicas))},
		Start:      simulate.Start{Node: 30, Warmup: 15},
		Nodes:      simulate.Nodes{Replicas: 1, Max: 5, GPUs: 1, Idle: 60},
		Metrics:    simulate.Metrics{Scrape: 5, Rule: 5},
		Drain:      60, Objective: simulate.Objective{FirstToken: 2}, Seed: 1,
	}
	gauges := map[string]func(*replica.Engine) float64{
		"requestsInFlight": func(e *replica.Engine) float64 { return float64(e.Running() + e.Waiting()) },
		"requestsWaiting":  func(e *replica.Engine) float64 { return float64(e.Waiting()) },
	}
	for _, name := range []string{"requestsInFlight", "requestsWaiting"} {
		if values[keySignals+name+enabled] != "true" {
			delete(values, keySignals+name+target)
			continue
		}
		s.Signals = append(s.Signals, simulate.Signal{Value: gauges[name]})
		average := resource.MustParse(values[keySignals+name+target])
		s.Autoscaler.Metrics = append(s.Autoscaler.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &average},
		}})
	}
	if len(s.Signals) == 0 {
		return Decoded{}, errors.New("no signal")
	}
	return Decoded{Settings: s, Values: values}, nil
}

// load yields half an hour with a busy third of every ten minutes.
func load() iter.Seq[simulate.Arrival] {
	return func(yield func(simulate.Arrival) bool) {
		r := rand.New(rand.NewPCG(1, 5))
		for at := 0.0; at < 1800; {
			rate := 2.0
			if int(at/200)%3 == 1 {
				rate = 8
			}
			at += r.ExpFloat64() / rate
			if !yield(simulate.Arrival{At: at, Input: 200, Output: 100}) {
				return
			}
		}
	}
}

func input(workers int) Input {
	return Input{
		Decode: decode, Replay: &compare.Replay{Load: load, Workers: workers}, Ratio: ratio, Candidates: 60, Seed: 3,
		Trials: []Trial{{On: "seed 2", Seed: 2, Load: load}, {On: "shifted", Seed: 1, Load: compare.Load(load).Shifted(900, 1800)}},
	}
}

func TestFind(t *testing.T) {
	got, err := Find(context.Background(), input(0))
	require.NoError(t, err)
	require.True(t, got.Found)
	assert.True(t, got.Halved)
	assert.GreaterOrEqual(t, len(got.Tried), 60)
	assert.Positive(t, got.Invalid, "no signal")
	configured, recommended := got.Tried[0], got.Recommended
	assert.Empty(t, configured.Set)
	assert.Equal(t, compare.NameRecommended, recommended.Name)
	assert.GreaterOrEqual(t, recommended.Attainment, ratio)
	assert.Less(t, recommended.GPUHours, 0.7*configured.GPUHours, "two replicas all the time are too many")
	for _, c := range got.Tried {
		if c.Constant() && c.Keeps(ratio) {
			assert.LessOrEqual(t, recommended.GPUHours, c.GPUHours, "%v", c.Set)
		}
	}
	var on []string
	for _, j := range recommended.Robustness {
		on = append(on, j.On)
		assert.Equal(t, j.Attainment >= ratio, j.Met, j.On)
		assert.Positive(t, j.GPUHours)
	}
	assert.Equal(t, []string{"held-out half, when chosen by the other half", "seed 2", "shifted"}, on)

	again, err := decode(recommended.Set)
	require.NoError(t, err)
	c, err := input(1).Replay.Run(context.Background(), &compare.Deployment{Name: "again", Settings: again.Settings})
	require.NoError(t, err)
	assert.InDelta(t, recommended.GPUHours, c.GPUHours, 1e-9, "the assignments give what was promised")
	for i, assignment := range recommended.Set {
		without, err := decode(slices.Delete(slices.Clone(recommended.Set), i, i+1))
		require.NoError(t, err)
		assert.NotEqual(t, again.Values, without.Values, "%s is needed", assignment)
	}
}

func TestSameResultOnAnyNumberOfCores(t *testing.T) {
	one, err := Find(context.Background(), input(1))
	require.NoError(t, err)
	three, err := Find(context.Background(), input(3))
	require.NoError(t, err)
	require.Len(t, three.Tried, len(one.Tried))
	for i := range one.Tried {
		assert.Equal(t, one.Tried[i].Set, three.Tried[i].Set)
	}
	assert.Equal(t, one.Recommended.Set, three.Recommended.Set)
	assert.Equal(t, one.Recommended.Robustness, three.Recommended.Robustness)

	other := input(0)
	other.Seed = 2
	drawn, err := Find(context.Background(), other)
	require.NoError(t, err)
	assert.NotEqual(t, fmt.Sprint(setsOf(one.Tried)), fmt.Sprint(setsOf(drawn.Tried)))
}

func setsOf(candidates []compare.Candidate) (sets [][]string) {
	for _, c := range candidates {
		sets = append(sets, c.Set)
	}
	return sets
}

func TestNothingKeepsTheObjective(t *testing.T) {
	in := input(0)
	in.Candidates = 16
	in.Decode = func(assignments []string) (Decoded, error) {
		d, err := decode(assignments)
		d.Settings.Objective.FirstToken = 0.01
		return d, err
	}
	got, err := Find(context.Background(), in)
	require.NoError(t, err)
	assert.False(t, got.Found)
	assert.Len(t, got.Tried, 16)
}

func TestInterrupted(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	in := input(0)
	var best compare.Candidate
	in.Progress = func(c compare.Candidate) {
		best = c
		cancel(stop)
	}
	got, err := Find(ctx, in)
	require.ErrorIs(t, err, stop)
	assert.True(t, got.Found)
	assert.Len(t, got.Tried, batch)
	assert.LessOrEqual(t, got.Recommended.GPUHours, best.GPUHours)
	assert.Empty(t, got.Recommended.Robustness)
}

func TestAShortLoadHasNoHalves(t *testing.T) {
	in := input(0)
	in.Candidates = 16
	in.Replay = in.Replay.With(func() iter.Seq[simulate.Arrival] {
		return func(yield func(simulate.Arrival) bool) {
			for i := range 500 {
				if !yield(simulate.Arrival{At: float64(i), Input: 100, Output: 100}) {
					return
				}
			}
		}
	})
	got, err := Find(context.Background(), in)
	require.NoError(t, err)
	assert.False(t, got.Halved)
	require.True(t, got.Found)
	assert.Equal(t, "seed 2", got.Recommended.Robustness[0].On)
}
