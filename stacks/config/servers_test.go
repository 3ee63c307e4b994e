package config

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// two returns two servers on one cloud's shared pool, with more keys.
func two(more map[string]any) map[string]any {
	keys := onCloud(CloudGKE, map[string]any{
		"model.maxModelLen":                           4096,
		"vllm.preStop":                                "20s",
		"servers.chat.model.id":                       "google/gemma-3-4b-it",
		"servers.chat.vllm.preStop":                   "30s",
		"servers.code.autoscaling.maxReplicas":        2,
		"servers.code.vllm.clientNamespaces":          []any{"ide"},
		"vllm.clientNamespaces":                       []any{"apps", "web"},
		"autoscaling.signals.requestsInFlight.target": 10,
	})
	if _, whole := more["servers"]; whole {
		maps.DeleteFunc(keys, func(key string, _ any) bool { return strings.HasPrefix(key, "servers.") })
	}
	maps.Copy(keys, more)
	return keys
}

func TestAServerHasTheKeysOfTheStackAndItsOwn(t *testing.T) {
	c := read(t, CloudGKE, two(nil))
	servers := c.ServerConfigs()
	require.Len(t, servers, 2)
	chat, code := servers[0], servers[1]
	assert.Equal(t, "chat", chat.Server)
	assert.Equal(t, "code", code.Server)
	assert.True(t, chat.OneOfSeveral())

	assert.Equal(t, "google/gemma-3-4b-it", chat.Model.ID)
	assert.Equal(t, "google/gemma-3-1b-it", code.Model.ID, "the default")
	assert.Equal(t, 4096, chat.Model.MaxModelLen, "the stack's")
	assert.Equal(t, 30*time.Second, chat.VLLM.PreStop, "its own wins")
	assert.Equal(t, 20*time.Second, code.VLLM.PreStop)
	assert.Equal(t, []string{"apps", "web"}, chat.VLLM.ClientNamespaces)
	assert.Equal(t, []string{"ide"}, code.VLLM.ClientNamespaces, "a list is replaced")
	assert.Equal(t, 10.0, code.Autoscaling.Signals.RequestsInFlight.Target)
	assert.Equal(t, chat.Namespaces, code.Namespaces)
	assert.NotEqual(t, chat.Model.MaxNumSeqs, code.Model.MaxNumSeqs, "derived for each model")
}

// A key without a value is one that is not given: that of an object leaves the stack's, that of a key restores the default.
func TestKeysOfAServerWithoutAValue(t *testing.T) {
	code := read(t, CloudGKE, two(map[string]any{"servers.code.model": nil, "servers.code.vllm.preStop": nil})).ServerConfigs()[1]
	assert.Equal(t, 4096, code.Model.MaxModelLen)
	assert.Equal(t, read(t, CloudGKE, onCloud(CloudGKE, nil)).VLLM.PreStop, code.VLLM.PreStop)
	assert.NotEqual(t, 20*time.Second, code.VLLM.PreStop)
}

func TestOneServerIsTheStackItself(t *testing.T) {
	c := read(t, CloudGKE, onCloud(CloudGKE, nil))
	require.Len(t, c.ServerConfigs(), 1)
	assert.Same(t, c, c.ServerConfigs()[0])
	assert.Equal(t, "vllm", c.Server)
	assert.False(t, c.OneOfSeveral())
}

// A server called vllm is that of a stack of one: nothing of it differs.
func TestMovingTheOneServerIntoServersChangesNothingOfIt(t *testing.T) {
	single := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{"model.id": "google/gemma-3-4b-it", "autoscaling.maxReplicas": 3}))
	moved := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{
		"servers.vllm.model.id": "google/gemma-3-4b-it", "servers.vllm.autoscaling.maxReplicas": 3,
	})).ServerConfigs()[0]
	assert.Equal(t, single.Server, moved.Server)
	assert.Equal(t, single.Model, moved.Model)
	assert.Equal(t, single.VLLM, moved.VLLM)
	assert.Equal(t, single.Autoscaling, moved.Autoscaling)
	assert.Equal(t, single.NodePools, moved.NodePools)
	assert.Equal(t, single.Update(), moved.Update())
}

func TestServersShareTheGPUPool(t *testing.T) {
	c := read(t, CloudGKE, two(map[string]any{"servers.code.gpu.perReplica": 2, "servers.code.model.id": "google/gemma-3-12b-it"}))
	chat, code := c.ServerConfigs()[0], c.ServerConfigs()[1]
	assert.Equal(t, 2, code.NodePools.GPU.GPUsPerNode, "the smallest machine with enough GPUs for each of them")
	assert.Equal(t, code.NodePools.GPU, chat.NodePools.GPU)
	assert.Equal(t, code.NodePools.GPU, c.NodePools.GPU, "the stack creates that pool")
	// Four replicas of one GPU and two of two fill four nodes of two; one more is for an update.
	assert.Equal(t, 5, c.NodePools.GPU.MaxNodes)
	assert.True(t, chat.Update().Surge, chat.Update().Text)
	assert.True(t, code.Update().Surge, code.Update().Text)

	full := read(t, CloudGKE, two(map[string]any{"nodePools.gpu.maxNodes": 6})).ServerConfigs()
	assert.False(t, full[0].Update().Surge, "four and two replicas fill six nodes of one GPU")
	assert.False(t, full[1].Update().Surge)
}

func TestAServersOwnPool(t *testing.T) {
	c := read(t, CloudGKE, two(map[string]any{
		"servers.code.nodePool.machineType": "a2-highgpu-1g", "servers.code.nodePool.maxNodes": 3, "nodePools.gpu.maxNodes": 5,
	}))
	chat, code := c.ServerConfigs()[0], c.ServerConfigs()[1]
	assert.True(t, code.OwnPool())
	assert.False(t, chat.OwnPool())
	assert.Equal(t, "nvidia-a100-40gb", code.NodePools.GPU.Accelerator)
	assert.Equal(t, 3, code.NodePools.GPU.MaxNodes)
	pools := c.ownPools()
	require.Len(t, pools, 1)
	assert.Equal(t, "servers.code.nodePool", pools[0].Key)
	assert.Equal(t, "servers.code.gpu", pools[0].GPUKey)
	assert.Equal(t, chat.NodePools.GPU, c.NodePools.GPU)
	assert.True(t, chat.Update().Surge, "the other server's replicas are elsewhere")
}

// A problem of a server stands under the key that has to change, once.
func TestProblemsOfServers(t *testing.T) {
	for _, tc := range []struct {
		name string
		more map[string]any
		want map[string]string
	}{
		{"an unknown key", map[string]any{"servers.chat.model.idd": "x"},
			map[string]string{"servers.chat.model.idd": "the nearest is vllm-autoscaling:servers.chat.model.id"}},
		{"a wrong type", map[string]any{"servers.chat.autoscaling.maxReplicas": "many"}, map[string]string{"servers.chat.autoscaling.maxReplicas": ""}},
		{"an unknown section", map[string]any{"servers.chat.modle.id": "x"},
			map[string]string{"servers.chat.modle": "the nearest is vllm-autoscaling:servers.chat.model"}},
		{"a key of the stack", map[string]any{"servers.chat.autoscaling.adapterReplicas": 1},
			map[string]string{"servers.chat.autoscaling.adapterReplicas": "set vllm-autoscaling:autoscaling.adapterReplicas"}},
		{"a section of the stack", map[string]any{"servers.chat.monitoring.retention": "7d"}, map[string]string{"servers.chat.monitoring": "the other keys are the stack's"}},
		{"a name", map[string]any{"servers.Chat.model.id": "x/y"}, map[string]string{"servers.Chat": "another name"}},
		{"a long name", map[string]any{"servers.a-name-of-21-letters-x.model.id": "x/y"}, map[string]string{"servers.a-name-of-21-letters-x": "another name"}},
		{"the name of another server's object", map[string]any{"servers.chat-server.model.maxModelLen": 2048},
			map[string]string{"servers.chat-server": "another name"}},
		{"one host name for both", map[string]any{"expose.hostname": "llm.example.com", "expose.tls.secret": "tls", "apiKey": hidden("key")},
			map[string]string{"servers.code.expose.hostname": "a host name of its own"}},
		{"a name that every namespace has", map[string]any{"servers.default.model.id": "x/y"}, map[string]string{"servers.default": "another name"}},
		{"a model that does not fit", map[string]any{"servers.chat.model.id": "google/gemma-3-27b-it"}, map[string]string{"servers.chat.model.id": ""}},
		{"the same mistake of the stack in each", map[string]any{"vllm.preStop": "9m30s", "servers.chat.vllm.preStop": nil, "vllm.shutdownTimeout": "1m"},
			map[string]string{"vllm.shutdownTimeout": ""}},
		{"the stack's value, with one server's", map[string]any{"servers.code.vllm.preStop": "9m30s"},
			map[string]string{"servers.code.vllm.shutdownTimeout": ""}},
		{"fewer than the least", map[string]any{"servers.chat.autoscaling.minReplicas": 9},
			map[string]string{"servers.chat.autoscaling.maxReplicas": ""}},
		{"a pool that is too small for both", map[string]any{"nodePools.gpu.maxNodes": 5},
			map[string]string{"nodePools.gpu.maxNodes": "pulumi config set --path 'vllm-autoscaling:nodePools.gpu.maxNodes' 6"}},
		{"a pool of its own of an unknown machine", map[string]any{"servers.code.nodePool.machineType": "m5.large"},
			map[string]string{"servers.code.nodePool.machineType": ""}},
		{"no server on the stack's pool", map[string]any{
			"servers.code.nodePool.machineType": "g2-standard-4", "servers.chat.nodePool.machineType": "g2-standard-4"},
			map[string]string{"servers": "remove nodePool of one of them"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refused := problemsOf(t, source(t, CloudGKE, two(tc.more)))
			found := map[string]string{}
			for _, p := range refused.Problems {
				found[p.Key] = p.Fix
			}
			for key, fix := range tc.want {
				require.Contains(t, found, project+":"+key, "%s", refused)
				assert.Contains(t, found[project+":"+key], fix)
			}
			assert.Len(t, refused.Problems, len(tc.want), "%s", refused)
		})
	}
}

func TestServersAreAnObject(t *testing.T) {
	refused := problemsOf(t, source(t, CloudGKE, onCloud(CloudGKE, map[string]any{"servers": []any{"chat"}})))
	require.Len(t, refused.Problems, 1, "nothing else is reported of a stack that is not understood")
	assert.Equal(t, project+":servers", refused.Problems[0].Key)
}

func TestServersOfDifferentSizesAreWarnedOf(t *testing.T) {
	c := read(t, CloudGKE, two(map[string]any{"servers.code.gpu.perReplica": 2, "servers.code.model.id": "google/gemma-3-12b-it"}))
	assert.Contains(t, warned(c), project+":nodePools.gpu")
	assert.NotContains(t, warned(read(t, CloudGKE, two(nil))), project+":nodePools.gpu")
}

// What the entry of a server encrypts is shown nowhere.
func TestSecretsOfAServer(t *testing.T) {
	s := source(t, CloudGKE, two(map[string]any{"servers.chat.vllm.port": "s3cret"}))
	secret := s.Secret
	s.Secret = func(key string) bool { return key == project+":servers" || secret(key) }
	refused := problemsOf(t, s)
	assert.NotContains(t, refused.Error(), "s3cret")
	assert.Contains(t, refused.Error(), "servers.chat.vllm.port = [secret]")

	c, err := Read(func() Source {
		s := source(t, CloudGKE, two(nil))
		given := s.Secret
		s.Secret = func(key string) bool { return key == project+":servers" || given(key) }
		return s
	}())
	require.NoError(t, err)
	assert.True(t, c.ServerConfigs()[0].VLLM.Secret())
}

func TestWhatServersOpen(t *testing.T) {
	opened := read(t, CloudGKE, two(map[string]any{
		"vllm.clientNamespaces": nil, "servers.code.vllm.clientNamespaces": []any{"ide"},
		"vllm.egressCidrs": []any{"10.0.0.0/8"}, "monitoring.queryNamespaces": []any{"grafana"},
	})).Opened()
	assert.ElementsMatch(t, []string{
		"server code: vllm.clientNamespaces [ide]", "vllm.egressCidrs [10.0.0.0/8]", "monitoring.queryNamespaces [grafana]",
	}, opened)
}
