package promql

import (
	"testing"

	"vllm-autoscaling/components/signals"
)

// Rules without each other's results and kube-state-metrics, as Google's rule evaluator runs them, return the same, except
// around readiness: a pod counts as long as its server serves series.
func TestStandaloneRules(t *testing.T) {
	s := settings()
	s.StandaloneRules = true
	none := map[string]float64{}
	a := func(v float64) map[string]float64 { return map[string]float64{"vllm/a": v} }
	busy := []string{running("vllm", "a", 16), waiting("vllm", "a", 2)}
	for _, tc := range []struct {
		name         string
		samples      []string
		max, guarded map[string]float64
	}{
		{"as the managed collection labels it", with(busy, renamed(percent, "vllm", "a", 98)), a(98), a(98)},
		{"ratio", with(busy, renamed(ratio, "vllm", "a", 0.5)), a(50), a(50)},
		{"collected twice, by the program and by GKE", with(busy, renamed(percent, "vllm", "a", 90),
			renamed(percent, "vllm", "a", 80, `gpu="0",UUID="GPU-0",job="gke-managed-dcgm-exporter"`)), a(90), a(90)},
		{"MIG without utilisation", with(busy, renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"MIG with utilisation 0", with(busy, renamed(percent, "vllm", "a", 0, instance), renamed(engine, "vllm", "a", 0.93, instance)), a(93), a(93)},
		{"several GPUs", with(busy, renamed(percent, "vllm", "a", 40), renamed(percent, "vllm", "a", 90, `gpu="1",UUID="GPU-1"`)), a(90), a(90)},
		{"one of two waits", []string{running("vllm", "a", 16), waiting("vllm", "a", 1), renamed(percent, "vllm", "a", 99)}, a(99), a(49.5)},
		{"nothing waits", []string{running("vllm", "a", 16), waiting("vllm", "a", 0), renamed(percent, "vllm", "a", 99)}, a(99), a(0)},
		{"no number", []string{running("vllm", "a", 16), waiting("vllm", "a", "NaN"), renamed(percent, "vllm", "a", 99)}, none, none},
		{"idle", []string{running("vllm", "a", 0), waiting("vllm", "a", 0), renamed(percent, "vllm", "a", 99)}, a(99), a(0)},
		{"a model that still loads serves no series", []string{renamed(percent, "vllm", "a", 98)}, none, none},
		{"no percentage", with(busy, renamed(percent, "vllm", "a", 1e15)), none, none},
		{"unheld GPU", with(busy, unheld(percent, "gke-managed-system", 99)), none, none},
		{"another namespace", with(busy, renamed(percent, "other", "a", 98)), none, none},
		{"not ready, but serving series", with(busy, ready("vllm", "a", 0), renamed(percent, "vllm", "a", 98)), a(98), a(98)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPipeline(t, s, at0(tc.samples...))
			p.evaluate(0)
			requireValues(t, tc.max, p.recorded(signals.RecordGPUUtilization, 0), "utilisation")
			requireValues(t, tc.guarded, p.recorded(signals.RecordGPUUtilizationGuarded, 0), "guarded utilisation")
		})
	}
}
