package cost

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

func resource(t *testing.T, typ, name, inputs string) plan.Resource {
	t.Helper()
	r := plan.Resource{Type: typ, Name: name}
	require.NoError(t, json.Unmarshal([]byte(inputs), &r.Inputs), inputs)
	return r
}

// replicas are the autoscaler and a server with so many GPUs each.
func replicas(t *testing.T, low, high, gpus int) []plan.Resource {
	t.Helper()
	return []plan.Resource{
		resource(t, typeHPA, "vllm", fmt.Sprintf(`{"spec":{"minReplicas":%d,"maxReplicas":%d}}`, low, high)),
		resource(t, typeDeployment, "vllm", fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{},{"resources":{"limits":{"nvidia.com/gpu":"%d"}}}]}}}}`, gpus)),
	}
}

func eksGPU(t *testing.T, machineType string, low, high int, more string) plan.Resource {
	t.Helper()
	return resource(t, typeEKSPool, "gpu", fmt.Sprintf(
		`{"instanceTypes":["%s"],"amiType":"AL2023_x86_64_NVIDIA","scalingConfig":{"minSize":%d,"maxSize":%d}%s}`, machineType, low, high, more))
}

func TestNodesFollowTheReplicas(t *testing.T) {
	for name, test := range map[string]struct {
		machineType          string
		low, high            int // of the pool
		fewest, most, gpus   int // replicas
		wantMin, wantMax     int
		eachUSD, limitUSDSum float64
	}{
		"a GPU for each replica":              {"g6.xlarge", 0, 8, 1, 4, 1, 1, 4, 0.8048, 8 * 0.8048},
		"the pool keeps more than needed":     {"g6.xlarge", 2, 8, 1, 4, 1, 2, 4, 0.8048, 8 * 0.8048},
		"the pool ends before the replicas":   {"g6.xlarge", 0, 3, 1, 4, 1, 1, 3, 0.8048, 3 * 0.8048},
		"several replicas on a machine":       {"g6.12xlarge", 0, 8, 1, 9, 1, 1, 3, 4.6016, 8 * 4.6016},
		"two GPUs for each replica":           {"g6.12xlarge", 0, 8, 2, 5, 2, 1, 3, 4.6016, 8 * 4.6016},
		"GPUs that are left over are lost":    {"g6.12xlarge", 0, 8, 2, 2, 3, 2, 2, 4.6016, 8 * 4.6016},
		"a replica that no machine could run": {"g6.xlarge", 1, 8, 1, 4, 4, 1, 8, 0.8048, 8 * 0.8048},
	} {
		t.Run(name, func(t *testing.T) {
			e := Of(append(replicas(t, test.fewest, test.most, test.gpus), eksGPU(t, test.machineType, test.low, test.high, "")), nil)
			require.Len(t, e.Items, 1)
			assert.True(t, e.Items[0].GPU)
			assert.Equal(t, test.wantMin, e.Items[0].Min)
			assert.Equal(t, test.wantMax, e.Items[0].Max)
			assert.InDelta(t, test.eachUSD*float64(test.wantMin), e.Min, 1e-9)
			assert.InDelta(t, test.eachUSD*float64(test.wantMax), e.Max, 1e-9)
			assert.InDelta(t, test.limitUSDSum, e.GPULimit, 1e-9)
			assert.Equal(t, test.fewest, e.MinReplicas)
			assert.Equal(t, test.most, e.MaxReplicas)
			assert.True(t, e.Known())
		})
	}
}

// Without an autoscaler in the preview a pool counts from its minimum to its maximum.
func TestPoolAlone(t *testing.T) {
	e := Of([]plan.Resource{eksGPU(t, "g6.xlarge", 0, 4, "")}, nil)
	assert.Zero(t, e.Min)
	assert.InDelta(t, 4*0.8048, e.Max, 1e-9)
}

func TestClouds(t *testing.T) {
	aksCluster := `{"sku":{"tier":"%s"},"agentPoolProfiles":[{"vmSize":"Standard_D4s_v5","minCount":1,"maxCount":3},{"vmSize":"Standard_D2s_v5","count":2}]}`
	for name, test := range map[string]struct {
		resources []plan.Resource
		min, max  float64
		items     int
	}{
		"gke": {[]plan.Resource{
			resource(t, typeGKECluster, "cluster", `{}`),
			resource(t, typeGKEPool, "system", `{"nodeConfig":{"machineType":"e2-standard-4"},"autoscaling":{"totalMinNodeCount":1,"totalMaxNodeCount":3}}`),
			resource(t, typeGKEPool, "gpu", `{"nodeConfig":{"machineType":"g2-standard-4","guestAccelerators":[{"type":"nvidia-l4"}]},`+
				`"autoscaling":{"totalMinNodeCount":0,"totalMaxNodeCount":2}}`),
			resource(t, typeGKENAT, "nat", `{}`),
		}, 0.10 + 0.13402 + 0.0014, 0.10 + 3*0.13402 + 2*0.70683 + 5*0.0014, 4},
		"gke, a NAT costs so much at most": {[]plan.Resource{
			resource(t, typeGKEPool, "system", `{"nodeConfig":{"machineType":"e2-standard-4"},"autoscaling":{"totalMinNodeCount":40,"totalMaxNodeCount":80}}`),
			resource(t, typeGKENAT, "nat", `{}`),
		}, 40*0.13402 + 32*0.0014, 80*0.13402 + 32*0.0014, 2},
		"eks": {[]plan.Resource{
			resource(t, typeEKSCluster, "cluster", `{}`), resource(t, typeEKSNAT, "a", `{}`), resource(t, typeEKSNAT, "b", `{}`), resource(t, typeEKSAddress, "a", `{}`),
			resource(t, typeEKSPool, "system", `{"instanceTypes":["m6i.large"],"scalingConfig":{"minSize":2,"maxSize":4}}`),
		}, 0.10 + 2*0.045 + 0.005 + 2*0.096, 0.10 + 2*0.045 + 0.005 + 4*0.096, 5},
		"eks, the dearest of alternatives": {[]plan.Resource{
			resource(t, typeEKSPool, "gpu", `{"instanceTypes":["g6.xlarge","g5.xlarge","g6.xlarge"],"scalingConfig":{"minSize":1,"maxSize":1}}`),
		}, 1.006, 1.006, 1},
		"aks, Free": {[]plan.Resource{resource(t, "azure-native:containerservice/v20240901:ManagedCluster", "c", fmt.Sprintf(aksCluster, "Free"))},
			0.192 + 2*0.096, 3*0.192 + 2*0.096, 2},
		"aks, Standard": {[]plan.Resource{resource(t, "azure-native:containerservice/v20240901:ManagedCluster", "c", fmt.Sprintf(aksCluster, "Standard"))},
			0.1 + 0.192 + 2*0.096, 0.1 + 3*0.192 + 2*0.096, 3},
		"aks, Premium": {[]plan.Resource{resource(t, "azure-native:containerservice:ManagedCluster", "c", fmt.Sprintf(aksCluster, "Premium"))},
			0.6 + 0.192 + 2*0.096, 0.6 + 3*0.192 + 2*0.096, 3},
		"aks, a pool": {[]plan.Resource{
			resource(t, "azure-native:containerservice/v20240901:AgentPool", "gpu", `{"vmSize":"standard_nc24ads_a100_v4","minCount":1,"maxCount":4}`),
		}, 3.673, 4 * 3.673, 1},
		"a cluster of somebody else": {replicas(t, 1, 4, 1), 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := Of(test.resources, nil)
			assert.Len(t, e.Items, test.items)
			assert.InDelta(t, test.min, e.Min, 1e-9)
			assert.InDelta(t, test.max, e.Max, 1e-9)
			assert.Empty(t, e.Unknown)
			assert.Equal(t, test.items == 0, e.Empty())
		})
	}
}

// TestAPoolInSeveralZonesCountsOnce checks that the groups of an EKS pool, each of which may grow to the pool's limit, are not
// counted several times.
func TestAPoolInSeveralZonesCountsOnce(t *testing.T) {
	inZone := func(zone string, low int) plan.Resource {
		r := eksGPU(t, "g6.xlarge", low, 4, `,"tags":{"vllm-autoscaling.pool":"gpu"}`)
		r.Name = "gpu-" + zone
		return r
	}
	for _, others := range [][]plan.Resource{replicas(t, 1, 4, 1), nil} {
		e := Of(append(others, inZone("a", 1), inZone("b", 1)), nil)
		require.Len(t, e.Items, 1)
		assert.Equal(t, "gpu-a, gpu-b", e.Items[0].Resource)
		assert.Equal(t, []int{2, 4, 4}, []int{e.Items[0].Min, e.Items[0].Max, e.Items[0].Limit})
		assert.InDelta(t, 4*0.8048, e.GPULimit, 1e-9)
	}
}

func TestSpotIsCountedOnDemand(t *testing.T) {
	for name, pool := range map[string]plan.Resource{
		"gke": resource(t, typeGKEPool, "gpu", `{"nodeConfig":{"machineType":"g2-standard-4","spot":true},`+
			`"autoscaling":{"totalMinNodeCount":1,"totalMaxNodeCount":1}}`),
		"eks": eksGPU(t, "g6.xlarge", 1, 1, `,"capacityType":"SPOT"`),
		"aks": resource(t, "azure-native:containerservice/v20240901:AgentPool", "gpu",
			`{"vmSize":"Standard_NC24ads_A100_v4","minCount":1,"maxCount":1,"scaleSetPriority":"Spot"}`),
	} {
		e := Of([]plan.Resource{pool}, nil)
		require.Len(t, e.Items, 1, name)
		assert.True(t, e.Items[0].Spot, name)
		assert.Positive(t, e.Min, name)
	}
}

func TestUnknownPrices(t *testing.T) {
	t.Run("a machine type that the table does not have", func(t *testing.T) {
		pool := eksGPU(t, "p9.huge", 1, 2, "")
		e := Of([]plan.Resource{pool, resource(t, typeEKSCluster, "c", `{}`)}, nil)
		assert.Equal(t, []string{"p9.huge"}, e.Unknown)
		assert.False(t, e.Known())
		assert.InDelta(t, 0.1, e.Max, 1e-9, "what is known")
		assert.True(t, e.Items[0].GPU, "its image is for GPU machines")

		e = Of([]plan.Resource{pool}, Overrides{"p9.huge": 50})
		assert.True(t, e.Known())
		assert.InDelta(t, 100, e.Max, 1e-9)
	})
	t.Run("GPUs attached to a machine", func(t *testing.T) {
		pool := resource(t, typeGKEPool, "gpu",
			`{"nodeConfig":{"machineType":"n1-standard-4","guestAccelerators":[{"type":"nvidia-tesla-t4"}]},`+
				`"autoscaling":{"totalMinNodeCount":1,"totalMaxNodeCount":1}}`)
		assert.Equal(t, []string{"n1-standard-4"}, Of([]plan.Resource{pool}, nil).Unknown)
		assert.InDelta(t, 0.54, Of([]plan.Resource{pool}, Overrides{"n1-standard-4": 0.54}).Max, 1e-9)
	})
	t.Run("an alternative without a price", func(t *testing.T) {
		pool := resource(t, typeEKSPool, "gpu", `{"instanceTypes":["g6.xlarge","p9.huge"],"scalingConfig":{"minSize":1,"maxSize":1}}`)
		assert.Equal(t, []string{"p9.huge"}, Of([]plan.Resource{pool}, nil).Unknown)
	})
}

func TestOverridesWin(t *testing.T) {
	e := Of([]plan.Resource{eksGPU(t, "g6.xlarge", 1, 1, `,"capacityType":"SPOT"`)}, Overrides{"g6.xlarge": 0.3})
	assert.InDelta(t, 0.3, e.Min, 1e-9)
	assert.False(t, e.Items[0].Spot, "the price that was given is the spot price")
	assert.Empty(t, e.Items[0].Region)
}
