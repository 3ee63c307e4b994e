package providers

// NodePool is one pool of equal nodes, as plain values.
type NodePool struct {
	// MachineType is the cloud's name of the machine, such as g2-standard-4, g6.xlarge or
	// Standard_NC24ads_A100_v4.
	MachineType string
	// MinNodes and MaxNodes bound the pool over all zones together. MinNodes may be 0 for a GPU pool.
	MinNodes, MaxNodes int
	// DiskGiB is the size of a node's boot disk, which holds container images and, on GPU nodes,
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
}

// NodeAutoscaler describes the node autoscaler that a cluster needs where its cloud runs none.
type NodeAutoscaler struct {
	// CloudProvider is cluster-autoscaler's name of the cloud, such as aws.
	CloudProvider string
	// ClusterName is the name by which the autoscaler finds the cluster's node groups.
	ClusterName string
	// Region is the cloud's region.
	Region string
	// Namespace and ServiceAccount are what the cloud's permissions are bound to.
	Namespace, ServiceAccount string
}
