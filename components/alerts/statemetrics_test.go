package alerts

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/components/signals"
)

// Without kube-state-metrics no alert is left that would never fire, or always.
func TestAlertsWithoutStateMetrics(t *testing.T) {
	s := settings(t)
	assert.Contains(t, names(t, s), "VLLMKubeStateMetricsAbsent")
	s.NoStateMetrics = true
	for _, rule := range rules(t, s) {
		assert.NotContains(t, rule.Expr.String(), "kube_", "%s%s", rule.Alert, rule.Record)
	}
	left := names(t, s)
	for _, name := range []string{"VLLMTTFTBudgetBurningFast", "VLLMGPUFailed", "VLLMSignalRulesFailing", "VLLMPrometheusVolumeFilling"} {
		assert.Contains(t, left, name)
	}
}

// The GPU signal does without the readiness of pods, and still counts those only that serve requests.
func TestGPURuleWithoutStateMetrics(t *testing.T) {
	read := func(without bool) string {
		s := signals.Settings{Namespace: "serving", NoPodReadiness: without}
		var all strings.Builder
		for _, group := range signals.Rules(s, nil).Groups {
			for _, rule := range group.Rules {
				all.WriteString(rule.Expr.String())
			}
		}
		return all.String()
	}
	assert.Contains(t, read(false), signals.SeriesPodReady)
	assert.NotContains(t, read(true), signals.SeriesPodReady)
	assert.Contains(t, read(true), signals.RecordRequestsInFlight+"{", "recorded series are read, as with it")
}
