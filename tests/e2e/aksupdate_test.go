package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/report"
)

// TestAKSUpdates changes and replaces the GPU pool of a stack on Azure while two replicas serve. The name of the pool is before
// that of the system pool, so that it is the first in Azure's list.
func TestAKSUpdates(t *testing.T) {
	t.Parallel()
	l := startCloudLab(t)
	config := func(more ...map[string]any) map[string]any {
		two := map[string]any{"autoscaling": map[string]any{"minReplicas": 2}, "aks": map[string]any{"gpuPoolName": "gpus"}}
		return merged(append([]map[string]any{cloudLabConfig(l), quick, gpuNodes, small, two}, more...)...)
	}
	stack := makeStack(t, l, "aks", config(), token)
	ctx := testContext(t)
	require.NoError(t, stack.Up(ctx))
	w := newWatch(t, l)
	w.until(t, 2*time.Minute, "two ready replicas", func(s report.Sample) bool { return s.Ready == 2 })
	pool := func() string {
		for _, name := range l.Clouds().Pools() {
			if strings.HasPrefix(name, "gpus") {
				return name
			}
		}
		return ""
	}
	first := pool()
	nodes := l.Clouds().Nodes(first)
	require.Len(t, nodes, 2)

	t.Run("refreshed, nothing changes", func(t *testing.T) {
		require.NoError(t, stack.Up(testContext(t), "--refresh", "--expect-no-changes"))
	})
	t.Run("a larger pool keeps its nodes", func(t *testing.T) {
		require.NoError(t, stack.SetConfig(config(moreNodes, map[string]any{"aks": map[string]any{"tier": "Standard"}})))
		require.NoError(t, stack.Up(testContext(t)))
		assert.Equal(t, first, pool())
		assert.Equal(t, nodes, l.Clouds().Nodes(first))
		require.NoError(t, stack.Preview(testContext(t), true))
	})
	t.Run("another pool takes the replicas over", func(t *testing.T) {
		disk := map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"diskGiB": 256}}}
		require.NoError(t, stack.SetConfig(config(moreNodes, disk, map[string]any{"aks": map[string]any{"tier": "Standard"}})))
		require.NoError(t, stack.Up(testContext(t)))
		second := pool()
		assert.NotEqual(t, first, second)
		assert.Len(t, l.Clouds().Pools(), 2, "system pool and GPU pool")
		w.until(t, 2*time.Minute, "two ready replicas", func(s report.Sample) bool { return s.Ready == 2 })
		pods, err := l.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
		require.NoError(t, err)
		for _, pod := range pods.Items {
			assert.Contains(t, l.Clouds().Nodes(second), pod.Spec.NodeName)
		}
	})
	t.Run("destroy", func(t *testing.T) { cloudDestroyLeavesNothing(t, l, stack) })
	assert.Empty(t, l.Clouds().Incidents())
}
