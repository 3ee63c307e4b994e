package cost

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/stacks/config"
)

// stackOf returns the configuration of a stack on AWS with assignments KEY=VALUE.
func stackOf(t *testing.T, assignments ...string) *config.Config {
	t.Helper()
	source := config.Source{
		Project: project.Name, Stack: "eks", Values: map[string]string{"pulumi:disable-default-providers": `["*"]`, project.Name + ":cloud": "eks"},
		Secret: func(key string) bool { return key == project.Name+":huggingFaceToken" },
	}
	for _, assignment := range append([]string{
		"huggingFaceToken=hf_token", "cluster.apiAccessCidrs=[1.2.3.4/32]", "eks.region=us-east-1", "eks.zones=[us-east-1a, us-east-1b]",
	}, assignments...) {
		require.NoError(t, project.Set(&source, assignment))
	}
	c, err := config.Read(source)
	require.NoError(t, err)
	return c
}

func TestShares(t *testing.T) {
	// g6.12xlarge has four L4, which hold four replicas of one GPU or two of two.
	keys := []string{
		"nodePools.gpu.machineType=g6.12xlarge", "nodePools.gpu.maxNodes=5",
		"servers.chat.autoscaling.minReplicas=2", "servers.chat.autoscaling.maxReplicas=5",
		"servers.code.gpu.perReplica=2", "servers.code.autoscaling.maxReplicas=3",
		"servers.docs.nodePool.machineType=g6.xlarge", "servers.docs.autoscaling.maxReplicas=2",
	}
	chat := Share{
		Server: "chat", Pool: "nodePools.gpu", MachineType: "g6.12xlarge", PerNode: 4, MinReplicas: 2, MaxReplicas: 5,
		MinGPUHours: 2, MaxGPUHours: 5, Min: 2.3008, Max: 5.752,
	}
	code := Share{
		Server: "code", Pool: "nodePools.gpu", MachineType: "g6.12xlarge", PerNode: 2, MinReplicas: 1, MaxReplicas: 3,
		MinGPUHours: 2, MaxGPUHours: 6, Min: 2.3008, Max: 6.9024,
	}
	docs := Share{
		Server: "docs", Pool: "servers.docs.nodePool", MachineType: "g6.xlarge", PerNode: 1, MinReplicas: 1, MaxReplicas: 2,
		MinGPUHours: 1, MaxGPUHours: 2, Min: 0.8048, Max: 1.6096,
	}
	assertShares(t, []Share{chat, code, docs}, Shares(stackOf(t, keys...), nil))

	t.Run("a price of the stack", func(t *testing.T) {
		docs.Min, docs.Max, docs.Spot = 0.5, 1, false
		chat.Spot, code.Spot = true, true
		spot := append(keys, "nodePools.gpu.spot=true", "servers.docs.nodePool.spot=true")
		assertShares(t, []Share{chat, code, docs}, Shares(stackOf(t, spot...), Overrides{"g6.xlarge": 0.5}))
	})
	t.Run("a replica that takes the memory of its node", func(t *testing.T) {
		large := Shares(stackOf(t, "nodePools.gpu.machineType=g6.12xlarge", "nodePools.gpu.maxNodes=8",
			"servers.chat.vllm.memory=120Gi", "servers.code.autoscaling.maxReplicas=1"), nil)
		assert.Equal(t, 1, large[0].PerNode)
		assert.InDelta(t, 4, large[0].MinGPUHours, 1e-9, "no other replica of the server fits its node")
	})
	t.Run("one server", func(t *testing.T) { assert.Empty(t, Shares(stackOf(t), nil)) })
}

// assertShares compares shares, and their numbers with a tolerance.
func assertShares(t *testing.T, want, got []Share) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		for _, pair := range [][2]*float64{
			{&want[i].MinGPUHours, &got[i].MinGPUHours}, {&want[i].MaxGPUHours, &got[i].MaxGPUHours}, {&want[i].Min, &got[i].Min}, {&want[i].Max, &got[i].Max},
		} {
			assert.InDelta(t, *pair[0], *pair[1], 1e-9, want[i].Server)
			*pair[1] = *pair[0]
		}
		assert.Equal(t, want[i], got[i])
	}
}
