package cloud

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

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

// computeSchema describes inputs whose SDK package is too large to compile for six properties.
func computeSchema(required string, properties map[string]*schema.Type) *schema.Type {
	t := &schema.Type{Kind: schema.Object, Properties: properties}
	for name := range strings.SplitSeq(required, " ") {
		if property := properties[name]; property != nil {
			marked := *property
			marked.Required = true
			properties[name] = &marked
		}
	}
	return t
}

var (
	textType  = &schema.Type{Kind: schema.String}
	flagType  = &schema.Type{Kind: schema.Boolean}
	wholeType = &schema.Type{Kind: schema.Integer}
	tagsType  = &schema.Type{Kind: schema.Map, Items: textType}
)

func listType(items *schema.Type) *schema.Type { return &schema.Type{Kind: schema.Array, Items: items} }

func gcpKinds() []*kind {
	selfLink := []string{"selfLink", "name"}
	return []*kind{
		{
			token: gcpNetwork, name: "name", replace: []string{"name", "project", "autoCreateSubnetworks"}, computed: []string{"selfLink"},
			schema: computeSchema("", map[string]*schema.Type{
				"name": textType, "project": textType, "description": textType, "autoCreateSubnetworks": flagType,
				"routingMode": textType, "mtu": wholeType, "deleteDefaultRoutesOnCreate": flagType,
			}),
			create: gcpCompute("global/networks"),
		},
		{
			token: gcpSubnetwork, name: "name", computed: []string{"selfLink", "gatewayAddress"},
			replace: []string{"name", "project", "region", "network"},
			schema: computeSchema("network ipCidrRange", map[string]*schema.Type{
				"name": textType, "project": textType, "region": textType, "network": textType, "ipCidrRange": textType,
				"privateIpGoogleAccess": flagType, "description": textType, "purpose": textType,
				"secondaryIpRanges": listType(computeSchema("rangeName ipCidrRange", map[string]*schema.Type{
					"rangeName": textType, "ipCidrRange": textType})),
			}),
			references: []reference{{path: "network", token: gcpNetwork, by: selfLink}},
			create: func(c *Cloud, r *Resource, s Settings) error {
				in := object(r.Inputs)
				ranges := append([]string{in.text("ipCidrRange")}, in.texts("secondaryIpRanges.ipCidrRange")...)
				if err := disjoint(ranges); err != nil {
					return fmt.Errorf("googleapi: Error 400: Invalid value for field 'resource.ipCidrRange': %w", err)
				}
				return gcpCompute("regions/{region}/subnetworks")(c, r, s)
			},
		},
		{
			token: gcpRouter, name: "name", computed: []string{"selfLink"}, replace: []string{"name", "project", "region", "network"},
			schema: computeSchema("network", map[string]*schema.Type{
				"name": textType, "project": textType, "region": textType, "network": textType, "description": textType,
			}),
			references: []reference{{path: "network", token: gcpNetwork, by: selfLink}},
			create:     gcpCompute("regions/{region}/routers"),
		},
		{
			token: gcpRouterNAT, name: "name", replace: []string{"name", "project", "region", "router"},
			schema: computeSchema("router sourceSubnetworkIpRangesToNat", map[string]*schema.Type{
				"name": textType, "project": textType, "region": textType, "router": textType,
				"natIpAllocateOption": textType, "sourceSubnetworkIpRangesToNat": textType, "minPortsPerVm": wholeType,
				"logConfig": computeSchema("enable filter", map[string]*schema.Type{"enable": flagType, "filter": textType}),
			}),
			validate: func(in object) []string {
				return slices.Concat(
					oneOf(in, "natIpAllocateOption", "AUTO_ONLY", "MANUAL_ONLY"),
					oneOf(in, "sourceSubnetworkIpRangesToNat", "ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", "LIST_OF_SUBNETWORKS"),
					oneOf(in, "logConfig.filter", "ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL"))
			},
			references: []reference{{path: "router", token: gcpRouter, by: []string{"name"}, then: follows}},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				in := object(r.Inputs)
				r.Region = orElse(in.text("region"), s["region"])
				r.ID = fmt.Sprintf("%s/%s/%s/%s", orElse(in.text("project"), s["project"]), r.Region, in.text("router"), in.text("name"))
				return nil
			},
		},
		{
			token: gcpAccount, replace: []string{"accountId", "project"}, computed: []string{"email", "member", "name", "uniqueId"},
			validate: func(in object) []string {
				if id := in.text("accountId"); in.has("accountId") && !regexp.MustCompile(`^[a-z]([-a-z0-9]{4,28}[a-z0-9])$`).MatchString(id) {
					return []string{fmt.Sprintf("accountId %q must be 6 to 30 lower-case letters, digits and dashes, a letter first", id)}
				}
				return nil
			},
			create: func(_ *Cloud, r *Resource, s Settings) error {
				in := object(r.Inputs)
				project := orElse(in.text("project"), s["project"])
				email := fmt.Sprintf("%s@%s.iam.gserviceaccount.com", in.text("accountId"), project)
				r.ID = fmt.Sprintf("projects/%s/serviceAccounts/%s", project, email)
				r.Outputs["project"], r.Outputs["email"], r.Outputs["member"], r.Outputs["name"] = project, email, "serviceAccount:"+email, r.ID
				return nil
			},
		},
		{
			token: gcpIAMMember, replace: []string{"project", "role", "member", "condition"}, computed: []string{"etag"},
			references: []reference{{path: "member", token: gcpAccount, by: []string{"member"}, then: stays, besides: func(member string) bool {
				return strings.HasPrefix(member, "principal://")
			}}},
			validate: func(in object) []string {
				if role := in.text("role"); in.has("role") && !strings.HasPrefix(role, "roles/") && !strings.Contains(role, "/roles/") {
					return []string{fmt.Sprintf("role %q is not of the form roles/NAME", role)}
				}
				return nil
			},
			create: func(c *Cloud, r *Resource, _ Settings) error {
				in := object(r.Inputs)
				// A project's pool appears with its first cluster that has workload identity.
				if _, rest, ok := strings.Cut(in.text("member"), "/workloadIdentityPools/"); ok {
					pool, _, _ := strings.Cut(rest, "/")
					if len(c.all(GKECluster, func(r *Resource) bool { return object(r.Outputs).text("workloadIdentityConfig.workloadPool") == pool })) == 0 {
						return fmt.Errorf("googleapi: Error 400: Identity Pool does not exist (%s). Please check that you specified a valid resource name", pool)
					}
				}
				r.ID = fmt.Sprintf("%s/%s/%s", in.text("project"), in.text("role"), in.text("member"))
				return nil
			},
		},
		gkeClusterKind(selfLink),
		gkeNodePoolKind(),
	}
}

// gcpCompute creates a resource that has no more than a name in a project, and often a region.
func gcpCompute(collection string) func(*Cloud, *Resource, Settings) error {
	return func(_ *Cloud, r *Resource, s Settings) error {
		in := object(r.Inputs)
		project := orElse(in.text("project"), s["project"])
		if project == "" {
			return errors.New("googleapi: Error 400: project is required")
		}
		if strings.Contains(collection, "{region}") {
			if r.Region = orElse(in.text("region"), s["region"]); r.Region == "" {
				return errors.New("googleapi: Error 400: region is required")
			}
			r.Outputs["region"] = r.Region
		}
		r.ID = fmt.Sprintf("projects/%s/%s/%s", project, strings.ReplaceAll(collection, "{region}", r.Region), in.text("name"))
		r.Outputs["project"], r.Outputs["selfLink"] = project, googleCompute+r.ID
		return nil
	}
}

func gkeClusterKind(networks []string) *kind {
	return &kind{
		token: GKECluster, name: "name", slow: true,
		replace: []string{"name", "location", "project", "network", "subnetwork", "initialNodeCount", "nodeConfig", "nodePools",
			"ipAllocationPolicy", "networkingMode", "datapathProvider", "enableAutopilot", "enableShieldedNodes",
			"privateClusterConfig.enablePrivateNodes", "privateClusterConfig.masterIpv4CidrBlock"},
		computed: []string{"endpoint", "masterAuth", "masterVersion", "selfLink", "operation", "labelFingerprint"},
		validate: func(in object) []string {
			return slices.Concat(
				oneOf(in, "releaseChannel.channel", "UNSPECIFIED", "RAPID", "REGULAR", "STABLE"),
				oneOf(in, "datapathProvider", "DATAPATH_PROVIDER_UNSPECIFIED", "LEGACY_DATAPATH", "ADVANCED_DATAPATH"),
				oneOf(in, "networkingMode", "VPC_NATIVE", "ROUTES"),
				oneOf(in, "clusterAutoscaling.autoscalingProfile", "BALANCED", "OPTIMIZE_UTILIZATION"),
				eachOneOf(in, "monitoringConfig.enableComponents", "SYSTEM_COMPONENTS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER",
					"STORAGE", "HPA", "POD", "DAEMONSET", "DEPLOYMENT", "STATEFULSET", "KUBELET", "CADVISOR", "DCGM", "WORKLOADS"),
				cidrs(in.texts("masterAuthorizedNetworksConfig.cidrBlocks.cidrBlock")))
		},
		references: []reference{
			{path: "network", token: gcpNetwork, by: networks},
			{path: "subnetwork", token: gcpSubnetwork, by: networks},
			{path: "nodeConfig.serviceAccount", token: gcpAccount, by: []string{"email"}, then: stays},
		},
		create:       createGKECluster,
		settle:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.settleGKECluster(ctx, r) },
		refuseDelete: refuseDeleteGKECluster,
		vanish:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.closeGate(ctx, r.ID) },
	}
}

func createGKECluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	project, location := orElse(in.text("project"), s["project"]), orElse(in.text("location"), orElse(s["zone"], s["region"]))
	if project == "" || location == "" {
		return errors.New("googleapi: Error 400: project and location are required")
	}
	if !in.flag("enableAutopilot") && in.number("initialNodeCount") < 1 && len(in.list("nodePools")) == 0 {
		return errors.New(`googleapi: Error 400: Cluster.initial_node_count must be greater than zero`)
	}
	if in.flag("privateClusterConfig.enablePrivateNodes") && in.text("networkingMode") == "ROUTES" {
		return errors.New("googleapi: Error 400: private nodes need a VPC-native cluster")
	}
	for _, name := range []string{"clusterSecondaryRangeName", "servicesSecondaryRangeName"} {
		wanted := in.text("ipAllocationPolicy." + name)
		subnet := c.findBy(gcpSubnetwork, []string{"selfLink", "name"}, in.text("subnetwork"))
		if wanted != "" && (subnet == nil || !slices.Contains(object(subnet.Inputs).texts("secondaryIpRanges.rangeName"), wanted)) {
			return fmt.Errorf("googleapi: Error 400: secondary range %q does not exist in the subnetwork", wanted)
		}
	}
	r.Region = location
	r.ID = fmt.Sprintf("projects/%s/locations/%s/clusters/%s", project, location, in.text("name"))
	if c.find(GKECluster, "", r.ID) != nil {
		return fmt.Errorf("googleapi: Error 409: Already exists: %s., alreadyExists", r.ID)
	}
	g, err := c.openGate(r.ID)
	if err != nil {
		return err
	}
	r.Outputs["project"], r.Outputs["location"] = project, location
	r.Outputs["selfLink"] = "https://container.googleapis.com/v1/" + r.ID
	// GKE's endpoint is an address without a scheme.
	r.Outputs["endpoint"] = g.address
	r.Outputs["masterAuth"] = map[string]any{"clusterCaCertificate": c.authority()}
	r.Outputs["masterVersion"] = orElse(in.text("minMasterVersion"), gkeVersion)
	return nil
}

// settleGKECluster starts what GKE runs in a cluster.
func (c *Cloud) settleGKECluster(ctx context.Context, r *Resource) error {
	if err := c.installStorage(ctx, storageOf[GKECluster]); err != nil {
		return err
	}
	if object(r.Inputs).flag("monitoringConfig.managedPrometheus.enabled") && c.monitoring != nil {
		if err := c.installManagedCollection(ctx); err != nil {
			return err
		}
	}
	components := object(r.Inputs).texts("monitoringConfig.enableComponents")
	if slices.Contains(components, "DCGM") && slices.Contains(components, "SYSTEM_COMPONENTS") {
		return c.installManagedExporter(ctx)
	}
	return nil
}

func refuseDeleteGKECluster(_ *Cloud, r *Resource) error {
	in := object(r.Inputs)
	// The provider's default is true.
	if protection, given := in["deletionProtection"]; !given || protection == true {
		return errors.New("Cannot destroy cluster because deletion_protection is set to true. Set it to false to proceed with cluster deletion") //nolint:staticcheck // the provider's words
	}
	return nil
}

func gkeNodePoolKind() *kind {
	return &kind{
		token: GKENodePool, name: "name", slow: true,
		replace: []string{"name", "namePrefix", "project", "location", "cluster", "initialNodeCount", "maxPodsPerNode",
			"placementPolicy", "queuedProvisioning", "nodeConfig.guestAccelerators", "nodeConfig.spot", "nodeConfig.preemptible",
			"nodeConfig.taints", "nodeConfig.reservationAffinity", "nodeConfig.secondaryBootDisks", "nodeConfig.gvnic",
			"nodeConfig.shieldedInstanceConfig", "nodeConfig.ephemeralStorageLocalSsdConfig", "nodeConfig.gcfsConfig",
			"nodeConfig.serviceAccount", "nodeConfig.oauthScopes", "nodeConfig.metadata", "nodeConfig.bootDiskKmsKey",
			"nodeConfig.minCpuPlatform"},
		drifts:   []string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig"},
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
		settle: func(ctx context.Context, c *Cloud, r *Resource) error { return c.waitForPool(ctx, r.ID) },
		update: func(c *Cloud, r *Resource, _ object) error {
			p, err := gkePool(c, r)
			if err != nil {
				return err
			}
			return c.changePool(p)
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
	// What the server adds, and this version of the provider takes for a change.
	config := map[string]any{}
	for key, value := range in.objectAt("nodeConfig") {
		config[key] = value
	}
	if config["resourceLabels"] == nil {
		config["resourceLabels"] = map[string]any{"goog-gke-node-pool-provisioning-model": "on-demand"}
	}
	if config["kubeletConfig"] == nil {
		config["kubeletConfig"] = map[string]any{"insecureKubeletReadonlyPortEnabled": "FALSE"}
	}
	r.Outputs["nodeConfig"] = config
	p.desired = in.number("initialNodeCount") * p.zoneCount()
	if in.has("nodeCount") {
		p.desired = in.number("nodeCount") * p.zoneCount()
	}
	if !in.has("initialNodeCount") && !in.has("nodeCount") && !in.has("autoscaling") {
		p.desired = p.zoneCount()
	}
	c.pools[r.ID] = p
	return nil
}

// gkeClusterOf is the cluster that a node pool belongs to.
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

// gpusByGKEMachine are machine types that bring their GPUs with them: type and number (Google's list of GPU machine
// types).
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
}

// gkePool works out the nodes of a pool.
func gkePool(c *Cloud, r *Resource) (*pool, error) {
	in, cluster := object(r.Inputs), c.gkeClusterOf(r)
	if cluster == nil {
		return nil, errors.New("its cluster does not exist")
	}
	config := object(in.objectAt("nodeConfig"))
	machineType := orElse(config.text("machineType"), "e2-medium")
	p := &pool{
		id: r.ID, cluster: cluster.ID, cloud: "gcp", name: in.text("name"), machineType: machineType,
		// Changed in place since version 5.10 of the provider that Pulumi's is made from.
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
		if err := p.taint(taint.text("key"), taint.text("value"), gcpEffects[taint.text("effect")]); err != nil {
			return nil, fmt.Errorf("googleapi: Error 400: %w", err)
		}
	}
	return p, c.gkeGPUs(p, config)
}

var gcpEffects = map[string]string{"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}

// gkeGPUs adds what GKE does for a pool with GPUs.
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
		return fmt.Errorf("googleapi: Error 400: machine type %s carries %d %s, not %d %s", p.machineType, built.count, built.accelerator, p.gpuCount, gpu.text("type"))
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
	// GKE's own taint, if there is another pool for its pods to run on.
	others := c.all(GKENodePool, func(r *Resource) bool {
		return strings.HasPrefix(r.ID, p.cluster+"/") && len(object(r.Inputs).objects("nodeConfig.guestAccelerators")) == 0
	})
	if len(others) > 0 && !p.tainted("nvidia.com/gpu") {
		return p.taint("nvidia.com/gpu", "present", "NoSchedule")
	}
	return nil
}

// zonesOf are the zones that GKE gives to a pool in a location.
func zonesOf(location string) []string {
	if strings.Count(location, "-") > 1 {
		return []string{location}
	}
	return []string{location + "-a", location + "-b", location + "-c"}
}

// gcpInvokes are Google's data sources.
func gcpInvokes() map[string]invoke {
	return map[string]invoke{"gcp:projects/getProject:getProject": func(_ *Cloud, _ Settings, args object) (object, error) {
		id, ok := strings.CutPrefix(args.text("filter"), "id:")
		if !ok {
			return nil, fmt.Errorf("filter %q is not simulated", args.text("filter"))
		}
		return object{"id": args.text("filter"), "filter": args.text("filter"), "projects": []any{map[string]any{
			"projectId": id, "number": projectNumber, "name": id, "lifecycleState": "ACTIVE",
		}}}, nil
	}, "gcp:container/getCluster:getCluster": func(c *Cloud, s Settings, args object) (object, error) {
		location := orElse(args.text("location"), s["region"])
		found := c.all(GKECluster, func(r *Resource) bool {
			return named(r, "name") == args.text("name") && r.Region == location && strings.HasPrefix(r.ID, "projects/"+orElse(args.text("project"), s["project"])+"/")
		})
		if len(found) == 0 {
			return nil, fmt.Errorf("projects/%s/locations/%s/clusters/%s not found", orElse(args.text("project"), s["project"]), location, args.text("name"))
		}
		r := found[0]
		out := object(r.Outputs)
		result := object{
			"id": r.ID, "name": out["name"], "location": out["location"], "project": out["project"], "endpoint": out["endpoint"],
			"masterVersion": out["masterVersion"], "network": out["network"], "subnetwork": out["subnetwork"], "selfLink": out["selfLink"],
			"enableAutopilot": out.flag("enableAutopilot"), "networkingMode": orElse(out.text("networkingMode"), "VPC_NATIVE"),
			"masterAuths":             one(out["masterAuth"]),
			"monitoringConfigs":       one(out["monitoringConfig"]),
			"workloadIdentityConfigs": one(out["workloadIdentityConfig"]),
			"releaseChannels":         one(out["releaseChannel"]),
		}
		var pools []any
		for _, p := range c.all(GKENodePool, func(p *Resource) bool { return strings.HasPrefix(p.ID, r.ID+"/") }) {
			config := object(object(p.Outputs).objectAt("nodeConfig"))
			var accelerators []any
			for _, gpu := range config.objects("guestAccelerators") {
				accelerators = append(accelerators, map[string]any{
					"type": gpu["type"], "count": gpu["count"], "gpuPartitionSize": "",
					"gpuDriverInstallationConfigs": one(gpu["gpuDriverInstallationConfig"]),
				})
			}
			pools = append(pools, map[string]any{"name": named(p, "name"), "nodeConfigs": []any{map[string]any{
				"machineType": config["machineType"], "labels": config["labels"], "taints": orEmpty(config["taints"]), "spot": config.flag("spot"),
				"guestAccelerators": orEmpty(accelerators),
			}}})
		}
		result["nodePools"] = orEmpty(pools)
		return result, nil
	}}
}
