package aks

import "time"

// Keys are the keys that only Azure Kubernetes Service has, below aks; their names are those of Azure's API. The tags are
// those of stacks/config.Config. The zero value of a field means its default.
type Keys struct {
	// SubscriptionID is the subscription, a GUID.
	SubscriptionID string `key:"subscriptionId" unset:"ARM_SUBSCRIPTION_ID, or the Azure CLI's" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" example:"00000000-0000-0000-0000-000000000002" allowed:"a GUID" hint:"run 'az account show --query id' to see yours"`
	// TenantID is the tenant of the subscription, a GUID.
	TenantID string `key:"tenantId" unset:"ARM_TENANT_ID, or the Azure CLI's" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" example:"00000000-0000-0000-0000-000000000003" allowed:"a GUID" hint:"run 'az account show --query tenantId' to see yours"`
	// Tags are on every Azure resource.
	Tags map[string]string `key:"tags" example:"{team: ml}"`
	// ResourceGroup is an existing resource group; required with cluster.existing.
	ResourceGroup string `key:"resourceGroup" unset:"one is created" pattern:"^[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]$" example:"inference" allowed:"a resource group's name: 1 to 90 letters, digits and _ - . ( ), no full stop at the end"`
	// Location is an Azure region.
	Location string `key:"location" when:"create" pattern:"^[a-z][a-z0-9]+$" example:"westus" allowed:"an Azure region's name such as eastus" hint:"run 'az account list-locations --query [].name' to see all"`
	// UpgradeChannel is how the cluster is upgraded by itself.
	UpgradeChannel string `key:"upgradeChannel" when:"create" values:"rapid stable patch node-image none" default:"patch"`
	// NodeOSUpgradeChannel is the same for the nodes' operating system.
	NodeOSUpgradeChannel string `key:"nodeOSUpgradeChannel" when:"create" values:"NodeImage SecurityPatch Unmanaged None" default:"NodeImage"`
	// MaintenanceWindow is when the automatic upgrades of aks.upgradeChannel and aks.nodeOSUpgradeChannel may begin, every week.
	MaintenanceWindow MaintenanceWindow `key:"maintenanceWindow"`
	// Tier is the price and promise of the control plane.
	Tier string `key:"tier" when:"create" values:"Free Standard Premium" default:"Free"`
	// StorageResourceGroup is the resource group of the storage account of model.bucket, in the subscription of the cluster; required with
	// it.
	StorageResourceGroup string `key:"storageResourceGroup" when:"create" unset:"none" pattern:"^[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]$" example:"models" allowed:"a resource group's name: 1 to 90 letters, digits and _ - . ( ), no full stop at the end"`
	// NodeResourceGroup is the group that AKS makes for the nodes.
	NodeResourceGroup string `key:"nodeResourceGroup" when:"create" unset:"AKS' choice" pattern:"^[A-Za-z0-9_().-]{0,79}[A-Za-z0-9_()-]$" example:"inference-nodes" allowed:"a resource group's name: 1 to 80 letters, digits and _ - . ( ), no full stop at the end"`
	// UserAssignedIdentityID is a managed identity's resource id.
	UserAssignedIdentityID string `key:"userAssignedIdentityId" when:"create" unset:"the cluster's own" example:"/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"`
	// VnetSubnetID is a subnet's resource id.
	VnetSubnetID string `key:"vnetSubnetId" unset:"AKS makes a network; with cluster.existing that of the system pool" example:"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s"`
	// PodCIDR is the range of pods.
	PodCIDR string `key:"podCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.244.0.0/16" example:"10.200.0.0/16" allowed:"an IPv4 network in CIDR notation"`
	// ServiceCIDR is the range of Services, /12 to /28.
	ServiceCIDR string `key:"serviceCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.0.0.0/16" example:"10.1.0.0/16" allowed:"an IPv4 network in CIDR notation"`
	// DNSServiceIP is the address of cluster DNS, in aks.serviceCidr.
	DNSServiceIP string `key:"dnsServiceIP" when:"create" unset:"the tenth address of aks.serviceCidr" pattern:"^[0-9.]+$" example:"10.0.0.20" allowed:"an IPv4 address"`
	// NetworkPolicy is what enforces NetworkPolicies.
	NetworkPolicy string `key:"networkPolicy" when:"create" values:"cilium azure calico none" default:"cilium"`
	// OutboundType is how nodes reach the internet; the last two only with aks.vnetSubnetId.
	OutboundType string `key:"outboundType" when:"create" values:"loadBalancer managedNATGateway userAssignedNATGateway userDefinedRouting" default:"loadBalancer"`
	// PrivateCluster keeps the API server off the internet; without cluster.apiAccessCidrs.
	PrivateCluster bool `key:"privateCluster" when:"create"`
	// Entra is how Microsoft Entra ID guards the API server.
	Entra Entra `key:"entra"`
	// EncryptionAtHost encrypts caches and temporary disks too; it takes a feature of the subscription.
	EncryptionAtHost bool `key:"encryptionAtHost"`
	// GPUPoolName is the beginning of the GPU pool's name. Four digits follow, which stand for what replaces the pool.
	GPUPoolName string `key:"gpuPoolName" pattern:"^[a-z][a-z0-9]{0,7}$" default:"vllm" example:"gpus" allowed:"1 to 8 lower-case letters and digits, a letter first"`
	// CapacityReservationGroupID is the resource id of a capacity reservation group that the GPU nodes come from; needs
	// aks.userAssignedIdentityId.
	CapacityReservationGroupID string `key:"capacityReservationGroupId" unset:"none" example:"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/c"`
	// SpotMaxPrice is the highest price of a spot GPU node, in US dollars; Azure evicts it when the price is higher.
	SpotMaxPrice float64 `key:"spotMaxPrice" unit:"USD per hour" above:"0" unset:"the price on demand, so that no node is evicted for its price" example:"1.5"`
	// IdleTime is how long a node without work is kept, in whole minutes.
	IdleTime time.Duration `key:"idleTime" when:"create" min:"1m" default:"10m" example:"20m" step:"1m"`
	// DevicePluginInstalled is true where the cluster has NVIDIA's device plugin.
	DevicePluginInstalled bool `key:"devicePluginInstalled" when:"attach"`
}

// MaintenanceWindow is the time of a week in which automatic upgrades may begin.
type MaintenanceWindow struct {
	// Day is the day of the week; the other keys of aks.maintenanceWindow need it.
	Day string `key:"day" when:"create" unset:"AKS upgrades at any time" values:"Monday Tuesday Wednesday Thursday Friday Saturday Sunday" example:"Saturday"`
	// Start is the time of day at which the window begins.
	Start string `key:"start" when:"create" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" default:"00:00" example:"02:00" allowed:"a time of day from 00:00 to 23:59"`
	// Hours is how long the window is.
	Hours int `key:"hours" when:"create" unit:"hours" min:"4" max:"24" default:"4" example:"6"`
	// UTCOffset is the time zone of aks.maintenanceWindow.start.
	UTCOffset string `key:"utcOffset" when:"create" pattern:"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$" default:"+00:00" example:"+02:00" allowed:"an offset from UTC, such as +05:30 or -07:00"`
}

// Entra is how Microsoft Entra ID guards the API server.
type Entra struct {
	// Enabled is false to use the cluster's own administrator certificate; true takes kubelogin.
	Enabled bool `key:"enabled"`
	// TenantID is the tenant of the users, a GUID.
	TenantID string `key:"tenantID" when:"create" unset:"the subscription's" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" example:"00000000-0000-0000-0000-000000000003" allowed:"a GUID"`
	// AdminGroupObjectIDs are groups that administrate the cluster; these or
	// aks.entra.enableAzureRBAC.
	AdminGroupObjectIDs []string `key:"adminGroupObjectIDs" when:"create" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" example:"[00000000-0000-0000-0000-000000000004]" allowed:"object ids of groups, GUIDs" hint:"run 'az ad group show --group NAME --query id' to see one"`
	// EnableAzureRBAC has Azure roles say who may do what.
	EnableAzureRBAC bool `key:"enableAzureRBAC" when:"create"`
	// DisableLocalAccounts leaves no way in around Entra ID.
	DisableLocalAccounts bool `key:"disableLocalAccounts" when:"create"`
	// Login is how kubelogin gets its token.
	Login string `key:"login" values:"azurecli workloadidentity spn msi" default:"azurecli"`
}
