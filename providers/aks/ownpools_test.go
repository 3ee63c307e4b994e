package aks

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

// poolNameForm is AKS' form of the names of Linux node pools.
var poolNameForm = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

func ownPool(name, size string) providers.ServingPool {
	return providers.ServingPool{Name: name, GPUPool: providers.GPUPool{
		NodePool: providers.NodePool{MachineType: size}, Key: "servers." + name + ".nodePool", GPUKey: "servers." + name + ".gpu",
	}}
}

func TestOwnPool(t *testing.T) {
	args := validArgs()
	own := ownPool("chat", "Standard_NC48ads_A100_v4")
	own.GPUsPerReplica, own.MaxNodes, own.Spot = 2, 3, true
	args.OwnPools = []providers.ServingPool{own}
	r, cluster := provision(t, args)
	pool := r.One(t, poolToken, "aks-gpu-chat")
	assert.Regexp(t, `^gpuchat[0-9a-f]{5}$`, pool.Field("agentPoolName"))
	assert.Equal(t, "Standard_NC48ads_A100_v4", pool.Field("vmSize"))
	assert.EqualValues(t, 3, pool.Field("maxCount"))
	assert.Equal(t, map[string]any{
		"nvidia.com/gpu.present": "true", "vllm-autoscaling/pool": "chat", "kubernetes.azure.com/scalesetpriority": "spot",
	}, pool.Field("nodeLabels"))
	assert.Equal(t, []any{"nvidia.com/gpu=present:NoSchedule", "vllm-autoscaling/pool=chat:NoSchedule",
		"kubernetes.azure.com/scalesetpriority=spot:NoSchedule"}, pool.Field("nodeTaints"))
	assert.True(t, r.One(t, kubeToken).DependsOn(poolToken, "aks-gpu-chat"), "objects wait for the nodes")
	assert.Equal(t, map[string]providers.GPUScheduling{"chat": {
		ResourceName: "nvidia.com/gpu", PerReplica: 2,
		NodeSelector: map[string]string{"nvidia.com/gpu.present": "true", "vllm-autoscaling/pool": "chat"},
		Tolerations: []providers.Toleration{
			{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}, spotToleration,
			{Key: "vllm-autoscaling/pool", Operator: "Equal", Value: "chat", Effect: "NoSchedule"},
		},
	}}, cluster.OwnGPU)
	nodes := cluster.GPUNodes()
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, nodes.NodeSelector)
	assert.Empty(t, nodes.AnyOf, "every pool has the label")
	assert.Contains(t, nodes.Tolerations, spotToleration)
	assert.NotContains(t, cluster.GPU.Tolerations, spotToleration, "the main pool is not on spot machines")
}

// TestOwnPoolsChangeNothingElse checks that the inputs of everything else, the lock included, are the same with and without own
// pools, in any order.
func TestOwnPoolsChangeNothingElse(t *testing.T) {
	chat, rank := ownPool("chat", "Standard_NC24ads_A100_v4"), ownPool("rank", "Standard_NC24ads_A100_v4")
	args := validArgs()
	args.DeletionProtection = true
	before, without := provision(t, args)
	args.OwnPools = []providers.ServingPool{rank, chat}
	after, cluster := provision(t, args)
	assert.Equal(t, []string{poolToken + " aks-gpu-chat", poolToken + " aks-gpu-rank"}, providertest.Added(t, &before.Recorder, &after.Recorder))
	assert.Equal(t, without.GPU, cluster.GPU, "pods of the main pool are scheduled as before")
	assert.True(t, after.One(t, lockToken).DependsOn(poolToken, "aks-gpu-chat"), "no pool could be deleted while the lock is there")
	args.OwnPools = []providers.ServingPool{chat}
	one, _ := provision(t, args)
	assert.Equal(t, []string{poolToken + " aks-gpu-rank"}, providertest.Added(t, &one.Recorder, &after.Recorder))
}

// TestNamesOfOwnPools checks AKS' limits, that no two pools have one name, and that what Azure cannot change in a pool gives it
// another name.
func TestNamesOfOwnPools(t *testing.T) {
	name := func(existing, stack, server string, change func(*providers.ServingPool)) string {
		args := &Args{Request: providers.Request{Existing: existing, Name: stack}}
		pool := ownPool(server, "Standard_NC24ads_A100_v4")
		if change != nil {
			change(&pool)
		}
		return args.gpuPoolName(&controlPlane{}, &pool)
	}
	chat := name("", "", "chat", nil)
	seen := map[string]string{chat: "chat"}
	for what, other := range map[string]string{
		"chat-two":      name("", "", "chat-two", nil),
		"chat-three":    name("", "", "chat-three", nil),
		"a digit first": name("", "", "9", nil),
		"20 characters": name("", "", strings.Repeat("c", providers.MaxPoolName), nil),
		"a size":        name("", "", "chat", func(s *providers.ServingPool) { s.MachineType = "Standard_NC48ads_A100_v4" }),
		"a disk":        name("", "", "chat", func(s *providers.ServingPool) { s.DiskGiB = 512 }),
		"spot":          name("", "", "chat", func(s *providers.ServingPool) { s.Spot = true }),
		"one stack":     name("theirs", "a", "chat", nil),
		"another stack": name("theirs", "b", "chat", nil),
	} {
		assert.Regexp(t, poolNameForm, other, what)
		assert.NotContains(t, seen, other, what)
		seen[other] = what
	}
	assert.Regexp(t, poolNameForm, chat)
	assert.Equal(t, chat, name("", "", "chat", func(s *providers.ServingPool) { s.MaxNodes, s.GPUsPerReplica = 9, 2 }), "what can be changed in place")
}

// TestTheLockGoesBeforeARemovedPool checks that the lock is left out of the update that removes an own pool, and stays where all
// pools are to be there.
func TestTheLockGoesBeforeARemovedPool(t *testing.T) {
	args := validArgs()
	args.DeletionProtection = true
	args.OwnPools = []providers.ServingPool{ownPool("chat", "Standard_NC24ads_A100_v4")}
	planned, _ := provision(t, args)
	var found []map[string]any
	for _, pool := range planned.All(poolToken) {
		found = append(found, map[string]any{"name": pool.Field("agentPoolName"), "tags": pool.Field("tags")})
	}
	require.Len(t, found, 2)
	cluster := theirs(pools(append(found, map[string]any{"name": "system", "mode": "System"})...))
	both := &recorder{existing: cluster}
	_, err := both.run(args)
	require.NoError(t, err)
	assert.Len(t, both.All(lockToken), 1)

	args.OwnPools = nil
	one := &recorder{existing: cluster}
	_, err = one.run(args)
	require.NoError(t, err)
	assert.Empty(t, one.All(lockToken))
	require.Len(t, one.Warnings, 1)
	assert.Contains(t, one.Warnings[0], "the GPU pool gpuchat")
}

// TestAttachWithOwnPools checks a cluster whose GPU nodes are there before: a pool of the stack itself, which is among them at
// the second update, is none of them.
func TestAttachWithOwnPools(t *testing.T) {
	args := attachArgs()
	args.GPUPool, args.OwnPools = nil, []providers.ServingPool{ownPool("chat", "Standard_NC24ads_A100_v4")}
	ours := gpuPoolOf("gpuchat12345", "Standard_NC24ads_A100_v4", map[string]any{"nvidia.com/gpu.present": "true", "vllm-autoscaling/pool": "chat-1"},
		"nvidia.com/gpu=present:NoSchedule", "vllm-autoscaling/pool=chat-1:NoSchedule")
	r := &recorder{existing: theirs(pools(gpuPoolOf("gpu", "Standard_NC24ads_A100_v4", gpuLabels), ours))}
	cluster, err := r.run(args)
	require.NoError(t, err)
	assert.Equal(t, []string{"aks-gpu-chat"}, r.NamesOf(poolToken))
	assert.Len(t, cluster.GPU.Tolerations, 1, "pods of the main pool do not tolerate the taint of an own pool")
	assert.Len(t, cluster.Ready, 1)
	assert.Regexp(t, `^chat-[0-9a-f]{8}$`, cluster.OwnGPU["chat"].NodeSelector["vllm-autoscaling/pool"])

	_, err = (&recorder{existing: theirs(pools(ours))}).run(args)
	require.ErrorContains(t, err, "it has no GPU pool with the label", "an own pool is not for servers on the main one")
}

// TestValidateOwnPools checks that an own pool has the rules of the main one, with its own keys.
func TestValidateOwnPools(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(pool *providers.ServingPool)
		key, wants string
	}{
		"limits":      {func(s *providers.ServingPool) { s.MinNodes, s.MaxNodes = 3, 2 }, "servers.chat.nodePool.maxNodes", "3 to 1000"},
		"disk":        {func(s *providers.ServingPool) { s.DiskGiB = 64 }, "servers.chat.nodePool.diskGiB", "100 to 2048"},
		"zone":        {func(s *providers.ServingPool) { s.Zones = []string{"eastus-1"} }, "servers.chat.nodePool.zones[0]", "one of: 1, 2, 3"},
		"AMD":         {func(s *providers.ServingPool) { s.MachineType = "Standard_ND96isr_MI300X_v5" }, "servers.chat.nodePool.machineType", "GPUs of AMD"},
		"part":        {func(s *providers.ServingPool) { s.MachineType = "Standard_NV6ads_A10_v5" }, "servers.chat.nodePool.machineType", "a part of a GPU"},
		"retired":     {func(s *providers.ServingPool) { s.MachineType = "Standard_NC6s_v3" }, "servers.chat.nodePool.machineType", "is retired"},
		"unknown":     {func(s *providers.ServingPool) { s.MachineType = "Standard_D4s_v5" }, "servers.chat.nodePool.machineType", "servers.chat.gpu.memoryGiB"},
		"GPU":         {func(s *providers.ServingPool) { s.Accelerator = "nvidia-l4" }, "servers.chat.nodePool.accelerator", "carries nvidia-a100-80gb"},
		"number":      {func(s *providers.ServingPool) { s.GPUsPerNode = 2 }, "servers.chat.nodePool.gpusPerNode", "1, what"},
		"replica":     {func(s *providers.ServingPool) { s.GPUsPerReplica = 2 }, "servers.chat.gpu.perReplica", "at most 1"},
		"server name": {func(s *providers.ServingPool) { s.Name = "Chat" }, "servers.chat.nodePool", "rename the server"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.OwnPools = []providers.ServingPool{ownPool("chat", "Standard_NC24ads_A100_v4")}
			require.Empty(t, args.Validate())
			c.change(&args.OwnPools[0])
			providertest.Only(t, args.Validate(), c.key, c.wants)
		})
	}
}
