package aks

import (
	"maps"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/providertest"
)

// deployed returns what Azure tells of the cluster and the GPU pool that the arguments make, with numbers of nodes and
// changes of the cluster.
func deployed(t *testing.T, args *Args, systemNodes, gpuNodes float64, changes map[string]any) resource.PropertyMap {
	t.Helper()
	r, _ := provision(t, args)
	cluster := r.One(t, clusterToken).Plain()
	system := cluster["agentPoolProfiles"].([]any)[0].(map[string]any)
	gpu := r.One(t, poolToken).Plain()
	gpu["name"] = gpu["agentPoolName"]
	system["count"], gpu["count"] = systemNodes, gpuNodes
	// Azure lists them by name.
	list := []any{system, gpu}
	if gpu["name"].(string) < "system" {
		list = []any{gpu, system}
	}
	maps.Copy(cluster, map[string]any{"id": idOfCluster, "name": "serving", "agentPoolProfiles": list, "powerState": map[string]any{"code": "Running"}})
	maps.Copy(cluster, changes)
	return resource.NewPropertyMapFromMap(cluster)
}

// ignoring and replacing return the options of a resource.
func ignoring(r providertest.Registration) []string  { return r.Args.RegisterRPC.GetIgnoreChanges() }
func replacing(r providertest.Registration) []string { return r.Args.RegisterRPC.GetReplaceOnChanges() }

func TestNothingToUpdateIgnoresTheNumbersOfNodes(t *testing.T) {
	for _, name := range []string{"vllm", "gpus"} {
		args := validArgs()
		args.GPUPoolName = name
		r := &recorder{existing: deployed(t, args, 2, 4, nil)}
		_, err := r.run(args)
		require.NoError(t, err)
		assert.Equal(t, []string{"agentPoolProfiles", "kubernetesVersion"}, ignoring(r.One(t, clusterToken)))
		assert.Equal(t, []string{"count", "orchestratorVersion"}, ignoring(r.One(t, poolToken)))
	}
}

// An update sends the number of nodes that there are, within the new bounds, because Azure scales to it.
func TestAnUpdateKeepsTheNodes(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(*Args)
		system, gpu float64
		// clusterSettled and gpuSettled report that this one is not updated.
		clusterSettled, gpuSettled bool
	}{
		"larger GPU pool":  {change: func(a *Args) { a.GPUPool.MaxNodes = 6 }, system: 2, gpu: 4, clusterSettled: true},
		"smaller GPU pool": {change: func(a *Args) { a.GPUPool.MaxNodes = 3 }, system: 2, gpu: 3, clusterSettled: true},
		"more GPU nodes":   {change: func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 5, 6 }, system: 2, gpu: 5, clusterSettled: true},
		"networks":         {change: func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.0/24"} }, system: 2, gpu: 4, gpuSettled: true},
		"system nodes":     {change: func(a *Args) { a.SystemPool.MaxNodes = 5 }, system: 2, gpu: 4, gpuSettled: true},
		"tags":             {change: func(a *Args) { a.Tags = map[string]string{"team": "ml"} }, system: 2, gpu: 4},
		"a version":        {change: func(a *Args) { a.KubernetesVersion = "1.35" }, system: 2, gpu: 4},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			found := deployed(t, args, 2, 4, nil)
			test.change(args)
			r := &recorder{existing: found}
			_, err := r.run(args)
			require.NoError(t, err)
			cluster, pool := r.One(t, clusterToken), r.One(t, poolToken)
			assert.Equal(t, test.system, cluster.Field("agentPoolProfiles[0].count"))
			assert.Equal(t, test.gpu, pool.Field("count"))
			assert.Equal(t, test.clusterSettled, len(ignoring(cluster)) > 0)
			assert.Equal(t, test.gpuSettled, len(ignoring(pool)) > 0)
			assert.Nil(t, cluster.Field("agentPoolProfiles[1]"), "Azure leaves the other pools alone")
			assert.NotContains(t, replacing(cluster), "agentPoolProfiles[0].vmSize")
		})
	}
}

// What was changed by hand is changed back, with the nodes that there are.
func TestChangesByHandAreUndone(t *testing.T) {
	for name, changes := range map[string]map[string]any{
		"tier":     {"sku": map[string]any{"name": "Base", "tier": "Standard"}},
		"networks": {"apiServerAccessProfile": map[string]any{"authorizedIPRanges": []any{"10.0.0.0/8"}}},
		"tags":     {"tags": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{existing: deployed(t, validArgs(), 2, 4, changes)}
			_, err := r.run(validArgs())
			require.NoError(t, err)
			assert.Empty(t, ignoring(r.One(t, clusterToken)))
			assert.Equal(t, 2.0, r.One(t, clusterToken).Field("agentPoolProfiles[0].count"))
		})
	}
}

// What Azure cannot change in a GPU pool is in its name, so that the new pool comes first.
func TestAnotherGPUPoolHasAnotherName(t *testing.T) {
	nameWith := func(change func(*Args)) string {
		args := validArgs()
		change(args)
		r, _ := provision(t, args)
		return r.One(t, poolToken).Field("agentPoolName").(string)
	}
	same := nameWith(func(*Args) {})
	for name, change := range map[string]func(*Args){
		"bounds": func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 1, 9 },
		"tags":   func(a *Args) { a.Tags = map[string]string{"team": "ml"} },
		"what is the default": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.DiskGiB = defaultGPUSize, defaultGPUPool.DiskGiB
		},
		"version": func(a *Args) { a.KubernetesVersion = "1.35" },
	} {
		assert.Equal(t, same, nameWith(change), name)
	}
	seen := map[string]bool{same: true}
	for name, change := range map[string]func(*Args){
		"size":       func(a *Args) { a.GPUPool.MachineType = "Standard_NC48ads_A100_v4" },
		"disk":       func(a *Args) { a.GPUPool.DiskGiB = 256 },
		"zones":      func(a *Args) { a.GPUPool.Zones = []string{"1"} },
		"spot":       func(a *Args) { a.GPUPool.Spot = true },
		"encryption": func(a *Args) { a.EncryptionAtHost = true },
		"subnet":     func(a *Args) { a.VnetSubnetID = theirSubnet },
	} {
		other := nameWith(change)
		assert.False(t, seen[other], name)
		seen[other] = true
	}
}

// The lock would keep the old pool, which is deleted last, in place.
func TestNoLockWhileTheGPUPoolIsReplaced(t *testing.T) {
	args := validArgs()
	args.DeletionProtection = true
	found := deployed(t, args, 1, 2, nil)
	r := &recorder{existing: found}
	_, err := r.run(args)
	require.NoError(t, err)
	assert.Contains(t, r.Names(), lockToken+" aks")

	args.GPUPool.Spot = true
	r = &recorder{existing: found}
	_, err = r.run(args)
	require.NoError(t, err)
	assert.NotContains(t, r.Names(), lockToken+" aks")
}

func TestSystemPoolThatAzureCannotChange(t *testing.T) {
	args := validArgs()
	found := deployed(t, args, 1, 1, nil)
	args.SystemPool.MachineType, args.SystemPool.Zones = "Standard_D8s_v5", []string{"1"}
	r := &recorder{existing: found}
	_, err := r.run(args)
	require.NoError(t, err)
	assert.Subset(t, replacing(r.One(t, clusterToken)), []string{"agentPoolProfiles[0].vmSize", "agentPoolProfiles[0].availabilityZones"})
	assert.NotContains(t, replacing(r.One(t, clusterToken)), "agentPoolProfiles[0].osDiskSizeGB")
}

func TestWhatAzureWouldRefuseOfAnUpdate(t *testing.T) {
	outbound := func(from string) map[string]any {
		return map[string]any{"networkProfile": map[string]any{"outboundType": from}}
	}
	for name, test := range map[string]struct {
		changes  map[string]any
		to       string
		subnet   string
		key, say string
	}{
		"away from a managed gateway":       {outbound("managedNATGateway"), "loadBalancer", "", "aks.outboundType", "managedNATGateway, which the cluster has"},
		"to a managed gateway":              {outbound("loadBalancer"), "managedNATGateway", "", "", ""},
		"to a managed gateway, own network": {outbound("loadBalancer"), "managedNATGateway", theirSubnet, "aks.outboundType", "AKS cannot change it"},
		"to routing":                        {outbound("loadBalancer"), "userDefinedRouting", theirSubnet, "", ""},
		"no system pool": {map[string]any{"agentPoolProfiles": []any{map[string]any{"name": "other", "mode": "System"}}}, "loadBalancer", "",
			"cluster.name", "az aks nodepool add --resource-group serving-rg --cluster-name serving --name system --mode System"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			found := deployed(t, args, 1, 1, test.changes)
			args.OutboundType, args.VnetSubnetID = test.to, test.subnet
			r := &recorder{existing: found}
			_, err := r.run(args)
			if test.key == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.key)
			assert.ErrorContains(t, err, test.say)
			assert.NotContains(t, r.Names(), clusterToken+" aks")
		})
	}
}

func TestALookUpThatFailsIsAnError(t *testing.T) {
	r := &recorder{lookUpFails: `Code="AuthorizationFailed"`}
	_, err := r.run(validArgs())
	require.ErrorContains(t, err, `looking up AKS cluster "serving" in resource group "serving-rg"`)
	assert.ErrorContains(t, err, "AuthorizationFailed")
}

func TestDNSPrefix(t *testing.T) {
	for name, want := range map[string]string{
		"serving": "serving", "my_cluster": "my-cluster",
		"a23456789-b23456789-c23456789-d23456789-e23456789-f23_56789": "a23456789-b23456789-c23456789-d23456789-e23456789-f23",
	} {
		assert.Equal(t, want, dnsPrefix(name))
	}
}

func TestVersionOfThePools(t *testing.T) {
	args := validArgs()
	args.KubernetesVersion = "1.35"
	r, _ := provision(t, args)
	assert.Equal(t, "1.35", r.One(t, poolToken).Field("orchestratorVersion"))
	assert.Nil(t, r.One(t, clusterToken).Field("agentPoolProfiles[0].orchestratorVersion"), "Azure wants it of all pools in the list, or of none")

	r, _ = provision(t, validArgs())
	assert.Nil(t, r.One(t, poolToken).Field("orchestratorVersion"))
}

func TestMaintenanceWindow(t *testing.T) {
	args := validArgs()
	args.MaintenanceWindow = MaintenanceWindow{Day: "Saturday", Start: "02:00", UTCOffset: "+02:00"}
	r, _ := provision(t, args)
	var names []any
	for _, one := range r.Registered {
		if one.Type != maintenanceToken {
			continue
		}
		names = append(names, one.Field("configName"))
		assert.Equal(t, map[string]any{
			"schedule":      map[string]any{"weekly": map[string]any{"dayOfWeek": "Saturday", "intervalWeeks": 1.0}},
			"durationHours": 4.0, "startTime": "02:00", "utcOffset": "+02:00",
		}, one.Field("maintenanceWindow"))
		assert.True(t, one.PropertyDependsOn("resourceName", clusterToken, "aks"))
	}
	assert.ElementsMatch(t, []any{"aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"}, names)
}
