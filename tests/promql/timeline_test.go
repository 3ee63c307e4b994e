package promql

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// The simulated GPU from the scraped gauge to the HPA's value, tick by tick. A change appears at the next evaluation: the
// whole chain of rules takes one interval.
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
		{0, 0},             // idle
		{busy, busy / 3.0}, // one request: the GPU reads busy, the guard takes two thirds off
		{busy, busy},       // three: in full
		{busy, busy},       // saturated: no more than in full
		{0, 0},             // idle again
		{0, 0},             // one waiting, none running: nothing to multiply
		{busy, busy},       // two running, one waiting
	} {
		at := time.Duration(tick) * s.Interval
		p.evaluate(at)
		requireValues(t, map[string]float64{"vllm/a": want.max}, p.recorded(signals.RecordGPUUtilization, at), "unguarded at "+at.String())
		requireValues(t, map[string]float64{"a": want.guarded}, p.served(signals.MetricGPUUtilization, "vllm", at, "a", "b", "c"), "served at "+at.String())
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
