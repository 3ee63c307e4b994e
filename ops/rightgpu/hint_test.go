package rightgpu

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/stacks/config"
)

func TestFind(t *testing.T) {
	const set = "pulumi config set --path --stack eks vllm-autoscaling:"
	for name, test := range map[string]struct {
		cloud     string
		keys      []string
		overrides cost.Overrides
		// cheapest is empty for no hint.
		cheapest string
		commands []string
		refused  bool
	}{
		"another GPU": {
			cloud: config.CloudEKS, keys: []string{"model.id=google/gemma-3-4b-it"},
			cheapest: "g6e.xlarge", commands: []string{set + "nodePools.gpu.machineType g6e.xlarge"},
		},
		"a GPU that the stack names": {
			cloud: config.CloudEKS, keys: []string{"model.id=google/gemma-3-4b-it", "nodePools.gpu.accelerator=nvidia-l4"},
			cheapest: "g6e.xlarge", commands: []string{
				set + "nodePools.gpu.machineType g6e.xlarge",
				"pulumi config rm --path --stack eks vllm-autoscaling:nodePools.gpu.accelerator",
			},
		},
		"a smaller machine with more nodes": {
			cloud: config.CloudGKE, keys: []string{"nodePools.gpu.machineType=g2-standard-24", "nodePools.gpu.maxNodes=2"},
			cheapest: "g2-standard-4", commands: []string{
				"pulumi config set --path --stack gke vllm-autoscaling:nodePools.gpu.machineType g2-standard-4",
				"pulumi config set --path --stack gke vllm-autoscaling:nodePools.gpu.maxNodes 5",
			},
		},
		"more GPUs for a replica": {
			cloud: config.CloudAKS, keys: []string{"model.id=google/gemma-3-27b-it"},
			cheapest: "Standard_NC48ads_A100_v4", commands: []string{
				"pulumi config set --path --stack aks vllm-autoscaling:gpu.perReplica 2", // The machine type follows.
			},
		},
		"a configured one that keeps the objective at no load": {
			cloud: config.CloudEKS, keys: []string{"model.id=google/gemma-3-12b-it", "nodePools.gpu.machineType=g5.12xlarge", "gpu.perReplica=2", "slo.interToken=25ms"},
			// A node of p6-b200.48xlarge is cheaper for a request and dearer than all nodes of the pool.
			cheapest: "p4d.24xlarge", commands: []string{set + "nodePools.gpu.machineType p4d.24xlarge", set + "gpu.perReplica 4"},
		},
		"a price of the stack": {
			cloud: config.CloudEKS, keys: []string{"model.id=google/gemma-3-4b-it"}, overrides: cost.Overrides{"g6.xlarge": 0.30},
		},
		"a price where the table has none": {
			cloud: config.CloudAKS, overrides: cost.Overrides{"Standard_NC40ads_H100_v5": 4},
			cheapest: "Standard_NC40ads_H100_v5", commands: []string{
				"pulumi config set --path --stack aks vllm-autoscaling:nodePools.gpu.machineType Standard_NC40ads_H100_v5",
			},
		},
		"the default of GKE":                      {cloud: config.CloudGKE},
		"the default of EKS, a fifth not reached": {cloud: config.CloudEKS},
		"the default of AKS":                      {cloud: config.CloudAKS},
		"a machine without a price":               {cloud: config.CloudAKS, keys: []string{"nodePools.gpu.machineType=Standard_NV72ads_A10_v5"}},
		"an unknown model":                        {cloud: config.CloudEKS, keys: []string{"model.id=somebody/unknown"}},
		"an unknown machine": {cloud: config.CloudEKS, keys: []string{
			"nodePools.gpu.machineType=g9.xlarge", "nodePools.gpu.accelerator=nvidia-b200", "nodePools.gpu.gpusPerNode=1",
		}},
		"an existing cluster": {cloud: config.CloudEKS, keys: []string{
			"model.id=google/gemma-3-4b-it", "cluster.existing=theirs", "cluster.apiAccessCidrs=", "eks.zones=",
		}},
		"a local cluster":         {cloud: config.CloudLocal},
		"a refused configuration": {cloud: config.CloudEKS, keys: []string{"autoscaling.maxReplicas=0"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			source := stackOf(t, test.cloud, test.keys...)
			_, err := config.Read(source)
			assert.Equal(t, test.refused, err != nil, "%v", err)
			hints := Find(source, test.overrides)
			if test.cheapest == "" {
				assert.Empty(t, hints)
				return
			}
			require.Len(t, hints, 1)
			hint := hints[0]
			assert.Equal(t, test.cheapest, hint.Cheapest.MachineType)
			assert.Equal(t, test.commands, hint.Commands)
			assert.Positive(t, hint.Cheapest.USDPerThousand)
			if hint.Configured.RequestsPerSecond > 0 {
				assert.LessOrEqual(t, hint.Cheapest.USDPerThousand, 0.8*hint.Configured.USDPerThousand)
			}
		})
	}
}

// A server on a pool that others use as well gets a hint for a pool of its own, and one on its own pool for that.
func TestFindForServers(t *testing.T) {
	const set = "pulumi config set --path --stack eks vllm-autoscaling:servers.chat.nodePool.machineType g6e.xlarge"
	servers := []string{"servers.chat.model.id=google/gemma-3-4b-it", "servers.code.autoscaling.maxReplicas=2"}
	for name, test := range map[string]struct {
		keys     []string
		ownPool  bool
		commands []string
	}{
		"a shared pool": {keys: servers, ownPool: true, commands: []string{set}},
		"its own pool":  {keys: append(servers, "servers.chat.nodePool.maxNodes=6"), commands: []string{set}},
		"the only one on the stack's pool": {
			keys:     append(servers, "servers.code.nodePool.maxNodes=3"),
			commands: []string{"pulumi config set --path --stack eks vllm-autoscaling:nodePools.gpu.machineType g6e.xlarge"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			source := stackOf(t, config.CloudEKS, test.keys...)
			_, err := config.Read(source)
			require.NoError(t, err)
			hints := Find(source, nil)
			require.Len(t, hints, 1, "the default model has none")
			assert.Equal(t, "chat", hints[0].Server)
			assert.Equal(t, "google/gemma-3-4b-it", hints[0].Model)
			assert.Equal(t, test.ownPool, hints[0].OwnPool)
			assert.Equal(t, "g6e.xlarge", hints[0].Cheapest.MachineType)
			assert.Equal(t, test.commands, hints[0].Commands)
		})
	}
}

// The commands of a hint turn the stack into one that gets no other hint.
func TestHintsEnd(t *testing.T) {
	const model = "model.id=google/gemma-3-27b-it"
	hints := Find(stackOf(t, config.CloudAKS, model), nil)
	require.Len(t, hints, 1)
	hint := hints[0]
	followed := stackOf(t, config.CloudAKS, model, keyMachineType+"="+hint.Cheapest.MachineType, fmt.Sprintf("%s=%d", keyPerReplica, hint.Cheapest.GPUsPerReplica))
	assert.Empty(t, Find(followed, nil))
}

func TestAbout(t *testing.T) {
	for number, want := range map[float64]string{0.00351: "0.0035", 0.00998: "0.010", 0.0826: "0.083", 2.68: "2.7", 9.96: "10", 13.6: "14", 2124.8: "2125"} {
		assert.Equal(t, want, About(number))
	}
}
