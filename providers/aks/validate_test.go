package aks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"defaults":             func(*Args) {},
		"a constrained size":   func(a *Args) { a.SystemPool.MachineType = "Standard_E8-4s_v5" },
		"an old size":          func(a *Args) { a.SystemPool.MachineType = "Standard_DS3_v2" },
		"an unknown GPU size":  func(a *Args) { a.GPUPool = unknownSize() },
		"an A10":               func(a *Args) { a.GPUPool.MachineType = "Standard_NV36ads_A10_v5" },
		"an open API server":   func(a *Args) { a.AuthorizedIPRanges = []string{"0.0.0.0/0"} },
		"a private cluster":    func(a *Args) { a.AuthorizedIPRanges, a.PrivateCluster = nil, true },
		"a single node":        func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 1, 1 },
		"the longest name":     func(a *Args) { a.GPUPoolName = "abcdefghij12" },
		"a channel that moves": func(a *Args) { a.UpgradeChannel = "rapid" },
		"attached":             func(a *Args) { *a = *attachArgs() },
		"attached, own GPUs": func(a *Args) {
			*a = *attachArgs()
			a.GPUPool, a.DevicePluginInstalled, a.Entra = nil, true, &Entra{Login: LoginServicePrincipal}
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			change(args)
			require.NoError(t, args.Validate())
		})
	}
}

func unknownSize() *providers.GPUPool {
	return &providers.GPUPool{
		NodePool: providers.NodePool{MachineType: "Standard_ND128isr_NDR_GB200_v6"}, Accelerator: "nvidia-gb200", GPUsPerNode: 4,
	}
}

func TestValidateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Args)
		want   string
	}{
		"no name":              {func(a *Args) { a.Name = "" }, "Name or Existing must be set"},
		"both names":           {func(a *Args) { a.Existing, a.ResourceGroup = "other", "rg" }, `Name "serving" and Existing "other" exclude each other`},
		"a bad name":           {func(a *Args) { a.Name = "serving-" }, `Name "serving-" is not an AKS cluster's name`},
		"a bad subscription":   {func(a *Args) { a.SubscriptionID = "mine" }, `SubscriptionID "mine" is not a GUID`},
		"a bad tenant":         {func(a *Args) { a.TenantID = "mine" }, `TenantID "mine" is not a GUID`},
		"a bad group":          {func(a *Args) { a.ResourceGroup = "a/b" }, `ResourceGroup "a/b"`},
		"no location":          {func(a *Args) { a.Location = "" }, `Location "" is not an Azure region`},
		"a displayed location": {func(a *Args) { a.Location = "East US" }, `Location "East US"`},
		"a patch version":      {func(a *Args) { a.KubernetesVersion = "1.35.2" }, `KubernetesVersion "1.35.2" is not a minor version`},
		"a version that moves": {func(a *Args) { a.KubernetesVersion, a.UpgradeChannel = "1.35", "stable" }, `cannot be kept with UpgradeChannel "stable"`},
		"a channel":            {func(a *Args) { a.UpgradeChannel = "fast" }, `UpgradeChannel "fast" not supported (one of: rapid, stable, patch, node-image, none)`},
		"an OS channel":        {func(a *Args) { a.NodeOSUpgradeChannel = "none" }, `NodeOSUpgradeChannel "none" not supported (one of: NodeImage`},
		"a tier":               {func(a *Args) { a.Tier = "Gold" }, `Tier "Gold" not supported (one of: Free, Standard, Premium)`},
		"a node group":         {func(a *Args) { a.NodeResourceGroup = "serving-RG" }, "is the cluster's own resource group"},
		"a long node group":    {func(a *Args) { a.NodeResourceGroup = strings.Repeat("n", 81) }, "has 81 characters (at most 80)"},
		"an identity":          {func(a *Args) { a.UserAssignedIdentityID = "me" }, `UserAssignedIdentityID "me"`},
		"a subnet":             {func(a *Args) { a.Network.NodeSubnetID = "subnet" }, `Network.NodeSubnetID "subnet"`},
		"routing of no subnet": {func(a *Args) { a.Network.OutboundType = "userDefinedRouting" }, "set Network.NodeSubnetID"},
		"an outbound type":     {func(a *Args) { a.Network.OutboundType = "nat" }, `Network.OutboundType "nat" not supported`},
		"a policy":             {func(a *Args) { a.Network.Policy = "weave" }, `Network.Policy "weave" not supported (one of: cilium, azure, calico, none)`},
		"pods' network":        {func(a *Args) { a.Network.PodCIDR = "10.244.0.1/16" }, `Network.PodCIDR "10.244.0.1/16" is not an IPv4 network`},
		"overlap":              {func(a *Args) { a.Network.PodCIDR = "10.0.0.0/8" }, "overlap"},
		"services' size":       {func(a *Args) { a.Network.ServiceCIDR = "172.16.0.0/30" }, "wrong size (/12 to /28)"},
		"DNS elsewhere":        {func(a *Args) { a.Network.DNSServiceIP = "10.1.0.10" }, "not a free address of Network.ServiceCIDR 10.0.0.0/16 (such as 10.0.0.10)"},
		"DNS on the first":     {func(a *Args) { a.Network.DNSServiceIP = "10.0.0.1" }, "not a free address"},
		"everyone unasked":     {func(a *Args) { a.AuthorizedIPRanges = nil }, "AuthorizedIPRanges is empty"},
		"everyone and one":     {func(a *Args) { a.AuthorizedIPRanges = []string{"0.0.0.0/0", "10.0.0.0/8"} }, "list it alone or not at all"},
		"an address":           {func(a *Args) { a.AuthorizedIPRanges = []string{"203.0.113.7"} }, `"203.0.113.7" is not an IPv4 network`},
		"a range twice":        {func(a *Args) { a.AuthorizedIPRanges = []string{"10.0.0.0/8", "10.0.0.0/8"} }, "listed twice"},
		"ranges of a private":  {func(a *Args) { a.PrivateCluster = true }, "no effect on a private cluster"},
		"no administrator":     {func(a *Args) { a.Entra = &Entra{} }, "nobody could administrate"},
		"a group's name":       {func(a *Args) { a.Entra = &Entra{AdminGroupIDs: []string{"admins"}} }, `Entra.AdminGroupIDs: "admins"`},
		"a person's login":     {func(a *Args) { a.Entra = &Entra{AzureRBAC: true, Login: "devicecode"} }, `Entra.Login "devicecode" not supported (one of: azurecli, workloadidentity, spn, msi)`},
		"seconds":              {func(a *Args) { a.IdleTime = 90 * time.Second }, "IdleTime 1m30s not allowed (whole minutes"},
		"a device plugin":      {func(a *Args) { a.DevicePluginInstalled = true }, "DevicePluginInstalled is for an existing cluster"},
		"a small system":       {func(a *Args) { a.SystemPool.MachineType = "Standard_D2s_v5" }, "has 2 vCPU (at least 4"},
		"a constrained system": {func(a *Args) { a.SystemPool.MachineType = "Standard_E8-2s_v5" }, "has 2 vCPU (at least 4"},
		"a GPU in the system":  {func(a *Args) { a.SystemPool.MachineType = "Standard_NC24ads_A100_v4" }, "which nothing there would use"},
		"an ARM system":        {func(a *Args) { a.SystemPool.MachineType = "Standard_D4pds_v5" }, "is an ARM machine"},
		"a spot system":        {func(a *Args) { a.SystemPool.Spot = true }, "no system pools of spot machines"},
		"not a size":           {func(a *Args) { a.SystemPool.MachineType = "m6i.large" }, `SystemPool.MachineType "m6i.large" is not an Azure VM size`},
		"a small system disk":  {func(a *Args) { a.SystemPool.DiskGiB = 20 }, "SystemPool.DiskGiB 20 not allowed (30 to 2048)"},
		"no system":            {func(a *Args) { a.SystemPool.MinNodes = -1 }, "SystemPool.MinNodes -1 not allowed (1 to 1000)"},
		"no GPU pool":          {func(a *Args) { a.GPUPool = nil }, "GPUPool is missing"},
		"a long pool name":     {func(a *Args) { a.GPUPoolName = "abcdefghijklm" }, `GPUPoolName "abcdefghijklm" not allowed (1 to 12 lower-case letters and digits, a letter first)`},
		"a pool with a dash":   {func(a *Args) { a.GPUPoolName = "gpu-pool" }, `GPUPoolName "gpu-pool" not allowed`},
		"a pool in capitals":   {func(a *Args) { a.GPUPoolName = "GPU" }, `GPUPoolName "GPU" not allowed`},
		"a digit first":        {func(a *Args) { a.GPUPoolName = "1gpu" }, `GPUPoolName "1gpu" not allowed`},
		"the system's name":    {func(a *Args) { a.GPUPoolName = "system" }, "is the system pool's name"},
		"a small GPU disk":     {func(a *Args) { a.GPUPool.DiskGiB = 64 }, "GPUPool.DiskGiB 64 not allowed (100 to 2048)"},
		"max under min":        {func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 3, 2 }, "GPUPool.MaxNodes 2 not allowed (3 to 1000)"},
		"a zone's name":        {func(a *Args) { a.GPUPool.Zones = []string{"eastus-1"} }, `GPUPool.Zones: "eastus-1" not supported (one of: 1, 2, 3)`},
		"a zone twice":         {func(a *Args) { a.GPUPool.Zones = []string{"1", "1"} }, `GPUPool.Zones: "1" is listed twice`},
		"a part of a GPU":      {func(a *Args) { a.GPUPool.MachineType = "Standard_NV6ads_A10_v5" }, "carries a part of a GPU"},
		"another accelerator":  {func(a *Args) { a.GPUPool.Accelerator = "nvidia-l4" }, `"nvidia-l4" does not fit GPUPool.MachineType "Standard_NC24ads_A100_v4", which carries nvidia-a100-80gb`},
		"another number":       {func(a *Args) { a.GPUPool.GPUsPerNode = 2 }, "GPUPool.GPUsPerNode 2 does not fit"},
		"no GPU":               {func(a *Args) { a.GPUPool.MachineType = "Standard_D4s_v5" }, "is unknown here: set GPUPool.Accelerator"},
		"too many GPUs":        {func(a *Args) { a.GPUsPerReplica = 2 }, "GPUsPerReplica 2 not allowed (1 to 1, the GPUs of one Standard_NC24ads_A100_v4)"},
		"negative GPUs":        {func(a *Args) { a.GPUsPerReplica = -1 }, "GPUsPerReplica -1 not allowed"},
		"attached, no group":   {func(a *Args) { *a = *attachArgs(); a.ResourceGroup = "" }, "ResourceGroup is missing"},
		"attached, location":   {func(a *Args) { *a = *attachArgs(); a.Location = "eastus" }, `Location has no effect on the existing cluster "serving"`},
		"attached, protection": {func(a *Args) { *a = *attachArgs(); a.DeletionProtection = true }, "DeletionProtection has no effect"},
		"attached, ranges":     {func(a *Args) { *a = *attachArgs(); a.AuthorizedIPRanges = []string{"10.0.0.0/8"} }, "AuthorizedIPRanges has no effect"},
		"attached, Entra":      {func(a *Args) { *a = *attachArgs(); a.Entra = &Entra{AzureRBAC: true} }, "set Login only"},
		"attached, pool name":  {func(a *Args) { *a = *attachArgs(); a.GPUPool, a.GPUPoolName = nil, "gpu" }, `GPUPoolName "gpu" names nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			test.change(args)
			require.ErrorContains(t, args.Validate(), test.want)

			r := &recorder{existing: theirs(nil)}
			_, err := r.run(args)
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, r.names(), "nothing is registered")
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	err := (&Args{Name: "-", Tier: "Gold", GPUPool: &providers.GPUPool{GPUsPerNode: 9}}).Validate()
	for _, want := range []string{"aks: ", `Name "-"`, "Location", `Tier "Gold"`, "AuthorizedIPRanges", "GPUsPerNode 9"} {
		assert.ErrorContains(t, err, want)
	}
	assert.ErrorContains(t, (*Args)(nil).Validate(), "arguments are missing")
}

func TestDefaultsLeaveTheArgumentsAlone(t *testing.T) {
	args := validArgs()
	args.Entra = &Entra{AzureRBAC: true}
	before, pool, entra := *args, *args.GPUPool, *args.Entra
	filled := args.withDefaults()
	assert.Equal(t, before, *args)
	assert.Equal(t, pool, *args.GPUPool)
	assert.Equal(t, entra, *args.Entra)
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
