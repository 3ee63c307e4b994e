package promql

import (
	"testing"
	"time"

	"vllm-autoscaling/components/signals"
)

// On a Prometheus that may have no kube-state-metrics, a pod that is known not to be ready does not count, and one of unknown
// readiness does.
func TestOptionalReadiness(t *testing.T) {
	none, busy := map[string]float64{}, map[string]float64{"vllm/a": 98}
	server := []string{running("vllm", "a", 3), waiting("vllm", "a", 2), renamed(percent, "vllm", "a", 98)}
	for _, tc := range []struct {
		name    string
		samples []string
		want    map[string]float64
	}{
		{"no kube-state-metrics", server, busy},
		{"ready", with(server, ready("vllm", "a", 1)), busy},
		{"not ready", with(server, ready("vllm", "a", 0)), none},
		{"another pod is not ready", with(server, ready("vllm", "b", 0)), busy},
		{"a pod of that name in another namespace is not ready", with(server, ready("other", "a", 0)), busy},
		// As where kube-state-metrics is scraped without honor_labels.
		{"readiness with renamed labels", with(server,
			`kube_pod_status_ready{namespace="kube-system",pod="ksm-1",exported_namespace="vllm",exported_pod="a",condition="true"} 0`), busy},
		{"the false condition is not readiness", with(server, ready("vllm", "a", 0, `condition="false"`)), busy},
		{"a pod that serves no series", []string{ready("vllm", "a", 1), renamed(percent, "vllm", "a", 98)}, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := settings()
			s.OptionalReadiness = true
			p := newPipeline(t, s, at0(tc.samples...))
			const at = 2 * time.Second
			p.evaluate(at)
			requireValues(t, tc.want, p.recorded(signals.RecordGPUUtilization, at), signals.RecordGPUUtilization)
			requireValues(t, tc.want, p.recorded(signals.RecordGPUUtilizationGuarded, at), signals.RecordGPUUtilizationGuarded)
		})
	}
}
