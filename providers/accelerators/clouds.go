package accelerators

// Names of the clouds.
const (
	GKE = "gke"
	EKS = "eks"
	AKS = "aks"
)
