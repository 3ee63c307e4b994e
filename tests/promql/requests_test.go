package promql

import (
	"testing"
	"time"

	"vllm-autoscaling/components/signals"
)

func TestRequests(t *testing.T) {
	none := map[string]float64{}
	for _, tc := range []struct {
		name                       string
		samples                    []string
		namespace                  string
		pods                       []string
		running, waiting, inFlight map[string]float64
	}{
		{"two pods", []string{running("vllm", "a", 7), waiting("vllm", "a", 2), running("vllm", "b", 0), waiting("vllm", "b", 0)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 7, "b": 0}, map[string]float64{"a": 2, "b": 0},
			map[string]float64{"a": 9, "b": 0}},
		{"one pod is asked for by equality", []string{running("vllm", "a", 7), waiting("vllm", "a", 2), running("vllm", "b", 9)},
			"vllm", []string{"a"}, map[string]float64{"a": 7}, map[string]float64{"a": 2}, map[string]float64{"a": 9}},
		{"pods that are not asked about stay out", []string{running("vllm", "a", 7), waiting("vllm", "a", 2), running("vllm", "stranger", 9),
			waiting("vllm", "stranger", 9)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 7}, map[string]float64{"a": 2}, map[string]float64{"a": 9}},
		{"engines of one pod add up", []string{
			running("vllm", "a", 5), running("vllm", "a", 6, `engine="1",model_name="gemma"`),
			waiting("vllm", "a", 1), waiting("vllm", "a", 2, `engine="1",model_name="gemma"`)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 11}, map[string]float64{"a": 3}, map[string]float64{"a": 14}},
		{"models of one pod add up", []string{
			running("vllm", "a", 5), running("vllm", "a", 1, `engine="0",model_name="lora"`),
			waiting("vllm", "a", 3), waiting("vllm", "a", 4, `engine="0",model_name="lora"`)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 6}, map[string]float64{"a": 7}, map[string]float64{"a": 13}},
		{"a server scraped by two monitors counts once", []string{
			running("vllm", "a", 5), running("vllm", "a", 5, `engine="0",model_name="gemma",instance="second"`),
			waiting("vllm", "a", 4), waiting("vllm", "a", 4, `engine="0",model_name="gemma",instance="second"`)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 5}, map[string]float64{"a": 4}, map[string]float64{"a": 9}},
		{"servers without an engine label", []string{
			running("vllm", "a", 5, `model_name="gemma"`), waiting("vllm", "a", 4, `model_name="gemma"`)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 5}, map[string]float64{"a": 4}, map[string]float64{"a": 9}},
		{"the first of two serving namespaces", []string{
			running("vllm", "a", 5), waiting("vllm", "a", 4), running("other", "a", 16), waiting("other", "a", 90)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 5}, map[string]float64{"a": 4}, map[string]float64{"a": 9}},
		{"the second of two serving namespaces", []string{
			running("vllm", "a", 5), waiting("vllm", "a", 4), running("other", "a", 16), waiting("other", "a", 90)},
			"other", []string{"a", "b"}, map[string]float64{"a": 16}, map[string]float64{"a": 90}, none}, // that one has rules of its own
		{"series that no pod owns are not served", []string{
			`vllm:num_requests_running{namespace="vllm",model_name="gemma"} 5`, `vllm:num_requests_waiting{pod="a",model_name="gemma"} 5`},
			"vllm", []string{"a", "b"}, none, none, none},
		{"a pod that does not serve yet is absent, not 0", []string{running("vllm", "a", 5), waiting("vllm", "a", 4), ready("vllm", "b", 0)},
			"vllm", []string{"a", "b"}, map[string]float64{"a": 5}, map[string]float64{"a": 4}, map[string]float64{"a": 9}},
		{"a gauge that is not a number is absent, not 0", []string{running("vllm", "a", "NaN"), waiting("vllm", "a", 4), running("vllm", "b", 5),
			waiting("vllm", "b", "NaN")},
			"vllm", []string{"a", "b"}, map[string]float64{"b": 5}, map[string]float64{"a": 4}, none},
		{"a gauge of one engine of two that is not a number", []string{
			running("vllm", "a", 5), running("vllm", "a", "NaN", `engine="1",model_name="gemma"`),
			waiting("vllm", "a", 4), waiting("vllm", "a", 0, `engine="1",model_name="gemma"`)},
			"vllm", []string{"a", "b"}, none, map[string]float64{"a": 4}, none},
		{"nothing at all", []string{ready("vllm", "a", 1)}, "vllm", []string{"a", "b"}, none, none, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPipeline(t, settings(), at0(tc.samples...))
			p.evaluate(0) // rules must neither fail on these samples nor change what is served
			requireValues(t, tc.running, p.served(signals.MetricRequestsRunning, tc.namespace, 0, tc.pods...), "running")
			requireValues(t, tc.waiting, p.served(signals.MetricRequestsWaiting, tc.namespace, 0, tc.pods...), "waiting")
			requireValues(t, tc.inFlight, p.served(signals.MetricRequestsInFlight, tc.namespace, 0, tc.pods...), "in flight")
		})
	}
}

// Requests running and waiting are served from the scraped gauge itself, without a rule and its interval.
func TestRequestsRunningNeedNoRule(t *testing.T) {
	p := newPipeline(t, settings(), "load 2s\n  "+running("vllm", "a", "0 0 16 16")+"\n")
	for at, want := range map[time.Duration]float64{2 * time.Second: 0, 4 * time.Second: 16} {
		requireValues(t, map[string]float64{"a": want}, p.served(signals.MetricRequestsRunning, "vllm", at, "a"), at.String())
	}
}
