package cloud

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// readByAzure returns the inputs of a resource after a refresh by azure-native, whose state was made of earlier outputs.
func readByAzure(t *testing.T, c *Cloud, token string, r *Resource, inputs, state map[string]any) object {
	t.Helper()
	p := newProvider(t, c, "azure-native", nil)
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(token), Id: r.ID, Inputs: properties(t, inputs), Properties: properties(t, state)})
	require.NoError(t, err)
	refreshed, err := unmarshal(read.GetInputs())
	require.NoError(t, err)
	return known(refreshed)
}

// outputsOf returns the outputs that a creation or an update puts into the state.
func outputsOf(t *testing.T, c *Cloud, r *Resource) map[string]any {
	t.Helper()
	p := newProvider(t, c, "azure-native", nil)
	outputs, err := p.outputs(r, resource.PropertyMap{})
	require.NoError(t, err)
	all, err := unmarshal(outputs)
	require.NoError(t, err)
	return known(all)
}

// TestAzureListsPoolsByName checks the order of an AKS cluster's pools, and that a refresh takes them over by their places.
func TestAzureListsPoolsByName(t *testing.T) {
	for pool, want := range map[string][]string{"gpu": {"gpu", "system"}, "vllm": {"system", "vllm"}} {
		t.Run(pool, func(t *testing.T) {
			c, _ := newTestCloud(t)
			aksScene(t, c)
			cluster := c.Find(AKSCluster, "name", "c")
			state := outputsOf(t, c, cluster)
			assert.Equal(t, aksInputs, map[string]any(readByAzure(t, c, AKSCluster, cluster, aksInputs, state)), "nothing has changed")

			mustMake(t, c, AKSAgentPool, with(agentPool, map[string]any{"agentPoolName": pool}))
			var names []string
			for _, profile := range readByAzure(t, c, AKSCluster, cluster, aksInputs, state).objects("agentPoolProfiles") {
				names = append(names, profile.text("name"))
			}
			assert.Equal(t, want, names)
		})
	}
}

// TestRefreshFindsTheNumberOfNodes checks that the node autoscaler's number of nodes is in the state after a refresh only.
func TestRefreshFindsTheNumberOfNodes(t *testing.T) {
	c, _ := newTestCloud(t)
	aksScene(t, c)
	pool := mustMake(t, c, AKSAgentPool, agentPool)
	state := outputsOf(t, c, pool)
	c.mu.Lock()
	c.pools[pool.ID].desired = 2
	c.mu.Unlock()
	assert.EqualValues(t, 1, state["count"])
	assert.Equal(t, 2, readByAzure(t, c, AKSAgentPool, pool, agentPool, state).number("count"))
}

// TestAzureTakesTheNumberOfNodesLiterally checks that an update with an old number removes nodes, also those of the pool inside
// of the cluster, and leaves other pools alone.
func TestAzureTakesTheNumberOfNodesLiterally(t *testing.T) {
	c, _ := newTestCloud(t)
	aksScene(t, c)
	pool := mustMake(t, c, AKSAgentPool, with(agentPool, map[string]any{"maxCount": 4.0}))
	cluster := c.Find(AKSCluster, "name", "c")
	system := cluster.ID + "/agentPools/system"
	desired := func(id string) int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.pools[id].desired
	}
	c.mu.Lock()
	c.pools[pool.ID].desired, c.pools[system].desired = 4, 2
	c.mu.Unlock()
	update := func(token string, r *Resource, inputs map[string]any) error {
		_, err := newProvider(t, c, "azure-native", nil).Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(token), Id: r.ID, News: properties(t, inputs)})
		return err
	}
	require.NoError(t, update(AKSAgentPool, pool, with(agentPool, map[string]any{"maxCount": 6.0, "count": 3.0})))
	assert.Equal(t, 3, desired(pool.ID))
	require.NoError(t, update(AKSAgentPool, pool, with(agentPool, map[string]any{"count": 0.0})))
	assert.Zero(t, desired(pool.ID), "to no node as well")
	require.NoError(t, update(AKSCluster, cluster, with(aksInputs, map[string]any{"tags": map[string]any{"a": "b"}})))
	assert.Equal(t, 1, desired(system))
	assert.Zero(t, desired(pool.ID))

	added := map[string]any{"agentPoolProfiles": append(slices.Clone(object(aksInputs).list("agentPoolProfiles")),
		map[string]any{"name": "more", "mode": "User", "vmSize": "Standard_D4s_v5", "count": 1.0})}
	require.ErrorContains(t, update(AKSCluster, cluster, with(aksInputs, added)), "A new agent pool was introduced")
}

// budget has a fake API server refuse the eviction of a pod as long as allowed is false.
func budget(client *fake.Clientset, allowed func() bool) {
	client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		if !allowed() {
			return true, nil, apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		}
		eviction := action.(clienttesting.CreateAction).GetObject().(metav1.Object)
		return true, nil, client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), eviction.GetNamespace(), eviction.GetName())
	})
}

// TestDeletedPoolsEvict checks that a pool is drained by evictions, and what happens when a budget allows none: AKS fails,
// GKE and EKS end the pods.
func TestDeletedPoolsEvict(t *testing.T) {
	for name, test := range map[string]struct {
		make           func(t *testing.T, c *Cloud) *Resource
		allowed, fails bool
	}{
		"AKS":               {make: aksGPUPool, allowed: true},
		"AKS with a budget": {make: aksGPUPool, fails: true},
		"GKE with a budget": {make: gkeGPUPool},
	} {
		t.Run(name, func(t *testing.T) {
			c, plane := newTestCloud(t)
			c.options.DrainPatience = 300 * time.Millisecond
			var evicted bool
			budget(plane.client.(*fake.Clientset), func() bool { evicted = true; return test.allowed })
			pool := test.make(t, c)
			node := c.Nodes(poolNameOf(pool))
			require.Len(t, node, 1)
			podOn(t, plane, node[0])
			err := c.Remove(pool.Token, pool.ID)
			assert.True(t, evicted)
			if !test.fails {
				require.NoError(t, err)
				assert.NotContains(t, c.Pools(), poolNameOf(pool))
				return
			}
			require.ErrorContains(t, err, "PodDisruptionBudget")
			assert.Len(t, c.Nodes(poolNameOf(pool)), 1)
			require.NoError(t, c.Remove(AzureResourceGroup, c.Find(AzureResourceGroup, "name", "g").ID), "a cluster that goes evicts nobody")
			assert.Empty(t, c.Pools())
		})
	}
}

func poolNameOf(r *Resource) string { return object(r.Outputs).text("name") }

func aksGPUPool(t *testing.T, c *Cloud) *Resource {
	t.Helper()
	aksScene(t, c)
	return mustMake(t, c, AKSAgentPool, agentPool)
}

func gkeGPUPool(t *testing.T, c *Cloud) *Resource {
	t.Helper()
	gkeScene(t, c)
	return mustMake(t, c, GKENodePool, gkePoolOf("gpu", map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT")}))
}

func podOn(t *testing.T, plane *fakeControlPlane, node string) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: fmt.Sprintf("on-%s", node)}, Spec: corev1.PodSpec{NodeName: node}}
	_, err := plane.client.CoreV1().Pods("vllm").Create(context.Background(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
}

// TestMaintenanceWindows checks what Azure refuses of a cluster's windows.
func TestMaintenanceWindows(t *testing.T) {
	c, _ := newTestCloud(t)
	aksScene(t, c)
	window := func(name string, hours float64) map[string]any {
		return map[string]any{"resourceGroupName": "g", "resourceName": "c", "configName": name, "maintenanceWindow": map[string]any{
			"schedule":  map[string]any{"weekly": map[string]any{"dayOfWeek": "Saturday", "intervalWeeks": 1.0}},
			"startTime": "02:00", "durationHours": hours}}
	}
	_, err := c.Make(aksMaintenance, settings, window("weekends", 4))
	require.ErrorContains(t, err, "is none of default, aksManagedAutoUpgradeSchedule")
	_, err = c.Make(aksMaintenance, settings, window("aksManagedAutoUpgradeSchedule", 2))
	require.ErrorContains(t, err, "between 4 and 24")
	mustMake(t, c, aksMaintenance, window("aksManagedAutoUpgradeSchedule", 4))
	require.NoError(t, c.Remove(AKSCluster, c.Find(AKSCluster, "name", "c").ID))
	assert.Len(t, c.Resources(), 1, "it goes with the cluster")
}
