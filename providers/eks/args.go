// Package eks creates an Amazon EKS cluster with a GPU node group, or adds the node group to a
// cluster that already stands.
package eks

import (
	"slices"
	"time"

	"vllm-autoscaling/providers"
)

// Args choose the cluster and everything around it. All values are known when a preview starts. The
// zero value of a field means its default.
type Args struct {
	// Region is the AWS region, such as eu-central-1. Required. China's regions are not supported.
	Region string
	// AccountID is the account that the credentials must belong to, 12 digits; "" checks nothing.
	// It keeps a stack from being created in the wrong account.
	AccountID string
	// Profile is a profile of the AWS configuration files; "" means the default credential chain.
	Profile string
	// RoleARN is an IAM role that Pulumi, and everyone who uses the kubeconfig, assumes; "" means the
	// credentials' own identity.
	RoleARN string
	// Tags go on every AWS resource, nodes and their volumes included. The key Name is ours.
	Tags map[string]string

	// Name is the name of the cluster to create. Exactly one of Name and Existing must be set.
	Name string
	// Existing is the name of a cluster to attach to. Its owner keeps network, version, add-ons and
	// access; only a GPU node group and the node autoscaler's permissions are added.
	Existing string

	// Version is the Kubernetes version, such as 1.34; "" means EKS' newest when the cluster is
	// created, without upgrades by this program.
	Version string
	// ExtendedSupport keeps a version for which AWS charges extra, in place of an automatic upgrade at
	// the end of its standard support.
	ExtendedSupport bool
	// Network is where the cluster lives.
	Network Network
	// PublicAccessCIDRs are the networks that reach the API server over the internet. Empty means
	// none: then Pulumi itself must run inside the VPC or a network connected to it.
	PublicAccessCIDRs []string
	// Admins are IAM roles and users (ARNs) that administrate the cluster, besides the one that
	// creates it and must not be listed.
	Admins []string
	// Viewers are IAM roles and users (ARNs) that read the objects in all namespaces, without Secrets.
	Viewers []string
	// ControlPlaneLogs are kept in CloudWatch: api, audit, authenticator, controllerManager,
	// scheduler. Default: api, audit, authenticator.
	ControlPlaneLogs []string
	// LogRetentionDays is how long they are kept; a number of days that CloudWatch allows. Default 30.
	LogRetentionDays int
	// SecretsKeyARN is the KMS key that encrypts Kubernetes Secrets; "" creates one. It cannot be
	// changed later without a new cluster.
	SecretsKeyARN string
	// AddonVersions pins EKS add-ons by name, such as "vpc-cni": "v1.20.4-eksbuild.1". An add-on
	// without an entry gets the version that AWS recommends for the cluster's.
	AddonVersions map[string]string
	// DeletionProtection makes Pulumi refuse to delete or replace the cluster and its key.
	DeletionProtection bool

	// SystemPool runs everything that needs no GPU. Default: 2 to 4 on-demand m6i.large with 50 GiB.
	// Ignored with Existing.
	SystemPool providers.NodePool
	// GPUPool runs vLLM. Required with Name; with Existing, nil means that the cluster has GPU nodes.
	GPUPool *GPUPool
	// GPUsPerReplica is how many GPUs one vLLM pod asks for. Default 1; at most GPUPool.GPUsPerNode.
	GPUsPerReplica int

	// NodeAutoscalerInstalled says that the attached cluster runs a node autoscaler. Two of them undo
	// each other's work. Only with Existing.
	NodeAutoscalerInstalled bool
	// DevicePluginInstalled says that the attached cluster runs NVIDIA's device plugin or GPU
	// operator. A second copy on a node misbehaves. Only with Existing.
	DevicePluginInstalled bool
	// StorageClass of Prometheus' volume; "" means the cluster's default class, which a created
	// cluster has.
	StorageClass string
}

// Network is a VPC to create, or subnets that are given.
type Network struct {
	// CIDR of the VPC to create, /16 to /20. Default 10.0.0.0/16.
	CIDR string
	// Zones of the VPC to create, at least two and at most four, such as eu-central-1a. Required
	// unless SubnetIDs is set. Appending a zone later moves nothing.
	Zones []string
	// NATPerZone has a NAT gateway in each zone, so that the loss of a zone cuts off no other. Default
	// is one for all, which costs less.
	NATPerZone bool
	// SubnetIDs are private subnets in at least two zones, with a way to the internet or to the
	// endpoints that nodes need. With them no VPC is created. With Existing, empty means the
	// cluster's own.
	SubnetIDs []string
}

// Image is the operating system of GPU nodes. Both carry NVIDIA's driver.
type Image string

// The images for GPU nodes. Amazon Linux 2 is left out: its support ended in November 2025.
const (
	// AL2023 is Amazon Linux 2023, which needs the device plugin installed.
	AL2023 Image = "al2023"
	// Bottlerocket has the device plugin built in.
	Bottlerocket Image = "bottlerocket"
)

// GPUPool is the node group for vLLM.
type GPUPool struct {
	// GPUPool is machine type, size and zones. Defaults: g6.xlarge, 0 to 4 nodes of 100 GiB;
	// Accelerator and GPUsPerNode follow from the machine type where this package knows it.
	providers.GPUPool
	// AlternativeTypes are further instance types that AWS may choose from, which makes spot capacity
	// far easier to get. Each must carry as many GPUs as MachineType, with no less memory on each. CPU
	// and main memory should be alike, because cluster-autoscaler plans with MachineType alone.
	AlternativeTypes []string
	// Image is AL2023 (default) or Bottlerocket.
	Image Image
	// IdleTime is how long a node without a GPU pod is kept. Whole seconds, default 10 minutes, which
	// is cluster-autoscaler's own.
	IdleTime time.Duration
	// SubnetIDs limits the nodes to some of the given or attached cluster's subnets, because not
	// every zone has every GPU. With a created VPC, use Zones.
	SubnetIDs []string
}

const (
	defaultCIDR         = "10.0.0.0/16"
	defaultSystemType   = "m6i.large"
	defaultGPUType      = "g6.xlarge"
	defaultIdleTime     = 10 * time.Minute
	defaultLogRetention = 30

	defaultSystemMin, defaultSystemMax, defaultSystemDisk = 2, 4, 50
	// The vLLM image alone unpacks to more than the 20 GiB that a node gets by default.
	defaultGPUMax, defaultGPUDisk = 4, 100
)

// withDefaults is a copy with every default filled in.
func (a *Args) withDefaults() *Args {
	c := *a
	setDefault(&c.GPUsPerReplica, 1)
	if c.Existing == "" {
		setDefault(&c.LogRetentionDays, defaultLogRetention)
		setDefault(&c.SystemPool.MachineType, defaultSystemType)
		setDefault(&c.SystemPool.MinNodes, defaultSystemMin)
		setDefault(&c.SystemPool.MaxNodes, max(defaultSystemMax, c.SystemPool.MinNodes))
		setDefault(&c.SystemPool.DiskGiB, defaultSystemDisk)
		if len(c.Network.SubnetIDs) == 0 {
			setDefault(&c.Network.CIDR, defaultCIDR)
		}
		if c.ControlPlaneLogs == nil {
			c.ControlPlaneLogs = slices.Clone(controlPlaneLogs[:3])
		}
	}
	if a.GPUPool != nil {
		pool := *a.GPUPool
		setDefault(&pool.MachineType, defaultGPUType)
		setDefault(&pool.MaxNodes, max(defaultGPUMax, pool.MinNodes))
		setDefault(&pool.DiskGiB, defaultGPUDisk)
		setDefault(&pool.Image, AL2023)
		setDefault(&pool.IdleTime, defaultIdleTime)
		if known, ok := gpuType(pool.MachineType); ok {
			setDefault(&pool.Accelerator, known.Accelerator)
			setDefault(&pool.GPUsPerNode, known.GPUs)
		}
		c.GPUPool = &pool
	}
	return &c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// clusterName is the cluster's name in AWS, created or attached.
func (a *Args) clusterName() string {
	if a.Existing != "" {
		return a.Existing
	}
	return a.Name
}

// createsVPC says whether the network is this program's.
func (a *Args) createsVPC() bool { return a.Existing == "" && len(a.Network.SubnetIDs) == 0 }

// installsDevicePlugin says whether nothing else tells the kubelet about the GPUs.
func (a *Args) installsDevicePlugin() bool {
	return a.GPUPool != nil && a.GPUPool.Image == AL2023 && !a.DevicePluginInstalled
}
