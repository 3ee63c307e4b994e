package config

import (
	"crypto/sha256"
	"fmt"
	"math"
	"regexp"
	"strings"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/existing"
	"vllm-autoscaling/providers/gke"
)

// Names of the clouds.
const (
	// CloudLocal is an existing cluster that a kubeconfig reaches: kind, minikube or any other.
	CloudLocal = existing.Name
	// CloudGKE is Google Kubernetes Engine.
	CloudGKE = gke.Name
	// CloudEKS is Amazon EKS.
	CloudEKS = eks.Name
	// CloudAKS is Azure Kubernetes Service.
	CloudAKS = aks.Name
)

// clouds is the table of the clouds that a stack can run on. The error for an unknown cloud proposes the first one.
var clouds = []providers.Cloud{existing.Cloud(), gke.Cloud(), eks.Cloud(), aks.Cloud()}

// Clouds lists the names of the clouds that a stack can run on.
var Clouds = strings.Fields(namesOf(func(providers.Cloud) bool { return true }))

// FindCloud returns the cloud with the given name, and whether there is one.
func FindCloud(name string) (providers.Cloud, bool) {
	for _, cloud := range clouds {
		if cloud.Name == name {
			return cloud, true
		}
	}
	return providers.Cloud{}, false
}

// NodePools configures the node pools that the cloud creates.
type NodePools struct {
	// System runs everything but the model. Zero values mean the provider package's defaults.
	System SystemPool `key:"system" when:"create"`
	// GPU runs the model.
	GPU GPUPool `key:"gpu"`
}

// SystemPool configures the node pool of everything but the model.
type SystemPool struct {
	// MachineType is the cloud's name of the machine.
	MachineType string `key:"machineType" default:"$nodePools.system.machineType" example:"$nodePools.system.machineType"`
	// MinNodes is the least number of nodes, over all zones together; on eks at least one for each
	// zone.
	MinNodes int `key:"minNodes" unit:"nodes" min:"1" default:"$nodePools.system.minNodes"`
	// MaxNodes is the largest number of nodes: nodePools.system.minNodes or more, on gke at least one
	// for each zone.
	MaxNodes int `key:"maxNodes" unit:"nodes" min:"1" default:"$nodePools.system.maxNodes" example:"6"`
	// DiskGiB is the size of a node's disk; on aks 30 or more.
	DiskGiB int `key:"diskGiB" unit:"GiB" min:"20" default:"$nodePools.system.diskGiB" example:"128"`
	// Zones limits the pool to some zones.
	Zones []string `key:"zones" unset:"the cloud's choice; eks: all of eks.zones" example:"$nodePools.system.zones"`
}

// GPUPool configures the node pool of the model. Accelerator, MachineType and GPUsPerNode follow from each other.
type GPUPool struct {
	// Create is false to use the GPU nodes that the cluster has.
	Create bool `key:"create" when:"attach"`
	// Accelerator is the GPU's name, the same on every cloud; see the cloud's page. It follows from
	// nodePools.gpu.machineType where that is given.
	Accelerator string `key:"accelerator" example:"$nodePools.gpu.accelerator"`
	// MachineType is a machine type that carries the accelerator: the smallest with gpu.perReplica of
	// it.
	MachineType string `key:"machineType" example:"$nodePools.gpu.machineType"`
	// GPUsPerNode is what the machine type carries; only needed for machine types that the program does
	// not know.
	GPUsPerNode int `key:"gpusPerNode" unit:"GPUs" min:"1"`
	// MinNodes is the least number of nodes, over all zones together. With 0 the first replica requests the
	// first node; with more, the nodes are there, and paid for, while nothing runs on them.
	MinNodes int `key:"minNodes" unit:"nodes" min:"0"`
	// MaxNodes is the largest number of nodes: enough for autoscaling.maxReplicas. With room for one replica more, an update
	// costs no serving replica; see vllm.updateStrategy.
	MaxNodes int `key:"maxNodes" unit:"nodes" min:"1"`
	// DiskGiB is the size of a node's disk, with room for the server's image and the model: on gke 60
	// or more, on aks 100.
	DiskGiB int `key:"diskGiB" unit:"GiB" min:"50" default:"$nodePools.gpu.diskGiB" example:"200"`
	// Zones limits the pool to zones that have the GPU; required with a region as gke.location.
	Zones []string `key:"zones" unset:"the cloud's choice; eks: all of eks.zones" example:"$nodePools.gpu.zones"`
	// Spot is for machines that the cloud may take back at short notice.
	Spot bool `key:"spot"`
}

const (
	// defaultGPUMin is 0, so that the creation of the pool needs neither quota nor stock: the first replica requests the
	// first node, and `pulumi up` reports what it waits for. defaultGPUMax has room for the default of autoscaling.maxReplicas,
	// and for the replica more that an update starts.
	defaultGPUMin, defaultGPUMax = 0, 5
)

// cloud returns the stack's cloud, or for an unknown one the zero value, which creates no nodes and has no machine types.
func (c *Config) cloud() providers.Cloud {
	found, _ := FindCloud(c.Cloud)
	return found
}

// onCloud reports whether the stack runs on a cloud that creates nodes.
func (c *Config) onCloud() bool { return c.cloud().MakesNodes }

// attaches reports whether the stack uses an existing cluster.
func (c *Config) attaches() bool { return c.Cluster.Existing != "" }

// ExistingCluster reports whether the stack runs in a cluster that was there before, and that others may use too.
func (c *Config) ExistingCluster() bool { return !c.onCloud() || c.attaches() }

// createsGPUPool reports whether the stack creates the GPU node pool.
func (c *Config) createsGPUPool() bool { return c.onCloud() && c.NodePools.GPU.Create }

// applyCloudDefaults sets the defaults of a cloud's cluster that the checks need. The other fields keep their zero value,
// which the provider packages replace.
func (c *Config) applyCloudDefaults(given keySet) {
	orDefault(given, "cluster.name", &c.Cluster.Name, c.defaultClusterName())
	pool := &c.NodePools.GPU
	orDefault(given, "nodePools.gpu.create", &pool.Create, true)
	if !pool.Create {
		return
	}
	orDefault(given, "nodePools.gpu.minNodes", &pool.MinNodes, defaultGPUMin)
	if pool.Accelerator == "" && pool.MachineType == "" {
		pool.Accelerator = c.cloud().DefaultAccelerator
	}
	if pool.MachineType == "" {
		if fitting := c.machinesWith(pool.Accelerator); len(fitting) > 0 {
			pool.MachineType = fitting[0]
		}
	}
	if machine, ok := c.cloud().Machines.Find(pool.MachineType); ok {
		orDefault(given, "nodePools.gpu.accelerator", &pool.Accelerator, machine.Accelerator)
		orDefault(given, "nodePools.gpu.gpusPerNode", &pool.GPUsPerNode, machine.GPUs)
	}
	if accelerator, ok := accelerators.Find(pool.Accelerator); ok {
		orDefault(given, "gpu.memoryGiB", &c.GPU.MemoryGiB, accelerator.MemoryGiB)
	}
	orDefault(given, "nodePools.gpu.maxNodes", &pool.MaxNodes, max(defaultGPUMax, pool.MinNodes, c.nodesOfNeighbours()))
}

// defaultClusterName returns project and stack, or vllm and stack where that is longer than some cloud accepts: a stack keeps
// its name on every cloud. Where the stack's cloud does not accept that, the name is made of what it accepts and a hash.
func (c *Config) defaultClusterName() string {
	longest := math.MaxInt
	for _, cloud := range clouds {
		if cloud.MaxName > 0 {
			longest = min(longest, cloud.MaxName)
		}
	}
	request := c.request(nil)
	request.Name = c.Project + "-" + c.Stack
	if len(request.Name) > longest {
		request.Name = "vllm-" + c.Stack
	}
	if valid := c.cloud().ValidName; valid == nil || valid(request) {
		return request.Name
	}
	return hashedName("vllm", c.Project+"/"+c.Stack, c.Stack, longest)
}

// otherThanName matches what not every cloud accepts in a name.
var otherThanName = regexp.MustCompile(`[^a-z0-9]+`)

// hashedName returns a name of at most longest characters, lower-case letters, digits and single dashes: a prefix that begins
// with a letter, what fits of a text, and a hash of what makes the name unique.
func hashedName(prefix, unique, text string, longest int) string {
	hash := sha256.Sum256([]byte(unique))
	suffix := fmt.Sprintf("-%x", hash[:4])
	middle := "-" + strings.Trim(otherThanName.ReplaceAllString(strings.ToLower(text), "-"), "-")
	middle = middle[:min(len(middle), longest-len(prefix)-len(suffix))]
	return prefix + strings.TrimRight(middle, "-") + suffix
}

// machinesWith lists the machine types of the stack's cloud that have enough GPUs of an accelerator for a replica of each server on
// the pool, smallest first.
func (c *Config) machinesWith(accelerator string) []string {
	gpus := c.GPU.PerReplica
	for _, other := range c.neighbours {
		gpus = max(gpus, other.GPU.PerReplica)
	}
	var types []string
	for _, machine := range c.cloud().Machines.With(accelerator) {
		if machine.GPUs >= gpus {
			types = append(types, machine.Type)
		}
	}
	return types
}
