package promql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// The simulated GPU from the scraped gauge to the HPA's value, tick by tick. A change appears at the next evaluation: the
// whole chain of rules takes one interval. The guard averages the requests waiting of five scrapes.
func TestSimulatedGPUOverTime(t *testing.T) {
	for name, standalone := range map[string]bool{"operator": false, "standalone": true} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.SimulateGPU, s.StandaloneRules, s.GPUWaitingRequests = true, standalone, 1
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x20")+"\n"+
				"  "+running("vllm", "a", "1 16 16 16 16 16 0 4 4 4 4")+"\n"+
				"  "+waiting("vllm", "a", "0 0 1 1 2 4 0 0 0 0 0")+"\n"+
				// A second server that serves no series yet, and one in another deployment's namespace.
				"  "+ready("vllm", "b", "0x20")+"\n"+
				"  "+ready("other", "c", "1x20")+"\n"+
				"  "+running("other", "c", "9x20")+"\n"+
				"  "+waiting("other", "c", "9x20")+"\n")

			const busy = signals.SimulatedBusyUtilization
			for tick, want := range []struct{ max, guarded float64 }{
				{busy, 0}, {busy, 0}, // busy, and nothing waits
				{busy, busy / 3.0}, {busy, busy / 2.0}, {busy, busy * 4.0 / 5}, // requests begin to wait: 1 of 3 samples, 2 of 4, 4 of 5
				{busy, busy},               // more than one waits on average: no more than in full
				{0, 0},                     // idle: nothing to multiply
				{busy, busy}, {busy, busy}, // 7 and 6 waited at the last five scrapes
				{busy, busy * 4.0 / 5},
				{busy, 0},
			} {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				requireValues(t, map[string]float64{"vllm/a": want.max}, p.recorded(signals.RecordGPUUtilization, at), "unguarded at "+at.String())
				requireValues(t, map[string]float64{"a": want.guarded}, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b", "c"), "served at "+at.String())
			}
		})
	}
}

// The GPU signal of a GPU that is busy all the time: 0 while nothing waits, in full while a request waits all the time, and in
// proportion between. A request that waits now and then is far below the target of 50.
func TestGPUSignalFollowsTheQueue(t *testing.T) {
	for queue, want := range map[string][2]float64{ // the lowest and the highest value after five scrapes
		"0x40":                     {0, 0},
		"1x40":                     {98, 98},
		"3x40":                     {98, 98},
		"1 " + repeat("0 1", 20):   {98 * 2.0 / 5, 98 * 3.0 / 5}, // at every second scrape
		repeat("1 0 0 0 0", 8):     {98 / 5.0, 98 / 5.0},         // at every fifth
		repeat("0 0 0 0 20", 8):    {98, 98},                     // many at once
		repeat("0x9 1", 4) + " 0":  {0, 98 / 5.0},                // once in a while
		repeat("0x18 1 1", 2) + "": {0, 98 * 2.0 / 5},            // for two scrapes
	} {
		t.Run(queue, func(t *testing.T) {
			s := settings()
			s.GPUWaitingRequests = 1
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x40")+"\n"+
				"  "+running("vllm", "a", "16x40")+"\n"+
				"  "+waiting("vllm", "a", queue)+"\n"+
				"  "+renamed(percent, "vllm", "a", "98x40")+"\n")
			lowest, highest := 100.0, 0.0
			for tick := 4; tick < 40; tick++ {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				served := p.served(signals.MetricGPUUtilization, "vllm", at, "a")
				require.Contains(t, served, "a")
				lowest, highest = min(lowest, served["a"]), max(highest, served["a"])
			}
			assert.InDelta(t, want[0], lowest, 1e-9, "lowest")
			assert.InDelta(t, want[1], highest, 1e-9, "highest")
		})
	}
}

// What the average of the guard costs: the scrapes after requests begin to wait until the GPU signal exceeds the target and the
// HPA's tolerance, and those after the queue has ended until it no longer does.
func TestDelayOfTheGuard(t *testing.T) {
	for _, tc := range []struct{ queue, above, below int }{{1, 3, 3}, {2, 2, 4}, {3, 1, 5}, {40, 1, 5}} {
		t.Run(fmt.Sprint(tc.queue), func(t *testing.T) {
			s := settings()
			s.GPUWaitingRequests = 1
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x30")+"\n"+
				"  "+running("vllm", "a", "16x30")+"\n"+
				"  "+waiting("vllm", "a", fmt.Sprintf("0x9 %dx9 0x10", tc.queue))+"\n"+
				"  "+renamed(percent, "vllm", "a", "99x30")+"\n")
			limit := s.Targets[signals.KeyGPUUtilization] * (1 + signals.HPATolerance)
			const begins, ends = 10, 20
			for tick := range 30 {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				above := p.served(signals.MetricGPUUtilization, "vllm", at, "a")["a"] > limit
				require.Equal(t, tick >= begins+tc.above-1 && tick < ends+tc.below-1, above, "at scrape %d", tick)
			}
		})
	}
}

// The simulated series has the labels of a dcgm-exporter without honor_labels, and none of the server's target.
func TestSimulatedGPUSeriesLooksLikeDCGM(t *testing.T) {
	s := settings()
	s.SimulateGPU = true
	p := newPipeline(t, s, at0(
		running("vllm", "a", 1),
		running("vllm", "a", 0, `engine="1",model_name="gemma"`),
		running("vllm", "a", 1, `engine="0",model_name="gemma",instance="second"`),
		running("vllm", "b", 0),
	))
	p.evaluate(0)
	got := map[string]float64{}
	for _, sample := range p.query(signals.SeriesGPUUtil, 0) {
		pod := sample.Metric.Get("exported_pod")
		require.NotContains(t, got, pod)
		got[pod] = sample.F
		assert.Equal(t, labels.FromStrings(model.MetricNameLabel, "DCGM_FI_DEV_GPU_UTIL", "exported_namespace", "vllm", "exported_pod", pod,
			"exported_container", "vllm", "gpu", "0", "UUID", "GPU-simulated", "modelName", "simulated").String(), sample.Metric.String())
	}
	requireValues(t, map[string]float64{"a": signals.SimulatedBusyUtilization, "b": 0}, got, "simulated utilisation")
}

// A deleted pod leaves every series at the evaluation after its last scrape: no series stays for the look-back of five
// minutes, or for the window of the guard, and no other pod is affected.
func TestPodThatDisappearsTakesItsSeriesAlong(t *testing.T) {
	for name, standalone := range map[string]bool{"operator": false, "standalone": true} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.StandaloneRules = standalone
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x10")+"\n"+
				"  "+running("vllm", "a", "3x10")+"\n"+
				"  "+waiting("vllm", "a", "2x10")+"\n"+
				"  "+renamed(percent, "vllm", "a", "98x10")+"\n"+
				"  "+ready("vllm", "b", "1x10")+"\n"+ // kube-state-metrics and DCGM are slower to notice
				"  "+running("vllm", "b", "4 4 stale")+"\n"+
				"  "+waiting("vllm", "b", "3 3 stale")+"\n"+
				"  "+renamed(percent, "vllm", "b", "97x10", `gpu="1",UUID="GPU-1"`)+"\n")
			for tick := range 6 {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				inFlight, gpu := map[string]float64{"a": 5, "b": 7}, map[string]float64{"a": 98, "b": 97}
				if tick >= 2 {
					delete(inFlight, "b")
					delete(gpu, "b")
				}
				requireValues(t, inFlight, p.served(signals.MetricRequestsInFlight, "vllm", at, "a", "b"), "in flight at "+at.String())
				requireValues(t, gpu, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b"), "GPU at "+at.String())
			}
		})
	}
}

// Exporters and kube-state-metrics are scraped less often than the rules run; between their samples the last one is used.
func TestSlowScrapesLeaveNoGaps(t *testing.T) {
	p := newPipeline(t, settings(), "load 30s\n"+
		"  "+ready("vllm", "a", "1 1 1")+"\n"+
		"  "+renamed(percent, "vllm", "a", "50 90 70")+"\n\n"+
		"load 2s\n"+
		"  "+running("vllm", "a", "3x30")+"\n"+
		"  "+waiting("vllm", "a", "2x30")+"\n")
	for tick := range 31 {
		at := time.Duration(tick) * 2 * time.Second
		want := []float64{50, 90, 70}[at/(30*time.Second)]
		p.evaluate(at)
		requireValues(t, map[string]float64{"a": want}, p.served(signals.MetricGPUUtilization, "vllm", at, "a"), at.String())
	}
}

// repeat returns samples that many times.
func repeat(samples string, times int) string {
	return strings.TrimSuffix(strings.Repeat(samples+" ", times), " ")
}
