package config

import (
	"slices"
	"time"

	"vllm-autoscaling/providers/accelerators"
)

// NodePools are the nodes that a cloud makes.
type NodePools struct {
	// System runs everything but the model. Zero values mean the provider package's defaults.
	System SystemPool `key:"system" when:"create"`
	// GPU runs the model.
	GPU GPUPool `key:"gpu"`
}

// SystemPool is the pool for everything but the model.
type SystemPool struct {
	// MachineType is the cloud's name of the machine.
	MachineType string `key:"machineType" default:"gke=e2-standard-4 eks=m6i.large aks=Standard_D4s_v5" example:"gke=e2-standard-8 eks=m6i.xlarge aks=Standard_D8s_v5"`
	// MinNodes is the least number of nodes, over all zones together.
	MinNodes int `key:"minNodes" unit:"nodes" min:"1" default:"gke=1 eks=2 aks=1"`
	// MaxNodes is the largest number of nodes: nodePools.system.minNodes or more, on gke at least one
	// for each zone.
	MaxNodes int `key:"maxNodes" unit:"nodes" min:"1" default:"gke=3 eks=4 aks=3" example:"6"`
	// DiskGiB is the size of a node's disk; on aks 30 or more.
	DiskGiB int `key:"diskGiB" unit:"GiB" min:"20" default:"gke=50 eks=50 aks=64" example:"128"`
	// Zones limits the pool to some zones.
	Zones []string `key:"zones" unset:"the cloud's choice; eks: all of eks.zones" example:"gke=[us-central1-a] eks=[us-east-1a] aks=[\"1\"]"`
}

// GPUPool is the pool for the model. Accelerator, MachineType and GPUsPerNode follow from each other.
type GPUPool struct {
	// Create is false to use the GPU nodes that the cluster has.
	Create bool `key:"create" when:"attach"`
	// Accelerator is the GPU's name, the same on every cloud; see the cloud's page. It follows from
	// nodePools.gpu.machineType where that is given.
	Accelerator string `key:"accelerator" example:"gke=nvidia-a100-40gb eks=nvidia-l40s aks=nvidia-h100-94gb"`
	// MachineType is a machine type that carries the accelerator: the smallest with gpu.perReplica of
	// it.
	MachineType string `key:"machineType" example:"gke=g2-standard-8 eks=g6.2xlarge aks=Standard_NC48ads_A100_v4"`
	// GPUsPerNode is what the machine type carries; only needed for machine types that the program does
	// not know.
	GPUsPerNode int `key:"gpusPerNode" unit:"GPUs" min:"1"`
	// MinNodes is the least number of nodes, over all zones together.
	MinNodes int `key:"minNodes" unit:"nodes" min:"0"`
	// MaxNodes is the largest number of nodes: enough for autoscaling.maxReplicas.
	MaxNodes int `key:"maxNodes" unit:"nodes" min:"1"`
	// DiskGiB is the size of a node's disk, with room for the server's image and the model: on gke 60
	// or more, on aks 100.
	DiskGiB int `key:"diskGiB" unit:"GiB" min:"50" default:"gke=100 eks=100 aks=128" example:"200"`
	// Zones limits the pool to zones that have the GPU; required with a region as gke.location.
	Zones []string `key:"zones" unset:"the cloud's choice; eks: all of eks.zones" example:"gke=[us-central1-a] eks=[us-east-1a] aks=[\"1\"]"`
	// Spot is for machines that the cloud may take back at short notice.
	Spot bool `key:"spot"`
}

// GKE is what only Google Kubernetes Engine has. The fields are those of gke.Args.
type GKE struct {
	// Project is the ID of the project.
	Project string `key:"project" pattern:"^[a-z][a-z0-9-]{4,28}[a-z0-9]$" example:"other-project" allowed:"a project ID: 6 to 30 lower-case letters, digits and dashes" hint:"run 'gcloud projects list' to see yours"`
	// Location is a zone (one control plane) or a region (three).
	Location string `key:"location" pattern:"^[a-z]+-[a-z]+[0-9]+(-[a-z0-9]+)?$" example:"us-central1-b" allowed:"a zone such as us-central1-a, or a region such as us-central1"`
	// Autopilot has to be false: Autopilot denies what the pipeline needs.
	Autopilot bool `key:"autopilot" values:"false" hint:"create a Standard cluster: Autopilot denies what the pipeline needs (node-exporter's host paths, Services in kube-system, GPU node pools of one's own)"`
	// ReleaseChannel is how new the cluster's versions are.
	ReleaseChannel string `key:"releaseChannel" when:"create" values:"RAPID REGULAR STABLE" default:"REGULAR"`
	// AutoscalingProfile is how eagerly idle nodes are removed.
	AutoscalingProfile string `key:"autoscalingProfile" when:"create" values:"OPTIMIZE_UTILIZATION BALANCED" default:"OPTIMIZE_UTILIZATION"`
	// Network is a VPC network with a NAT.
	Network string `key:"network" when:"create" unset:"one is created" example:"shared"`
	// Subnetwork is a subnetwork of gke.network; required with it.
	Subnetwork string `key:"subnetwork" when:"create" example:"nodes"`
	// PodsRange is a secondary range of gke.subnetwork.
	PodsRange string `key:"podsRange" when:"create" unset:"GKE's choice" example:"pods"`
	// ServicesRange is another one; both or neither.
	ServicesRange string `key:"servicesRange" when:"create" unset:"GKE's choice" example:"services"`
	// NodesCIDR is an IPv4 range of the network that is created.
	NodesCIDR string `key:"nodesCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.0.0.0/20" example:"10.1.0.0/20" allowed:"an IPv4 network in CIDR notation"`
	// PodsCIDR is the same for pods.
	PodsCIDR string `key:"podsCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.4.0.0/14" example:"10.12.0.0/14" allowed:"an IPv4 network in CIDR notation"`
	// ServicesCIDR is the same for Services.
	ServicesCIDR string `key:"servicesCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.8.0.0/20" example:"10.9.0.0/20" allowed:"an IPv4 network in CIDR notation"`
	// ControlPlaneCIDR is a /28 that nothing else uses.
	ControlPlaneCIDR string `key:"controlPlaneCidr" when:"create" pattern:"^[0-9.]+/28$" default:"172.16.0.32/28" example:"172.16.9.0/28" allowed:"an IPv4 network of size /28, the only one that GKE takes"`
	// DiskKMSKey is a Cloud KMS key for the nodes' disks.
	DiskKMSKey string `key:"diskKmsKey" unset:"Google's keys" pattern:"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$" example:"projects/p/locations/us-central1/keyRings/r/cryptoKeys/k" allowed:"a key's path projects/P/locations/L/keyRings/R/cryptoKeys/K"`
	// GPUDriver is the version of NVIDIA's driver that GKE installs.
	GPUDriver string `key:"gpuDriver" values:"DEFAULT LATEST" default:"DEFAULT"`
	// LeaveGPUTaintToGKE is true where GKE refuses the declared taint as a duplicate.
	LeaveGPUTaintToGKE bool `key:"leaveGpuTaintToGke"`
	// ExistingAccelerator is GKE's name of the GPUs to use, with nodePools.gpu.create false.
	ExistingAccelerator string `key:"existingAccelerator" when:"attach" unset:"the only kind" example:"nvidia-l4"`
}

// EKS is what only Amazon EKS has. The fields are those of eks.Args.
type EKS struct {
	// Region is an AWS region outside China.
	Region string `key:"region" pattern:"^[a-z]{2}(-[a-z]+)+-[0-9]$" example:"eu-central-1" allowed:"an AWS region such as eu-central-1"`
	// AccountID is the account that the credentials have to belong to.
	AccountID string `key:"accountId" unset:"not checked" pattern:"^[0-9]{12}$" example:"123456789012" allowed:"an AWS account: 12 digits"`
	// Profile is a profile of the AWS configuration files.
	Profile string `key:"profile" unset:"the default credentials" example:"production"`
	// RoleARN is a role to assume.
	RoleARN string `key:"roleArn" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$" example:"arn:aws:iam::123456789012:role/deploy" allowed:"the ARN of an IAM role: arn:aws:iam::<account>:role/<name>"`
	// Tags are on every AWS resource. The key Name is the program's own.
	Tags map[string]string `key:"tags" example:"{team: ml}"`
	// ExtendedSupport keeps an old version, at a price.
	ExtendedSupport bool `key:"extendedSupport" when:"create"`
	// VPCCIDR is the range of the VPC that is created, /16 to /20.
	VPCCIDR string `key:"vpcCidr" when:"create" pattern:"^[0-9.]+/(16|17|18|19|20)$" default:"10.0.0.0/16" example:"10.1.0.0/16" allowed:"an IPv4 network of size /16 to /20"`
	// Zones are two to four zones of the VPC that is created; these or eks.subnetIds have to be set.
	Zones []string `key:"zones" when:"create" example:"[us-east-1a, us-east-1b, us-east-1c]"`
	// NATPerZone is true for a NAT gateway in each zone.
	NATPerZone bool `key:"natPerZone" when:"create"`
	// SubnetIDs are private subnets in at least two zones.
	SubnetIDs []string `key:"subnetIds" unset:"a VPC is created; with cluster.existing the cluster's own" pattern:"^subnet-[0-9a-f]+$" example:"[subnet-0a, subnet-0b]" allowed:"ids of subnets: subnet-..."`
	// GPUSubnetIDs are those of the given subnets that GPU nodes may use.
	GPUSubnetIDs []string `key:"gpuSubnetIds" unset:"all" pattern:"^subnet-[0-9a-f]+$" example:"[subnet-0a]" allowed:"ids of subnets: subnet-..."`
	// Admins are ARNs of roles and users that administrate the cluster.
	Admins []string `key:"admins" when:"create" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$" example:"[\"arn:aws:iam::123456789012:role/admin\"]" allowed:"ARNs of IAM roles and users: arn:aws:iam::<account>:role/<name>"`
	// Viewers are ARNs of roles and users that read it.
	Viewers []string `key:"viewers" when:"create" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$" example:"[\"arn:aws:iam::123456789012:role/viewer\"]" allowed:"ARNs of IAM roles and users: arn:aws:iam::<account>:role/<name>"`
	// ControlPlaneLogs are the logs of the control plane that CloudWatch keeps.
	ControlPlaneLogs []string `key:"controlPlaneLogs" when:"create" values:"api audit authenticator controllerManager scheduler" default:"[api, audit, authenticator]" example:"[api]"`
	// LogRetentionDays is how long they are kept, a number that CloudWatch allows.
	LogRetentionDays int `key:"logRetentionDays" unit:"days" when:"create" values:"1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653" default:"30" example:"90"`
	// SecretsKeyARN is a KMS key for Kubernetes Secrets.
	SecretsKeyARN string `key:"secretsKeyArn" when:"create" unset:"one is created" pattern:"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$" example:"arn:aws:kms:us-east-1:123456789012:key/k" allowed:"the ARN of a KMS key: arn:aws:kms:<region>:<account>:key/<id>"`
	// AddonVersions are versions of EKS add-ons, by name.
	AddonVersions map[string]string `key:"addonVersions" when:"create" unset:"AWS' recommendation" example:"{vpc-cni: v1.20.4-eksbuild.1}"`
	// AMIType is the image of the GPU nodes. Both bring NVIDIA's driver.
	AMIType string `key:"amiType" values:"AL2023_x86_64_NVIDIA BOTTLEROCKET_x86_64_NVIDIA" hint:"both bring NVIDIA's driver"`
	// AlternativeInstanceTypes are further types for the GPU nodes besides nodePools.gpu.machineType,
	// with as many GPUs of no less memory.
	AlternativeInstanceTypes []string `key:"alternativeInstanceTypes" example:"[g5.xlarge]"`
	// IdleTime is how long a node without a GPU pod is kept.
	IdleTime time.Duration `key:"idleTime" default:"10m" min:"0s" example:"20m"`
	// NodeAutoscalerInstalled is true where the cluster has a node autoscaler.
	NodeAutoscalerInstalled bool `key:"nodeAutoscalerInstalled" when:"attach"`
	// DevicePluginInstalled is true where the cluster has NVIDIA's device plugin.
	DevicePluginInstalled bool `key:"devicePluginInstalled" when:"attach"`
}

// AKS is what only Azure Kubernetes Service has. The fields are those of aks.Args, the keys those of
// Azure's API.
type AKS struct {
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
	// Tier is the price and promise of the control plane.
	Tier string `key:"tier" when:"create" values:"Free Standard Premium" default:"Free"`
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
	// GPUPoolName is the GPU pool's name.
	GPUPoolName string `key:"gpuPoolName" pattern:"^[a-z][a-z0-9]{0,11}$" default:"vllm" example:"gpus" allowed:"1 to 12 lower-case letters and digits, a letter first"`
	// IdleTime is how long a node without work is kept, in whole minutes.
	IdleTime time.Duration `key:"idleTime" when:"create" min:"1m" default:"10m" example:"20m" step:"1m"`
	// DevicePluginInstalled is true where the cluster has NVIDIA's device plugin.
	DevicePluginInstalled bool `key:"devicePluginInstalled" when:"attach"`
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

// defaultAccelerators are the smallest of each cloud that run Gemma 3: an L4, and on Azure, whose
// only smaller choice is the unproven A10, an A100.
var defaultAccelerators = map[string]string{CloudGKE: "nvidia-l4", CloudEKS: "nvidia-l4", CloudAKS: "nvidia-a100-80gb"}

const (
	// defaultGPUMin is 1 and not 0, because the HPA always wants one replica: a missing quota then shows
	// up when the pool is made, and not as a pod that waits.
	defaultGPUMin, defaultGPUMax = 1, 4
	// maxDefaultClusterName is the longest name of a cluster that every cloud accepts: GKE's limit here, which leaves
	// room for what the names of pools and accounts add to it.
	maxDefaultClusterName = 24
)

// onCloud says whether the stack runs on a cloud, which makes nodes.
func (c *Config) onCloud() bool { return c.Cloud != CloudLocal && slices.Contains(Clouds, c.Cloud) }

// attaches says whether the cluster is there already.
func (c *Config) attaches() bool { return c.Cluster.Existing != "" }

// createsGPUPool says whether the stack makes GPU nodes.
func (c *Config) createsGPUPool() bool { return c.onCloud() && c.NodePools.GPU.Create }

// applyCloudDefaults fills in what the checks below need to know of a cloud's cluster. The rest keeps
// its zero value, which the provider packages replace.
func (c *Config) applyCloudDefaults(given keySet) {
	orDefault(given, "cluster.name", &c.Cluster.Name, defaultClusterName(c.Project, c.Stack))
	orDefault(given, "eks.amiType", &c.EKS.AMIType, amiAL2023)
	pool := &c.NodePools.GPU
	orDefault(given, "nodePools.gpu.create", &pool.Create, true)
	if !pool.Create {
		return
	}
	orDefault(given, "nodePools.gpu.minNodes", &pool.MinNodes, defaultGPUMin)
	orDefault(given, "nodePools.gpu.maxNodes", &pool.MaxNodes, max(defaultGPUMax, pool.MinNodes))
	if pool.Accelerator == "" && pool.MachineType == "" {
		pool.Accelerator = defaultAccelerators[c.Cloud]
	}
	if pool.MachineType == "" {
		if fitting := c.machinesWith(pool.Accelerator); len(fitting) > 0 {
			pool.MachineType = fitting[0]
		}
	}
	if machine, ok := accelerators.FindMachine(c.Cloud, pool.MachineType); ok {
		orDefault(given, "nodePools.gpu.accelerator", &pool.Accelerator, machine.Accelerator)
		orDefault(given, "nodePools.gpu.gpusPerNode", &pool.GPUsPerNode, machine.GPUs)
	}
	if accelerator, ok := accelerators.Find(pool.Accelerator); ok {
		orDefault(given, "gpu.memoryGiB", &c.GPU.MemoryGiB, accelerator.MemoryGiB)
	}
}

// defaultClusterName is project and stack, or vllm and stack where that is too long for Google.
func defaultClusterName(project, stack string) string {
	if name := project + "-" + stack; len(name) <= maxDefaultClusterName {
		return name
	}
	return "vllm-" + stack
}

// machinesWith lists the machine types of the stack's cloud that carry enough of an accelerator for
// a replica, the smallest first.
func (c *Config) machinesWith(accelerator string) []string {
	var types []string
	for _, machine := range accelerators.Machines(c.Cloud, accelerator) {
		if machine.GPUs >= c.GPU.PerReplica {
			types = append(types, machine.Type)
		}
	}
	return types
}
