package aks

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/providers"
)

var (
	guidForm          = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	clusterNameForm   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	resourceGroupForm = regexp.MustCompile(`^[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]$`)
	locationForm      = regexp.MustCompile(`^[a-z][a-z0-9]+$`)
	versionForm       = regexp.MustCompile(`^1\.[0-9]{2}$`)
	poolNameForm      = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	identityForm      = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$`)
	subnetForm        = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$`)
)

var (
	tiers             = []string{TierFree, TierStandard, TierPremium}
	logins            = []string{LoginAzureCLI, LoginWorkloadIdentity, LoginServicePrincipal, LoginManagedIdentity}
	upgradeChannels   = []string{"rapid", "stable", "patch", "node-image", "none"}
	nodeOSChannels    = []string{"NodeImage", "SecurityPatch", "Unmanaged", "None"}
	networkPolicies   = []string{"cilium", "azure", "calico", "none"}
	outboundTypes     = []string{"loadBalancer", "managedNATGateway", "userAssignedNATGateway", "userDefinedRouting"}
	availabilityZones = []string{"1", "2", "3"}
)

const (
	// minSystemVCPUs is what AKS asks of a system pool that it supports for more than a trial.
	minSystemVCPUs = 4
	// minSystemDiskGiB is AKS' own lower limit of an OS disk.
	minSystemDiskGiB = 30
	// minGPUDiskGiB leaves room for the vLLM image and a small model.
	minGPUDiskGiB = 100
	// maxDiskGiB is AKS' upper limit of an OS disk.
	maxDiskGiB = 2048
	// maxNodes is AKS' limit on the nodes of one pool.
	maxNodes = 1000
	// maxNodeResourceGroup is AKS' limit on the length of that name.
	maxNodeResourceGroup = 80
	// maxAuthorizedIPRanges is AKS' limit on the length of that list.
	maxAuthorizedIPRanges = 200
)

// problems collects what is wrong.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// oneOf reports a value that is not allowed.
func (p *problems) oneOf(field, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		p.add("%s %q not supported (one of: %s)", field, value, strings.Join(allowed, ", "))
	}
}

// form reports a value that does not look right; "" is left to others.
func (p *problems) form(field, value string, form *regexp.Regexp, what string) {
	if value != "" && !form.MatchString(value) {
		p.add("%s %q is not %s", field, value, what)
	}
}

// Validate reports every mistake at once, each with the field, its value and what is allowed. It
// looks at the values only and asks Azure nothing.
func (a *Args) Validate() error {
	if a == nil {
		return fmt.Errorf("aks: arguments are missing")
	}
	c := a.withDefaults()
	var p problems
	p.form("SubscriptionID", c.SubscriptionID, guidForm, "a GUID (`az account show --query id`)")
	p.form("TenantID", c.TenantID, guidForm, "a GUID (`az account show --query tenantId`)")
	switch {
	case c.Name == "" && c.Existing == "":
		p.add("Name or Existing must be set: the cluster to create, or the one to attach to")
	case c.Name != "" && c.Existing != "":
		p.add("Name %q and Existing %q exclude each other", c.Name, c.Existing)
	default:
		field := "Name"
		if c.Existing != "" {
			field = "Existing"
		}
		p.form(field, c.clusterName(), clusterNameForm,
			"an AKS cluster's name (1 to 63 letters, digits, - and _, a letter or digit at both ends)")
	}
	p.form("ResourceGroup", c.ResourceGroup, resourceGroupForm,
		"a resource group's name (1 to 90 letters, digits and _ - . ( ), no full stop at the end)")
	if c.Existing == "" {
		c.validateCluster(&p)
		c.validateNetwork(&p)
		c.validateSystemPool(&p)
	} else {
		c.validateAttached(&p)
	}
	p.form("Network.NodeSubnetID", c.Network.NodeSubnetID, subnetForm,
		"a subnet's resource id (/subscriptions/.../providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>)")
	c.validateEntra(&p)
	c.validateGPUPool(&p)
	if len(p) > 0 {
		return fmt.Errorf("aks: %w", providers.Problems(p))
	}
	return nil
}

// validateCluster checks what only a cluster to create has.
func (a *Args) validateCluster(p *problems) {
	if !locationForm.MatchString(a.Location) {
		p.add("Location %q is not an Azure region's name (such as eastus: `az account list-locations --query [].name`)", a.Location)
	}
	p.form("KubernetesVersion", a.KubernetesVersion, versionForm,
		"a minor version (such as 1.35, or empty for AKS' default; patches come by themselves)")
	p.oneOf("UpgradeChannel", a.UpgradeChannel, upgradeChannels)
	if a.KubernetesVersion != "" && (a.UpgradeChannel == "rapid" || a.UpgradeChannel == "stable") {
		p.add("KubernetesVersion %q cannot be kept with UpgradeChannel %q, which moves the minor version: remove it, or use patch",
			a.KubernetesVersion, a.UpgradeChannel)
	}
	p.oneOf("NodeOSUpgradeChannel", a.NodeOSUpgradeChannel, nodeOSChannels)
	p.oneOf("Tier", a.Tier, tiers)
	p.form("NodeResourceGroup", a.NodeResourceGroup, resourceGroupForm, "a resource group's name")
	if len(a.NodeResourceGroup) > maxNodeResourceGroup {
		p.add("NodeResourceGroup %q has %d characters (at most %d)", a.NodeResourceGroup, len(a.NodeResourceGroup), maxNodeResourceGroup)
	}
	if a.NodeResourceGroup != "" && strings.EqualFold(a.NodeResourceGroup, a.resourceGroup()) {
		p.add("NodeResourceGroup %q is the cluster's own resource group, but AKS wants to create it", a.NodeResourceGroup)
	}
	p.form("UserAssignedIdentityID", a.UserAssignedIdentityID, identityForm,
		"a managed identity's resource id (/subscriptions/.../providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>)")
	if a.IdleTime < time.Minute || a.IdleTime%time.Minute != 0 {
		p.add("IdleTime %s not allowed (whole minutes, at least 1m)", a.IdleTime)
	}
	if a.DevicePluginInstalled {
		p.add("DevicePluginInstalled is for an existing cluster: a new one has no device plugin")
	}
	a.validateAccess(p)
}

// validateAccess checks who reaches the API server.
func (a *Args) validateAccess(p *problems) {
	ranges := a.AuthorizedIPRanges
	switch {
	case a.PrivateCluster && len(ranges) > 0:
		p.add("AuthorizedIPRanges has no effect on a private cluster: remove it, or PrivateCluster")
	case !a.PrivateCluster && len(ranges) == 0:
		p.add("AuthorizedIPRanges is empty: list the networks that may reach the API server, yours among them (%s to leave it open), or set PrivateCluster", anywhere)
	case len(ranges) > maxAuthorizedIPRanges:
		p.add("AuthorizedIPRanges has %d networks (at most %d)", len(ranges), maxAuthorizedIPRanges)
	case len(ranges) > 1 && slices.Contains(ranges, anywhere):
		p.add("AuthorizedIPRanges has %s, which includes every other: list it alone or not at all", anywhere)
	}
	for i, cidr := range ranges {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
			p.add("AuthorizedIPRanges: %q is not an IPv4 network (such as 203.0.113.0/24, or 203.0.113.7/32 for one address)", cidr)
		}
		if slices.Contains(ranges[:i], cidr) {
			p.add("AuthorizedIPRanges: %q is listed twice", cidr)
		}
	}
}

func (a *Args) validateNetwork(p *problems) {
	n := a.Network
	p.oneOf("Network.Policy", n.Policy, networkPolicies)
	p.oneOf("Network.OutboundType", n.OutboundType, outboundTypes)
	if (n.OutboundType == "userAssignedNATGateway" || n.OutboundType == "userDefinedRouting") && n.NodeSubnetID == "" {
		p.add("Network.OutboundType %q needs a subnet that has it: set Network.NodeSubnetID", n.OutboundType)
	}
	pods, podsOK := p.network("Network.PodCIDR", n.PodCIDR)
	services, servicesOK := p.network("Network.ServiceCIDR", n.ServiceCIDR)
	if podsOK && servicesOK && pods.Overlaps(services) {
		p.add("Network.PodCIDR %q and Network.ServiceCIDR %q overlap", n.PodCIDR, n.ServiceCIDR)
	}
	if !servicesOK {
		return
	}
	if services.Bits() < 12 || services.Bits() > 28 {
		p.add("Network.ServiceCIDR %q has the wrong size (/12 to /28)", n.ServiceCIDR)
	}
	dns, err := netip.ParseAddr(n.DNSServiceIP)
	// The first address of the service network is the API server's.
	if err != nil || !services.Contains(dns) || dns == services.Addr() || dns == services.Addr().Next() {
		p.add("Network.DNSServiceIP %q is not a free address of Network.ServiceCIDR %s (such as %s)",
			n.DNSServiceIP, n.ServiceCIDR, tenthAddress(n.ServiceCIDR))
	}
}

// network reads an IPv4 network.
func (p *problems) network(field, value string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
		p.add("%s %q is not an IPv4 network (such as 10.244.0.0/16)", field, value)
		return netip.Prefix{}, false
	}
	return prefix, true
}

// tenthAddress is the address of a network where cluster DNS usually is; "" for what is no network.
func tenthAddress(cidr string) string {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	address := prefix.Masked().Addr()
	for range 10 {
		address = address.Next()
	}
	return address.String()
}

// validateAttached refuses what the owner of an existing cluster decides: what looks like a setting
// must not be silently without effect.
func (a *Args) validateAttached(p *problems) {
	if a.ResourceGroup == "" {
		p.add("ResourceGroup is missing: the resource group of the existing cluster %q (`az aks list --output table`)", a.Existing)
	}
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Location", a.Location != ""},
		{"KubernetesVersion", a.KubernetesVersion != ""},
		{"UpgradeChannel", a.UpgradeChannel != ""},
		{"NodeOSUpgradeChannel", a.NodeOSUpgradeChannel != ""},
		{"Tier", a.Tier != ""},
		{"NodeResourceGroup", a.NodeResourceGroup != ""},
		{"UserAssignedIdentityID", a.UserAssignedIdentityID != ""},
		{"AuthorizedIPRanges", len(a.AuthorizedIPRanges) > 0},
		{"PrivateCluster", a.PrivateCluster},
		{"DeletionProtection", a.DeletionProtection},
		{"IdleTime", a.IdleTime != 0},
		{"Network.PodCIDR", a.Network.PodCIDR != ""},
		{"Network.ServiceCIDR", a.Network.ServiceCIDR != ""},
		{"Network.DNSServiceIP", a.Network.DNSServiceIP != ""},
		{"Network.Policy", a.Network.Policy != ""},
		{"Network.OutboundType", a.Network.OutboundType != ""},
	} {
		if field.set {
			p.add("%s has no effect on the existing cluster %q, which stays its owner's: remove it", field.name, a.Existing)
		}
	}
	if a.GPUPool == nil && a.GPUPoolName != "" {
		p.add("GPUPoolName %q names nothing without GPUPool: remove it, or set GPUPool", a.GPUPoolName)
	}
}

func (a *Args) validateEntra(p *problems) {
	if a.Entra == nil {
		return
	}
	p.oneOf("Entra.Login", a.Entra.Login, logins)
	p.form("Entra.TenantID", a.Entra.TenantID, guidForm, "a GUID")
	for _, id := range a.Entra.AdminGroupIDs {
		if !guidForm.MatchString(id) {
			p.add("Entra.AdminGroupIDs: %q is not a group's object id, a GUID (`az ad group show --group NAME --query id`)", id)
		}
	}
	if a.Existing == "" {
		if !a.Entra.AzureRBAC && len(a.Entra.AdminGroupIDs) == 0 {
			p.add("Entra has neither AzureRBAC nor AdminGroupIDs, so that nobody could administrate the cluster")
		}
		return
	}
	if a.Entra.TenantID != "" || a.Entra.AzureRBAC || a.Entra.DisableLocalAccounts || len(a.Entra.AdminGroupIDs) > 0 {
		p.add("Entra.TenantID, AdminGroupIDs, AzureRBAC and DisableLocalAccounts have no effect on the existing cluster %q: set Login only", a.Existing)
	}
}

func (a *Args) validateSystemPool(p *problems) {
	pool := a.SystemPool
	validatePool(p, "SystemPool", pool, 1, minSystemDiskGiB)
	if n := vcpus(pool.MachineType); n > 0 && n < minSystemVCPUs {
		p.add("SystemPool.MachineType %q has %d vCPU (at least %d, such as %s)", pool.MachineType, n, minSystemVCPUs, defaultSystemSize)
	}
	if known, ok := gpuSize(pool.MachineType); ok {
		p.add("SystemPool.MachineType %q carries %d %s, which nothing there would use (such as %s)",
			pool.MachineType, known.GPUs, known.Accelerator, defaultSystemSize)
	}
	if pool.Spot {
		p.add("SystemPool.Spot is not possible: AKS has no system pools of spot machines")
	}
}

// validatePool checks what both pools have.
func validatePool(p *problems, field string, pool providers.NodePool, minNodes, minDisk int) {
	switch {
	case !vmSizeForm.MatchString(pool.MachineType):
		p.add("%s.MachineType %q is not an Azure VM size (such as %s)", field, pool.MachineType, defaultGPUSize)
	case armForm.MatchString(pool.MachineType):
		p.add("%s.MachineType %q is an ARM machine, but the images are for x86_64", field, pool.MachineType)
	}
	if pool.MinNodes < minNodes || pool.MinNodes > maxNodes {
		p.add("%s.MinNodes %d not allowed (%d to %d)", field, pool.MinNodes, minNodes, maxNodes)
	}
	if pool.MaxNodes < max(1, pool.MinNodes) || pool.MaxNodes > maxNodes {
		p.add("%s.MaxNodes %d not allowed (%d to %d)", field, pool.MaxNodes, max(1, pool.MinNodes), maxNodes)
	}
	if pool.DiskGiB < minDisk || pool.DiskGiB > maxDiskGiB {
		p.add("%s.DiskGiB %d not allowed (%d to %d)", field, pool.DiskGiB, minDisk, maxDiskGiB)
	}
	for i, zone := range pool.Zones {
		p.oneOf(field+".Zones:", zone, availabilityZones)
		if slices.Contains(pool.Zones[:i], zone) {
			p.add("%s.Zones: %q is listed twice", field, zone)
		}
	}
}

func (a *Args) validateGPUPool(p *problems) {
	pool := a.GPUPool
	if pool == nil {
		if a.Existing == "" {
			p.add("GPUPool is missing: a new cluster has no other GPU nodes")
		}
		if a.GPUsPerReplica < 1 {
			p.add("GPUsPerReplica %d not allowed (at least 1)", a.GPUsPerReplica)
		}
		return
	}
	switch {
	case !poolNameForm.MatchString(a.GPUPoolName):
		p.add("GPUPoolName %q not allowed (1 to 12 lower-case letters and digits, a letter first)", a.GPUPoolName)
	case a.Existing == "" && a.GPUPoolName == systemPoolName:
		p.add("GPUPoolName %q is the system pool's name (such as %s)", a.GPUPoolName, defaultGPUPoolName)
	}
	validatePool(p, "GPUPool", pool.NodePool, 0, minGPUDiskGiB)
	known, ok := gpuSize(pool.MachineType)
	switch {
	case partOfGPUForm.MatchString(pool.MachineType):
		p.add("GPUPool.MachineType %q carries a part of a GPU, which vLLM cannot be given (such as Standard_NV36ads_A10_v5)", pool.MachineType)
	case ok && pool.Accelerator != known.Accelerator:
		p.add("GPUPool.Accelerator %q does not fit GPUPool.MachineType %q, which carries %s", pool.Accelerator, pool.MachineType, known.Accelerator)
	case ok && pool.GPUsPerNode != known.GPUs:
		p.add("GPUPool.GPUsPerNode %d does not fit GPUPool.MachineType %q, which carries %d", pool.GPUsPerNode, pool.MachineType, known.GPUs)
	case !ok && (pool.Accelerator == "" || pool.GPUsPerNode < 1):
		p.add("GPUPool.MachineType %q is unknown here: set GPUPool.Accelerator and GPUPool.GPUsPerNode to what it carries", pool.MachineType)
	}
	if a.GPUsPerReplica < 1 || pool.GPUsPerNode > 0 && a.GPUsPerReplica > pool.GPUsPerNode {
		p.add("GPUsPerReplica %d not allowed (1 to %d, the GPUs of one %s)", a.GPUsPerReplica, max(1, pool.GPUsPerNode), pool.MachineType)
	}
}
