package aks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"defaults":             func(*Args) {},
		"a constrained size":   func(a *Args) { a.SystemPool.MachineType = "Standard_E8-4s_v5" },
		"an old size":          func(a *Args) { a.SystemPool.MachineType = "Standard_DS3_v2" },
		"an unknown GPU size":  func(a *Args) { a.GPUPool = unknownSize() },
		"an A10":               func(a *Args) { a.GPUPool.MachineType = "Standard_NV36ads_A10_v5" },
		"an open API server":   func(a *Args) { a.APIAccessCIDRs = []string{"0.0.0.0/0"} },
		"a private cluster":    func(a *Args) { a.APIAccessCIDRs, a.PrivateCluster = nil, true },
		"a single node":        func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 1, 1 },
		"the longest name":     func(a *Args) { a.GPUPoolName = "abcdef12" },
		"a channel that moves": func(a *Args) { a.UpgradeChannel = "rapid" },
		"a window of upgrades": func(a *Args) { a.MaintenanceWindow = MaintenanceWindow{Day: "Sunday"} },
		"the same tenant": func(a *Args) {
			a.TenantID = "00000000-0000-0000-0000-00000000000a"
			a.Entra = Entra{Enabled: true, EnableAzureRBAC: true, TenantID: "00000000-0000-0000-0000-00000000000A"}
		},
		"attached": func(a *Args) { *a = *attachArgs() },
		"attached, own GPUs": func(a *Args) {
			*a = *attachArgs()
			a.GPUPool, a.DevicePluginInstalled, a.Entra = nil, true, Entra{Enabled: true, Login: LoginServicePrincipal}
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			change(args)
			assert.Empty(t, args.Validate())
		})
	}
}

func unknownSize() *providers.GPUPool {
	return &providers.GPUPool{
		NodePool: providers.NodePool{MachineType: "Standard_ND99isr_X1_v9"}, Accelerator: "nvidia-x1", GPUsPerNode: 4, MemoryGiB: 400,
	}
}

func TestValidateRefuses(t *testing.T) {
	const system, gpu = "nodePools.system", "nodePools.gpu"
	gives := func(keys ...string) func(string) bool {
		return func(key string) bool { return strings.Contains(strings.Join(keys, " "), key) }
	}
	for name, test := range map[string]struct {
		change     func(*Args)
		key, wants string
	}{
		"no name": {func(a *Args) { a.Name = "" }, "cluster.name", "1 to 63 letters"},
		"both names": {func(a *Args) { *a = *attachArgs(); a.Name, a.Given = "mine", gives("cluster.name") }, "cluster.name",
			"no name beside cluster.existing (serving)"},
		"a bad name": {func(a *Args) { a.Name = "serving-" }, "cluster.name", `"serving-": allowed: an AKS cluster's name`},

		"no location": {func(a *Args) { a.Location = "" }, "aks.location", "an Azure region's name"},
		"a version that moves": {func(a *Args) { a.KubernetesVersion, a.UpgradeChannel = "1.35", "stable" }, "cluster.kubernetesVersion",
			`none with aks.upgradeChannel "stable"`},
		"a node group":         {func(a *Args) { a.NodeResourceGroup = "serving-RG" }, "aks.nodeResourceGroup", "the cluster's own resource group"},
		"an identity":          {func(a *Args) { a.UserAssignedIdentityID = "me" }, "aks.userAssignedIdentityId", `"me"`},
		"a subnet":             {func(a *Args) { a.VnetSubnetID = "subnet" }, "aks.vnetSubnetId", `"subnet"`},
		"routing of no subnet": {func(a *Args) { a.OutboundType = "userDefinedRouting" }, "aks.outboundType", "set aks.vnetSubnetId"},
		"pods' network":        {func(a *Args) { a.PodCIDR = "10.244.0.1/16" }, "aks.podCidr", "write 10.244.0.0/16"},
		"overlap":              {func(a *Args) { a.PodCIDR = "10.0.0.0/8" }, "aks.podCidr", "does not overlap aks.serviceCidr (10.0.0.0/16)"},
		"services' size":       {func(a *Args) { a.ServiceCIDR = "172.16.0.0/29" }, "aks.serviceCidr", "/12 to /28"},
		"DNS elsewhere": {func(a *Args) { a.DNSServiceIP = "10.1.0.10" }, "aks.dnsServiceIP",
			"a free address of aks.serviceCidr 10.0.0.0/16, such as 10.0.0.10"},
		"DNS on the first": {func(a *Args) { a.DNSServiceIP = "10.0.0.1" }, "aks.dnsServiceIP", "a free address"},

		"everyone unasked":    {func(a *Args) { a.APIAccessCIDRs = nil }, "cluster.apiAccessCidrs", "checkip.amazonaws.com"},
		"an empty list":       {func(a *Args) { a.APIAccessCIDRs = []string{} }, "cluster.apiAccessCidrs", "at least one network"},
		"everyone and one":    {func(a *Args) { a.APIAccessCIDRs = []string{"0.0.0.0/0", "10.0.0.0/8"} }, "cluster.apiAccessCidrs", "list it alone or not at all"},
		"too many":            {func(a *Args) { a.APIAccessCIDRs = make([]string, 201) }, "cluster.apiAccessCidrs", "at most 200 networks"},
		"an address":          {func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.4"} }, "cluster.apiAccessCidrs[0]", "IPv4 network"},
		"a range twice":       {func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.0/24", "1.2.3.0/24"} }, "cluster.apiAccessCidrs[1]", "listed twice"},
		"ranges of a private": {func(a *Args) { a.PrivateCluster = true }, "cluster.apiAccessCidrs", "no effect on a private cluster"},

		"no administrator":  {func(a *Args) { a.Entra.Enabled = true }, "aks.entra", "nobody could administrate"},
		"Entra that is off": {func(a *Args) { a.Given = gives("aks.entra.login") }, "aks.entra.enabled", "true, together with the other keys"},
		"another tenant's roles": {func(a *Args) {
			a.Entra = Entra{Enabled: true, EnableAzureRBAC: true, TenantID: "00000000-0000-0000-0000-00000000000a"}
		}, "aks.entra.tenantID", "the tenant of the subscription"},
		"a window without a day": {func(a *Args) { a.Given = gives("aks.maintenanceWindow.hours") }, "aks.maintenanceWindow.day", "a day of the week"},
		"seconds":                {func(a *Args) { a.IdleTime = 90 * time.Second }, "aks.idleTime", "1m30s: allowed: whole minutes"},
		"attached, no group":     {func(a *Args) { *a = *attachArgs(); a.ResourceGroup = "" }, "aks.resourceGroup", `existing cluster "serving"`},
		"attached, pool name":    {func(a *Args) { *a = *attachArgs(); a.GPUPool, a.GPUPoolName = nil, "gpu" }, "aks.gpuPoolName", "only with a GPU pool"},

		"a small system":       {func(a *Args) { a.SystemPool.MachineType = "Standard_D2s_v5" }, system + ".machineType", "at least 4 vCPU; this size has 2 vCPU"},
		"a constrained system": {func(a *Args) { a.SystemPool.MachineType = "Standard_E8-2s_v5" }, system + ".machineType", "this size has 2 vCPU"},
		"a GPU in the system":  {func(a *Args) { a.SystemPool.MachineType = "Standard_NC24ads_A100_v4" }, system + ".machineType", "which nothing there would use"},
		"an ARM system":        {func(a *Args) { a.SystemPool.MachineType = "Standard_D4pds_v5" }, system + ".machineType", "is an ARM machine"},
		"not a size":           {func(a *Args) { a.SystemPool.MachineType = "m6i.large" }, system + ".machineType", "an Azure VM size"},
		"a small system disk":  {func(a *Args) { a.SystemPool.DiskGiB = 20 }, system + ".diskGiB", "30 to 2048"},
		"no system":            {func(a *Args) { a.SystemPool.MinNodes = -1 }, system + ".minNodes", "1 to 1000"},

		"no GPU pool":         {func(a *Args) { a.GPUPool = nil }, gpu + ".create", "only an existing cluster"},
		"the system's name":   {func(a *Args) { a.GPUPoolName = "system" }, "aks.gpuPoolName", "another name than the system pool's"},
		"a small GPU disk":    {func(a *Args) { a.GPUPool.DiskGiB = 64 }, gpu + ".diskGiB", "100 to 2048"},
		"max under min":       {func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 3, 2 }, gpu + ".maxNodes", "3 to 1000"},
		"a zone's name":       {func(a *Args) { a.GPUPool.Zones = []string{"eastus-1"} }, gpu + ".zones[0]", "one of: 1, 2, 3"},
		"a zone twice":        {func(a *Args) { a.GPUPool.Zones = []string{"1", "1"} }, gpu + ".zones[1]", "listed twice"},
		"a part of a GPU":     {func(a *Args) { a.GPUPool.MachineType = "Standard_NV6ads_A10_v5" }, gpu + ".machineType", "(1/6 of nvidia-a10, with 4 GiB)"},
		"a quarter of a GPU":  {func(a *Args) { a.GPUPool.MachineType = "Standard_NC36lds_xl_RTXPRO6000BSE_v6" }, gpu + ".machineType", "carries a part of a GPU"},
		"AMD":                 {func(a *Args) { a.GPUPool.MachineType = "Standard_ND96isr_MI300X_v5" }, gpu + ".machineType", "GPUs of AMD"},
		"Grace":               {func(a *Args) { a.GPUPool.MachineType = "Standard_ND128isr_NDR_GB200_v6" }, gpu + ".machineType", "is an ARM machine"},
		"a retired size":      {func(a *Args) { a.GPUPool.MachineType = "Standard_NC6s_v3" }, gpu + ".machineType", "is retired"},
		"another accelerator": {func(a *Args) { a.GPUPool.Accelerator = "nvidia-l4" }, gpu + ".accelerator", "which carries nvidia-a100-80gb"},
		"another number":      {func(a *Args) { a.GPUPool.GPUsPerNode = 2 }, gpu + ".gpusPerNode", "1, what"},
		"no GPU":              {func(a *Args) { a.GPUPool.MachineType = "Standard_D4s_v5" }, gpu + ".machineType", "set nodePools.gpu.accelerator"},
		"too many GPUs":       {func(a *Args) { a.GPUsPerReplica = 2 }, "gpu.perReplica", "at most 1, the GPUs of one Standard_NC24ads_A100_v4"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			test.change(args)
			providertest.Has(t, args.Validate(), test.key, test.wants)

			r := &recorder{existing: theirs(nil)}
			_, err := r.run(args)
			require.ErrorContains(t, err, test.key)
			assert.Empty(t, r.Names(), "nothing is registered")
		})
	}
}

func TestDefaultsLeaveTheArgumentsAlone(t *testing.T) {
	args := validArgs()
	args.Entra = Entra{Enabled: true, EnableAzureRBAC: true}
	before, pool := *args, *args.GPUPool
	filled := args.withDefaults()
	assert.Equal(t, before, *args)
	assert.Equal(t, pool, *args.GPUPool)
	assert.Equal(t, "nvidia-a100-80gb", filled.GPUPool.Accelerator)
	assert.Equal(t, 1, filled.GPUPool.GPUsPerNode)
	assert.Equal(t, LoginAzureCLI, filled.Entra.Login)
}

func TestVCPUs(t *testing.T) {
	for size, want := range map[string]int{
		"Standard_D4s_v5": 4, "Standard_D16ads_v6": 16, "Standard_E8-2s_v5": 2, "Standard_F2s_v2": 2, "Standard_B4ms": 4,
		// Old names count sizes, not vCPUs.
		"Standard_DS3_v2": 0, "Standard_D2_v2": 0, "Standard_D2": 0, "m6i.large": 0,
	} {
		assert.Equal(t, want, vcpus(size), size)
	}
}
