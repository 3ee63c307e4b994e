package gke

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

// ownPool returns the pool of a server, in the zone of validArgs.
func ownPool(name, machine, accelerator string) providers.ServingPool {
	return providers.ServingPool{Name: name, GPUsPerReplica: 1, GPUPool: providers.GPUPool{
		NodePool:    providers.NodePool{MachineType: machine, MaxNodes: 2, Zones: []string{"us-central1-a"}},
		Accelerator: accelerator, Key: "servers." + name + ".nodePool", GPUKey: "servers." + name + ".gpu",
	}}
}

func TestOwnPool(t *testing.T) {
	args := validArgs()
	args.OwnPools = []providers.ServingPool{ownPool("chat", "a2-highgpu-2g", "nvidia-a100-40gb")}
	args.OwnPools[0].GPUsPerReplica, args.OwnPools[0].Spot = 2, true
	r, cluster := provision(t, args)
	pool := r.One(t, poolToken, "gke-gpu-chat")
	for path, want := range map[string]any{
		"name":                          "gpu-chat",
		"initialNodeCount":              0.0,
		"autoscaling.totalMaxNodeCount": 2.0,
		"nodeConfig.machineType":        "a2-highgpu-2g",
		"nodeConfig.spot":               true,
		"nodeConfig.labels":             map[string]any{"nvidia.com/gpu.present": "true", "vllm-autoscaling/pool": "chat"},
		"nodeConfig.taints": []any{
			map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"},
			map[string]any{"key": "vllm-autoscaling/pool", "value": "chat", "effect": "NO_SCHEDULE"}},
		"nodeConfig.guestAccelerators": []any{map[string]any{
			"type": "nvidia-tesla-a100", "count": 2.0, "gpuDriverInstallationConfig": map[string]any{"gpuDriverVersion": "DEFAULT"}}},
	} {
		assert.Equal(t, want, pool.Field(`["`+strings.ReplaceAll(path, ".", `"]["`)+`"]`), path)
	}
	assert.True(t, pool.DependsOn(poolToken, "gke-system"))
	assert.True(t, r.One(t, kubeToken).DependsOn(poolToken, "gke-gpu-chat"), "objects wait for the nodes")
	assert.Len(t, cluster.Ready, 3)
	assert.Equal(t, map[string]providers.GPUScheduling{"chat": {
		ResourceName: "nvidia.com/gpu", PerReplica: 2,
		NodeSelector: map[string]string{
			"nvidia.com/gpu.present": "true", "cloud.google.com/gke-accelerator": "nvidia-tesla-a100", "vllm-autoscaling/pool": "chat"},
		Tolerations: []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
			{Key: "vllm-autoscaling/pool", Operator: "Equal", Value: "chat", Effect: "NoSchedule"}},
	}}, cluster.OwnGPU)
}

// TestOwnPoolsChangeNothingElse checks that the inputs of everything else are the same with and without own pools, in any order.
func TestOwnPoolsChangeNothingElse(t *testing.T) {
	chat, rank := ownPool("chat", "g2-standard-8", "nvidia-l4"), ownPool("rank", "g2-standard-4", "nvidia-l4")
	args := validArgs()
	before, plain := provision(t, args)
	args.OwnPools = []providers.ServingPool{rank, chat}
	after, cluster := provision(t, args)
	assert.Equal(t, []string{poolToken + " gke-gpu-chat", poolToken + " gke-gpu-rank"}, providertest.Added(t, &before.Recorder, &after.Recorder))
	assert.Equal(t, plain.GPU, cluster.GPU, "pods of the main pool are scheduled as before")
	args.OwnPools = []providers.ServingPool{chat}
	one, _ := provision(t, args)
	assert.Equal(t, []string{poolToken + " gke-gpu-rank"}, providertest.Added(t, &one.Recorder, &after.Recorder))
}

// TestOwnPoolsHaveDisksOfTheirOwn checks that gke.gpuDiskType applies to the pools whose machines can start from it.
func TestOwnPoolsHaveDisksOfTheirOwn(t *testing.T) {
	args := validArgs()
	args.GPUDiskType = "pd-ssd"
	big := ownPool("big", "a3-ultragpu-8g", "nvidia-h200-141gb")
	big.Spot = true
	args.OwnPools = []providers.ServingPool{big, ownPool("small", "g2-standard-4", "nvidia-l4")}
	r, _ := provision(t, args)
	for name, want := range map[string]string{"gke-gpu": "pd-ssd", "gke-gpu-big": "hyperdisk-balanced", "gke-gpu-small": "pd-ssd"} {
		assert.Equal(t, want, r.One(t, poolToken, name).Field("nodeConfig.diskType"), name)
	}
}

func TestTheTaintOfAnOwnPoolIsNotLeftToGKE(t *testing.T) {
	args := validArgs()
	args.LeaveGPUTaintToGKE = true
	args.OwnPools = []providers.ServingPool{ownPool("chat", "g2-standard-4", "nvidia-l4")}
	r, _ := provision(t, args)
	assert.Nil(t, r.One(t, poolToken, "gke-gpu").Field("nodeConfig.taints"))
	assert.Equal(t, []any{map[string]any{"key": "vllm-autoscaling/pool", "value": "chat", "effect": "NO_SCHEDULE"}},
		r.One(t, poolToken, "gke-gpu-chat").Field("nodeConfig.taints"))
}

// TestAttachWithOwnPools checks a cluster whose GPU nodes are there before, and that a pool of the stack itself, which is among
// them at the second update, is none of them.
func TestAttachWithOwnPools(t *testing.T) {
	args := validArgs()
	args.GPUPool, args.Name = nil, strings.Repeat("n", 24)
	args.OwnPools = []providers.ServingPool{ownPool("a-server-of-20-chars", "g2-standard-8", "nvidia-l4")}
	cluster := existingCluster()
	ownTaint := object{"key": "vllm-autoscaling/pool", "value": "x", "effect": "NO_SCHEDULE"}
	cluster["nodePools"] = []any{gpuPoolOf("theirs", "nvidia-l4", 1, "LATEST"), gpuPoolOf("ours", "nvidia-h100-80gb", 8, "LATEST", ownTaint)}
	r, made, err := attachTo(args, cluster)
	require.NoError(t, err)
	assert.Equal(t, []string{"gke-gpu-a-server-of-20-chars"}, r.NamesOf(poolToken))
	pool := r.One(t, poolToken)
	assert.LessOrEqual(t, len(pool.Field("name").(string)), 40, "GKE's limit")
	assert.Equal(t, "theirs", pool.Field("cluster"))
	assert.True(t, pool.DependsOn(memberToken, "gke-nodes-artifactregistry.reader"))
	assert.Equal(t, map[string]string{"cloud.google.com/gke-accelerator": "nvidia-l4"}, made.GPU.NodeSelector)
	assert.Len(t, made.GPU.Tolerations, 1, "pods of the main pool do not tolerate the taint of an own pool")
	own := made.OwnGPU["a-server-of-20-chars"]
	assert.Equal(t, pool.Field(`nodeConfig.labels["vllm-autoscaling/pool"]`), own.NodeSelector["vllm-autoscaling/pool"])
	assert.Len(t, made.Ready, 1)

	cluster["workloadIdentityConfigs"] = []any{}
	_, _, err = attachTo(args, cluster)
	require.ErrorContains(t, err, "workload identity", "what nodes need is checked for own pools, too")
}

// TestValidateOwnPools checks that an own pool has the rules of the main one, with its own keys.
func TestValidateOwnPools(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(pool *providers.ServingPool)
		key, wants string
	}{
		"zones":      {func(s *providers.ServingPool) { s.Zones = nil }, "servers.chat.nodePool.zones", "zones of the region us-central1"},
		"a zone":     {func(s *providers.ServingPool) { s.Zones = []string{"us-east1-b"} }, "servers.chat.nodePool.zones[0]", "a zone of region"},
		"limits":     {func(s *providers.ServingPool) { s.MinNodes = 5 }, "servers.chat.nodePool.maxNodes", "at least servers.chat.nodePool.minNodes"},
		"disk":       {func(s *providers.ServingPool) { s.DiskGiB = 20 }, "servers.chat.nodePool.diskGiB", "at least 60"},
		"no machine": {func(s *providers.ServingPool) { s.MachineType = "" }, "servers.chat.nodePool.machineType", "a machine type such as"},
		"machine":    {func(s *providers.ServingPool) { s.MachineType = "e2-standard-4" }, "servers.chat.nodePool.machineType", "carries nvidia-l4"},
		"GPU":        {func(s *providers.ServingPool) { s.Accelerator = "nvidia-k80" }, "servers.chat.nodePool.accelerator", "one of: nvidia-l4"},
		"number":     {func(s *providers.ServingPool) { s.GPUsPerNode = 3 }, "servers.chat.nodePool.gpusPerNode", "1, what g2-standard-8 carries"},
		"replica":    {func(s *providers.ServingPool) { s.GPUsPerReplica = 2 }, "servers.chat.gpu.perReplica", "at most 1"},
		"part":       {func(s *providers.ServingPool) { s.MachineType = "g4-standard-6" }, "servers.chat.nodePool.machineType", "a part of a GPU"},
		"unknown": {func(s *providers.ServingPool) { s.MachineType, s.Accelerator = "g9-x", "" },
			"servers.chat.nodePool.machineType", "servers.chat.gpu.memoryGiB"},
		"on demand": {func(s *providers.ServingPool) { s.MachineType, s.Accelerator = "a4-highgpu-8g", "nvidia-b200" },
			"servers.chat.nodePool.machineType", "spot to true"},
		"server name": {func(s *providers.ServingPool) { s.Name = "Chat" }, "servers.chat.nodePool", "rename the server"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.OwnPools = []providers.ServingPool{ownPool("chat", "g2-standard-8", "nvidia-l4")}
			require.Empty(t, args.Validate())
			before := slices.Clone(args.OwnPools)
			c.change(&args.OwnPools[0])
			changed := slices.Clone(args.OwnPools)
			providertest.Only(t, args.Validate(), c.key, c.wants)
			assert.Equal(t, changed, args.OwnPools, "the arguments stay")
			assert.NotEqual(t, before, changed)
		})
	}
}
