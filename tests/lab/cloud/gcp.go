package cloud

import "slices"

// Types of Google Cloud's resources.
const (
	GKECluster     = "gcp:container/cluster:Cluster"
	GKENodePool    = "gcp:container/nodePool:NodePool"
	gcpNetwork     = "gcp:compute/network:Network"
	gcpSubnetwork  = "gcp:compute/subnetwork:Subnetwork"
	gcpRouter      = "gcp:compute/router:Router"
	gcpRouterNAT   = "gcp:compute/routerNat:RouterNat"
	gcpAccount     = "gcp:serviceaccount/account:Account"
	gcpIAMMember   = "gcp:projects/iAMMember:IAMMember"
	googleCompute  = "https://www.googleapis.com/compute/v1/"
	gkeVersion     = "1.34.1-gke.1829001"
	driverUnset    = "GPU_DRIVER_VERSION_UNSPECIFIED"
	driverDisabled = "INSTALLATION_DISABLED"
)

// gcpKinds lists the simulated resource types of Google Cloud.
func gcpKinds() []*kind {
	return slices.Concat(gcpComputeKinds(), gcpIAMKinds(), gcpContainerKinds())
}
