package gke

import (
	"strings"

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

// Args describe a cluster to create, or one to attach to. All of it has to be known when planning.
type Args struct {
	// Name names the cluster to create, and what is created around it. Lower-case letters, digits
	// and dashes, 2 to 24 characters, because the node service account's name derives from it.
	// Required.
	Name string
	// Project is the ID of the Google Cloud project. Required.
	Project string
	// Location is a zone (us-central1-a: one control plane) or a region (us-central1: a control
	// plane in each of three zones, which survives the loss of a zone). Required.
	Location string
	// Existing is the name of a cluster in Location to attach to; "" creates one. Only the GPU pool
	// is then created. Not used with it: Network, AuthorizedCIDRs, ReleaseChannel,
	// DeletionProtection, AutoscalingProfile and SystemPool.
	Existing string
	// Autopilot must be false: the pipeline needs what Autopilot denies.
	Autopilot bool
	// Network is where the nodes live. The zero value creates a network with its own NAT.
	Network Network
	// AuthorizedCIDRs may reach the API server. Required for a cluster to create: 0.0.0.0/0 has to
	// be asked for.
	AuthorizedCIDRs []string
	// ReleaseChannel is one of RAPID, REGULAR and STABLE. Default: REGULAR.
	ReleaseChannel string
	// DeletionProtection keeps GKE's provider from deleting the cluster. Before a destroy it has to
	// be switched off by an update of its own. It does not cover node pools. Default: false.
	DeletionProtection bool
	// AutoscalingProfile is OPTIMIZE_UTILIZATION or BALANCED. Default: OPTIMIZE_UTILIZATION,
	// because an idle GPU node costs as much as a busy one.
	AutoscalingProfile string
	// DiskKMSKey is a Cloud KMS key (projects/P/locations/L/keyRings/R/cryptoKeys/K) for the disks
	// of the nodes; "" leaves the encryption, which is always on, to Google's keys.
	DiskKMSKey string
	// SystemPool runs everything but the model. Defaults: e2-standard-4, 1 to 3 nodes, 50 GiB; with
	// several zones at least one node for each of them has to be allowed.
	SystemPool providers.NodePool
	// GPUPool runs the model. Default disk: 100 GiB, which holds the server's image and a model of
	// a few GB. In a regional location its Zones are required, because not every zone has every GPU.
	// Nil is allowed with Existing only: the cluster's own GPU nodes are used.
	GPUPool *providers.GPUPool
	// GPUDriver is DEFAULT or LATEST. Changing it replaces the GPU pool. Default: DEFAULT.
	GPUDriver string
	// LeaveGPUTaintToGKE leaves the taint of the GPU nodes to GKE instead of declaring it; for
	// projects in which GKE refuses the declared one as a duplicate. Default: false.
	LeaveGPUTaintToGKE bool
	// GPUsPerReplica is the number of GPUs of one replica of the server. Default: 1.
	GPUsPerReplica int
	// MetricsReader is a ServiceAccount of the cluster that reads the metrics which Google's managed
	// collection stores in the project; nil for none. It gets roles/monitoring.viewer, by workload
	// identity: there is no key, and no Google service account between.
	MetricsReader *providers.ServiceAccount
	// ExistingAccelerator chooses among the GPUs of an existing cluster, by GKE's name, when GPUPool
	// is nil and the cluster has several kinds; "" takes the only kind.
	ExistingAccelerator string
}

// Network says where the nodes live.
type Network struct {
	// Name of a VPC network, or its path with a shared VPC; "" creates one. An existing network has
	// to have a NAT in the region, because the nodes have no public address.
	Name string
	// Subnetwork of that network in the location's region. Required with Name, else not allowed.
	Subnetwork string
	// PodsRange and ServicesRange are names of secondary ranges of that subnetwork; both or neither.
	// "" lets GKE choose. Only with Name.
	PodsRange, ServicesRange string
	// NodesCIDR, PodsCIDR and ServicesCIDR are the ranges of a network to create, and must not
	// overlap. Defaults: 10.0.0.0/20, 10.4.0.0/14, 10.8.0.0/20. Only without Name.
	NodesCIDR, PodsCIDR, ServicesCIDR string
	// ControlPlaneCIDR is a /28 of the network that nothing else uses. Default: 172.16.0.32/28.
	ControlPlaneCIDR string
}

// creates says whether the network is made here.
func (n Network) creates() bool { return n.Name == "" }

// withDefaults is a copy with every default filled in, so that the rest never asks for one.
func (a Args) withDefaults() Args {
	fill(&a.ReleaseChannel, ChannelRegular)
	fill(&a.AutoscalingProfile, ProfileOptimizeUtilization)
	fill(&a.GPUDriver, DriverDefault)
	fill(&a.GPUsPerReplica, 1)
	fill(&a.Network.ControlPlaneCIDR, "172.16.0.32/28")
	if a.Network.creates() {
		fill(&a.Network.NodesCIDR, "10.0.0.0/20")
		fill(&a.Network.PodsCIDR, "10.4.0.0/14")
		fill(&a.Network.ServicesCIDR, "10.8.0.0/20")
	}
	fill(&a.SystemPool.MachineType, "e2-standard-4")
	fill(&a.SystemPool.MinNodes, 1)
	fill(&a.SystemPool.MaxNodes, max(3, a.SystemPool.MinNodes))
	fill(&a.SystemPool.DiskGiB, 50)
	if a.GPUPool != nil {
		pool := *a.GPUPool
		fill(&pool.DiskGiB, 100)
		if pool.GPUsPerNode == 0 {
			pool.GPUsPerNode = 1
			if gpu, found := findAccelerator(pool.Accelerator); found {
				pool.GPUsPerNode = max(1, gpu.carriedBy(pool.MachineType))
			}
		}
		a.GPUPool = &pool
	}
	return a
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// regional says whether Location is a region.
func (a *Args) regional() bool { return strings.Count(a.Location, "-") == 1 }

// region of Location.
func (a *Args) region() string {
	if a.regional() {
		return a.Location
	}
	return a.Location[:strings.LastIndex(a.Location, "-")]
}

// clusterName is GKE's name of the cluster.
func (a *Args) clusterName() string {
	if a.Existing != "" {
		return a.Existing
	}
	return a.Name
}

// poolZones is how many zones a pool spreads over. A region gives a pool three unless told
// otherwise.
func (a *Args) poolZones(pool providers.NodePool) int {
	switch {
	case len(pool.Zones) > 0:
		return len(pool.Zones)
	case a.regional():
		return 3
	default:
		return 1
	}
}
