package eks

import (
	"slices"
	"time"

	"vllm-autoscaling/providers"
)

// Values of the key eks.amiType, which are EKS' names. Both images carry NVIDIA's driver. Amazon Linux 2 is left out: its
// support ended in November 2025.
const (
	// AL2023 is Amazon Linux 2023, which needs the device plugin installed.
	AL2023 = "AL2023_x86_64_NVIDIA"
	// Bottlerocket has the device plugin built in.
	Bottlerocket = "BOTTLEROCKET_x86_64_NVIDIA"
)

const (
	defaultVPCCIDR      = "10.0.0.0/16"
	defaultGPUType      = "g6.xlarge"
	defaultLogRetention = 30
	defaultGPUMax       = 5
	// defaultIdleTime is cluster-autoscaler's own.
	defaultIdleTime = 10 * time.Minute
	// spotNotice is AWS' two minutes.
	spotNotice = 2 * time.Minute
)

var (
	// defaultLogs are those that record who did what.
	defaultLogs       = []string{"api", "audit", "authenticator"}
	defaultSystemPool = providers.NodePool{MachineType: "m6i.large", MinNodes: 2, MaxNodes: 4, DiskGiB: 50}
	// defaultGPUPool has room for the vLLM image, which alone unpacks to more than the 20 GiB that a node gets by default.
	defaultGPUPool = providers.NodePool{DiskGiB: 100}
)

// systemZones returns the zones of the system pool, as far as they are known before a look-up.
func (a *Args) systemZones() []string {
	if len(a.SystemPool.Zones) > 0 {
		return a.SystemPool.Zones
	}
	return a.Zones
}

// withDefaults returns a copy with every default filled in.
func (a *Args) withDefaults() *Args {
	c := *a
	providers.Fill(&c.GPUsPerReplica, 1)
	if !c.Attaches() {
		providers.Fill(&c.LogRetentionDays, defaultLogRetention)
		system := defaultSystemPool
		// A node in each zone, see validateSystemZones.
		system.MinNodes = max(system.MinNodes, len(a.systemZones()))
		providers.FillPool(&c.SystemPool, system)
		if len(c.SubnetIDs) == 0 {
			providers.Fill(&c.VPCCIDR, defaultVPCCIDR)
		}
		if c.ControlPlaneLogs == nil {
			c.ControlPlaneLogs = slices.Clone(defaultLogs)
		}
	}
	c.FillGPUPools(func(pool *providers.GPUPool) {
		providers.Fill(&pool.MachineType, defaultGPUType)
		providers.Fill(&pool.MaxNodes, max(defaultGPUMax, pool.MinNodes))
		providers.Fill(&pool.DiskGiB, defaultGPUPool.DiskGiB)
		if known, ok := machines.Find(pool.MachineType); ok {
			providers.Fill(&pool.Accelerator, known.Accelerator)
			providers.Fill(&pool.GPUsPerNode, known.GPUs)
		}
	})
	if c.CreatesGPUPools() {
		providers.Fill(&c.IdleTime, defaultIdleTime)
	}
	return &c
}
