package verify

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSpareNodes checks what is shown of them: a spare node that is missing is no failure.
func TestSpareNodes(t *testing.T) {
	const deployment = "/apis/apps/v1/namespaces/vllm/deployments/vllm-spare"
	spare := func(wanted, ready int) map[string]any {
		return map[string]any{"kind": "Deployment", "apiVersion": "apps/v1", "spec": map[string]any{"replicas": wanted}, "status": map[string]any{"readyReplicas": ready}}
	}
	for name, test := range map[string]struct {
		object           map[string]any
		forbidden        string
		measured, warned string
	}{
		"all ready": {object: spare(2, 2), measured: "; 2 of 2 spare nodes ready"},
		"on its way": {object: spare(1, 0),
			measured: "; 0 of 1 spare node ready (the node autoscaler adds one, or the pool is at its maximum)"},
		"gone":      {warned: "there is no Deployment vllm/vllm-spare, which keeps the spare nodes: pulumi up --refresh --stack gke"},
		"forbidden": {forbidden: "deployments/vllm-spare", warned: "Deployment vllm/vllm-spare, which keeps the spare nodes: "},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.pipeline.Serving.SpareNodes, f.forbidden = "vllm-spare", test.forbidden
			if test.object != nil {
				f.collection = map[string]map[string]any{deployment: test.object}
			}
			report := f.run(t)
			require.True(t, report.Passed, text(t, report))
			assert.Equal(t, "2/2 ready: vllm-a, vllm-b"+test.measured, report.Stages[1].Measured)
			if test.warned != "" {
				require.Len(t, report.Stages[1].Warnings, 1)
				assert.Contains(t, report.Stages[1].Warnings[0], test.warned)
			}
		})
	}
}
