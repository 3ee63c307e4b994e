package gke

import (
	"time"

	"vllm-autoscaling/providers"
)

// Release channels of GKE, from fast to slow.
const (
	ChannelRapid   = "RAPID"
	ChannelRegular = "REGULAR"
	ChannelStable  = "STABLE"
)

// Versions of the NVIDIA driver that GKE installs.
const (
	// DriverDefault is the version that GKE recommends for the node's version.
	DriverDefault = "DEFAULT"
	// DriverLatest is the newest version that GKE has for the node's version.
	DriverLatest = "LATEST"
)

// Profiles of the node autoscaler.
const (
	// ProfileOptimizeUtilization removes idle nodes early.
	ProfileOptimizeUtilization = "OPTIMIZE_UTILIZATION"
	// ProfileBalanced keeps idle nodes longer.
	ProfileBalanced = "BALANCED"
)

var (
	// defaultSystemPool allows a node for each zone of a region.
	defaultSystemPool = providers.NodePool{MachineType: "e2-standard-4", MinNodes: 1, MaxNodes: 3, DiskGiB: 50}
	// defaultGPUPool has room for the server's image and a model of a few GB.
	defaultGPUPool = providers.NodePool{DiskGiB: 100}
)

// spotNotice is what ordinary pods get of the 30 seconds between the notice and the end of a spot machine.
const spotNotice = 15 * time.Second

// withDefaults returns a copy with every default filled in.
func (a *Args) withDefaults() *Args {
	c := *a
	providers.Fill(&c.ReleaseChannel, ChannelRegular)
	// An idle GPU node costs as much as a busy one.
	providers.Fill(&c.AutoscalingProfile, ProfileOptimizeUtilization)
	providers.Fill(&c.GPUDriver, DriverDefault)
	providers.Fill(&c.GPUsPerReplica, 1)
	providers.Fill(&c.ControlPlaneCIDR, "172.16.0.32/28")
	if c.createsNetwork() {
		providers.Fill(&c.NodesCIDR, "10.0.0.0/20")
		providers.Fill(&c.PodsCIDR, "10.4.0.0/14")
		providers.Fill(&c.ServicesCIDR, "10.8.0.0/20")
	}
	providers.FillPool(&c.SystemPool, defaultSystemPool)
	c.FillGPUPools(func(pool *providers.GPUPool) {
		providers.Fill(&pool.DiskGiB, defaultGPUPool.DiskGiB)
		if pool.GPUsPerNode == 0 {
			pool.GPUsPerNode = gpusOf(pool.MachineType)
		}
	})
	return &c
}

// gpusOf returns how many GPUs a node has where the stack's file does not tell: what its machine type carries, 1 on N1, and 0
// where only the stack's file can tell.
func gpusOf(machineType string) int {
	machine, known := machines.Find(machineType)
	switch {
	case known:
		return machine.GPUs
	case gpuFamily.MatchString(machineType):
		return 0
	}
	return 1
}
