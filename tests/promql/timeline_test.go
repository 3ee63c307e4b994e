package promql

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// The simulated GPU from the scraped gauge to the HPA's value, tick by tick. A change appears at the next evaluation: the
// whole chain of rules takes one interval. The guard averages the requests in flight of five scrapes.
func TestSimulatedGPUOverTime(t *testing.T) {
	s := settings()
	s.SimulateGPU = true
	p := newPipeline(t, s, "load 2s\n"+
		"  "+ready("vllm", "a", "1x20")+"\n"+
		"  "+running("vllm", "a", "0 1 3 16 0 0 2")+"\n"+
		"  "+waiting("vllm", "a", "0 0 0 40 0 1 1")+"\n"+
		// A second server that is not ready yet, and one in another deployment's namespace.
		"  "+ready("vllm", "b", "0x20")+"\n"+
		"  "+running("vllm", "b", "5x20")+"\n"+
		"  "+waiting("vllm", "b", "5x20")+"\n"+
		"  "+ready("other", "c", "1x20")+"\n"+
		"  "+running("other", "c", "9x20")+"\n"+
		"  "+waiting("other", "c", "9x20")+"\n")

	const busy = signals.SimulatedBusyUtilization
	for tick, want := range []struct{ max, guarded float64 }{
		{0, 0},                 // idle
		{busy, busy / 2.0 / 3}, // one request: the GPU reads busy, the guard counts half a request of three
		{busy, busy * 4.0 / 9}, // one and three
		{busy, busy},           // saturated: no more than in full
		{0, 0},                 // idle again: nothing to multiply
		{0, 0},                 // one waiting, none running
		{busy, busy},           // 3, 56, 0, 1 and 3 in flight
	} {
		at := time.Duration(tick) * s.Interval
		p.evaluate(at)
		requireValues(t, map[string]float64{"vllm/a": want.max}, p.recorded(signals.RecordGPUUtilization, at), "unguarded at "+at.String())
		requireValues(t, map[string]float64{"a": want.guarded}, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b", "c"), "served at "+at.String())
	}
}

// At 20 steady requests on two pods both read 11 for a moment, because they are scraped at different times and a request that
// moved is counted twice. The average of the pods is what the HPA compares: above 88 (the target of 80 and a tenth) it adds a
// replica.
func TestARequestThatMovesIsNotCountedTwice(t *testing.T) {
	for name, standalone := range map[string]bool{"operator": false, "standalone": true} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.GPUGuardRequests, s.StandaloneRules = 12, standalone
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x40")+"\n"+
				"  "+ready("vllm", "b", "1x40")+"\n"+
				// Once for one scrape, once for two.
				"  "+running("vllm", "a", "10x9 11 10x9 11 11 10x20")+"\n"+
				"  "+running("vllm", "b", "10x9 11 10x9 11 11 10x20")+"\n"+
				"  "+waiting("vllm", "a", "0x40")+"\n"+
				"  "+waiting("vllm", "b", "0x40")+"\n"+
				"  "+renamed(percent, "vllm", "a", "99x40")+"\n"+
				"  "+renamed(percent, "vllm", "b", "99x40", `gpu="1",UUID="GPU-1"`)+"\n")
			limit := settings().Targets[signals.KeyGPUUtilization] * (1 + signals.HPATolerance)
			require.Greater(t, 99*11.0/12, limit, "a single reading exceeds the target")
			highest := 0.0
			for tick := range 41 {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				served := p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b")
				highest = max(highest, (served["a"]+served["b"])/2)
			}
			assert.InDelta(t, 99*10.4/12, highest, 1e-9, "two of five readings are 11")
			assert.Less(t, highest, limit)
		})
	}
}

// What the average of the guard costs: the scrapes after a step of the load until the GPU signal exceeds the target. Requests
// running follow at the first scrape, where the step exceeds their target.
func TestDelayOfTheGuard(t *testing.T) {
	for _, tc := range []struct {
		from, to, scrapes int
	}{
		{10, 16, 1}, {10, 12, 2}, {8, 12, 4}, {0, 16, 4}, {0, 12, 5},
	} {
		t.Run(fmt.Sprintf("%d to %d", tc.from, tc.to), func(t *testing.T) {
			s := settings()
			s.GPUGuardRequests = 12
			p := newPipeline(t, s, "load 2s\n"+
				"  "+ready("vllm", "a", "1x20")+"\n"+
				"  "+running("vllm", "a", fmt.Sprintf("%dx9 %dx10", tc.from, tc.to))+"\n"+
				"  "+waiting("vllm", "a", "0x20")+"\n"+
				"  "+renamed(percent, "vllm", "a", "99x20")+"\n")
			for tick := range 20 {
				at := time.Duration(tick) * s.Interval
				p.evaluate(at)
				above := p.served(signals.MetricGPUUtilization, "vllm", at, "a")["a"] > 88
				require.Equal(t, tick >= 9+tc.scrapes, above, "at scrape %d after the step", tick-9)
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
// minutes, and no other pod is affected.
func TestPodThatDisappearsTakesItsSeriesAlong(t *testing.T) {
	p := newPipeline(t, settings(), "load 2s\n"+
		"  "+ready("vllm", "a", "1x10")+"\n"+
		"  "+running("vllm", "a", "3x10")+"\n"+
		"  "+waiting("vllm", "a", "0x10")+"\n"+
		"  "+renamed(percent, "vllm", "a", "98x10")+"\n"+
		"  "+ready("vllm", "b", "1x10")+"\n"+ // kube-state-metrics and DCGM are slower to notice
		"  "+running("vllm", "b", "3 3 stale")+"\n"+
		"  "+waiting("vllm", "b", "0 0 stale")+"\n"+
		"  "+renamed(percent, "vllm", "b", "98x10", `gpu="1",UUID="GPU-1"`)+"\n")
	for tick, want := range []map[string]float64{
		{"a": 98, "b": 98}, {"a": 98, "b": 98}, {"a": 98}, {"a": 98},
	} {
		at := time.Duration(tick) * 2 * time.Second
		p.evaluate(at)
		requireValues(t, want, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b"), "GPU at "+at.String())
	}
}

// Exporters and kube-state-metrics are scraped less often than the rules run; between their samples the last one is used.
func TestSlowScrapesLeaveNoGaps(t *testing.T) {
	p := newPipeline(t, settings(), "load 30s\n"+
		"  "+ready("vllm", "a", "1 1 1")+"\n"+
		"  "+renamed(percent, "vllm", "a", "50 90 70")+"\n\n"+
		"load 2s\n"+
		"  "+running("vllm", "a", "3x30")+"\n"+
		"  "+waiting("vllm", "a", "0x30")+"\n")
	for tick := range 31 {
		at := time.Duration(tick) * 2 * time.Second
		want := []float64{50, 90, 70}[at/(30*time.Second)]
		p.evaluate(at)
		requireValues(t, map[string]float64{"a": want}, p.served(signals.MetricGPUUtilization, "vllm", at, "a"), at.String())
	}
}
