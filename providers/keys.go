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
	KeyGPUsPerReplica     = "gpu.perReplica"
	KeyGPUMemory          = "gpu.memoryGiB"

	// Parts of the keys of a pool, after KeySystemPool or KeyGPUPool.
	KeyMachineType = ".machineType"
	KeyMinNodes    = ".minNodes"
	KeyMaxNodes    = ".maxNodes"
	KeyDiskGiB     = ".diskGiB"
	KeyZones       = ".zones"

	// Keys that only the GPU pool has.
	KeyGPUMachineType = KeyGPUPool + KeyMachineType
	KeyGPUZones       = KeyGPUPool + KeyZones
	KeyGPUSpot        = "nodePools.gpu.spot"
	KeyAccelerator    = "nodePools.gpu.accelerator"
	KeyGPUsPerNode    = "nodePools.gpu.gpusPerNode"
)
