package providers

// Keys of the configuration behind the fields of Request, dotted, below the project's namespace. Problems and errors
// name them.
const (
	KeyName               = "cluster.name"
	KeyExisting           = "cluster.existing"
	KeyKubernetesVersion  = "cluster.kubernetesVersion"
	KeyAPIAccessCIDRs     = "cluster.apiAccessCidrs"
	KeyDeletionProtection = "cluster.deletionProtection"
	KeySystemPool         = "nodePools.system"
	KeyGPUPool            = "nodePools.gpu"
	KeyCreateGPUPool      = "nodePools.gpu.create"
	KeyServerGPUs         = "gpu"

	// Parts of the keys of a pool, after KeySystemPool or GPUPool.PoolKey.
	KeyMachineType = ".machineType"
	KeyMinNodes    = ".minNodes"
	KeyMaxNodes    = ".maxNodes"
	KeyDiskGiB     = ".diskGiB"
	KeyZones       = ".zones"

	// Parts of the keys that only a GPU pool has.
	KeySpot        = ".spot"
	KeyAccelerator = ".accelerator"
	KeyGPUsPerNode = ".gpusPerNode"

	// Parts of the keys of a server's GPUs, after GPUPool.ServerKey.
	KeyPerReplica = ".perReplica"
	KeyMemory     = ".memoryGiB"
)
