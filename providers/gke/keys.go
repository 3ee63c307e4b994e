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
	// MaintenanceWindow is when GKE may upgrade the cluster by itself.
	MaintenanceWindow MaintenanceWindow `key:"maintenanceWindow" when:"create"`
	// MaintenanceExclusions are times in which GKE does not; only with gke.maintenanceWindow.
	MaintenanceExclusions []MaintenanceExclusion `key:"maintenanceExclusions" when:"create" example:"[{name: year-end, start: '2026-12-18T00:00:00Z', end: '2027-01-04T00:00:00Z', scope: NO_UPGRADES}]"`
	// ResourceLabels are on the cluster, which passes them on to its machines and disks, in bills for example.
	ResourceLabels map[string]string `key:"resourceLabels" when:"create" example:"{team: ml}"`
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
	// GPUDiskType is the type of a GPU node's disk.
	GPUDiskType string `key:"gpuDiskType" values:"pd-balanced pd-ssd pd-standard hyperdisk-balanced" unset:"hyperdisk-balanced where the machine has no other, else pd-balanced" example:"pd-ssd"`
	// ImageDisk is a disk image of Compute Engine that has the server's image unpacked; each GPU node starts with a disk of it
	// (docs/cold-start.md). A change replaces the GPU pool.
	ImageDisk string `key:"imageDisk" unset:"none" pattern:"^projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/global/images/[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" example:"projects/my-project/global/images/vllm-v0-20-0" allowed:"a disk image's path projects/P/global/images/NAME" hint:"run 'gcloud compute images list --no-standard-images' to see yours"`
	// GPUDriver is the version of NVIDIA's driver that GKE installs.
	GPUDriver string `key:"gpuDriver" values:"DEFAULT LATEST" default:"DEFAULT"`
	// Reservation is a reservation of Compute Engine that the GPU nodes come from, and from nowhere else. It has to be a specific one
	// (specificReservationRequired), in each zone of the pool.
	Reservation string `key:"reservation" unset:"none" pattern:"^(projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/reservations/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" example:"inference" allowed:"a reservation's name, or projects/P/reservations/NAME for one that project P shares" hint:"run 'gcloud compute reservations list' to see yours"`
	// FlexStart has to be false: the provider's version has no setting for flex-start machines.
	FlexStart bool `key:"flexStart" values:"false" hint:"use nodePools.gpu.spot, or a reservation with gke.reservation: the version of Pulumi's provider that this program uses has no setting for flex-start machines (docs/gke.md)"`
	// QueuedProvisioning has to be false: nodes of such a pool come for ProvisioningRequests only, which no HorizontalPodAutoscaler makes.
	QueuedProvisioning bool `key:"queuedProvisioning" values:"false" hint:"use nodePools.gpu.spot, or a reservation with gke.reservation: a pool with queued provisioning gets nodes for ProvisioningRequests of batch jobs only, and pending replicas of a Deployment would never get one (docs/gke.md)"`
	// LeaveGPUTaintToGKE is true where GKE refuses the declared taint as a duplicate.
	LeaveGPUTaintToGKE bool `key:"leaveGpuTaintToGke"`
	// ExistingAccelerator is GKE's name of the GPUs to use, with nodePools.gpu.create false.
	ExistingAccelerator string `key:"existingAccelerator" when:"attach" unset:"the only kind" example:"nvidia-l4"`
}

// MaintenanceWindow is when GKE may upgrade a cluster by itself; all of its keys, or none.
type MaintenanceWindow struct {
	// Start is when the first window opens, in UTC.
	Start string `key:"start" unset:"any time" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" example:"2026-01-03T02:00:00Z" allowed:"a time in UTC of the form 2026-01-03T02:00:00Z"`
	// End is when the first window closes, in UTC: at least 4 hours later.
	End string `key:"end" unset:"any time" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" example:"2026-01-03T10:00:00Z" allowed:"a time in UTC of the form 2026-01-03T10:00:00Z"`
	// Recurrence is how the window repeats, as an RRULE of RFC 5545: at least 48 hours in any 32 days.
	Recurrence string `key:"recurrence" unset:"any time" pattern:"^FREQ=[A-Z]+(;[A-Z]+=[A-Z0-9,+-]+)*$" example:"FREQ=WEEKLY;BYDAY=SA,SU" allowed:"an RRULE of RFC 5545 such as FREQ=WEEKLY;BYDAY=SA,SU or FREQ=DAILY"`
}

// MaintenanceExclusion is a time in which GKE does not upgrade a cluster by itself.
type MaintenanceExclusion struct {
	// Name is the exclusion's name; each has another one.
	Name string `key:"name" pattern:"^[a-zA-Z0-9][a-zA-Z0-9 _.-]{0,62}$" example:"year-end" allowed:"a name of 1 to 63 letters, digits, spaces, dots, dashes and underscores"`
	// Start is when it begins, in UTC.
	Start string `key:"start" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" example:"2026-12-18T00:00:00Z" allowed:"a time in UTC of the form 2026-12-18T00:00:00Z"`
	// End is when it ends, in UTC.
	End string `key:"end" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" example:"2027-01-04T00:00:00Z" allowed:"a time in UTC of the form 2027-01-04T00:00:00Z"`
	// Scope is what GKE leaves out: all upgrades, those to another minor version, or these and those of nodes.
	Scope string `key:"scope" values:"NO_UPGRADES NO_MINOR_UPGRADES NO_MINOR_OR_NODE_UPGRADES" unset:"NO_UPGRADES" example:"NO_MINOR_OR_NODE_UPGRADES"`
}
