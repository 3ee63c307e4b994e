package aks

import (
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/internals"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

func TestCreatesEverythingThatAClusterNeeds(t *testing.T) {
	args := validArgs()
	r, _ := provision(t, args)
	assert.Equal(t, []string{
		poolToken + " aks-gpu", clusterToken + " aks", groupToken + " aks",
		azureToken + " aks-azure", kubeToken + " aks-kubernetes", componentType + " aks",
	}, r.Names())

	args.DeletionProtection = true
	args.ResourceGroup = "given"
	r, _ = provision(t, args)
	assert.Equal(t, []string{
		lockToken + " aks", poolToken + " aks-gpu", clusterToken + " aks",
		azureToken + " aks-azure", kubeToken + " aks-kubernetes", componentType + " aks",
	}, r.Names(), "a given resource group is not created")
	assert.Equal(t, "given", r.One(t, clusterToken).Field("resourceGroupName"))
	assert.Equal(t, "given", r.One(t, poolToken).Field("resourceGroupName"))
}

// Default providers are disabled in every stack, and a resource outside the component would be
// missing from its part of a preview.
func TestEveryResourceHasParentAndProvider(t *testing.T) {
	args := validArgs()
	args.DeletionProtection = true
	r, _ := provision(t, args)
	for _, one := range r.Registered {
		if one.Type == componentType {
			continue
		}
		assert.True(t, strings.HasSuffix(one.Args.RegisterRPC.GetParent(), componentType+"::aks"), "parent of %s %s: %s",
			one.Type, one.Name, one.Args.RegisterRPC.GetParent())
		if !strings.HasPrefix(one.Type, "pulumi:providers:") {
			assert.Contains(t, one.Args.RegisterRPC.GetProvider(), azureToken+"::aks-azure", "provider of %s %s", one.Type, one.Name)
		}
	}
	for _, call := range r.Calls {
		assert.Contains(t, call.Provider, azureToken+"::aks-azure", "provider of %s", call.Token)
	}
}

func TestAzureProvider(t *testing.T) {
	args := validArgs()
	r, _ := provision(t, args)
	assert.Nil(t, r.One(t, azureToken).Field("subscriptionId"), "left to the environment")

	args.SubscriptionID, args.TenantID = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
	r, _ = provision(t, args)
	assert.Equal(t, args.SubscriptionID, r.One(t, azureToken).Field("subscriptionId"))
	assert.Equal(t, args.TenantID, r.One(t, azureToken).Field("tenantId"))
}

func TestClusterInputs(t *testing.T) {
	args := validArgs()
	args.KubernetesVersion = "1.35"
	args.NodeResourceGroup = "serving-nodes"
	args.IdleTime = 5 * time.Minute
	args.EncryptionAtHost = true
	args.SystemPool.Zones = []string{"1", "2"}
	args.Tags = map[string]string{"team": "ml"}
	r, _ := provision(t, args)
	assert.Equal(t, "serving-rg", r.One(t, groupToken).Field("resourceGroupName"))
	cluster := r.One(t, clusterToken)
	for path, want := range map[string]any{
		"resourceGroupName":    "serving-rg",
		"resourceName":         "serving",
		"location":             "eastus",
		"dnsPrefix":            "serving",
		"kubernetesVersion":    "1.35",
		"nodeResourceGroup":    "serving-nodes",
		"tags.team":            "ml",
		"sku":                  map[string]any{"name": "Base", "tier": "Free"},
		"identity.type":        "SystemAssigned",
		"enableRBAC":           true,
		"aadProfile":           nil,
		"disableLocalAccounts": false,
		"apiServerAccessProfile.authorizedIPRanges":             []any{"1.2.3.4/32"},
		"oidcIssuerProfile.enabled":                             true,
		"securityProfile.workloadIdentity.enabled":              true,
		"autoUpgradeProfile.upgradeChannel":                     "patch",
		"autoUpgradeProfile.nodeOSUpgradeChannel":               "NodeImage",
		"autoScalerProfile.scaleDownUnneededTime":               "5m",
		"autoScalerProfile.maxNodeProvisionTime":                "30m",
		"networkProfile.networkPlugin":                          "azure",
		"networkProfile.networkPluginMode":                      "overlay",
		"networkProfile.networkDataplane":                       "cilium",
		"networkProfile.networkPolicy":                          "cilium",
		"networkProfile.outboundType":                           "loadBalancer",
		"networkProfile.podCidr":                                "10.244.0.0/16",
		"networkProfile.serviceCidr":                            "10.0.0.0/16",
		"networkProfile.dnsServiceIP":                           "10.0.0.10",
		"agentPoolProfiles[0].name":                             "system",
		"agentPoolProfiles[0].mode":                             "System",
		"agentPoolProfiles[0].type":                             "VirtualMachineScaleSets",
		"agentPoolProfiles[0].vmSize":                           "Standard_D4s_v5",
		"agentPoolProfiles[0].count":                            1.0,
		"agentPoolProfiles[0].minCount":                         1.0,
		"agentPoolProfiles[0].maxCount":                         3.0,
		"agentPoolProfiles[0].enableAutoScaling":                true,
		"agentPoolProfiles[0].osDiskSizeGB":                     64.0,
		"agentPoolProfiles[0].enableEncryptionAtHost":           true,
		"agentPoolProfiles[0].enableNodePublicIP":               false,
		"agentPoolProfiles[0].availabilityZones":                []any{"1", "2"},
		"agentPoolProfiles[0].vnetSubnetID":                     nil,
		"agentPoolProfiles[0].nodeTaints":                       nil, // CriticalAddonsOnly would keep monitoring out.
		"agentPoolProfiles[1]":                                  nil, // The GPU pool is a resource of its own.
		"apiServerAccessProfile.enablePrivateCluster":           false,
		"apiServerAccessProfile.enablePrivateClusterPublicFQDN": nil,
	} {
		assert.Equal(t, want, cluster.Field(path), path)
	}
}

func TestClusterVariants(t *testing.T) {
	subnet := "/subscriptions/0/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/vnet/subnets/nodes"
	identity := "/subscriptions/0/resourceGroups/net/providers/Microsoft.ManagedIdentity/userAssignedIdentities/aks"
	group := "00000000-0000-0000-0000-00000000000a"
	for name, test := range map[string]struct {
		change func(*Args)
		want   map[string]any
	}{
		"open": {func(a *Args) { a.APIAccessCIDRs = []string{"0.0.0.0/0"} }, map[string]any{
			"apiServerAccessProfile.authorizedIPRanges": []any{}}},
		"private": {func(a *Args) { a.APIAccessCIDRs, a.PrivateCluster = nil, true }, map[string]any{
			"apiServerAccessProfile": map[string]any{"enablePrivateCluster": true}}},
		"own identity": {func(a *Args) { a.UserAssignedIdentityID = identity }, map[string]any{
			"identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": []any{identity}}}},
		"own subnet": {func(a *Args) { a.VnetSubnetID, a.OutboundType = subnet, "userDefinedRouting" }, map[string]any{
			"agentPoolProfiles[0].vnetSubnetID": subnet, "networkProfile.outboundType": "userDefinedRouting"}},
		"calico": {func(a *Args) { a.NetworkPolicy = "calico" }, map[string]any{
			"networkProfile.networkPolicy": "calico", "networkProfile.networkDataplane": "azure"}},
		"own ranges": {func(a *Args) { a.ServiceCIDR = "172.20.0.0/16" }, map[string]any{
			"networkProfile.serviceCidr": "172.20.0.0/16", "networkProfile.dnsServiceIP": "172.20.0.10"}},
		"hardened": {func(a *Args) {
			a.Entra = Entra{Enabled: true, EnableAzureRBAC: true, AdminGroupObjectIDs: []string{group}, DisableLocalAccounts: true}
		}, map[string]any{
			"aadProfile":           map[string]any{"managed": true, "enableAzureRBAC": true, "adminGroupObjectIDs": []any{group}},
			"disableLocalAccounts": true}},
		"production": {func(a *Args) {
			a.Tier, a.UpgradeChannel, a.NodeOSUpgradeChannel = TierStandard, "stable", "SecurityPatch"
		}, map[string]any{
			"sku.tier": "Standard", "autoUpgradeProfile": map[string]any{"upgradeChannel": "stable", "nodeOSUpgradeChannel": "SecurityPatch"}}},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			test.change(args)
			r, _ := provision(t, args)
			for path, want := range test.want {
				assert.Equal(t, want, r.One(t, clusterToken).Field(path), path)
			}
			assert.Equal(t, args.VnetSubnetID, valueOf(r.One(t, poolToken).Field("vnetSubnetID")), "both pools in one network")
		})
	}
}

func valueOf(field any) string {
	text, _ := field.(string)
	return text
}

func TestGPUPoolInputs(t *testing.T) {
	args := validArgs()
	args.GPUPool.Zones = []string{"3"}
	args.EncryptionAtHost = true
	r, _ := provision(t, args)
	pool := r.One(t, poolToken)
	for path, want := range map[string]any{
		"resourceGroupName":      "serving-rg",
		"resourceName":           "serving",
		"mode":                   "User",
		"vmSize":                 "Standard_NC24ads_A100_v4",
		"enableAutoScaling":      true,
		"count":                  0.0,
		"minCount":               0.0,
		"maxCount":               5.0,
		"scaleDownMode":          "Delete",
		"osDiskSizeGB":           128.0,
		"enableEncryptionAtHost": true,
		"enableNodePublicIP":     false,
		"availabilityZones":      []any{"3"},
		"nodeLabels":             map[string]any{"nvidia.com/gpu.present": "true"},
		"nodeTaints":             []any{"nvidia.com/gpu=present:NoSchedule"},
		"scaleSetPriority":       "Regular",
		"scaleSetEvictionPolicy": nil,
		"spotMaxPrice":           nil,
	} {
		assert.Equal(t, want, pool.Field(path), path)
	}
	assert.Regexp(t, "^vllm[0-9a-f]{4}$", pool.Field("agentPoolName"))
}

func TestSpotPool(t *testing.T) {
	args := validArgs()
	args.GPUPool.Spot = true
	args.GPUPool.MinNodes = 1
	r, cluster := provision(t, args)
	pool := r.One(t, poolToken)
	for path, want := range map[string]any{
		"count": 1.0,
		"nodeLabels": map[string]any{
			"nvidia.com/gpu.present": "true", "kubernetes.azure.com/scalesetpriority": "spot"},
		"nodeTaints": []any{
			"nvidia.com/gpu=present:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"},
		"scaleSetPriority":       "Spot",
		"scaleSetEvictionPolicy": "Delete",
		"spotMaxPrice":           -1.0,
	} {
		assert.Equal(t, want, pool.Field(path), path)
	}
	assert.Equal(t, []providers.Toleration{
		{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
		{Key: "kubernetes.azure.com/scalesetpriority", Operator: "Equal", Value: "spot", Effect: "NoSchedule"},
	}, cluster.GPU.Tolerations, "both taints of the pool are tolerated")
}

func TestResourceOptions(t *testing.T) {
	for _, protected := range []bool{false, true} {
		args := validArgs()
		args.DeletionProtection = protected
		r, _ := provision(t, args)
		cluster, pool, kube := r.One(t, clusterToken), r.One(t, poolToken), r.One(t, kubeToken)

		assert.Equal(t, protected, cluster.Args.RegisterRPC.GetProtect(), "the cluster is protected when asked for")
		assert.False(t, pool.Args.RegisterRPC.GetProtect())
		for _, one := range []providertest.Registration{cluster, pool} {
			assert.Empty(t, one.Args.RegisterRPC.GetIgnoreChanges(), "there is no cluster yet")
		}
		assert.Equal(t, []string{"dnsPrefix", "location", "nodeResourceGroup", "apiServerAccessProfile.enablePrivateCluster",
			"networkProfile.podCidr", "networkProfile.serviceCidr", "networkProfile.dnsServiceIP"},
			cluster.Args.RegisterRPC.GetReplaceOnChanges(), "and no list of pools, whose order is Azure's")
		assert.Empty(t, pool.Args.RegisterRPC.GetReplaceOnChanges(), "what replaces it is in its name")
		assert.True(t, cluster.Args.RegisterRPC.GetDeleteBeforeReplace(), "a name can only be had once")
		assert.False(t, pool.Args.RegisterRPC.GetDeleteBeforeReplace(), "evicted pods need the new pool")
		assert.True(t, pool.Args.RegisterRPC.GetDeleteBeforeReplaceDefined(), "against the default of Azure's provider")

		assert.True(t, cluster.PropertyDependsOn("resourceGroupName", groupToken, "aks"))
		assert.True(t, pool.PropertyDependsOn("resourceName", clusterToken, "aks"), "replaced with the cluster")
		assert.True(t, kube.DependsOn(clusterToken, "aks"), "the system pool outlives every object")
		assert.True(t, kube.DependsOn(poolToken, "aks-gpu"), "the GPU pool outlives every object")
		assert.True(t, kube.PropertyDependsOn("clusterIdentifier", clusterToken, "aks"))
	}
}

// The lock forbids the deletion of the cluster and of the pools below it, so it has to be gone
// before either of them is to go, on a destroy as well as for a replacement of the pool.
func TestLockComesLastAndGoesFirst(t *testing.T) {
	args := validArgs()
	args.DeletionProtection = true
	r, _ := provision(t, args)
	lock := r.One(t, lockToken)
	assert.Equal(t, idOfCluster, lock.Field("scope"))
	assert.Equal(t, "CanNotDelete", lock.Field("level"))
	assert.Equal(t, "serving-no-delete", lock.Field("lockName"))
	assert.True(t, lock.PropertyDependsOn("scope", clusterToken, "aks"))
	assert.True(t, lock.PropertyDependsOn("notes", poolToken, "aks-gpu"))
	assert.Equal(t, []string{"notes"}, lock.Args.RegisterRPC.GetReplaceOnChanges())
	assert.True(t, lock.Args.RegisterRPC.GetDeleteBeforeReplace())
	assert.False(t, lock.Args.RegisterRPC.GetProtect(), "switching the protection off has to remove it")
	for _, one := range r.Registered {
		assert.False(t, one.DependsOn(lockToken, "aks"), "%s would keep the lock in place until it is deleted", one.Type)
	}
}

func TestClusterForThePipeline(t *testing.T) {
	args := validArgs()
	args.GPUPool.MachineType = "Standard_NC48ads_A100_v4"
	args.GPUsPerReplica = 2
	args.StorageClass = "managed-csi-premium"
	_, cluster := provision(t, args)
	assert.Equal(t, "serving", cluster.Name)
	assert.Equal(t, providers.GPUScheduling{
		ResourceName: "nvidia.com/gpu", PerReplica: 2,
		NodeSelector: map[string]string{"nvidia.com/gpu.present": "true"},
		Tolerations:  []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}},
	}, cluster.GPU)
	assert.Equal(t, providers.DCGMChart, cluster.GPUMetrics.Source)
	assert.True(t, cluster.InstallDevicePlugin)
	assert.Equal(t, "managed-csi-premium", cluster.StorageClass)
	assert.False(t, cluster.ControlPlaneScrapes)
	assert.True(t, cluster.CoreDNSScrapes)
	assert.Empty(t, cluster.DevicePluginCapabilities)
	assert.Equal(t, 10250, cluster.AggregatedAPIPort)
	assert.Nil(t, cluster.NodeAutoscaler, "AKS runs one")
	assert.Len(t, cluster.Ready, 2, "the cluster with its system pool, and the GPU pool")
	assert.NotNil(t, cluster.Provider)
}

func TestHowPeopleReachTheCluster(t *testing.T) {
	_, cluster := provision(t, validArgs())
	assert.Equal(t, "kubectl --context serving", cluster.Kubectl)
	assert.Equal(t, "az aks get-credentials --resource-group serving-rg --name serving", cluster.Login)

	args := attachArgs()
	args.SubscriptionID = "00000000-0000-0000-0000-000000000001"
	args.Entra = Entra{Enabled: true}
	cluster, err := (&recorder{existing: theirs(map[string]any{"aadProfile": map[string]any{"managed": true}})}).run(args)
	require.NoError(t, err)
	assert.Equal(t, "az aks get-credentials --resource-group theirs --name serving --subscription "+args.SubscriptionID+
		" && kubelogin convert-kubeconfig --login azurecli", cluster.Login)
}

// The first preview must not ask for the credentials of a cluster that is not there yet. Mocks cannot
// carry an unknown secret, so that the output is looked at by itself.
func TestFirstPreviewKnowsNoCluster(t *testing.T) {
	r := &recorder{}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		unknown := pulumi.UnsafeUnknownOutput(nil).ApplyT(func(any) string { return "" }).(pulumi.StringOutput)
		b := &builder{ctx: ctx, name: "aks", args: validArgs().withDefaults(), component: &component{}}
		result, err := internals.UnsafeAwaitOutput(ctx.Context(), b.kubeconfig(&controlPlane{resourceGroup: unknown, name: unknown}))
		require.NoError(t, err)
		assert.False(t, result.Known)
		assert.True(t, result.Secret)
		return nil
	}, pulumi.WithMocks("vllm-autoscaling", "aks", r), func(info *pulumi.RunInfo) { info.DryRun = true })
	require.NoError(t, err)
	assert.Empty(t, r.Called())
}

// In the preview of an update, only ids of Azure's provider are known, no other outputs. The kubeconfig must still be known,
// because otherwise no object in the cluster could be compared.
func TestPreviewOfAnUpdateKnowsTheKubeconfig(t *testing.T) {
	r := &recorder{}
	_, err := r.run(validArgs(), func(info *pulumi.RunInfo) { info.DryRun = true })
	require.NoError(t, err)
	kube := r.One(t, kubeToken)
	assert.False(t, kube.Inputs["kubeconfig"].ContainsUnknowns())
	assert.Equal(t, strings.ToLower(idOfCluster), kube.Field("clusterIdentifier"))
	assert.Equal(t, true, kube.Field("enableConfigMapMutable"), "a changed dashboard is no new object")
}
