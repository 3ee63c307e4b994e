package eks

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

func ownPool(name, machine string) providers.ServingPool {
	return providers.ServingPool{Name: name, GPUPool: providers.GPUPool{
		NodePool: providers.NodePool{MachineType: machine}, Key: "servers." + name + ".nodePool", GPUKey: "servers." + name + ".gpu",
	}}
}

func TestOwnPool(t *testing.T) {
	args := created()
	args.AlternativeInstanceTypes = []string{"g5.xlarge"}
	own := ownPool("chat", "g6e.12xlarge")
	own.GPUsPerReplica, own.MaxNodes, own.Spot, own.Zones = 4, 3, true, []string{"eu-central-1b"}
	args.OwnPools = []providers.ServingPool{own}
	r, cluster := run(t, args)
	assert.Equal(t, []string{"llm-gpu-a", "llm-gpu-b", "llm-gpu-chat-b", "llm-system"}, r.NamesOf(nodeGroupType))
	group := plain(r.One(t, nodeGroupType, "llm-gpu-chat-b"))
	assert.Equal(t, "gpu-chat-b-", group["nodeGroupNamePrefix"])
	assert.Equal(t, []any{"g6e.12xlarge"}, group["instanceTypes"], "alternatives are those of the main pool")
	assert.Equal(t, "SPOT", group["capacityType"])
	assert.Equal(t, map[string]any{"minSize": 0.0, "maxSize": 3.0, "desiredSize": 0.0}, group["scalingConfig"])
	assert.Equal(t, map[string]any{"nvidia.com/gpu.present": "true", "k8s.amazonaws.com/accelerator": "nvidia-l40s", "vllm-autoscaling/pool": "chat"},
		group["labels"])
	assert.Equal(t, []any{
		map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"},
		map[string]any{"key": "vllm-autoscaling/pool", "value": "chat", "effect": "NO_SCHEDULE"},
	}, group["taints"])
	assert.Equal(t, map[string]any{"vllm-autoscaling.pool": "gpu-chat"}, group["tags"])
	assert.Equal(t, map[string]any{"id": "llm-gpu-chat-id", "version": "3"}, group["launchTemplate"])
	assert.Equal(t, map[string]string{
		"label/nvidia.com/gpu.present":              "true",
		"label/k8s.amazonaws.com/accelerator":       "nvidia-l40s",
		"label/vllm-autoscaling/pool":               "chat",
		"taint/nvidia.com/gpu":                      "present:NoSchedule",
		"taint/vllm-autoscaling/pool":               "chat:NoSchedule",
		"resources/nvidia.com/gpu":                  "4",
		"resources/ephemeral-storage":               "80Gi",
		"autoscaling-options/scaledownunneededtime": "10m0s",
	}, asgTags(t, r, "llm-gpu-chat-b"), "without them no pod makes the pool grow from zero")
	assert.Equal(t, map[string]providers.GPUScheduling{"chat": {
		ResourceName: "nvidia.com/gpu", PerReplica: 4,
		NodeSelector: map[string]string{"nvidia.com/gpu.present": "true", "k8s.amazonaws.com/accelerator": "nvidia-l40s", "vllm-autoscaling/pool": "chat"},
		Tolerations: []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
			{Key: "vllm-autoscaling/pool", Operator: "Equal", Value: "chat", Effect: "NoSchedule"}},
	}}, cluster.OwnGPU)
	assert.True(t, r.WaitsFor(r.One(t, kubeProviderType), nodeGroupType, "llm-gpu-chat-b"), "objects wait for the nodes")
	assert.True(t, r.WaitsFor(r.One(t, kubeProviderType), asgTagType, "llm-gpu-chat-b-label-vllm-autoscaling-pool"))
	assert.Equal(t, []map[string]string{{"k8s.amazonaws.com/accelerator": "nvidia-l4"}, {"vllm-autoscaling/pool": ""}}, cluster.GPUNodes().AnyOf,
		"exporter and device plugin run on all pools, and on no others")
}

// TestOwnPoolsChangeNothingElse checks that the inputs of everything else are the same with and without own pools, in any order.
func TestOwnPoolsChangeNothingElse(t *testing.T) {
	chat, rank := ownPool("chat", "g6.xlarge"), ownPool("rank", "g6.2xlarge")
	args := created()
	before, without := run(t, args)
	args.OwnPools = []providers.ServingPool{rank, chat}
	after, cluster := run(t, args)
	for _, added := range providertest.Added(t, &before.Recorder, &after.Recorder) {
		assert.Regexp(t, ` llm-gpu-(chat|rank)(-|$)`, added)
	}
	assert.Equal(t, without.GPU, cluster.GPU, "pods of the main pool are scheduled as before")
	args.OwnPools = []providers.ServingPool{chat}
	one, _ := run(t, args)
	added := providertest.Added(t, &one.Recorder, &after.Recorder)
	assert.Contains(t, added, nodeGroupType+" llm-gpu-rank-a")
	for _, name := range added {
		assert.Contains(t, name, " llm-gpu-rank")
	}
}

// TestNamesOfNodeGroups checks the limit of the AWS provider on the beginning of a node group's name.
func TestNamesOfNodeGroups(t *testing.T) {
	args := created()
	args.OwnPools = []providers.ServingPool{ownPool(strings.Repeat("c", providers.MaxPoolName), "g6.xlarge")}
	r, _ := run(t, args)
	for _, group := range r.All(nodeGroupType) {
		assert.LessOrEqual(t, len(plain(group)["nodeGroupNamePrefix"].(string)), 37)
	}
}

// TestAttachWithOwnPools checks a cluster whose GPU nodes are there before: they keep their device plugin, and the own pool gets
// one, and whatever its nodes need.
func TestAttachWithOwnPools(t *testing.T) {
	args := attached()
	args.GPUPool, args.OwnPools = nil, []providers.ServingPool{ownPool("chat", "g6.xlarge")}
	theirs := map[string]any{"amiType": "AL2023_x86_64_NVIDIA", "labels": map[string]any{"nvidia.com/gpu.present": "true"}}
	ours := map[string]any{"amiType": "AL2023_x86_64_NVIDIA", "labels": map[string]any{"nvidia.com/gpu.present": "true", "vllm-autoscaling/pool": "chat-1"},
		"taints": []any{map[string]any{"key": "vllm-autoscaling/pool", "value": "chat-1", "effect": "NO_SCHEDULE"}}}
	groups := map[string]map[string]any{"gpu": theirs, "gpu-chat-a": ours}
	names := []any{"gpu", "gpu-chat-a"}
	r := &record{answers: existingCluster(func(calls map[string]map[string]any) {
		calls["aws:eks/getNodeGroups:getNodeGroups"] = map[string]any{"names": names}
	})}
	r.answers["aws:eks/getNodeGroup:getNodeGroup"] = func(args resource.PropertyMap) (resource.PropertyMap, error) {
		return resource.NewPropertyMapFromMap(groups[args["nodeGroupName"].StringValue()]), nil
	}
	cluster, err := r.run(args)
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(r.NamesOf(nodeGroupType), func(name string) bool { return strings.HasPrefix(name, "llm-gpu-chat-") }))
	assert.True(t, cluster.InstallDevicePlugin)
	assert.Equal(t, []map[string]string{{"vllm-autoscaling/pool": ""}}, cluster.DevicePluginNodes().AnyOf)
	assert.NotNil(t, cluster.NodeAutoscaler)
	assert.Regexp(t, `^chat-[0-9a-f]{8}$`, cluster.OwnGPU["chat"].NodeSelector["vllm-autoscaling/pool"])
	assert.NotContains(t, cluster.GPU.NodeSelector, "vllm-autoscaling/pool")

	names = []any{"gpu-chat-a"}
	r.answers["aws:eks/getNodeGroups:getNodeGroups"] = answer(map[string]any{"names": names})
	_, err = r.run(args)
	require.ErrorContains(t, err, "no node group for vLLM (there are none)", "an own pool is not for servers on the main one")
}

// TestValidateOwnPools checks that an own pool has the rules of the main one, with its own keys.
func TestValidateOwnPools(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(pool *providers.ServingPool)
		key, wants string
	}{
		"limits":      {func(s *providers.ServingPool) { s.MinNodes, s.MaxNodes = 3, 2 }, "servers.chat.nodePool.maxNodes", "3 to 450"},
		"disk":        {func(s *providers.ServingPool) { s.DiskGiB = 20 }, "servers.chat.nodePool.diskGiB", "50 to 16384"},
		"zone":        {func(s *providers.ServingPool) { s.Zones = []string{"eu-central-1f"} }, "servers.chat.nodePool.zones[0]", "eks.zones"},
		"ARM":         {func(s *providers.ServingPool) { s.MachineType = "g5g.xlarge" }, "servers.chat.nodePool.machineType", "ARM"},
		"AMD":         {func(s *providers.ServingPool) { s.MachineType = "g4ad.xlarge" }, "servers.chat.nodePool.machineType", "GPUs of AMD"},
		"part":        {func(s *providers.ServingPool) { s.MachineType = "g6f.xlarge" }, "servers.chat.nodePool.machineType", "a part of a GPU"},
		"unknown":     {func(s *providers.ServingPool) { s.MachineType = "m6i.large" }, "servers.chat.nodePool.machineType", "servers.chat.gpu.memoryGiB"},
		"GPU":         {func(s *providers.ServingPool) { s.Accelerator = "nvidia-a10g" }, "servers.chat.nodePool.accelerator", "carries nvidia-l4"},
		"number":      {func(s *providers.ServingPool) { s.GPUsPerNode = 4 }, "servers.chat.nodePool.gpusPerNode", "1, what"},
		"replica":     {func(s *providers.ServingPool) { s.GPUsPerReplica = 2 }, "servers.chat.gpu.perReplica", "at most 1"},
		"server name": {func(s *providers.ServingPool) { s.Name = "Chat" }, "servers.chat.nodePool", "rename the server"},
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			args.OwnPools = []providers.ServingPool{ownPool("chat", "g6.xlarge")}
			require.Empty(t, args.Validate())
			c.change(&args.OwnPools[0])
			providertest.Has(t, args.Validate(), c.key, c.wants)
			for _, problem := range args.Validate() {
				assert.True(t, strings.HasPrefix(problem.Key, "servers.chat."), problem)
			}
		})
	}
}
