package cost

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// serverOn returns a server's Deployment and autoscaler; own is the label of its own pool, "" for the shared one.
func serverOn(t *testing.T, name, own string, low, high, gpus int) []plan.Resource {
	t.Helper()
	selector := ""
	if own != "" {
		selector = fmt.Sprintf(`"nodeSelector":{"vllm-autoscaling/pool":"%s"},`, own)
	}
	return []plan.Resource{
		resource(t, typeHPA, "autoscaler-"+name, fmt.Sprintf(`{"spec":{"minReplicas":%d,"maxReplicas":%d,"scaleTargetRef":{"name":"%s"}}}`, low, high, name)),
		resource(t, typeDeployment, "server-"+name, fmt.Sprintf(`{"metadata":{"name":"%s"},"spec":{"template":{"spec":{%s"containers":[`+
			`{"resources":{"limits":{"nvidia.com/gpu":"%d"}}}]}}}}`, name, selector, gpus)),
	}
}

// TestPoolsOfServers checks that each pool has the nodes of the replicas on it, on every cloud.
func TestPoolsOfServers(t *testing.T) {
	servers := append(serverOn(t, "small", "", 1, 4, 1), serverOn(t, "other", "", 1, 2, 1)...)
	servers = append(servers, serverOn(t, "big", "big", 2, 3, 1)...)
	for cloud, pools := range map[string][]plan.Resource{
		"gke": {
			resource(t, typeGKEPool, "gpu", `{"nodeConfig":{"machineType":"g2-standard-4"},"autoscaling":{"totalMinNodeCount":0,"totalMaxNodeCount":9}}`),
			resource(t, typeGKEPool, "gpu-big", `{"nodeConfig":{"machineType":"a2-highgpu-1g","labels":{"vllm-autoscaling/pool":"big"}},`+
				`"autoscaling":{"totalMinNodeCount":0,"totalMaxNodeCount":8}}`),
		},
		"eks": {
			eksGPU(t, "g6.xlarge", 0, 9, `,"tags":{"vllm-autoscaling.pool":"gpu"}`),
			eksGPU(t, "g6e.xlarge", 0, 8, `,"tags":{"vllm-autoscaling.pool":"gpu-big"},"labels":{"vllm-autoscaling/pool":"big"}`),
			eksGPU(t, "g6e.xlarge", 0, 8, `,"tags":{"vllm-autoscaling.pool":"gpu-big"},"labels":{"vllm-autoscaling/pool":"big"}`),
		},
		"aks": {
			resource(t, "azure-native:containerservice/v20240901:AgentPool", "gpu", `{"vmSize":"Standard_NC24ads_A100_v4","minCount":0,"maxCount":9}`),
			resource(t, "azure-native:containerservice/v20240901:AgentPool", "gpu-big",
				`{"vmSize":"Standard_NC24ads_A100_v4","minCount":0,"maxCount":8,"nodeLabels":{"vllm-autoscaling/pool":"big"}}`),
		},
	} {
		t.Run(cloud, func(t *testing.T) {
			e := Of(append(pools, servers...), nil)
			require.Len(t, e.Items, 2)
			shared, own := e.Items[0], e.Items[1]
			assert.Equal(t, []int{2, 6, 9}, []int{shared.Min, shared.Max, shared.Limit}, "the replicas of both servers")
			assert.Equal(t, []int{2, 3, 8}, []int{own.Min, own.Max, own.Limit})
			assert.Equal(t, []int{4, 9}, []int{e.MinReplicas, e.MaxReplicas})
			assert.InDelta(t, shared.Each*9+own.Each*8, e.GPULimit, 1e-9, "all pools count")
			assert.Positive(t, own.Each)
		})
	}
}

// TestASharedPoolThatNothingIsOn checks that a pool has its least number of nodes where every server has one of its own.
func TestASharedPoolThatNothingIsOn(t *testing.T) {
	e := Of(append(serverOn(t, "big", "big", 1, 3, 1), eksGPU(t, "g6.xlarge", 1, 9, "")), nil)
	require.Len(t, e.Items, 1)
	assert.Equal(t, []int{1, 1, 9}, []int{e.Items[0].Min, e.Items[0].Max, e.Items[0].Limit})
}

// TestReplicasOfSeveralSizes checks a pool on which servers request different numbers of GPUs.
func TestReplicasOfSeveralSizes(t *testing.T) {
	e := Of(append(append(serverOn(t, "one", "", 1, 5, 1), serverOn(t, "two", "", 1, 3, 2)...), eksGPU(t, "g6.12xlarge", 0, 9, "")), nil)
	require.Len(t, e.Items, 1)
	assert.Equal(t, []int{2, 4}, []int{e.Items[0].Min, e.Items[0].Max}, "two nodes for five of one GPU, two for three of two")
}

// spareOf returns the Deployment of a server's spare nodes.
func spareOf(t *testing.T, name, own string, nodes int) plan.Resource {
	t.Helper()
	return resource(t, typeDeployment, name+"-spare", fmt.Sprintf(`{"metadata":{"name":"%s-spare","labels":{"app.kubernetes.io/component":"spare-node"}},`+
		`"spec":{"replicas":%d,"template":{"spec":{"nodeSelector":{"vllm-autoscaling/pool":"%s"},"containers":[{"resources":{"limits":{"nvidia.com/gpu":"4"}}}]}}}}`,
		name, nodes, own))
}

// TestSpareNodesCost checks that each spare node is a node more of its pool, within the pool's limit.
func TestSpareNodesCost(t *testing.T) {
	pools := []plan.Resource{
		eksGPU(t, "g6.12xlarge", 0, 4, `,"tags":{"vllm-autoscaling.pool":"gpu"}`),
		eksGPU(t, "g6e.xlarge", 3, 8, `,"tags":{"vllm-autoscaling.pool":"gpu-big"},"labels":{"vllm-autoscaling/pool":"big"}`),
	}
	all := append(pools, serverOn(t, "chat", "", 2, 12, 1)...)
	all = append(append(all, serverOn(t, "code", "", 1, 2, 1)...), serverOn(t, "big", "big", 1, 3, 1)...)
	all = append(all, spareOf(t, "chat", "", 1), spareOf(t, "code", "", 2), spareOf(t, "big", "big", 1))
	e := Of(all, nil)
	require.Len(t, e.Items, 2)
	shared, own := e.Items[0], e.Items[1]
	assert.Equal(t, []int{4, 4, 4}, []int{shared.Min, shared.Max, shared.Limit}, "a node for three replicas and three spare ones; all of the pool at the most")
	assert.Equal(t, []int{3, 4, 8}, []int{own.Min, own.Max, own.Limit}, "the pool's minimum holds the replica and the spare node")
	assert.Equal(t, []int{4, 17}, []int{e.MinReplicas, e.MaxReplicas}, "a spare node is no replica")
	assert.InDelta(t, shared.Each*4+own.Each*3, e.Min, 1e-9)
}
