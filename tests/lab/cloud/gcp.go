package cloud

import "slices"

// The types of Google Cloud's resources.
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

// gcpDouble describes the simulated Google Cloud.
func gcpDouble() *double {
	return &double{
		name: "gcp", sdk: "github.com/pulumi/pulumi-gcp/sdk/v7", version: "7.38.0",
		settings: []string{"project", "region", "zone", "userProjectOverride", "billingProject"},
		kinds:    gcpKinds(), invokes: gcpInvokes(),
		program: "gke-gcloud-auth-plugin", token: (*Cloud).gkeToken, cli: "gcloud", answers: gcpAnswers,
		cluster: GKECluster, machineSize: gceMachineSize,
		storage: storage{class: "standard-rwo", driver: "pd.csi.storage.gke.io"},
	}
}

// gcpKinds lists the simulated resource types of Google Cloud.
func gcpKinds() []*kind {
	return slices.Concat(gcpComputeKinds(), gcpIAMKinds(), gcpStorageKinds(), gcpContainerKinds())
}
