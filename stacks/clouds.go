package stacks

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
	MachineType string `key:"machineType"`
	// MinNodes and MaxNodes bound the pool over all zones together.
	MinNodes int `key:"minNodes"`
	MaxNodes int `key:"maxNodes"`
	// DiskGiB is the size of a node's disk.
	DiskGiB int `key:"diskGiB"`
	// Zones limits the pool; none leaves the choice to the cloud.
	Zones []string `key:"zones"`
}

// GPUPool is the pool for the model. Accelerator, MachineType and GPUsPerNode follow from each other.
type GPUPool struct {
	// Create is false to use the GPU nodes that an existing cluster has.
	Create bool `key:"create" when:"attach"`
	// Accelerator is the GPU's name, the same on every cloud; see package accelerators.
	Accelerator string `key:"accelerator"`
	// MachineType is the cloud's name of the machine.
	MachineType string `key:"machineType"`
	// GPUsPerNode is how many GPUs the machine carries.
	GPUsPerNode int `key:"gpusPerNode"`
	// MinNodes and MaxNodes bound the pool over all zones together. MinNodes may be 0.
	MinNodes int `key:"minNodes"`
	MaxNodes int `key:"maxNodes"`
	// DiskGiB is the size of a node's disk, which holds images and, while it runs, the model.
	DiskGiB int `key:"diskGiB"`
	// Zones limits the pool; none leaves the choice to the cloud.
	Zones []string `key:"zones"`
	// Spot is for machines that the cloud may take back at short notice.
	Spot bool `key:"spot"`
}

// GKE is what only Google Kubernetes Engine has. The fields are those of gke.Args.
type GKE struct {
	Project             string `key:"project"`
	Location            string `key:"location"`
	Autopilot           bool   `key:"autopilot"`
	ReleaseChannel      string `key:"releaseChannel" when:"create"`
	AutoscalingProfile  string `key:"autoscalingProfile" when:"create"`
	Network             string `key:"network" when:"create"`
	Subnetwork          string `key:"subnetwork" when:"create"`
	PodsRange           string `key:"podsRange" when:"create"`
	ServicesRange       string `key:"servicesRange" when:"create"`
	NodesCIDR           string `key:"nodesCidr" when:"create"`
	PodsCIDR            string `key:"podsCidr" when:"create"`
	ServicesCIDR        string `key:"servicesCidr" when:"create"`
	ControlPlaneCIDR    string `key:"controlPlaneCidr" when:"create"`
	DiskKMSKey          string `key:"diskKmsKey"`
	GPUDriver           string `key:"gpuDriver"`
	LeaveGPUTaintToGKE  bool   `key:"leaveGpuTaintToGke"`
	ExistingAccelerator string `key:"existingAccelerator" when:"attach"`
}

// EKS is what only Amazon EKS has. The fields are those of eks.Args.
type EKS struct {
	Region           string            `key:"region"`
	AccountID        string            `key:"accountId"`
	Profile          string            `key:"profile"`
	RoleARN          string            `key:"roleArn"`
	Tags             map[string]string `key:"tags"`
	ExtendedSupport  bool              `key:"extendedSupport" when:"create"`
	VPCCIDR          string            `key:"vpcCidr" when:"create"`
	Zones            []string          `key:"zones" when:"create"`
	NATPerZone       bool              `key:"natPerZone" when:"create"`
	SubnetIDs        []string          `key:"subnetIds"`
	GPUSubnetIDs     []string          `key:"gpuSubnetIds"`
	Admins           []string          `key:"admins" when:"create"`
	Viewers          []string          `key:"viewers" when:"create"`
	ControlPlaneLogs []string          `key:"controlPlaneLogs" when:"create"`
	LogRetentionDays int               `key:"logRetentionDays" when:"create"`
	SecretsKeyARN    string            `key:"secretsKeyArn" when:"create"`
	AddonVersions    map[string]string `key:"addonVersions" when:"create"`
	// AMIType is one of amiTypes, as AWS names them.
	AMIType string `key:"amiType"`
	// AlternativeInstanceTypes of the GPU nodes, besides nodePools.gpu.machineType.
	AlternativeInstanceTypes []string      `key:"alternativeInstanceTypes"`
	IdleTime                 time.Duration `key:"idleTime"`
	NodeAutoscalerInstalled  bool          `key:"nodeAutoscalerInstalled" when:"attach"`
	DevicePluginInstalled    bool          `key:"devicePluginInstalled" when:"attach"`
}

// AKS is what only Azure Kubernetes Service has. The fields are those of aks.Args, the keys those of
// Azure's API.
type AKS struct {
	SubscriptionID         string            `key:"subscriptionId"`
	TenantID               string            `key:"tenantId"`
	Tags                   map[string]string `key:"tags"`
	ResourceGroup          string            `key:"resourceGroup"`
	Location               string            `key:"location" when:"create"`
	UpgradeChannel         string            `key:"upgradeChannel" when:"create"`
	NodeOSUpgradeChannel   string            `key:"nodeOSUpgradeChannel" when:"create"`
	Tier                   string            `key:"tier" when:"create"`
	NodeResourceGroup      string            `key:"nodeResourceGroup" when:"create"`
	UserAssignedIdentityID string            `key:"userAssignedIdentityId" when:"create"`
	VnetSubnetID           string            `key:"vnetSubnetId"`
	PodCIDR                string            `key:"podCidr" when:"create"`
	ServiceCIDR            string            `key:"serviceCidr" when:"create"`
	DNSServiceIP           string            `key:"dnsServiceIP" when:"create"`
	NetworkPolicy          string            `key:"networkPolicy" when:"create"`
	OutboundType           string            `key:"outboundType" when:"create"`
	PrivateCluster         bool              `key:"privateCluster" when:"create"`
	Entra                  Entra             `key:"entra"`
	EncryptionAtHost       bool              `key:"encryptionAtHost"`
	GPUPoolName            string            `key:"gpuPoolName"`
	IdleTime               time.Duration     `key:"idleTime" when:"create"`
	DevicePluginInstalled  bool              `key:"devicePluginInstalled" when:"attach"`
}

// Entra is how Microsoft Entra ID guards the API server.
type Entra struct {
	// Enabled is false to use the cluster's own administrator certificate.
	Enabled              bool     `key:"enabled"`
	TenantID             string   `key:"tenantID" when:"create"`
	AdminGroupObjectIDs  []string `key:"adminGroupObjectIDs" when:"create"`
	EnableAzureRBAC      bool     `key:"enableAzureRBAC" when:"create"`
	DisableLocalAccounts bool     `key:"disableLocalAccounts" when:"create"`
	// Login is how kubelogin gets its token.
	Login string `key:"login"`
}

// defaultAccelerators are the smallest of each cloud that run Gemma 3: an L4, and on Azure, whose
// only smaller choice is the unproven A10, an A100.
var defaultAccelerators = map[string]string{CloudGKE: "nvidia-l4", CloudEKS: "nvidia-l4", CloudAKS: "nvidia-a100-80gb"}

const (
	// defaultGPUMin is 1 and not 0, because the HPA always wants one replica: a missing quota then shows
	// up when the pool is made, and not as a pod that waits.
	defaultGPUMin, defaultGPUMax = 1, 4
	// projectName is the longest default of the cluster's name that every cloud accepts.
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

// defaultClusterName is project and stack, or the project alone where that is too long for Google.
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
