// Package aks creates an Azure Kubernetes Service cluster with a GPU node pool, or adds the pool to
// a cluster that already stands.
package aks

import (
	"time"

	"vllm-autoscaling/providers"
)

// Tiers of the control plane.
const (
	// TierFree has no promise of availability.
	TierFree = "Free"
	// TierStandard has one, for a price per hour.
	TierStandard = "Standard"
	// TierPremium adds long-term support of old versions.
	TierPremium = "Premium"
)

// Ways of kubelogin to get a token; all of them work without a person.
const (
	// LoginAzureCLI uses the account of `az login`, which is also what azure/login sets up in CI.
	LoginAzureCLI = "azurecli"
	// LoginWorkloadIdentity exchanges a federated token (AZURE_CLIENT_ID, AZURE_TENANT_ID,
	// AZURE_FEDERATED_TOKEN_FILE).
	LoginWorkloadIdentity = "workloadidentity"
	// LoginServicePrincipal uses a client secret or certificate (AZURE_CLIENT_ID,
	// AZURE_CLIENT_SECRET).
	LoginServicePrincipal = "spn"
	// LoginManagedIdentity uses the identity of the virtual machine that it runs on.
	LoginManagedIdentity = "msi"
)

// Args describe a cluster to create, or one to attach to. All of it is known when a preview starts.
// The zero value of a field means its default.
type Args struct {
	// SubscriptionID is the Azure subscription, a GUID; "" takes ARM_SUBSCRIPTION_ID, or the one that
	// the Azure CLI is logged in to.
	SubscriptionID string
	// TenantID is the Entra tenant of the subscription, a GUID; "" takes ARM_TENANT_ID, or the Azure
	// CLI's.
	TenantID string
	// Tags go on every Azure resource, the nodes' scale sets included.
	Tags map[string]string

	// Name is the name of the cluster to create, 1 to 63 letters, digits, - and _. Exactly one of Name
	// and Existing must be set.
	Name string
	// Existing is the name of a cluster to attach to. Its owner keeps network, version and access; only
	// a GPU pool is added.
	Existing string
	// ResourceGroup is an existing resource group: the one to create the cluster in, or the one that the
	// Existing cluster is in. "" creates one called <Name>-rg, which is not possible with Existing.
	ResourceGroup string
	// Location is the Azure region, such as eastus. Required with Name. An existing cluster has its own.
	Location string

	// KubernetesVersion is a minor version, such as 1.35; "" means AKS' default when the cluster is
	// created. It must be "" with the upgrade channels that change the minor version by themselves.
	KubernetesVersion string
	// UpgradeChannel is one of rapid, stable, patch, node-image and none. Default: patch.
	UpgradeChannel string
	// NodeOSUpgradeChannel is one of NodeImage, SecurityPatch, Unmanaged and None. Default: NodeImage.
	NodeOSUpgradeChannel string
	// Tier is TierFree, TierStandard or TierPremium. Default: TierFree.
	Tier string
	// NodeResourceGroup names the resource group that AKS creates for the nodes; "" leaves the name to
	// AKS. It must not exist yet.
	NodeResourceGroup string
	// UserAssignedIdentityID is the resource id of a managed identity for the cluster; "" gives it one of
	// its own. With Network.NodeSubnetID, it needs the role Network Contributor on that subnet.
	UserAssignedIdentityID string
	// Network is where nodes, pods and Services live.
	Network Network
	// AuthorizedIPRanges are the IPv4 networks that reach the API server over the internet. Required for
	// a cluster to create that is not private: 0.0.0.0/0, alone, has to be asked for. Pulumi itself has
	// to be in one of them.
	AuthorizedIPRanges []string
	// PrivateCluster keeps the API server off the internet. Pulumi itself must then run in the cluster's
	// network or one connected to it.
	PrivateCluster bool
	// Entra has people and CI identify themselves to the API server with Microsoft Entra ID; nil uses
	// the cluster's own administrator certificate. With Existing it says what the cluster does.
	Entra *Entra
	// EncryptionAtHost also encrypts caches and temporary disks, on both pools. The subscription needs
	// the feature Microsoft.Compute/EncryptionAtHost. Disks are encrypted without it.
	EncryptionAtHost bool
	// DeletionProtection puts a lock on the cluster, which stops everyone, and has Pulumi refuse to
	// delete or replace it. Before a destroy it has to be switched off by an update of its own.
	DeletionProtection bool

	// SystemPool runs everything that needs no GPU, at least 4 vCPU to a node. Defaults:
	// Standard_D4s_v5, 1 to 3 nodes, 64 GiB. Not used with Existing.
	SystemPool providers.NodePool
	// GPUPool runs vLLM. Defaults: Standard_NC24ads_A100_v4, 0 to 4 nodes, 128 GiB; Accelerator and
	// GPUsPerNode follow from the VM size where the catalogue of accelerators has it. Required with Name; with
	// Existing, nil means that the cluster has GPU nodes.
	GPUPool *providers.GPUPool
	// GPUPoolName is 1 to 12 lower-case letters and digits, a letter first. Default: vllm. A name behind
	// "system" in the alphabet keeps the system pool the first in Azure's list, and a refresh quiet.
	GPUPoolName string
	// GPUsPerReplica is how many GPUs one vLLM pod asks for. Default: 1; at most GPUPool.GPUsPerNode.
	GPUsPerReplica int
	// IdleTime is how long a node without work is kept. Whole minutes. Default: 10 minutes, which is
	// AKS' own. It is a setting of the whole cluster.
	IdleTime time.Duration
	// DevicePluginInstalled says that the attached cluster runs NVIDIA's device plugin or GPU operator. A
	// second copy on a node misbehaves. Only with Existing.
	DevicePluginInstalled bool
	// StorageClass of Prometheus' volume; "" means the cluster's default class.
	StorageClass string
}

// Network is where nodes, pods and Services live. The network plugin is azure in overlay mode: pods
// have addresses of their own range and take none from the nodes' network.
type Network struct {
	// NodeSubnetID is the resource id of a subnet for all nodes; "" lets AKS create a network. With
	// Existing, "" means the subnet of the cluster's system pool.
	NodeSubnetID string
	// PodCIDR, ServiceCIDR and DNSServiceIP must not overlap with the nodes' network. Defaults:
	// 10.244.0.0/16, 10.0.0.0/16, and the service network's tenth address.
	PodCIDR, ServiceCIDR, DNSServiceIP string
	// Policy enforces NetworkPolicies: cilium, azure, calico or none. Default: cilium.
	Policy string
	// OutboundType is how nodes reach the internet: loadBalancer, managedNATGateway, or, with
	// NodeSubnetID, userAssignedNATGateway or userDefinedRouting. Default: loadBalancer.
	OutboundType string
}

// Entra is how Microsoft Entra ID guards the API server.
type Entra struct {
	// TenantID is the tenant of the users, a GUID; "" means the subscription's.
	TenantID string
	// AdminGroupIDs are the object ids of groups that administrate the cluster.
	AdminGroupIDs []string
	// AzureRBAC has Azure roles say who may do what. Whoever runs Pulumi then needs the role Azure
	// Kubernetes Service RBAC Cluster Admin on the cluster. At least one of AzureRBAC and AdminGroupIDs
	// is required for a cluster to create.
	AzureRBAC bool
	// DisableLocalAccounts leaves no way in around Entra ID.
	DisableLocalAccounts bool
	// Login is how kubelogin gets its token: LoginAzureCLI (default), LoginWorkloadIdentity,
	// LoginServicePrincipal or LoginManagedIdentity.
	Login string
}

const (
	systemPoolName     = "system"
	defaultGPUPoolName = "vllm"
	defaultSystemSize  = "Standard_D4s_v5"
	defaultGPUSize     = "Standard_NC24ads_A100_v4"
	defaultIdleTime    = 10 * time.Minute

	defaultSystemMin, defaultSystemMax, defaultSystemDisk = 1, 3, 64
	// 128 GiB hold the vLLM image, which unpacks to tens of GB, and the weights of a model beside it.
	defaultGPUMax, defaultGPUDisk = 4, 128

	// anywhere is what has to be written to leave the API server open to the internet.
	anywhere = "0.0.0.0/0"
)

// withDefaults is a copy with every default filled in, so that the rest never asks for one.
func (a *Args) withDefaults() *Args {
	c := *a
	fill(&c.GPUsPerReplica, 1)
	if c.Entra != nil {
		entra := *c.Entra
		fill(&entra.Login, LoginAzureCLI)
		c.Entra = &entra
	}
	if c.Existing == "" {
		fill(&c.UpgradeChannel, "patch")
		fill(&c.NodeOSUpgradeChannel, "NodeImage")
		fill(&c.Tier, TierFree)
		fill(&c.IdleTime, defaultIdleTime)
		fill(&c.Network.PodCIDR, "10.244.0.0/16")
		fill(&c.Network.ServiceCIDR, "10.0.0.0/16")
		fill(&c.Network.DNSServiceIP, tenthAddress(c.Network.ServiceCIDR))
		fill(&c.Network.Policy, "cilium")
		fill(&c.Network.OutboundType, "loadBalancer")
		fill(&c.SystemPool.MachineType, defaultSystemSize)
		fill(&c.SystemPool.MinNodes, defaultSystemMin)
		fill(&c.SystemPool.MaxNodes, max(defaultSystemMax, c.SystemPool.MinNodes))
		fill(&c.SystemPool.DiskGiB, defaultSystemDisk)
	}
	if a.GPUPool != nil {
		pool := *a.GPUPool
		fill(&c.GPUPoolName, defaultGPUPoolName)
		fill(&pool.MachineType, defaultGPUSize)
		fill(&pool.MaxNodes, max(defaultGPUMax, pool.MinNodes))
		fill(&pool.DiskGiB, defaultGPUDisk)
		if known, ok := gpuSize(pool.MachineType); ok {
			fill(&pool.Accelerator, known.Accelerator)
			fill(&pool.GPUsPerNode, known.GPUs)
		}
		c.GPUPool = &pool
	}
	return &c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// clusterName is the cluster's name in Azure, created or attached.
func (a *Args) clusterName() string {
	if a.Existing != "" {
		return a.Existing
	}
	return a.Name
}

// resourceGroup is the group that the cluster is in.
func (a *Args) resourceGroup() string {
	if a.ResourceGroup != "" {
		return a.ResourceGroup
	}
	return a.Name + "-rg"
}
