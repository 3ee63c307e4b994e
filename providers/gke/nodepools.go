package gke

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// Labels and the taint of GPU nodes.
const (
	gpuResource = "nvidia.com/gpu"
	// gpuLabel is our own label, the same on every cloud.
	gpuLabel = "nvidia.com/gpu.present"
	// acceleratorLabel is set by GKE to the accelerator's type.
	acceleratorLabel = "cloud.google.com/gke-accelerator"
	// gpuTaintValue is the value that GKE uses itself; another one would be a second taint.
	gpuTaintValue = "present"
)

// poolSettings are what the two pools do not share.
type poolSettings struct {
	pool         providers.NodePool
	poolName     string
	firstNodes   int // In each zone.
	diskType     string
	streaming    bool
	imageDisk    string
	labels       pulumi.StringMap
	taints       container.NodePoolNodeConfigTaintArray
	accelerators container.NodePoolNodeConfigGuestAcceleratorArray
	reservation  container.NodePoolNodeConfigReservationAffinityPtrInput
	upgrade      container.NodePoolUpgradeSettingsPtrInput
	dependsOn    []pulumi.Resource
}

// newSystemPool registers the pool that runs everything but the model. It carries no taint: charts'
// hooks and GKE's own pods need a place to go.
func (b *builder) newSystemPool(cluster pulumi.StringInput, identity *nodeIdentity, dependsOn []pulumi.Resource) (*container.NodePool, error) {
	a := b.args
	return b.newNodePool(b.name+"-system", cluster, identity, poolSettings{
		pool:     a.SystemPool,
		poolName: "system",
		// At least one node: GKE's own system pods, and the charts' hooks, have to start somewhere.
		firstNodes: max(1, a.SystemPool.MinNodes/a.poolZones(a.SystemPool)),
		diskType:   diskTypeOf(a.SystemPool.MachineType),
		dependsOn:  dependsOn,
	})
}

// newGPUPools registers the pools that run the models: the main one and those of single servers.
func (b *builder) newGPUPools(cluster pulumi.StringInput, identity *nodeIdentity, dependsOn []pulumi.Resource) ([]pulumi.Resource, error) {
	var pools []pulumi.Resource
	for _, pool := range b.args.GPUPools() {
		made, err := b.newGPUPool(cluster, identity, pool, dependsOn)
		if err != nil {
			return nil, err
		}
		pools = append(pools, made)
	}
	return pools, nil
}

// newGPUPool registers a pool that runs models.
func (b *builder) newGPUPool(cluster pulumi.StringInput, identity *nodeIdentity, pool *providers.ServingPool, dependsOn []pulumi.Resource,
) (*container.NodePool, error) {
	a := b.args
	settings := poolSettings{
		pool:     pool.NodePool,
		poolName: a.gpuPoolName(pool),
		// Rounded down, so that a pool over several zones never starts with more than its minimum;
		// what is missing comes with the first pods that need it. A pool that starts empty needs neither
		// quota nor stock to be created: a refusal would leave a pool in the state that does not exist.
		firstNodes: pool.MinNodes / a.poolZones(pool.NodePool),
		diskType:   a.gpuDiskType(pool),
		// A container starts before all of its image, which is many GB for vLLM, is there. The images of
		// the system pool are small, and without streaming they need no further API to start.
		streaming: true,
		imageDisk: a.ImageDisk,
		labels:    pulumi.ToStringMap(a.Label(pool, map[string]string{gpuLabel: "true"})),
		accelerators: container.NodePoolNodeConfigGuestAcceleratorArray{container.NodePoolNodeConfigGuestAcceleratorArgs{
			Type:  pulumi.String(typeOf(pool.Accelerator)),
			Count: pulumi.Int(pool.GPUsPerNode),
			// Left out, GKE would install no driver at all.
			GpuDriverInstallationConfig: container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs{
				GpuDriverVersion: pulumi.String(a.GPUDriver),
			},
		}},
		reservation: a.reservationAffinity(pool),
		// Without a surge node an upgrade needs no GPU beyond the quota that the pool already has.
		upgrade: container.NodePoolUpgradeSettingsArgs{
			Strategy: pulumi.String("SURGE"), MaxSurge: pulumi.Int(0), MaxUnavailable: pulumi.Int(1),
		},
		dependsOn: dependsOn,
	}
	if !a.LeaveGPUTaintToGKE {
		// GKE adds this taint automatically only if a pool without GPUs exists. Declaring it removes that dependency; GKE
		// treats exactly this key, value and effect as its own.
		settings.taints = append(settings.taints, noSchedule(gpuResource, gpuTaintValue))
	}
	if pool.Own() {
		settings.taints = append(settings.taints, noSchedule(providers.PoolLabel, a.PoolValue(pool)))
	}
	return b.newNodePool(b.name+"-"+pool.Suffix(), cluster, identity, settings)
}

// maxPoolName is GKE's limit on the name of a node pool, in characters.
const maxPoolName = 40

// gpuPoolName returns GKE's name of a GPU pool.
func (a *Args) gpuPoolName(pool *providers.ServingPool) string {
	if !a.Attaches() {
		return pool.Suffix()
	}
	// A cluster of someone else's may well have a pool called gpu.
	return providers.ShortName(a.Name+"-"+pool.Suffix(), maxPoolName)
}

// gpuDiskType returns the type of a GPU node's disk: the given one, or, where the machines of a server's own pool cannot start
// from it, their own. For the main pool that is a problem of Validate.
func (a *Args) gpuDiskType(pool *providers.ServingPool) string {
	if a.GPUDiskType == "" || pool.Own() && !startsFrom(pool.MachineType, a.GPUDiskType) {
		return diskTypeOf(pool.MachineType)
	}
	return a.GPUDiskType
}

// noSchedule returns a taint that keeps pods without its toleration off a node.
func noSchedule(key, value string) container.NodePoolNodeConfigTaintArgs {
	return container.NodePoolNodeConfigTaintArgs{Key: pulumi.String(key), Value: pulumi.String(value), Effect: pulumi.String("NO_SCHEDULE")}
}

// filledByGKE are inputs of a pool that stacks leave to GKE, or that only mean something at creation. This version of the
// provider would take away what GKE fills in, on every update and mostly by replacing the pool.
var filledByGKE = []string{
	"initialNodeCount", "placementPolicy", "queuedProvisioning",
	// GKE adds labels of its own, goog-gke-*.
	"nodeConfig.resourceLabels",
	// GKE returns their defaults, or the block without anything in it.
	"nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig", "nodeConfig.containerdConfig", "nodeConfig.gcfsConfig",
	"nodeConfig.advancedMachineFeatures", "nodeConfig.hostMaintenancePolicy",
	// Machines of the families A3 and A2 Ultra bring local SSDs.
	"nodeConfig.ephemeralStorageLocalSsdConfig", "nodeConfig.ephemeralStorageConfig", "nodeConfig.localNvmeSsdBlockConfig",
}

// newNodePool registers a node pool.
func (b *builder) newNodePool(name string, cluster pulumi.StringInput, identity *nodeIdentity, s poolSettings) (*container.NodePool, error) {
	a := b.args
	config := container.NodePoolNodeConfigArgs{
		MachineType:    pulumi.String(s.pool.MachineType),
		DiskSizeGb:     pulumi.Int(s.pool.DiskGiB),
		DiskType:       pulumi.String(s.diskType),
		ImageType:      pulumi.String("COS_CONTAINERD"),
		Spot:           pulumi.Bool(s.pool.Spot),
		Labels:         s.labels,
		ServiceAccount: identity.Email,
		// The roles of the service account are the limit; scopes are an older one beside them.
		OauthScopes: pulumi.StringArray{pulumi.String("https://www.googleapis.com/auth/cloud-platform")},
		// Pods get GKE's metadata server, which hides the node's own credentials from them.
		WorkloadMetadataConfig: container.NodePoolNodeConfigWorkloadMetadataConfigArgs{Mode: pulumi.String("GKE_METADATA")},
		Metadata:               pulumi.StringMap{"disable-legacy-endpoints": pulumi.String("true")},
		ShieldedInstanceConfig: container.NodePoolNodeConfigShieldedInstanceConfigArgs{
			EnableSecureBoot: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		Gvnic:               container.NodePoolNodeConfigGvnicArgs{Enabled: pulumi.Bool(true)},
		Taints:              s.taints,
		GuestAccelerators:   s.accelerators,
		ReservationAffinity: s.reservation,
	}
	if s.streaming {
		config.GcfsConfig = container.NodePoolNodeConfigGcfsConfigArgs{Enabled: pulumi.Bool(true)}
	}
	if s.imageDisk != "" {
		// It needs image streaming: https://cloud.google.com/kubernetes-engine/docs/how-to/data-container-image-preloading
		config.SecondaryBootDisks = container.NodePoolNodeConfigSecondaryBootDiskArray{container.NodePoolNodeConfigSecondaryBootDiskArgs{
			DiskImage: pulumi.String(s.imageDisk), Mode: pulumi.String("CONTAINER_IMAGE_CACHE"),
		}}
	}
	if a.DiskKMSKey != "" {
		config.BootDiskKmsKey = pulumi.StringPtr(a.DiskKMSKey)
	}
	args := &container.NodePoolArgs{
		Name:             pulumi.String(s.poolName),
		Project:          pulumi.String(a.Project),
		Location:         pulumi.String(a.Location),
		Cluster:          cluster,
		InitialNodeCount: pulumi.Int(s.firstNodes),
		Autoscaling: container.NodePoolAutoscalingArgs{
			// Totals: the other pair of limits counts in each zone, and would multiply the cost.
			TotalMinNodeCount: pulumi.Int(s.pool.MinNodes),
			TotalMaxNodeCount: pulumi.Int(s.pool.MaxNodes),
			// Take a machine wherever there is one: GPUs and spot machines run out zone by zone.
			LocationPolicy: pulumi.String("ANY"),
		},
		Management:      container.NodePoolManagementArgs{AutoRepair: pulumi.Bool(true), AutoUpgrade: pulumi.Bool(true)},
		NetworkConfig:   container.NodePoolNetworkConfigArgs{EnablePrivateNodes: pulumi.Bool(true)},
		NodeConfig:      config,
		UpgradeSettings: s.upgrade,
	}
	if len(s.pool.Zones) > 0 {
		args.NodeLocations = pulumi.ToStringArray(s.pool.Zones)
	}
	pool, err := container.NewNodePool(b.ctx, name, args, b.options(
		pulumi.DependsOn(s.dependsOn),
		pulumi.IgnoreChanges(filledByGKE),
		// The name is fixed and the GPU quota rarely covers two pools.
		pulumi.DeleteBeforeReplace(true),
	)...)
	if err != nil {
		return nil, fmt.Errorf("creating node pool %q: %w", s.poolName, err)
	}
	return pool, nil
}
