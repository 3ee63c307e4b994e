package promql

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/simulate/hpa"
)

// The number of replicas that the HPA asks for from what the adapter serves, decided by the model of its controller, which
// tests/hpacontroller compares with Kubernetes' own.

// newHPA returns an autoscaler of 1 to 20 replicas that follows the signals of the settings. Scaling down does not wait.
func newHPA(t *testing.T, s signals.Settings, scaleUpWindow time.Duration) *hpa.Controller {
	t.Helper()
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: ptr.To[int32](1), MaxReplicas: 20,
		Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
			ScaleUp:   &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(int32(scaleUpWindow.Seconds()))},
			ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To[int32](0)},
		},
	}
	for _, signal := range enabled(t, s) {
		average := resource.MustParse(signal.AverageValue())
		spec.Metrics = append(spec.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: signal.Name},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &average},
		}})
	}
	controller, err := hpa.New(spec, hpa.Options{})
	require.NoError(t, err)
	return controller
}

// decide returns the replicas that the HPA asks for while the given pods are there, each of which runs.
func (p *pipeline) decide(autoscaler *hpa.Controller, at time.Duration, pods ...string) int32 {
	p.t.Helper()
	replicas := int32(len(pods))
	o := &hpa.Observation{Time: at, SpecReplicas: replicas, StatusReplicas: replicas}
	for range pods {
		o.Pods = append(o.Pods, hpa.Pod{})
	}
	for _, signal := range enabled(p.t, p.settings) {
		served := p.served(signal.Name, p.settings.Namespace, at, pods...)
		reading := hpa.Reading{}
		if len(served) == 0 {
			reading.Err = errors.New("the adapter serves no value")
		}
		for _, pod := range pods {
			value, present := served[pod]
			reading.Pods = append(reading.Pods, hpa.Sample{Milli: int64(value * 1000), Present: present})
		}
		o.Readings = append(o.Readings, reading)
	}
	return autoscaler.Decide(o).Replicas
}

// podNames returns the names of that many pods.
func podNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("pod-%d", i)
	}
	return names
}

// inFlightOf returns the samples of pods with that many requests, of which those above the batch of 16 wait.
func inFlightOf(requests ...int) []string {
	var samples []string
	for i, pod := range podNames(len(requests)) {
		samples = append(samples, running("vllm", pod, min(requests[i], 16)), waiting("vllm", pod, max(0, requests[i]-16)))
	}
	return samples
}

// inFlightOnly are settings with a target of ten requests in flight and no other signal.
func inFlightOnly() signals.Settings {
	return only(map[signals.Key]float64{signals.KeyRequestsInFlight: 10})
}

// With a closed loop, requests in flight stay the same however many replicas share them: the autoscaler arrives at their number
// divided by the target at once, from any number of replicas and however unevenly they are spread.
func TestAClosedLoopAsksForTheSameReplicas(t *testing.T) {
	for _, requests := range [][]int{
		{40}, {20, 20}, {31, 9}, {14, 13, 13}, {40, 0, 0}, {10, 10, 10, 10}, {13, 9, 8, 10}, {8, 8, 8, 8, 8}, {20, 5, 5, 5, 5, 0, 0},
	} {
		t.Run(fmt.Sprint(requests), func(t *testing.T) {
			p := newPipeline(t, inFlightOnly(), at0(inFlightOf(requests...)...))
			p.evaluate(0)
			pods := podNames(len(requests))
			sum := 0.0
			for _, value := range p.served(signals.MetricRequestsInFlight, "vllm", 0, pods...) {
				sum += value
			}
			assert.InDelta(t, 40, sum, 1e-9, "the sum is what counts")
			assert.EqualValues(t, 4, p.decide(newHPA(t, p.settings, 0), 0, pods...))
		})
	}
}

// A pod that has just started serves no series. It counts as capacity, so that the replicas that are already on their way are not
// asked for again; once it serves, it has 0 requests in flight.
func TestAStartingPodCountsAsCapacity(t *testing.T) {
	s := inFlightOnly()
	p := newPipeline(t, s, "load 2s\n  "+
		running("vllm", "pod-0", "16x10")+"\n  "+waiting("vllm", "pod-0", "4x10")+"\n  "+
		running("vllm", "pod-1", "16x10")+"\n  "+waiting("vllm", "pod-1", "4x10")+"\n  "+
		running("vllm", "pod-2", "_ _ 0x8")+"\n  "+waiting("vllm", "pod-2", "_ _ 0x8")+"\n  "+
		ready("vllm", "pod-2", "0 0 1x8")+"\n  "+ready("vllm", "pod-3", "0x10")+"\n")
	autoscaler := newHPA(t, s, 0)
	p.evaluate(0)
	assert.EqualValues(t, 4, p.decide(autoscaler, 0, podNames(2)...), "40 requests on two pods")

	pods := podNames(4)
	p.evaluate(2 * time.Second)
	requireValues(t, map[string]float64{"pod-0": 20, "pod-1": 20}, p.served(signals.MetricRequestsInFlight, "vllm", 2*time.Second, pods...), "two start")
	assert.EqualValues(t, 4, p.decide(autoscaler, 15*time.Second, pods...), "20 on average of the pods with samples would ask for eight")

	p.evaluate(4 * time.Second)
	requireValues(t, map[string]float64{"pod-0": 20, "pod-1": 20, "pod-2": 0},
		p.served(signals.MetricRequestsInFlight, "vllm", 4*time.Second, pods...), "one serves")
	assert.EqualValues(t, 4, p.decide(autoscaler, 30*time.Second, pods...))
}

// A pod that was removed counts no more once its last scrape is over, however long the requests that it had go on elsewhere. The
// HPA does not ask for it even before.
func TestARemovedPodCountsNoMore(t *testing.T) {
	s := inFlightOnly()
	p := newPipeline(t, s, "load 2s\n  "+
		running("vllm", "pod-0", "10 10 15x8")+"\n  "+waiting("vllm", "pod-0", "0x10")+"\n  "+
		running("vllm", "pod-1", "10 10 15x8")+"\n  "+waiting("vllm", "pod-1", "0x10")+"\n  "+
		running("vllm", "pod-2", "10 10 stale")+"\n  "+waiting("vllm", "pod-2", "0 0 stale")+"\n")
	autoscaler := newHPA(t, s, 0)
	for tick, want := range []struct{ sum, asked float64 }{{30, 20}, {30, 20}, {30, 30}, {30, 30}} {
		at := time.Duration(tick) * s.Interval
		p.evaluate(at)
		sum := 0.0
		for _, value := range p.recorded(signals.RecordRequestsInFlight, at) {
			sum += value
		}
		assert.InDelta(t, want.sum, sum, 1e-9, "recorded at %s", at)
		sum = 0
		for _, value := range p.served(signals.MetricRequestsInFlight, "vllm", at, podNames(2)...) {
			sum += value
		}
		assert.InDelta(t, want.asked, sum, 1e-9, "asked for at %s", at)
	}
	assert.EqualValues(t, 3, p.decide(autoscaler, 6*time.Second, podNames(2)...), "30 requests on the two that are left")
}

// A gauge that is no number is no idle pod: nothing is removed because of it.
func TestNoNumberRemovesNoReplica(t *testing.T) {
	p := newPipeline(t, inFlightOnly(), at0(
		running("vllm", "pod-0", 2), waiting("vllm", "pod-0", 0), running("vllm", "pod-1", "NaN"), waiting("vllm", "pod-1", 0)))
	p.evaluate(0)
	requireValues(t, map[string]float64{"pod-0": 2}, p.served(signals.MetricRequestsInFlight, "vllm", 0, podNames(2)...), "served")
	assert.EqualValues(t, 2, p.decide(newHPA(t, p.settings, 0), 0, podNames(2)...))
}

// A request that ends on one pod and whose successor begins on another is counted on both for up to one scrape, because pods are
// scraped at different moments. Here four of 30 do at the same time: the sum of 34 asks for one replica more, for less than the
// period of the HPA, and the stabilization window of 30 s leaves it out. Three would be within the HPA's tolerance.
func TestARequestThatMovesAddsNoReplica(t *testing.T) {
	s := inFlightOnly()
	p := newPipeline(t, s, "load 2s\n  "+
		running("vllm", "pod-0", "10x15 14x30")+"\n  "+waiting("vllm", "pod-0", "0x45")+"\n  "+
		running("vllm", "pod-1", "10x15 10 6x29")+"\n  "+waiting("vllm", "pod-1", "0x45")+"\n  "+
		running("vllm", "pod-2", "10x45")+"\n  "+waiting("vllm", "pod-2", "0x45")+"\n")
	const moved, period = 32 * time.Second, 16 * time.Second
	pods, autoscaler := podNames(3), newHPA(t, s, 30*time.Second)
	for at := time.Duration(0); at <= 80*time.Second; at += s.Interval {
		p.evaluate(at)
		sum := p.query(`sum(vllm:requests_in_flight:sum)`, at)
		require.Len(t, sum, 1)
		if at == moved {
			assert.InDelta(t, 34, sum[0].F, 1e-9)
			assert.EqualValues(t, 4, p.decide(newHPA(t, s, 0), at, pods...), "without a window a replica is added")
		} else {
			assert.InDelta(t, 30, sum[0].F, 1e-9, "at %s", at)
		}
		if at%period == 0 {
			assert.EqualValues(t, 3, p.decide(autoscaler, at, pods...), "at %s", at)
		}
	}
}

// A few long prompts keep a GPU busy: too few for the target of requests in flight, and each waits for the one before. The GPU
// signal adds a replica. The same GPU with nothing waiting, and as many short requests, adds none.
func TestLongPromptsAddAReplica(t *testing.T) {
	for name, tc := range map[string]struct {
		running, waiting int
		want             int32
	}{
		"long prompts":          {2, 1, 2},
		"long answers":          {3, 0, 1},
		"short requests":        {8, 0, 1},
		"more than it works on": {16, 24, 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := only(map[signals.Key]float64{signals.KeyRequestsInFlight: 10, signals.KeyGPUUtilization: 50})
			s.GPUWaitingRequests = 1
			p := newPipeline(t, s, at0(ready("vllm", "pod-0", 1), running("vllm", "pod-0", tc.running), waiting("vllm", "pod-0", tc.waiting),
				renamed(percent, "vllm", "pod-0", 98)))
			p.evaluate(0)
			assert.Equal(t, tc.want, p.decide(newHPA(t, s, 0), 0, "pod-0"))
		})
	}
}
