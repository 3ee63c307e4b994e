package promql

import (
	"testing"
	"time"

	"vllm-autoscaling/components/signals"
)

// kvCache is a sample of vLLM's gauge.
func kvCache(namespace, pod string, samples any, labels ...string) string {
	return vllmSample(signals.SeriesKVCacheUsage, namespace, pod, samples, labels...)
}

func TestKVCacheUsage(t *testing.T) {
	none := map[string]float64{}
	for _, tc := range []struct {
		name    string
		samples []string
		want    map[string]float64
	}{
		{"a share becomes percent", []string{kvCache("vllm", "a", 0.55), kvCache("vllm", "b", 0)}, map[string]float64{"a": 55, "b": 0}},
		{"full", []string{kvCache("vllm", "a", 1)}, map[string]float64{"a": 100}},
		{"the fullest engine of a pod", []string{
			kvCache("vllm", "a", 0.25), kvCache("vllm", "a", 0.75, `engine="1",model_name="gemma"`)}, map[string]float64{"a": 75}},
		{"a server scraped by two monitors counts once", []string{
			kvCache("vllm", "a", 0.5), kvCache("vllm", "a", 0.5, `engine="0",model_name="gemma",instance="second"`)}, map[string]float64{"a": 50}},
		{"another namespace", []string{kvCache("vllm", "a", 0.5), kvCache("other", "b", 0.9)}, map[string]float64{"a": 50}},
		{"a pod that does not serve yet is absent, not 0", []string{kvCache("vllm", "a", 0.5), ready("vllm", "b", 0)}, map[string]float64{"a": 50}},
		{"no number is absent, not 0", []string{kvCache("vllm", "a", "NaN")}, none},
		{"no number of one engine of two", []string{
			kvCache("vllm", "a", "NaN"), kvCache("vllm", "a", 0.5, `engine="1",model_name="gemma"`)}, map[string]float64{"a": 50}},
		{"a percentage is no share", []string{kvCache("vllm", "a", 55)}, none},
	} {
		for name, standalone := range map[string]bool{"": false, ", standalone": true} {
			t.Run(tc.name+name, func(t *testing.T) {
				s := settings()
				s.StandaloneRules = standalone
				p := newPipeline(t, s, at0(tc.samples...))
				p.evaluate(0)
				requireValues(t, tc.want, p.served(signals.MetricKVCacheUsage, "vllm", 0, "a", "b"), "served")
			})
		}
	}
}

// A pod that is gone leaves the signal at the evaluation after its scrape ended.
func TestKVCacheUsageOverTime(t *testing.T) {
	p := newPipeline(t, settings(), "load 2s\n"+
		"  "+kvCache("vllm", "a", "0 0.4 0.9 0.2")+"\n"+
		"  "+kvCache("vllm", "b", "0.1 0.1 stale")+"\n")
	for tick, want := range []map[string]float64{{"a": 0, "b": 10}, {"a": 40, "b": 10}, {"a": 90}, {"a": 20}} {
		at := time.Duration(tick) * 2 * time.Second
		p.evaluate(at)
		requireValues(t, want, p.served(signals.MetricKVCacheUsage, "vllm", at, "a", "b"), at.String())
	}
}

// With the signal off nothing is recorded and nothing served.
func TestKVCacheSignalOff(t *testing.T) {
	s := settings()
	delete(s.Targets, signals.KeyKVCacheUsage)
	p := newPipeline(t, s, at0(kvCache("vllm", "a", 0.5)))
	p.evaluate(0)
	requireValues(t, map[string]float64{}, p.recorded(signals.RecordKVCacheUsage, 0), "recorded")
	requireValues(t, map[string]float64{}, p.served(signals.MetricKVCacheUsage, "vllm", 0, "a"), "served")
}
