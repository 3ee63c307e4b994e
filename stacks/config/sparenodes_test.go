package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpareNodesFitThePool(t *testing.T) {
	for name, test := range map[string]struct {
		keys map[string]any
		key  string // "" for no problem
		says string
	}{
		"none":                       {keys: map[string]any{"nodePools.gpu.maxNodes": 4}},
		"beside the fewest replicas": {keys: map[string]any{"autoscaling.spareNodes": 3, "nodePools.gpu.maxNodes": 4}},
		"one too many": {keys: map[string]any{"autoscaling.spareNodes": 4, "nodePools.gpu.maxNodes": 4}, key: spareNodesKey,
			says: "at most 3: nodePools.gpu.maxNodes (4) has to hold the spare nodes and 1 for the fewest replicas; " +
				"pulumi config set --path 'vllm-autoscaling:nodePools.gpu.maxNodes' 5"},
		"beside more replicas": {keys: map[string]any{"autoscaling.spareNodes": 1, "autoscaling.minReplicas": 4, "nodePools.gpu.maxNodes": 4}, key: spareNodesKey,
			says: "at most 0"},
		"replicas share a node": {keys: map[string]any{"autoscaling.spareNodes": 1, "autoscaling.minReplicas": 4, "nodePools.gpu.machineType": "g2-standard-48",
			"nodePools.gpu.maxNodes": 2}},
		"half of a node counts in full": {keys: map[string]any{"autoscaling.spareNodes": 1, "autoscaling.minReplicas": 5, "autoscaling.maxReplicas": 8,
			"nodePools.gpu.machineType": "g2-standard-48", "nodePools.gpu.maxNodes": 2}, key: spareNodesKey, says: "at most 0"},
		"below 0": {keys: map[string]any{"autoscaling.spareNodes": -1}, key: spareNodesKey, says: "0 to 100 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			problemIs(t, source(t, CloudGKE, onCloud(CloudGKE, test.keys)), test.key, test.says)
		})
	}
}

func TestSpareNodesOfServersAddUp(t *testing.T) {
	shared := two(map[string]any{"autoscaling.spareNodes": 1, "nodePools.gpu.maxNodes": 6})
	problemIs(t, source(t, CloudGKE, shared), "", "")
	shared["servers.chat.autoscaling.spareNodes"] = 4
	problemIs(t, source(t, CloudGKE, shared), "nodePools.gpu.maxNodes", "at least 7: the spare nodes of its servers (chat 4, code 1) and 2 for their fewest replicas")

	own := two(map[string]any{"servers.code.nodePool.machineType": "a2-highgpu-1g", "servers.code.nodePool.maxNodes": 2, "nodePools.gpu.maxNodes": 5,
		"servers.code.autoscaling.spareNodes": 1, "servers.chat.autoscaling.spareNodes": 4})
	problemIs(t, source(t, CloudGKE, own), "", "")
	own["servers.code.autoscaling.spareNodes"] = 2
	problemIs(t, source(t, CloudGKE, own), "servers.code.autoscaling.spareNodes", "pulumi config set --path 'vllm-autoscaling:servers.code.nodePool.maxNodes' 3")
}

// The Deployment of the spare nodes of a server is called like it.
func TestServerCalledLikeSpareNodes(t *testing.T) {
	keys := two(map[string]any{"servers.chat-spare.autoscaling.maxReplicas": 1})
	problemIs(t, source(t, CloudGKE, keys), "", "")
	keys["servers.chat.autoscaling.spareNodes"] = 1
	problemIs(t, source(t, CloudGKE, keys), "servers.chat-spare", "a name other than chat-spare")
}

func TestSpareNodesNeedANodeAutoscaler(t *testing.T) {
	problemIs(t, source(t, CloudLocal, map[string]any{"autoscaling.spareNodes": 1, "gpu.mode": "simulated"}), spareNodesKey, "0 with gpu.mode simulated")

	existing := read(t, CloudLocal, nvidia(map[string]any{"autoscaling.spareNodes": 1, "gpu.perReplica": 2}))
	assert.Equal(t, 2, existing.SpareGPUs(), "a node's are not known")
	var warned []string
	for _, warning := range existing.Warnings() {
		warned = append(warned, warning.String())
	}
	assert.Contains(t, strings.Join(warned, "\n"), "node autoscaler")
}

func TestSpareNodesOfAConstantNumberOfReplicas(t *testing.T) {
	for most, warned := range map[int]bool{2: true, 3: false} {
		c := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{"autoscaling.spareNodes": 1, "autoscaling.minReplicas": 2, "autoscaling.maxReplicas": most}))
		var texts []string
		for _, warning := range c.Warnings() {
			texts = append(texts, warning.String())
		}
		assert.Equal(t, warned, strings.Contains(strings.Join(texts, "\n"), "no replica is ever added"), "at most %d", most)
	}
}

func TestSpareStart(t *testing.T) {
	c := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{"autoscaling.spareNodes": 2, "nodePools.gpu.machineType": "g2-standard-48"}))
	assert.Equal(t, 4, c.SpareGPUs())
	full, spare := c.ColdStart(), c.SpareStart()
	assert.Equal(t, full.Total()-full.Node-full.Image, spare.Total())
	assert.Positive(t, full.Node)
	assert.Contains(t, c.Scaling(), "on a spare node (autoscaling.spareNodes is 2)")
	assert.NotContains(t, read(t, CloudGKE, onCloud(CloudGKE, nil)).Scaling(), "spare")
}

// problemIs checks that a source has the one problem of a key, or for "" none.
func problemIs(t *testing.T, s Source, key, says string) {
	t.Helper()
	if key == "" {
		_, err := Read(s)
		require.NoError(t, err)
		return
	}
	refused := problemsOf(t, s)
	require.Len(t, refused.Problems, 1, "%v", refused)
	assert.Equal(t, project+":"+key, refused.Problems[0].Key)
	assert.Contains(t, refused.Problems[0].Allowed+"; "+refused.Problems[0].Fix, says)
}
