package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab/cloud"
)

// TestGPUPoolWithoutQuota checks the way out of a GPU pool that GKE refused, which docs/gke.md describes.
func TestGPUPoolWithoutQuota(t *testing.T) {
	l := startCloudLab(t)
	atOnce := map[string]any{"gke": map[string]any{"project": "lab-project"},
		"nodePools": map[string]any{"gpu": map[string]any{"minNodes": 1, "maxNodes": 3}}, "autoscaling": map[string]any{"maxReplicas": 3}}
	stack := newCloudStack(t, l, "gke", small, atOnce)
	l.Clouds().SetGKECapacity(cloud.GKECapacity{Quota: new(int)})

	stack.printed.take()
	require.Error(t, stack.Up(testContext(t), "--skip-preview"))
	assert.Contains(t, stack.printed.take(), "Insufficient regional quota")
	require.Error(t, stack.Up(testContext(t), "--skip-preview"))
	assert.Contains(t, stack.printed.take(), "not found", "the state has a pool that does not exist")

	require.NoError(t, stack.Refresh(testContext(t)))
	later := map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"minNodes": 0}}}
	require.NoError(t, stack.SetConfig(merged(cloudLabConfig(l), small, atOnce, later)))
	stack.printed.take()
	require.NoError(t, stack.Preview(testContext(t), false))
	assert.Contains(t, stack.printed.take(), " +  "+shown(cloud.GKENodePool)+" ", "the pool is created, as in a first up")
	require.NoError(t, stack.Destroy(testContext(t), "--skip-preview"))
	nothingInTheCloud(testContext(t), t, l)
	assert.Empty(t, l.Clouds().Incidents())
}
