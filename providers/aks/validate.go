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
	clusterNameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$`)
	identityForm    = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$`)
	subnetForm      = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$`)
)

// availabilityZones are the names of zones, the same in every region.
var availabilityZones = []string{"1", "2", "3"}

const (
	// maxName is AKS' limit on the name of a cluster, in characters.
	maxName = 63
	// maxNodeResourceGroup is AKS' limit on the name of the resource group that it makes for the nodes
	// (https://learn.microsoft.com/azure/aks/quotas-skus-regions).
	maxNodeResourceGroup = 80
	// maxDNSPrefix is AKS' limit on the prefix of the API server's DNS name.
	maxDNSPrefix = 54
	// minSystemVCPUs is what AKS requires of a system pool that it supports for more than a trial.
	minSystemVCPUs = 4
	// maxDiskGiB is AKS' upper limit of an OS disk.
	maxDiskGiB = 2048
	// maxNodes is AKS' limit on the nodes of one pool.
	maxNodes = 1000
	// maxAPIAccessCIDRs is AKS' limit on the length of that list.
	maxAPIAccessCIDRs = 200
)

var (
	// systemBounds have AKS' own lower limit of an OS disk.
	systemBounds = providers.Bounds{MinNodes: 1, MaxNodes: maxNodes, MinDiskGiB: 30, MaxDiskGiB: maxDiskGiB}
	// gpuBounds leave room for the vLLM image and a small model.
	gpuBounds = providers.Bounds{MaxNodes: maxNodes, MinDiskGiB: 100, MaxDiskGiB: maxDiskGiB}
)

// Validate returns everything that is wrong between keys, and of single keys what their tags leave open. Its only source are
// the arguments.
func (a *Args) Validate() providers.Problems {
	c := a.withDefaults()
	var p providers.Problems
	c.validateName(&p)
	if c.Attaches() {
		c.validateAttached(&p)
	} else {
		c.validateCluster(&p)
		c.validateNetwork(&p)
		c.validateSystemPool(&p)
	}
	if c.VnetSubnetID != "" && !subnetForm.MatchString(c.VnetSubnetID) {
		p.Add("aks.vnetSubnetId", c.VnetSubnetID,
			"a subnet's resource id (/subscriptions/.../providers/Microsoft.Network/virtualNetworks/<network>/subnets/<subnet>)", "")
	}
	c.validateBuckets(&p)
	c.validateEntra(&p)
	c.validateGPUPools(&p)
	return p
}

func (a *Args) validateName(p *providers.Problems) {
	a.RefuseNameOfExisting(p)
	key := providers.KeyName
	if a.Attaches() {
		key = providers.KeyExisting
	}
	if !validName(a.ClusterName()) {
		p.Add(key, a.ClusterName(), "an AKS cluster's name: 1 to 63 letters, digits, - and _, a letter or digit at both ends", "")
		return
	}
	if length := len(a.madeNodeResourceGroup()); !a.Attaches() && length > maxNodeResourceGroup {
		p.Add(key, a.Name, fmt.Sprintf("a name with which the resource group that AKS makes for the nodes, %s, has at most %d characters; it has %d",
			a.madeNodeResourceGroup(), maxNodeResourceGroup, length), "shorten it, or set aks.nodeResourceGroup")
	}
}

// validName reports whether AKS accepts the name of a cluster.
func validName(name string) bool { return len(name) <= maxName && clusterNameForm.MatchString(name) }

// madeNodeResourceGroup returns the name of the group that AKS makes for the nodes, "" where the stack's file gives it one.
func (a *Args) madeNodeResourceGroup() string {
	if a.NodeResourceGroup != "" {
		return ""
	}
	return fmt.Sprintf("MC_%s_%s_%s", a.resourceGroup(), a.Name, a.Location)
}

// validNames reports whether a cluster to create, and what is named after it, can have its name.
func (a *Args) validNames() bool {
	return validName(a.Name) && len(a.madeNodeResourceGroup()) <= maxNodeResourceGroup
}

// validateCluster checks what only a cluster to create has.
func (a *Args) validateCluster(p *providers.Problems) {
	p.Missing("aks.location", a.Location, "an Azure region's name, such as eastus",
		"set it; `az account list-locations --query [].name` lists them (docs/aks.md)")
	if a.KubernetesVersion != "" && (a.UpgradeChannel == "rapid" || a.UpgradeChannel == "stable") {
		p.Add(providers.KeyKubernetesVersion, a.KubernetesVersion,
			fmt.Sprintf("none with aks.upgradeChannel %q, which moves the minor version", a.UpgradeChannel), "remove it, or use the channel patch")
	}
	if a.NodeResourceGroup != "" && strings.EqualFold(a.NodeResourceGroup, a.resourceGroup()) {
		p.Add("aks.nodeResourceGroup", a.NodeResourceGroup, "another group than the cluster's own resource group: AKS creates it", "")
	}
	if a.UserAssignedIdentityID != "" && !identityForm.MatchString(a.UserAssignedIdentityID) {
		p.Add("aks.userAssignedIdentityId", a.UserAssignedIdentityID,
			"a managed identity's resource id (/subscriptions/.../providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>)", "")
	}
	if a.IdleTime%time.Minute != 0 {
		p.Add("aks.idleTime", a.IdleTime, "whole minutes", "")
	}
	if a.MaintenanceWindow.Day == "" {
		for _, key := range []string{"start", "hours", "utcOffset"} {
			if a.Gives("aks.maintenanceWindow." + key) {
				p.Add("aks.maintenanceWindow.day", nil, "a day of the week, together with the other keys of aks.maintenanceWindow",
					a.Set("aks.maintenanceWindow.day", "Saturday"))
				break
			}
		}
	}
	a.validateAccess(p)
}

// validateAccess checks who reaches the API server.
func (a *Args) validateAccess(p *providers.Problems) {
	ranges := a.APIAccessCIDRs
	if !a.PrivateCluster {
		a.CheckAccess(p)
	}
	switch {
	case a.PrivateCluster && len(ranges) > 0:
		p.Add(providers.KeyAPIAccessCIDRs, nil, "none with aks.privateCluster: it has no effect on a private cluster", "remove it, or aks.privateCluster")
	case !a.PrivateCluster && ranges != nil && len(ranges) == 0:
		p.Add(providers.KeyAPIAccessCIDRs, nil, "at least one network; AKS reads an empty list as everyone",
			fmt.Sprintf("list the networks that may reach the API server, yours among them (%s to leave it open), or set aks.privateCluster", anywhere))
	case len(ranges) > maxAPIAccessCIDRs:
		p.Add(providers.KeyAPIAccessCIDRs, nil, fmt.Sprintf("at most %d networks; this list has %d", maxAPIAccessCIDRs, len(ranges)), "")
	case len(ranges) > 1 && slices.Contains(ranges, anywhere):
		p.Add(providers.KeyAPIAccessCIDRs, nil, anywhere+" alone or not at all: it includes every other network", "list it alone or not at all")
	}
	p.Duplicates(providers.KeyAPIAccessCIDRs, ranges)
}

func (a *Args) validateNetwork(p *providers.Problems) {
	if (a.OutboundType == "userAssignedNATGateway" || a.OutboundType == "userDefinedRouting") && a.VnetSubnetID == "" {
		p.Add("aks.outboundType", a.OutboundType, "only with aks.vnetSubnetId, a subnet that has it", "set aks.vnetSubnetId")
	}
	pods, podsOK := p.Network("aks.podCidr", a.PodCIDR)
	services, servicesOK := p.Network("aks.serviceCidr", a.ServiceCIDR)
	if podsOK && servicesOK && pods.Overlaps(services) {
		p.Add("aks.podCidr", a.PodCIDR, fmt.Sprintf("a range that does not overlap aks.serviceCidr (%s)", a.ServiceCIDR), "choose ranges that do not overlap")
	}
	if !servicesOK {
		return
	}
	if services.Bits() < 12 || services.Bits() > 28 {
		p.Add("aks.serviceCidr", a.ServiceCIDR, "a range of size /12 to /28", "")
	}
	dns, err := netip.ParseAddr(a.DNSServiceIP)
	// The first address of the service network is the API server's.
	if err != nil || !services.Contains(dns) || dns == services.Addr() || dns == services.Addr().Next() {
		p.Add("aks.dnsServiceIP", a.DNSServiceIP,
			fmt.Sprintf("a free address of aks.serviceCidr %s, such as %s", a.ServiceCIDR, tenthAddress(a.ServiceCIDR)), "")
	}
}

// tenthAddress returns the address of a network where cluster DNS usually is; "" for what is no network.
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

// validateAttached checks what an existing cluster needs.
func (a *Args) validateAttached(p *providers.Problems) {
	p.Missing("aks.resourceGroup", a.ResourceGroup, fmt.Sprintf("the resource group of the existing cluster %q", a.Existing),
		"set it; `az aks list --output table` shows it")
	if a.GPUPool == nil && a.GPUPoolName != "" {
		p.Add("aks.gpuPoolName", a.GPUPoolName, "only with a GPU pool that is created", "remove it, or set "+providers.KeyCreateGPUPool+" to true")
	}
}

func (a *Args) validateEntra(p *providers.Problems) {
	if !a.Entra.Enabled {
		for _, key := range []string{"tenantID", "adminGroupObjectIDs", "enableAzureRBAC", "disableLocalAccounts", "login"} {
			if a.Gives("aks.entra." + key) {
				p.Add("aks.entra.enabled", false, "true, together with the other keys of aks.entra", a.Set("aks.entra.enabled", "true"))
				return
			}
		}
		return
	}
	if !a.Attaches() && !a.Entra.EnableAzureRBAC && len(a.Entra.AdminGroupObjectIDs) == 0 {
		p.Add("aks.entra", nil, "aks.entra.enableAzureRBAC or aks.entra.adminGroupObjectIDs; with neither, nobody could administrate the cluster",
			"set one of them")
	}
	if a.Entra.EnableAzureRBAC && a.Entra.TenantID != "" && !strings.EqualFold(a.Entra.TenantID, a.TenantID) {
		p.Add("aks.entra.tenantID", a.Entra.TenantID, "with aks.entra.enableAzureRBAC the tenant of the subscription, whose roles decide who may do what",
			"remove it, or name the subscription's tenant in aks.tenantId as well")
	}
}

func (a *Args) validateSystemPool(p *providers.Problems) {
	pool, key := a.SystemPool, providers.KeySystemPool+providers.KeyMachineType
	validatePool(p, providers.KeySystemPool, pool, systemBounds)
	if n := vcpus(pool.MachineType); n > 0 && n < minSystemVCPUs {
		p.Add(key, pool.MachineType, fmt.Sprintf("at least %d vCPU; this size has %d vCPU", minSystemVCPUs, n),
			"for example "+defaultSystemPool.MachineType)
	}
	if known, ok := machines.Find(pool.MachineType); ok {
		p.Add(key, pool.MachineType, fmt.Sprintf("one without GPUs; this one carries %d %s, which nothing there would use", known.GPUs, known.Accelerator),
			"for example "+defaultSystemPool.MachineType)
	}
}

// validatePool checks what both pools have.
func validatePool(p *providers.Problems, key string, pool providers.NodePool, bounds providers.Bounds) {
	switch {
	case !vmSizeForm.MatchString(pool.MachineType):
		p.Add(key+providers.KeyMachineType, pool.MachineType, "an Azure VM size such as "+defaultGPUSize, "")
	case armForm.MatchString(pool.MachineType):
		p.Add(key+providers.KeyMachineType, pool.MachineType, "an x86_64 machine: this one is an ARM machine, for which the images are not", "")
	}
	bounds.Check(p, key, pool)
	for i, zone := range pool.Zones {
		if !slices.Contains(availabilityZones, zone) {
			p.Add(providers.Item(key+providers.KeyZones, i), zone, providers.OneOf(availabilityZones), "")
		}
	}
	p.Duplicates(key+providers.KeyZones, pool.Zones)
}

// validateGPUPools checks the GPU pools, the main one and those of single servers.
func (a *Args) validateGPUPools(p *providers.Problems) {
	a.RequireGPUPool(p)
	a.CheckOwnPools(p)
	a.validateCapacity(p)
	if a.GPUPool != nil && !a.Attaches() && a.GPUPoolName == systemPoolName {
		p.Add("aks.gpuPoolName", a.GPUPoolName, "another name than the system pool's", "for example "+defaultGPUPoolName)
	}
	for _, pool := range a.GPUPools() {
		validateGPUPool(p, pool)
	}
}

func validateGPUPool(p *providers.Problems, pool *providers.ServingPool) {
	validatePool(p, pool.PoolKey(""), pool.NodePool, gpuBounds)
	key := pool.PoolKey(providers.KeyMachineType)
	switch {
	case partOfGPUForm.MatchString(pool.MachineType):
		p.PartOfGPU(key, pool.MachineType, machines, "Standard_NV36ads_A10_v5")
	case amdForm.MatchString(pool.MachineType):
		p.OtherGPU(key, pool.MachineType, defaultGPUSize)
	case retiredForm.MatchString(pool.MachineType):
		p.Add(key, pool.MachineType, "a size that Azure still has: series NCv3, with V100, is retired", "for example "+defaultGPUSize)
	default:
		known, ok := machines.Find(pool.MachineType)
		pool.CheckMachine(p, known, ok)
	}
	pool.CheckGPUs(p)
}
