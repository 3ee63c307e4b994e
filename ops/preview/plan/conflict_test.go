package plan

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fails is the output of a preview that failed with a message about the HPA.
func fails(t *testing.T, message string) *Plan {
	t.Helper()
	const urn = "urn:pulumi:local::p::p:components:Autoscaler$kubernetes:autoscaling/v2:HorizontalPodAutoscaler::scaler"
	state := map[string]any{"urn": urn, "type": "kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "custom": true,
		"inputs": map[string]any{"metadata": map[string]any{"name": "vllm", "namespace": "ai"}}}
	content, err := json.Marshal(map[string]any{
		"steps":       []any{map[string]any{"op": "update", "urn": urn, "oldState": state, "newState": state}},
		"diagnostics": []any{map[string]any{"urn": urn, "severity": "error", "message": message}},
	})
	require.NoError(t, err)
	p, err := Parse(content)
	require.NoError(t, err)
	return p
}

func TestConflicts(t *testing.T) {
	// The plugin's own words, version 4.30, around those of the API server.
	const before = `error: Preview failed: the Kubernetes API server reported that "ai/vllm" failed to fully initialize or become live: ` +
		"server-side apply field conflict detected, see https://www.pulumi.com/registry/packages/kubernetes/ for troubleshooting help\n" +
		`The resource managed by field manager "pulumi-kubernetes-9880894e" had an apply conflict: `
	const typ = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
	for name, test := range map[string]struct {
		message string
		want    []Conflict
	}{
		"one field": {
			before + `Apply failed with 1 conflict: conflict with "kubectl-edit" using autoscaling/v2: .spec.maxReplicas` + "\n",
			[]Conflict{{typ, "scaler", "ai/vllm", "kubectl-edit", []string{".spec.maxReplicas"}}},
		},
		"one field, with the time of the change": {
			before + `Apply failed with 1 conflict: conflict with "kubectl-edit" using autoscaling/v2 at 2026-11-29T12:00:00Z: .spec.maxReplicas`,
			[]Conflict{{typ, "scaler", "ai/vllm", "kubectl-edit", []string{".spec.maxReplicas"}}},
		},
		"several managers": {
			before + `Apply failed with 3 conflicts: conflicts with "argocd-controller":` + "\n- .spec.minReplicas\n" +
				`conflicts with "kubectl-patch" with subresource "scale" using autoscaling/v2 at 2026-11-29T12:00:00Z:` + "\n" +
				"- .spec.maxReplicas\n" + `- .spec.metrics[name="a: b"].value` + "\n",
			[]Conflict{
				{typ, "scaler", "ai/vllm", "argocd-controller", []string{".spec.minReplicas"}},
				{typ, "scaler", "ai/vllm", "kubectl-patch", []string{".spec.maxReplicas", `.spec.metrics[name="a: b"].value`}},
			},
		},
		"another error": {`error: horizontalpodautoscalers.autoscaling "vllm" is forbidden: conflict with "x": .spec`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := fails(t, test.message)
			assert.True(t, p.Failed())
			assert.Equal(t, test.want, p.Conflicts)
		})
	}
}

func TestConflictOfARecording(t *testing.T) {
	p := recorded(t, "local.drift-conflict")
	require.Len(t, p.Conflicts, 1)
	assert.Equal(t, "vllm/vllm", p.Conflicts[0].Object)
	assert.Equal(t, "kubectl-edit", p.Conflicts[0].Manager)
	assert.Equal(t, []string{".spec.maxReplicas"}, p.Conflicts[0].Fields)
}
