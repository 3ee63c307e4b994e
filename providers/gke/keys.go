package gke

// Keys are the keys that only Google Kubernetes Engine has, below gke. The tags are those of stacks/config.Config. The
// zero value of a field means its default.
type Keys struct {
	// Project is the ID of the project.
	Project string `key:"project" pattern:"^[a-z][a-z0-9-]{4,28}[a-z0-9]$" example:"other-project" allowed:"a project ID: 6 to 30 lower-case letters, digits and dashes" hint:"run 'gcloud projects list' to see yours"`
	// Location is a zone (one control plane) or a region (three).
	Location string `key:"location" pattern:"^[a-z]+-[a-z]+[0-9]+(-[a-z0-9]+)?$" example:"us-central1-b" allowed:"a zone such as us-central1-a, or a region such as us-central1"`
	// Autopilot has to be false: Autopilot denies what the pipeline needs.
	Autopilot bool `key:"autopilot" values:"false" hint:"create a Standard cluster: Autopilot denies what the pipeline needs (node-exporter's host paths, Services in kube-system, GPU node pools of one's own)"`
	// ReleaseChannel is how new the cluster's versions are.
	ReleaseChannel string `key:"releaseChannel" when:"create" values:"RAPID REGULAR STABLE" default:"REGULAR"`
	// AutoscalingProfile is how eagerly idle nodes are removed.
	AutoscalingProfile string `key:"autoscalingProfile" when:"create" values:"OPTIMIZE_UTILIZATION BALANCED" default:"OPTIMIZE_UTILIZATION"`
	// Network is a VPC network with a NAT.
	Network string `key:"network" when:"create" unset:"one is created" example:"shared"`
	// Subnetwork is a subnetwork of gke.network; required with it.
	Subnetwork string `key:"subnetwork" when:"create" example:"nodes"`
	// PodsRange is a secondary range of gke.subnetwork.
	PodsRange string `key:"podsRange" when:"create" unset:"GKE's choice" example:"pods"`
	// ServicesRange is another one; both or neither.
	ServicesRange string `key:"servicesRange" when:"create" unset:"GKE's choice" example:"services"`
	// NodesCIDR is an IPv4 range of the network that is created.
	NodesCIDR string `key:"nodesCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.0.0.0/20" example:"10.1.0.0/20" allowed:"an IPv4 network in CIDR notation"`
	// PodsCIDR is the same for pods.
	PodsCIDR string `key:"podsCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.4.0.0/14" example:"10.12.0.0/14" allowed:"an IPv4 network in CIDR notation"`
	// ServicesCIDR is the same for Services.
	ServicesCIDR string `key:"servicesCidr" when:"create" pattern:"^[0-9.]+/[0-9]+$" default:"10.8.0.0/20" example:"10.9.0.0/20" allowed:"an IPv4 network in CIDR notation"`
	// ControlPlaneCIDR is a /28 that nothing else uses.
	ControlPlaneCIDR string `key:"controlPlaneCidr" when:"create" pattern:"^[0-9.]+/28$" default:"172.16.0.32/28" example:"172.16.9.0/28" allowed:"an IPv4 network of size /28, the only one that GKE takes"`
	// DiskKMSKey is a Cloud KMS key for the nodes' disks.
	DiskKMSKey string `key:"diskKmsKey" unset:"Google's keys" pattern:"^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$" example:"projects/p/locations/us-central1/keyRings/r/cryptoKeys/k" allowed:"a key's path projects/P/locations/L/keyRings/R/cryptoKeys/K"`
	// GPUDriver is the version of NVIDIA's driver that GKE installs.
	GPUDriver string `key:"gpuDriver" values:"DEFAULT LATEST" default:"DEFAULT"`
	// LeaveGPUTaintToGKE is true where GKE refuses the declared taint as a duplicate.
	LeaveGPUTaintToGKE bool `key:"leaveGpuTaintToGke"`
	// ExistingAccelerator is GKE's name of the GPUs to use, with nodePools.gpu.create false.
	ExistingAccelerator string `key:"existingAccelerator" when:"attach" unset:"the only kind" example:"nvidia-l4"`
}
