package providers

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/accelerators"
)

// NodePool is one pool of equal nodes, as plain values.
type NodePool struct {
	// MachineType is the cloud's name of the machine, such as g2-standard-4, g6.xlarge or
	// Standard_NC24ads_A100_v4.
	MachineType string
	// MinNodes and MaxNodes bound the pool over all zones together. MinNodes may be 0 for a GPU pool.
	MinNodes, MaxNodes int
	// DiskGiB is the size of a node's boot disk, which has room for container images and, on GPU nodes,
	// the model. In GiB.
	DiskGiB int
	// Zones limits the pool to zones; empty leaves the choice to the cloud.
	Zones []string
	// Spot is true for machines that the cloud may take back at short notice.
	Spot bool
}

// GPUPool is a pool whose machines carry GPUs.
type GPUPool struct {
	NodePool
	// Accelerator is the GPU's cloud-neutral name, such as nvidia-l4.
	Accelerator string
	// GPUsPerNode is how many GPUs one machine carries.
	GPUsPerNode int
	// MemoryGiB is the memory of one GPU; 0 where it is not known.
	MemoryGiB float64
	// Key is the key of the pool, such as servers.chat.nodePool, and GPUKey that of the server's GPUs, such as servers.chat.gpu.
	// Problems have keys below them. "" means KeyGPUPool and KeyServerGPUs.
	Key, GPUKey string
}

// PoolKey returns the key of a part of the pool, such as KeyMachineType.
func (g *GPUPool) PoolKey(part string) string { return cmp.Or(g.Key, KeyGPUPool) + part }

// ServerKey returns the key of a part of what the server requests of the GPUs, such as KeyPerReplica.
func (g *GPUPool) ServerKey(part string) string { return cmp.Or(g.GPUKey, KeyServerGPUs) + part }

// CheckMachine adds the problems of a pool whose accelerator and number of GPUs do not fit its machine type; known is
// false for a type that the catalogue of the cloud does not have.
func (g *GPUPool) CheckMachine(p *Problems, machine accelerators.Machine, known bool) {
	switch {
	case known && g.Accelerator != machine.Accelerator:
		p.Add(g.PoolKey(KeyAccelerator), g.Accelerator,
			fmt.Sprintf("what fits %s %s, which carries %s", g.PoolKey(KeyMachineType), g.MachineType, machine.Accelerator),
			"remove the key: it follows from the machine type")
	case known && g.GPUsPerNode != machine.GPUs:
		p.Add(g.PoolKey(KeyGPUsPerNode), g.GPUsPerNode,
			fmt.Sprintf("%d, what %s %s carries", machine.GPUs, g.PoolKey(KeyMachineType), g.MachineType),
			"remove the key: it follows from the machine type")
	case !known:
		g.checkUnknown(p)
	}
}

// checkUnknown adds a problem where a machine type that the catalogue does not have is not described completely.
func (g *GPUPool) checkUnknown(p *Problems) {
	var missing []string
	if g.Accelerator == "" {
		missing = append(missing, g.PoolKey(KeyAccelerator))
	}
	if g.GPUsPerNode < 1 {
		missing = append(missing, g.PoolKey(KeyGPUsPerNode))
	}
	if g.MemoryGiB <= 0 {
		missing = append(missing, g.ServerKey(KeyMemory)+" (the memory of one GPU)")
	}
	if len(missing) > 0 {
		p.Add(g.PoolKey(KeyMachineType), g.MachineType,
			fmt.Sprintf("a machine type that the program knows, or one that the file describes with %s, %s and %s",
				g.PoolKey(KeyAccelerator), g.PoolKey(KeyGPUsPerNode), g.ServerKey(KeyMemory)), "set "+strings.Join(missing, ", "))
	}
}

// PartOfGPU adds the problem of a machine type that carries a part of a GPU; whole is one with a whole GPU.
func (p *Problems) PartOfGPU(key, machineType, whole string) {
	p.Add(key, machineType, "one with whole GPUs; this one carries a part of a GPU, which vLLM cannot be given", "for example "+whole)
}

// OtherGPU adds the problem of a machine type with GPUs of AMD; nvidia is one with GPUs of NVIDIA.
func (p *Problems) OtherGPU(key, machineType, nvidia string) {
	p.Add(key, machineType, "one with GPUs of NVIDIA, for which the server's image is; this one carries GPUs of AMD", "for example "+nvidia)
}

// NodeAutoscaler describes the node autoscaler that a cluster needs where its cloud runs none.
type NodeAutoscaler struct {
	// CloudProvider is cluster-autoscaler's name of the cloud, such as aws.
	CloudProvider string
	// ClusterName is the name by which the autoscaler finds the cluster's node groups.
	ClusterName string
	// Region is the cloud's region.
	Region string
	// KubernetesVersion is the cluster's version, such as 1.34; nil where it is not known.
	KubernetesVersion pulumi.StringInput
	// Namespace and ServiceAccount are what the cloud's permissions are bound to.
	Namespace, ServiceAccount string
}
