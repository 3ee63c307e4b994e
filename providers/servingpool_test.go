package providers

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGPUPools(t *testing.T) {
	request := &Request{
		GPUPool: &GPUPool{Accelerator: "nvidia-l4"}, GPUsPerReplica: 2,
		OwnPools: []ServingPool{{Name: "rank", GPUsPerReplica: 4}, {Name: "chat"}},
	}
	pools := request.GPUPools()
	require.Len(t, pools, 3)
	var suffixes []string
	var gpus []int
	for _, pool := range pools {
		suffixes, gpus = append(suffixes, pool.Suffix()), append(gpus, pool.GPUsPerReplica)
	}
	assert.Equal(t, []string{"gpu", "gpu-chat", "gpu-rank"}, suffixes, "the main pool first, the others in an order that does not depend on the caller")
	assert.Equal(t, []int{2, 1, 4}, gpus)
	assert.Equal(t, "rank", request.OwnPools[0].Name, "the caller's list stays")
	assert.Zero(t, request.OwnPools[1].GPUsPerReplica)
	assert.False(t, (&Request{}).CreatesGPUPools())
	assert.True(t, (&Request{OwnPools: request.OwnPools}).CreatesGPUPools())
}

func TestFillGPUPools(t *testing.T) {
	before := Request{GPUPool: &GPUPool{}, OwnPools: []ServingPool{{Name: "chat"}}}
	after := before
	after.FillGPUPools(func(pool *GPUPool) { pool.DiskGiB = 7 })
	assert.Equal(t, []int{7, 7}, []int{after.GPUPool.DiskGiB, after.OwnPools[0].DiskGiB})
	assert.Equal(t, []int{0, 0}, []int{before.GPUPool.DiskGiB, before.OwnPools[0].DiskGiB}, "the caller's pools stay")
}

// TestOwnPoolsAreApart checks that no pod of one pool tolerates and selects the nodes of another one.
func TestOwnPoolsAreApart(t *testing.T) {
	request := &Request{GPUPool: &GPUPool{}, OwnPools: []ServingPool{{Name: "chat"}, {Name: "rank"}}}
	labels := map[string]string{"gpu": "true"}
	taint := []Toleration{{Key: "gpu", Operator: "Exists"}}
	for i, own := range []string{"", "chat", "rank"} {
		pool := request.GPUPools()[i]
		nodes, tolerations := request.Label(pool, labels), request.Tolerate(pool, taint)
		assert.Equal(t, own, nodes[PoolLabel])
		if own == "" {
			assert.Equal(t, labels, nodes)
			assert.Equal(t, taint, tolerations)
			continue
		}
		assert.Equal(t, append(taint, Toleration{Key: PoolLabel, Operator: "Equal", Value: own, Effect: "NoSchedule"}), tolerations)
	}
	assert.Len(t, labels, 1, "the caller's labels stay")
}

// TestPoolsOfTwoStacksInOneCluster checks that servers of the same name share no nodes.
func TestPoolsOfTwoStacksInOneCluster(t *testing.T) {
	pool := &ServingPool{Name: strings.Repeat("c", MaxPoolName)}
	a, b := &Request{Existing: "theirs", Name: "vllm-a"}, &Request{Existing: "theirs", Name: "vllm-b"}
	assert.NotEqual(t, a.PoolValue(pool), b.PoolValue(pool))
	assert.LessOrEqual(t, len(a.PoolValue(pool)), 63, "the limit of Kubernetes")
	assert.Equal(t, pool.Name, (&Request{Name: "vllm-a"}).PoolValue(pool), "a cluster of its own has one stack")
}

func TestShortName(t *testing.T) {
	assert.Equal(t, "vllm-gpu", ShortName("vllm-gpu", 8))
	short, other := ShortName("vllm-gpu-chat-and-more", 16), ShortName("vllm-gpu-chat-and-other", 16)
	assert.LessOrEqual(t, len(short), 16)
	assert.Regexp(t, `^vllm-gp-[0-9a-f]{8}$`, short)
	assert.NotEqual(t, short, other)
}

func TestCheckOwnPools(t *testing.T) {
	own := func(names ...string) *Request {
		r := &Request{}
		for _, name := range names {
			r.OwnPools = append(r.OwnPools, ServingPool{Name: name, GPUPool: GPUPool{Key: "servers." + name + ".nodePool"}})
		}
		return r
	}
	var none Problems
	own("chat", "a", "9-b", strings.Repeat("c", MaxPoolName)).CheckOwnPools(&none)
	assert.Empty(t, none)
	for name, test := range map[string]struct {
		names []string
		key   string
		wants string
	}{
		"upper case": {[]string{"Chat"}, "servers.Chat.nodePool", `"Chat": allowed: a server whose name has at most 20`},
		"a dot":      {[]string{"chat.v2"}, "servers.chat.v2.nodePool", "rename the server"},
		"a dash":     {[]string{"chat-"}, "servers.chat-.nodePool", "a letter or digit at both ends"},
		"no name":    {[]string{""}, "servers..nodePool", "a server whose name"},
		"long":       {[]string{strings.Repeat("c", MaxPoolName+1)}, "servers." + strings.Repeat("c", MaxPoolName+1) + ".nodePool", "at most 20"},
		"twice":      {[]string{"chat", "chat"}, "servers.chat.nodePool", "one pool for each server"},
	} {
		t.Run(name, func(t *testing.T) {
			var p Problems
			own(test.names...).CheckOwnPools(&p)
			require.Len(t, p, 1)
			assert.Equal(t, test.key, p[0].Key)
			assert.Contains(t, p[0].String(), test.wants)
		})
	}
}

// TestKeysOfProblems checks that the problems of a server's own pool have keys below that pool's, and those of the main pool
// below the keys that it always has.
func TestKeysOfProblems(t *testing.T) {
	for _, test := range []struct {
		pool            ServingPool
		poolKey, gpuKey string
	}{
		{ServingPool{}, "nodePools.gpu", "gpu"},
		{ServingPool{Name: "chat", GPUPool: GPUPool{Key: "servers.chat.nodePool", GPUKey: "servers.chat.gpu"}}, "servers.chat.nodePool", "servers.chat.gpu"},
	} {
		pool := test.pool
		pool.MachineType, pool.GPUsPerNode, pool.GPUsPerReplica = "x1.large", 1, 2
		var p Problems
		pool.CheckGPUs(&p)
		pool.checkUnknown(&p)
		require.Len(t, p, 2)
		assert.Equal(t, test.gpuKey+".perReplica", p[0].Key)
		assert.Equal(t, "choose a larger "+test.poolKey+".machineType", p[0].Fix)
		assert.Equal(t, test.poolKey+".machineType", p[1].Key)
		assert.Equal(t, "set "+test.poolKey+".accelerator, "+test.gpuKey+".memoryGiB (the memory of one GPU)", p[1].Fix)
	}
}
