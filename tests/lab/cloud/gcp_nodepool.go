package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func gkeNodePoolKind() *kind {
	return &kind{
		token: GKENodePool, name: "name", slow: true,
		replace: []string{"name", "namePrefix", "project", "location", "cluster", "initialNodeCount", "maxPodsPerNode",
			"placementPolicy", "queuedProvisioning", "nodeConfig.guestAccelerators", "nodeConfig.spot", "nodeConfig.preemptible",
			"nodeConfig.reservationAffinity", "nodeConfig.secondaryBootDisks", "nodeConfig.gvnic",
			"nodeConfig.shieldedInstanceConfig", "nodeConfig.ephemeralStorageLocalSsdConfig", "nodeConfig.gcfsConfig",
			"nodeConfig.serviceAccount", "nodeConfig.oauthScopes", "nodeConfig.metadata", "nodeConfig.bootDiskKmsKey",
			"nodeConfig.minCpuPlatform"},
		drifts: []string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig",
			"nodeConfig.ephemeralStorageLocalSsdConfig"},
		computed: []string{"instanceGroupUrls", "managedInstanceGroupUrls", "operation", "version"},
		validate: func(in object) []string {
			var wrong []string
			for _, taint := range in.objects("nodeConfig.taints") {
				wrong = append(wrong, oneOf(taint, "effect", "NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE")...)
			}
			if in.has("autoscaling.totalMaxNodeCount") && in.has("autoscaling.maxNodeCount") {
				wrong = append(wrong, `"autoscaling.totalMaxNodeCount" conflicts with "autoscaling.maxNodeCount"`)
			}
			if in.has("nodeCount") && in.has("autoscaling") {
				wrong = append(wrong, `"nodeCount" must not be used together with "autoscaling"`)
			}
			return slices.Concat(wrong,
				oneOf(in, "autoscaling.locationPolicy", "BALANCED", "ANY"),
				oneOf(in, "upgradeSettings.strategy", "SURGE", "BLUE_GREEN"),
				oneOf(in, "nodeConfig.workloadMetadataConfig.mode", "MODE_UNSPECIFIED", "GCE_METADATA", "GKE_METADATA"))
		},
		references: []reference{
			{path: "cluster", token: GKECluster, by: []string{"name", "id"}, then: follows},
			{path: "nodeConfig.serviceAccount", token: gcpAccount, by: []string{"email"}, then: stays},
		},
		create: createGKENodePool,
		settle: func(ctx context.Context, c *Cloud, r *Resource) error {
			c.checkImageStreaming(r)
			if err := c.poolInError(r.ID); err != nil {
				return err
			}
			return c.waitForPool(ctx, r.ID)
		},
		update: func(c *Cloud, r *Resource, _ object) error {
			p, err := gkePool(c, r)
			if err != nil {
				return err
			}
			fillNodeConfig(r)
			return c.changePool(p)
		},
		observe: func(c *Cloud, r *Resource) {
			if p := c.pools[r.ID]; p != nil {
				r.Outputs["nodeCount"] = float64(p.desired / p.zoneCount())
			}
		},
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error { return c.removePool(ctx, r.ID) },
	}
}

func createGKENodePool(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	cluster := c.gkeClusterOf(r)
	if cluster == nil {
		return fmt.Errorf("googleapi: Error 404: Not found: cluster %q in %s", in.text("cluster"), orElse(in.text("location"), s["region"]))
	}
	if object(cluster.Inputs).flag("enableAutopilot") {
		return errors.New("googleapi: Error 400: Autopilot clusters do not support mutating node pools")
	}
	if in.text("nodeConfig.workloadMetadataConfig.mode") == "GKE_METADATA" && !object(cluster.Inputs).has("workloadIdentityConfig") {
		return errors.New("googleapi: Error 400: workload metadata mode GKE_METADATA needs workload identity on the cluster")
	}
	r.Region = cluster.Region
	r.ID = cluster.ID + "/nodePools/" + in.text("name")
	if c.find(GKENodePool, "", r.ID) != nil {
		return fmt.Errorf("googleapi: Error 409: Already exists: %s., alreadyExists", r.ID)
	}
	p, err := gkePool(c, r)
	if err != nil {
		return err
	}
	r.Outputs["project"], r.Outputs["location"], r.Outputs["version"] = s["project"], cluster.Region, gkeVersion
	fillNodeConfig(r)
	p.desired = in.number("initialNodeCount") * p.zoneCount()
	if in.has("nodeCount") {
		p.desired = in.number("nodeCount") * p.zoneCount()
	}
	if !in.has("initialNodeCount") && !in.has("nodeCount") && !in.has("autoscaling") {
		p.desired = p.zoneCount()
	}
	if err := c.withinGKEQuota(p); err != nil {
		return err
	}
	c.pools[r.ID] = p
	r.Outputs["nodeCount"] = float64(p.desired / p.zoneCount())
	return nil
}

// fillNodeConfig sets what GKE adds to the configuration of a pool's nodes. This version of the provider reports all of it as
// a change.
func fillNodeConfig(r *Resource) {
	in := object(r.Inputs)
	config := maps.Clone(in.objectAt("nodeConfig"))
	if config == nil {
		config = map[string]any{}
	}
	labels := maps.Clone(object(config).objectAt("resourceLabels"))
	if labels == nil {
		labels = map[string]any{}
	}
	labels["goog-gke-node-pool-provisioning-model"] = "on-demand"
	config["resourceLabels"] = labels
	for name, filled := range map[string]map[string]any{
		"kubeletConfig":   {"insecureKubeletReadonlyPortEnabled": "FALSE"},
		"linuxNodeConfig": {"cgroupMode": "CGROUP_MODE_UNSPECIFIED"},
	} {
		if config[name] == nil {
			config[name] = filled
		}
	}
	if disks := localSSDs[strings.Join(strings.Split(object(config).text("machineType"), "-")[:2], "-")]; disks > 0 && config["ephemeralStorageLocalSsdConfig"] == nil {
		config["ephemeralStorageLocalSsdConfig"] = map[string]any{"localSsdCount": disks}
	}
	r.Outputs["nodeConfig"] = config
}

// checkImageStreaming records pods that would not start: the nodes' account has to be allowed to use the API that streams.
func (c *Cloud) checkImageStreaming(r *Resource) {
	config := object(object(r.Inputs).objectAt("nodeConfig"))
	account := config.text("serviceAccount")
	if !config.flag("gcfsConfig.enabled") || account == "" {
		return
	}
	if project := object(r.Outputs).text("project"); !c.granted(project, streamingRole, "serviceAccount:"+account) {
		c.incident("node pool %s streams images, and its service account %s has no %s in %s", r.ID, account, streamingRole, project)
	}
}

// streamingRole lets a node's own service account use the Container File System API.
const streamingRole = "roles/serviceusage.serviceUsageConsumer"

// gkeClusterOf returns the cluster of a node pool, nil for none.
func (c *Cloud) gkeClusterOf(r *Resource) *Resource {
	in := object(r.Inputs)
	found := c.all(GKECluster, func(cluster *Resource) bool {
		return (named(cluster, "name") == in.text("cluster") || cluster.ID == in.text("cluster")) &&
			(!in.has("location") || cluster.Region == in.text("location"))
	})
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// gpusByGKEMachine are the GPUs of machine types with attached ones (Google's list of GPU machine types).
var gpusByGKEMachine = map[string]struct {
	accelerator string
	count       int
}{
	"g2-standard-4": {"nvidia-l4", 1}, "g2-standard-8": {"nvidia-l4", 1}, "g2-standard-12": {"nvidia-l4", 1},
	"g2-standard-16": {"nvidia-l4", 1}, "g2-standard-24": {"nvidia-l4", 2}, "g2-standard-32": {"nvidia-l4", 1},
	"g2-standard-48": {"nvidia-l4", 4}, "g2-standard-96": {"nvidia-l4", 8},
	"a2-highgpu-1g": {"nvidia-tesla-a100", 1}, "a2-highgpu-2g": {"nvidia-tesla-a100", 2},
	"a2-ultragpu-1g": {"nvidia-a100-80gb", 1}, "a2-ultragpu-2g": {"nvidia-a100-80gb", 2},
	"a3-highgpu-1g": {"nvidia-h100-80gb", 1}, "a3-highgpu-8g": {"nvidia-h100-80gb", 8},
	"a3-megagpu-8g": {"nvidia-h100-mega-80gb", 8}, "a3-ultragpu-8g": {"nvidia-h200-141gb", 8},
	"a4-highgpu-8g":  {"nvidia-b200", 8},
	"g4-standard-48": {"nvidia-rtx-pro-6000", 1}, "g4-standard-96": {"nvidia-rtx-pro-6000", 2},
	"g4-standard-192": {"nvidia-rtx-pro-6000", 4}, "g4-standard-384": {"nvidia-rtx-pro-6000", 8},
}

// localSSDs are the local SSDs that machines bring, by the beginning of the machine type.
var localSSDs = map[string]float64{"a2-ultragpu": 1, "a3-highgpu": 16, "a3-megagpu": 16, "a3-ultragpu": 32}

// reservedMachines are the machine types that Google does not offer on demand.
var reservedMachines = []string{"a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g", "a3-ultragpu-8g", "a4-highgpu-8g"}

var (
	// hyperdiskOnly are the machine families without Persistent Disk, hyperdiskToo those that can have either as boot disk.
	hyperdiskOnly = regexp.MustCompile(`^(n4|n4d|c4|c4d|a3-ultragpu|a4|g4)-`)
	hyperdiskToo  = regexp.MustCompile(`^(c3|c3d|a3-highgpu|a3-megagpu)-`)
)

// checkDisk refuses a boot disk that a machine type cannot have.
func checkDisk(machineType, diskType string) error {
	hyperdisk := strings.HasPrefix(diskType, "hyperdisk-")
	if hyperdisk && !hyperdiskOnly.MatchString(machineType) && !hyperdiskToo.MatchString(machineType) || !hyperdisk && hyperdiskOnly.MatchString(machineType) {
		return fmt.Errorf("googleapi: Error 400: disk type %s is not compatible with machine type %s", diskType, machineType)
	}
	return nil
}

// gkePool returns the pool of a GKE node pool.
func gkePool(c *Cloud, r *Resource) (*pool, error) {
	in, cluster := object(r.Inputs), c.gkeClusterOf(r)
	if cluster == nil {
		return nil, errors.New("its cluster does not exist")
	}
	config := object(in.objectAt("nodeConfig"))
	machineType := orElse(config.text("machineType"), "e2-medium")
	if diskType := config.text("diskType"); diskType != "" {
		if err := checkDisk(machineType, diskType); err != nil {
			return nil, err
		}
	}
	if err := checkGKEReservation(config); err != nil {
		return nil, err
	}
	if slices.Contains(reservedMachines, machineType) && !config.flag("spot") && !config.has("reservationAffinity") {
		return nil, fmt.Errorf("googleapi: Error 400: machine type %s is not available on demand", machineType)
	}
	p := &pool{
		id: r.ID, cluster: cluster.ID, double: c.doubleOf(r.Token), name: in.text("name"), machineType: machineType,
		// Changed in place since version 5.10 of the Terraform provider, which Pulumi's is made from.
		machine:    fmt.Sprint(machineType, config.at("diskSizeGb"), config.at("diskType")),
		namePrefix: fmt.Sprintf("gke-%s-%s-%s-", shortened(named(cluster, "name"), 18), shortened(in.text("name"), 12), randomHex(8)),
		autoscaled: in.has("autoscaling"), acceleratorLabel: "cloud.google.com/gke-accelerator", gpus: gpusAtOnce,
	}
	p.zones = in.texts("nodeLocations")
	if len(p.zones) == 0 {
		p.zones = zonesOf(cluster.Region)
	}
	if in.has("autoscaling.totalMaxNodeCount") {
		p.min, p.max = in.number("autoscaling.totalMinNodeCount"), in.number("autoscaling.totalMaxNodeCount")
	} else {
		p.min, p.max = in.number("autoscaling.minNodeCount")*p.zoneCount(), in.number("autoscaling.maxNodeCount")*p.zoneCount()
	}
	if p.autoscaled && (p.max < 1 || p.min > p.max) {
		return nil, fmt.Errorf("googleapi: Error 400: autoscaling limits %d to %d are not valid", p.min, p.max)
	}
	p.labels = config.labels("labels")
	for key := range p.labels {
		if strings.Contains(key, "kubernetes.io/") || strings.HasPrefix(key, "cloud.google.com/gke-") {
			return nil, fmt.Errorf("googleapi: Error 400: label %q is reserved", key)
		}
	}
	for key, value := range map[string]string{
		"cloud.google.com/gke-nodepool": in.text("name"), "cloud.google.com/gke-os-distribution": "cos",
		"cloud.google.com/gke-boot-disk":         orElse(config.text("diskType"), "pd-balanced"),
		"cloud.google.com/machine-family":        strings.SplitN(machineType, "-", 2)[0],
		"iam.gke.io/gke-metadata-server-enabled": strconv.FormatBool(config.text("workloadMetadataConfig.mode") == "GKE_METADATA"),
	} {
		p.labels[key] = value
	}
	if config.flag("spot") {
		p.labels["cloud.google.com/gke-spot"] = "true"
		p.labels["cloud.google.com/gke-provisioning"] = "spot"
	}
	for _, taint := range config.objects("taints") {
		if err := p.taint(taint.text("key"), taint.text("value"), taintEffects[taint.text("effect")]); err != nil {
			return nil, fmt.Errorf("googleapi: Error 400: %w", err)
		}
	}
	return p, c.gkeGPUs(p, config)
}

// gkeGPUs sets the labels, the taint and the driver of a pool with GPUs, as GKE does.
func (c *Cloud) gkeGPUs(p *pool, config object) error {
	built := gpusByGKEMachine[p.machineType]
	accelerators := config.objects("guestAccelerators")
	if len(accelerators) == 0 {
		if built.count > 0 {
			return fmt.Errorf("googleapi: Error 400: machine type %s needs its accelerator %s to be stated", p.machineType, built.accelerator)
		}
		return nil
	}
	gpu := accelerators[0]
	p.gpuCount = gpu.number("count")
	switch {
	case built.count > 0 && (gpu.text("type") != built.accelerator || p.gpuCount != built.count):
		return fmt.Errorf("googleapi: Error 400: machine type %s carries %d %s, not %d %s", p.machineType, built.count, built.accelerator, p.gpuCount,
			gpu.text("type"))
	case built.count == 0 && !strings.HasPrefix(p.machineType, "n1-"):
		return fmt.Errorf("googleapi: Error 400: accelerators cannot be attached to machine type %s", p.machineType)
	}
	p.labels[p.acceleratorLabel] = gpu.text("type")
	p.labels["cloud.google.com/gke-gpu"] = "true"
	driver := orElse(gpu.text("gpuDriverInstallationConfig.gpuDriverVersion"), driverUnset)
	if driver == driverUnset || driver == driverDisabled {
		// Without a driver the device plugin finds no GPU.
		p.gpus = gpusNever
	} else {
		p.labels["cloud.google.com/gke-gpu-driver-version"] = strings.ToLower(driver)
	}
	// GKE adds its own taint if there is another pool for the pods that do not tolerate it.
	others := c.all(GKENodePool, func(r *Resource) bool {
		return strings.HasPrefix(r.ID, p.cluster+"/") && len(object(r.Inputs).objects("nodeConfig.guestAccelerators")) == 0
	})
	if len(others) > 0 && !p.tainted("nvidia.com/gpu") {
		return p.taint("nvidia.com/gpu", "present", "NoSchedule")
	}
	return nil
}

// zonesOf returns the zones of a GKE pool in a location.
func zonesOf(location string) []string {
	if strings.Count(location, "-") > 1 {
		return []string{location}
	}
	return []string{location + "-a", location + "-b", location + "-c"}
}

var (
	gceCPUs = regexp.MustCompile(`-(\d+)$`)
	gceGPUs = regexp.MustCompile(`-(\d+)g$`)
)

// gceMachineSize returns the size of a machine type of Compute Engine. The number at the end counts the vCPUs, each with
// 4 GiB; in types such as a2-highgpu-1g it counts the GPUs.
func gceMachineSize(machineType string) (cpus, memoryGiB int) {
	if m := gceCPUs.FindStringSubmatch(machineType); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n, 4 * n
	}
	if m := gceGPUs.FindStringSubmatch(machineType); m != nil {
		n, _ := strconv.Atoi(m[1])
		return 12 * n, 85 * n
	}
	return defaultCPUs, defaultMemoryGiB
}
