package aks

import (
	"maps"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

const theirSubnet = "/subscriptions/0/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/theirs"

// theirs is a cluster as Azure describes it, with changes.
func theirs(changes map[string]any) resource.PropertyMap {
	cluster := map[string]any{
		"id": idOfCluster, "name": "serving", "location": "eastus",
		"powerState": map[string]any{"code": "Running"}, "provisioningState": "Succeeded",
		"sku": map[string]any{"name": "Base", "tier": "Free"},
		"agentPoolProfiles": []any{
			map[string]any{"name": "apps", "mode": "User", "vmSize": "Standard_D8s_v5"},
			map[string]any{"name": "nodepool1", "mode": "System", "vmSize": "Standard_D4s_v5", "vnetSubnetID": theirSubnet},
		},
	}
	maps.Copy(cluster, changes)
	return resource.NewPropertyMapFromMap(cluster)
}

func pools(pools ...map[string]any) map[string]any {
	var list []any
	for _, pool := range pools {
		list = append(list, pool)
	}
	return map[string]any{"agentPoolProfiles": list}
}

func gpuPoolOf(name, size string, labels map[string]any, taints ...any) map[string]any {
	return map[string]any{"name": name, "mode": "User", "vmSize": size, "nodeLabels": labels, "nodeTaints": taints}
}

var gpuLabels = map[string]any{"nvidia.com/gpu.present": "true"}

func TestAttachAddsAPool(t *testing.T) {
	r := &recorder{existing: theirs(nil)}
	cluster, err := r.run(attachArgs())
	require.NoError(t, err)
	assert.Equal(t, []string{poolToken + " aks-gpu", azureToken + " aks-azure", kubeToken + " aks-kubernetes", componentType + " aks"}, r.Names())
	pool := r.One(t, poolToken)
	assert.Equal(t, "theirs", pool.Field("resourceGroupName"))
	assert.Equal(t, "serving", pool.Field("resourceName"))
	assert.Equal(t, theirSubnet, pool.Field("vnetSubnetID"), "all pools have to be in one network")
	assert.Equal(t, "serving", cluster.Name)
	assert.Len(t, cluster.Ready, 1)
	assert.Equal(t, []string{lookUp, adminListing}, r.Called())
	assert.Equal(t, strings.ToLower(idOfCluster), r.One(t, kubeToken).Field("clusterIdentifier"))
	assert.True(t, r.One(t, kubeToken).DependsOn(poolToken, "aks-gpu"))
}

// A pool of a cluster whose pods have a subnet is refused without one.
func TestAttachToAClusterWithAPodSubnet(t *testing.T) {
	podSubnet := strings.Replace(theirSubnet, "theirs", "pods", 1)
	r := &recorder{existing: theirs(pools(
		map[string]any{"name": "nodepool1", "mode": "System", "vmSize": "Standard_D4s_v5", "vnetSubnetID": theirSubnet, "podSubnetID": podSubnet},
	))}
	_, err := r.run(attachArgs())
	require.NoError(t, err)
	assert.Equal(t, theirSubnet, r.One(t, poolToken).Field("vnetSubnetID"))
	assert.Equal(t, podSubnet, r.One(t, poolToken).Field("podSubnetID"))
}

func TestAttachToGPUNodes(t *testing.T) {
	args := attachArgs()
	args.GPUPool, args.DevicePluginInstalled = nil, true
	r := &recorder{existing: theirs(pools(
		gpuPoolOf("old", "Standard_NC24ads_A100_v4", nil),
		gpuPoolOf("gpu", "Standard_NC24ads_A100_v4", gpuLabels, "sku=gpu:NoSchedule", "nvidia.com/gpu=present:NoSchedule"),
		gpuPoolOf("spot", "Standard_NC24ads_A100_v4", gpuLabels, "sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"),
	))}
	cluster, err := r.run(args)
	require.NoError(t, err)
	assert.Equal(t, []string{azureToken + " aks-azure", kubeToken + " aks-kubernetes", componentType + " aks"}, r.Names(), "nothing is created in Azure")
	assert.Equal(t, []providers.Toleration{
		{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
		{Key: "sku", Operator: "Equal", Value: "gpu", Effect: "NoSchedule"},
		{Key: "kubernetes.azure.com/scalesetpriority", Operator: "Equal", Value: "spot", Effect: "NoSchedule"},
	}, cluster.GPU.Tolerations, "whatever taint the pools have")
	assert.False(t, cluster.InstallDevicePlugin)
	assert.Empty(t, cluster.Ready)
}

func TestAttachWithEntra(t *testing.T) {
	args := attachArgs()
	args.Entra = Entra{Enabled: true}
	r := &recorder{existing: theirs(map[string]any{"aadProfile": map[string]any{"managed": true}, "disableLocalAccounts": true})}
	_, err := r.run(args)
	require.NoError(t, err)
	assert.Equal(t, []string{lookUp, userListing}, r.Called())
}

func TestAttachRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Args)
		theirs map[string]any
		want   []string
	}{
		"Automatic": {nil, map[string]any{"sku": map[string]any{"name": "Automatic"}},
			[]string{"AKS Automatic", "SKU Base"}},
		"stopped": {nil, map[string]any{"powerState": map[string]any{"code": "Stopped"}},
			[]string{"`az aks start --resource-group theirs --name serving`"}},
		"failed": {nil, map[string]any{"provisioningState": "Failed"},
			[]string{"Failed", "`az aks update --resource-group theirs --name serving`"}},
		"no Entra": {func(a *Args) { a.Entra = Entra{Enabled: true} }, nil,
			[]string{"remove aks.entra", "--enable-aad"}},
		"no local accounts": {nil, map[string]any{"disableLocalAccounts": true, "aadProfile": map[string]any{"managed": true}},
			[]string{"set aks.entra", "--enable-local-accounts"}},
		"no GPU pool": {func(a *Args) { a.GPUPool = nil }, nil,
			[]string{"no GPU pool with the label nvidia.com/gpu.present=true", "set nodePools.gpu"}},
		"no label": {func(a *Args) { a.GPUPool = nil }, pools(gpuPoolOf("gpu", "Standard_NC24ads_A100_v4", nil)),
			[]string{"GPU pool gpu lacks the label", "`az aks nodepool update --resource-group theirs --cluster-name serving --name gpu " +
				"--labels nvidia.com/gpu.present=true`"}},
		"too few GPUs": {func(a *Args) { a.GPUPool, a.GPUsPerReplica = nil, 2 }, pools(gpuPoolOf("gpu", "Standard_NC24ads_A100_v4", gpuLabels)),
			[]string{"gpu.perReplica 2: gpu (1)"}},
		"everything at once": {func(a *Args) { a.GPUPool = nil }, map[string]any{"powerState": map[string]any{"code": "Stopped"}, "disableLocalAccounts": true},
			[]string{"az aks start", "set aks.entra", "set nodePools.gpu"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := attachArgs()
			if test.change != nil {
				test.change(args)
			}
			r := &recorder{existing: theirs(test.theirs)}
			_, err := r.run(args)
			require.Error(t, err)
			for _, want := range append(test.want, `existing cluster "serving"`) {
				assert.ErrorContains(t, err, want)
			}
			assert.Equal(t, []string{azureToken + " aks-azure", componentType + " aks"}, r.Names(), "nothing is registered in the cloud")
		})
	}
}

func TestAttachToNothing(t *testing.T) {
	_, err := (&recorder{}).run(attachArgs())
	require.ErrorContains(t, err, `looking up the existing cluster "serving" in resource group "theirs"`)
	assert.ErrorContains(t, err, "ResourceNotFound")
}
