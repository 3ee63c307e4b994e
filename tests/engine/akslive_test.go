package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const aksClusterID = "/providers/Microsoft.ContainerService/managedClusters/vllm-autoscaling-aks"

// aksCluster returns the inputs that the cluster of stack aks got last.
func (s *cloudStack) aksInputs(t *testing.T, suffix string) map[string]any {
	t.Helper()
	for id, inputs := range s.cloud.inputs {
		if strings.HasSuffix(string(id), aksClusterID+suffix) {
			return inputs.Mappable()
		}
	}
	t.Fatalf("nothing with %s", suffix)
	return nil
}

// TestAKSNumbersOfNodes checks that the node autoscaler's numbers of nodes are no change, and that an update sends those, also
// with a state that was not refreshed.
func TestAKSNumbersOfNodes(t *testing.T) {
	s := newCloudStack(t, "aks", nil)
	s.deploy()
	pool := text(s.find("AgentPool", "cluster-gpu").Inputs, "agentPoolName")
	s.cloud.scaled = map[string]int{"system": 2, pool: 3}
	assert.Empty(t, s.preview().planned())

	s.set("nodePools.gpu.maxNodes", 6)
	assert.Equal(t, []string{"update AgentPool cluster-gpu"}, s.preview().planned())
	s.deploy()
	assert.EqualValues(t, 3, s.aksInputs(t, "/agentPools/"+pool)["count"])

	s.set("cluster.apiAccessCidrs", []any{"1.2.3.0/24"})
	s.deploy()
	profiles := s.aksInputs(t, "")["agentPoolProfiles"].([]any)
	require.Len(t, profiles, 1, "the GPU pool is not sent with the cluster")
	assert.EqualValues(t, 2, profiles[0].(map[string]any)["count"])
	assert.Empty(t, s.preview().planned())
}

// TestAKSAfterARefresh checks a state into which a refresh has copied the list of all pools, by name: the GPU pool is the
// first of them, and in the place of the system pool.
func TestAKSAfterARefresh(t *testing.T) {
	s := newCloudStack(t, "aks", map[string]any{"aks.gpuPoolName": "gpus"})
	s.deploy()
	cluster, pool := s.find("ManagedCluster", "cluster"), s.find("AgentPool", "cluster-gpu")
	name := text(pool.Inputs, "agentPoolName")
	s.cloud.scaled = map[string]int{"system": 2, name: 3}
	gpu := pool.Inputs.Copy()
	gpu["name"], gpu["count"] = resource.NewProperty(name), resource.NewProperty(3.0)
	system := cluster.Inputs["agentPoolProfiles"].ArrayValue()[0].ObjectValue().Copy()
	system["count"] = resource.NewProperty(2.0)
	cluster.Inputs["agentPoolProfiles"] = resource.NewProperty([]resource.PropertyValue{resource.NewProperty(gpu), resource.NewProperty(system)})
	pool.Inputs["count"] = resource.NewProperty(3.0)
	assert.Empty(t, s.preview().planned(), "no drift")

	s.set("aks.tier", "Standard")
	assert.Equal(t, []string{"update ManagedCluster cluster"}, s.preview().planned(), "no new cluster")
	s.deploy()
	profiles := s.aksInputs(t, "")["agentPoolProfiles"].([]any)
	require.Len(t, profiles, 1)
	assert.Equal(t, "system", profiles[0].(map[string]any)["name"])
	assert.EqualValues(t, 2, profiles[0].(map[string]any)["count"])
}

// TestAKSReplacesALockedGPUPool checks that the lock is gone when the old pool is deleted, which is last, and that the next up
// sets it again.
func TestAKSReplacesALockedGPUPool(t *testing.T) {
	s := newCloudStack(t, "aks", map[string]any{"cluster.deletionProtection": true})
	s.deploy()
	s.cloud.deleted = nil
	s.set("nodePools.gpu.diskGiB", 256)
	s.deploy()
	lock, pool := slices.Index(s.cloud.deleted, "ManagementLockByScope cluster"), slices.Index(s.cloud.deleted, "AgentPool cluster-gpu")
	assert.True(t, 0 <= lock && lock < pool, "%v", s.cloud.deleted)
	assert.Contains(t, s.said.String(), "run `pulumi up` once more to set it again")

	assert.Equal(t, []string{"create ManagementLockByScope cluster"}, s.preview().planned())
	s.deploy()
	assert.Empty(t, s.preview().planned())
}
