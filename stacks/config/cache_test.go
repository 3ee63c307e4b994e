package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
)

func TestCacheRules(t *testing.T) {
	for name, test := range map[string]struct {
		given     keys
		key, says string
	}{
		"the simulator":          {keys{"vllm.cache.kind": "node"}, "vllm.cache.kind", "the simulator compiles nothing"},
		"no image to pull":       {keys{"vllm.prePull": true}, "vllm.prePull", "the simulator runs on any node"},
		"a size of nothing":      {nvidia(keys{"vllm.cache.size": "5Gi"}), "vllm.cache.size", "'vllm-autoscaling:vllm.cache.kind' node"},
		"a claim for a pod":      {nvidia(keys{"vllm.cache.claim": "c"}), "vllm.cache.claim", "only with vllm.cache.kind claim"},
		"a class for a node":     {nvidia(keys{"vllm.cache.kind": "node", "vllm.cache.storageClass": "c"}), "vllm.cache.storageClass", "only with vllm.cache.kind claim"},
		"a claim without a name": {nvidia(keys{"vllm.cache.kind": "claim"}), "vllm.cache.kind", "vllm.cache.storageClass"},
		"a claim and a class": {nvidia(keys{"vllm.cache.kind": "claim", "vllm.cache.claim": "c", "vllm.cache.storageClass": "c"}),
			"vllm.cache.storageClass", "remove one of the two"},
		"an unknown kind": {nvidia(keys{"vllm.cache.kind": "disk"}), "vllm.cache.kind", "pod, node, claim"},
		"no quantity":     {nvidia(keys{"vllm.cache.kind": "node", "vllm.cache.size": "much"}), "vllm.cache.size", "quantity"},
		"a name of the program": {nvidia(keys{podTemplateKey: keys{"spec": keys{"initContainers": []any{keys{"name": "restore-cache", "image": "a:1"}}}}}),
			podTemplateKey + ".spec.initContainers[0].name", "restore-cache, save-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(t, source(t, CloudLocal, test.given))
			at := slices.IndexFunc(problems.Problems, func(p Problem) bool { return strings.TrimPrefix(p.Key, "vllm-autoscaling:") == test.key })
			require.GreaterOrEqual(t, at, 0, "%v", problems)
			assert.Contains(t, problems.Problems[at].Allowed+problems.Problems[at].Fix, test.says)
		})
	}
}

func TestCompileCache(t *testing.T) {
	for name, test := range map[string]struct {
		cloud string
		given keys
		want  components.CompileCache
	}{
		"by default":   {CloudLocal, nvidia(nil), components.CompileCache{Size: "10Gi"}},
		"on the nodes": {CloudLocal, nvidia(keys{"vllm.cache.kind": "node"}), components.CompileCache{OnNodes: true, Size: "10Gi"}},
		"in a claim": {CloudGKE, onCloud(CloudGKE, keys{"vllm.cache.kind": "claim", "vllm.cache.claim": "c", "vllm.cache.size": "5Gi"}),
			components.CompileCache{Claim: "c", Size: "5Gi", Hardware: "nvidia-l4"}},
		"of a class": {CloudLocal, nvidia(keys{"vllm.cache.kind": "claim", "vllm.cache.storageClass": "c"}), components.CompileCache{StorageClass: "c", Size: "10Gi"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Read(source(t, test.cloud, test.given))
			require.NoError(t, err)
			assert.Equal(t, test.want, c.CompileCache())
		})
	}
}

// TestCacheShortensTheStart checks that only a cache that a new node finds counts in the estimate.
func TestCacheShortensTheStart(t *testing.T) {
	warmup := func(more keys) time.Duration { return read(t, CloudGKE, onCloud(CloudGKE, more)).ColdStart().Warmup }
	assert.Equal(t, time.Minute, warmup(nil))
	assert.Equal(t, time.Minute, warmup(keys{"vllm.cache.kind": "node"}))
	assert.Equal(t, 34*time.Second, warmup(keys{"vllm.cache.kind": "claim", "vllm.cache.claim": "c"}))
}

// TestCacheTakesRoom checks that the sidecar of the cache counts where the room of a node is compared with the requests.
func TestCacheTakesRoom(t *testing.T) {
	without, err := Read(source(t, CloudGKE, onCloud(CloudGKE, nil)))
	require.NoError(t, err)
	with, err := Read(source(t, CloudGKE, onCloud(CloudGKE, keys{"vllm.cache.kind": "node"})))
	require.NoError(t, err)
	assert.InDelta(t, without.hostRoom().CPUs-0.01, with.hostRoom().CPUs, 1e-9)
	assert.InDelta(t, without.hostRoom().MemoryGiB-0.0625, with.hostRoom().MemoryGiB, 1e-9)
}

func TestImagesThatGKEPullsWhole(t *testing.T) {
	warned := func(c *Config) bool {
		return slices.ContainsFunc(c.Warnings(), func(w Warning) bool { return strings.Contains(w.Why, "GKE streams images") })
	}
	for image, whole := range map[string]bool{
		"vllm/vllm-openai:v0.20.0": false, "docker.io/vllm/vllm-openai:v0.20.0": false, "us-docker.pkg.dev/p/hub/vllm/vllm-openai:v0.20.0": false,
		"eu.gcr.io/p/vllm:v0.20.0": false, "quay.io/p/vllm:v0.20.0": true, "registry.example.com:5000/vllm:v0.20.0": true,
	} {
		assert.Equal(t, whole, warned(read(t, CloudGKE, onCloud(CloudGKE, keys{"vllm.image": image}))), image)
	}
	assert.False(t, warned(read(t, CloudAKS, onCloud(CloudAKS, keys{"vllm.image": "quay.io/p/vllm:v0.20.0"}))))
}
