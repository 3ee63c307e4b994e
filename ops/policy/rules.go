package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/components"
	"vllm-autoscaling/ops/preview/plan"
)

// Types of planned resources that rules check. Azure's contain the API's version, see azure.
const (
	gkeCluster     = "gcp:container/cluster:Cluster"
	gkePool        = "gcp:container/nodePool:NodePool"
	eksCluster     = "aws:eks/cluster:Cluster"
	eksPool        = "aws:eks/nodeGroup:NodeGroup"
	launchTemplate = "aws:ec2/launchTemplate:LaunchTemplate"
	subnet         = "aws:ec2/subnet:Subnet"
	storageClass   = "kubernetes:storage.k8s.io/v1:StorageClass"
	release        = "kubernetes:helm.sh/v3:Release"

	aksCluster = "azure-native:containerservice::ManagedCluster"
	aksPool    = "azure-native:containerservice::AgentPool"
	aksLock    = "azure-native:authorization::ManagementLockByScope"
)

// Rules lists every rule, in the order in which their violations are shown.
var Rules = []Rule{
	{"no-public-nodes", Mandatory, "nodes have no address on the internet", publicNodes},
	{"api-server-not-open", Mandatory, "the API server is reached from named networks only", openAPIServer},
	{"disks-encrypted", Mandatory, "disks, volumes and secrets in etcd are encrypted", unencryptedDisks},
	{"no-privileged-containers", Mandatory, "no container has the rights of its node", privilegedContainers},
	{"versions-pinned", Mandatory, "images and charts have an exact version", unpinnedVersions},
	{"limits-set", Mandatory, "containers request CPU and memory and have a limit of memory", missingLimits},
	{"deletion-protection", Mandatory, "a production cluster cannot be deleted by mistake", deletableClusters},
	{"spend-ceiling", Mandatory, "all GPU nodes together cost no more than policy.spendCeiling", overspending},
}

// azure removes the API's version from a type of azure-native, so that rules match newer ones.
func azure(typ string) string {
	module, name, ok := strings.Cut(strings.TrimPrefix(typ, "azure-native:"), ":")
	if !ok || !strings.HasPrefix(typ, "azure-native:") {
		return typ
	}
	service, _, _ := strings.Cut(module, "/")
	return "azure-native:" + service + "::" + name
}

// each calls f for the resources of a type.
func (in *input) each(typ string, f func(plan.Resource)) {
	for _, r := range in.resources {
		if r.Type == typ || azure(r.Type) == typ {
			f(r)
		}
	}
}

func publicNodes(in *input) []Violation {
	var found []Violation
	add := func(r plan.Resource, property, what, fix string) {
		found = append(found, broken(r, property, what, fix))
	}
	clusterPrivate := false
	in.each(gkeCluster, func(r plan.Resource) {
		clusterPrivate = r.Bool("privateClusterConfig.enablePrivateNodes")
		if !clusterPrivate && !r.Bool("enableAutopilot") {
			add(r, "privateClusterConfig.enablePrivateNodes", "not true: nodes get public addresses", "set it to true; the nodes then need a NAT")
		}
	})
	in.each(gkePool, func(r plan.Resource) {
		if value, stated := plan.Value(r.Inputs, "networkConfig.enablePrivateNodes"); stated && value != true || !stated && !clusterPrivate {
			add(r, "networkConfig.enablePrivateNodes", "not true: its nodes get public addresses", "set it to true")
		}
	})
	in.each(subnet, func(r plan.Resource) {
		if r.Bool("mapPublicIpOnLaunch") {
			add(r, "mapPublicIpOnLaunch", "true: machines in it get public addresses", "set it to false and reach the internet through a NAT gateway")
		}
	})
	in.each(launchTemplate, func(r plan.Resource) {
		for i := range r.List("networkInterfaces") {
			property := fmt.Sprintf("networkInterfaces[%d].associatePublicIpAddress", i)
			if r.Bool(property) {
				add(r, property, "true: machines get public addresses", "remove it")
			}
		}
	})
	in.each(aksPool, func(r plan.Resource) {
		if r.Bool("enableNodePublicIP") {
			add(r, "enableNodePublicIP", "true: nodes get public addresses", "set it to false")
		}
	})
	in.each(aksCluster, func(r plan.Resource) {
		for i := range r.List("agentPoolProfiles") {
			property := fmt.Sprintf("agentPoolProfiles[%d].enableNodePublicIP", i)
			if r.Bool(property) {
				add(r, property, "true: nodes get public addresses", "set it to false")
			}
		}
	})
	return found
}

const openFix = "list the networks that need it in cluster.apiAccessCidrs; if it is meant to be open, add an exception with the reason"

// everybody reports whether a network is the whole internet, or all of it in two or a few parts.
func everybody(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Bits() < 4
}

// anybody returns a network of a list that is the whole internet.
func anybody(cidrs []any) (string, bool) {
	for _, value := range cidrs {
		if text, ok := value.(string); ok && everybody(text) {
			return text, true
		}
	}
	return "", false
}

func openAPIServer(in *input) []Violation {
	var found []Violation
	check := func(r plan.Resource, property string, cidrs []any) {
		if len(cidrs) == 0 {
			found = append(found, broken(r, property, "no network named: everyone on the internet reaches the API server", openFix))
		} else if open, ok := anybody(cidrs); ok {
			found = append(found, broken(r, property, open+": everyone on the internet reaches the API server", openFix))
		}
	}
	in.each(gkeCluster, func(r plan.Resource) {
		if r.Bool("privateClusterConfig.enablePrivateEndpoint") {
			return
		}
		var cidrs []any
		for i := range r.List("masterAuthorizedNetworksConfig.cidrBlocks") {
			cidrs = append(cidrs, r.Text(fmt.Sprintf("masterAuthorizedNetworksConfig.cidrBlocks[%d].cidrBlock", i)))
		}
		// An empty list allows nobody; only a missing block allows everyone.
		if r.Has("masterAuthorizedNetworksConfig") && len(cidrs) == 0 {
			return
		}
		check(r, "masterAuthorizedNetworksConfig.cidrBlocks", cidrs)
	})
	in.each(eksCluster, func(r plan.Resource) {
		// AWS makes the endpoint public by default.
		if value, stated := plan.Value(r.Inputs, "vpcConfig.endpointPublicAccess"); stated && value == false {
			return
		}
		check(r, "vpcConfig.publicAccessCidrs", r.List("vpcConfig.publicAccessCidrs"))
	})
	in.each(aksCluster, func(r plan.Resource) {
		if !r.Bool("apiServerAccessProfile.enablePrivateCluster") {
			check(r, "apiServerAccessProfile.authorizedIPRanges", r.List("apiServerAccessProfile.authorizedIPRanges"))
		}
	})
	return found
}

// unencryptedDisks checks AWS' disks and the temporary disks of Azure's nodes only: Google encrypts every disk and
// Azure every managed disk at rest, with no way to disable it.
func unencryptedDisks(in *input) []Violation {
	var found []Violation
	in.each(launchTemplate, func(r plan.Resource) {
		if len(r.List("blockDeviceMappings")) == 0 {
			found = append(found, broken(r, "blockDeviceMappings", "none: the image and the account decide on the disk's encryption",
				"state the disk with ebs.encrypted true"))
		}
		for i := range r.List("blockDeviceMappings") {
			if property := fmt.Sprintf("blockDeviceMappings[%d].ebs.encrypted", i); !r.Bool(property) {
				found = append(found, broken(r, property, "not true: the nodes' disks are not encrypted", "set it to true"))
			}
		}
	})
	in.each(eksPool, func(r plan.Resource) {
		if !r.Has("launchTemplate") {
			found = append(found, broken(r, "launchTemplate", "none: the account's default decides on the disk's encryption",
				"use a launch template with ebs.encrypted true"))
		}
	})
	in.each(eksCluster, func(r plan.Resource) {
		if !slices.Contains(r.List("encryptionConfig.resources"), any("secrets")) {
			found = append(found, broken(r, "encryptionConfig", "without secrets: they lie in etcd without a key of yours",
				"set encryptionConfig with a KMS key and resources [secrets]"))
		}
	})
	in.each(storageClass, func(r plan.Resource) {
		if r.Text("provisioner") == "ebs.csi.aws.com" && r.Text("parameters.encrypted") != "true" {
			found = append(found, broken(r, "parameters.encrypted", `not "true": its volumes are not encrypted`, `set it to "true"`))
		}
	})
	if !in.settings.Production {
		return found
	}
	advise := func(r plan.Resource, property string) {
		if !r.Bool(property) {
			v := broken(r, property, "not true: temporary disks and caches of the nodes are not encrypted",
				"set aks.encryptionAtHost to true, where the subscription has the feature")
			v.Severity = Advisory
			found = append(found, v)
		}
	}
	in.each(aksCluster, func(r plan.Resource) {
		for i := range r.List("agentPoolProfiles") {
			advise(r, fmt.Sprintf("agentPoolProfiles[%d].enableEncryptionAtHost", i))
		}
	})
	in.each(aksPool, func(r plan.Resource) { advise(r, "enableEncryptionAtHost") })
	return found
}

// podPaths are the paths of the pod template by kind of workload.
var podPaths = map[string]string{
	"Pod": "spec", "Deployment": "spec.template.spec", "StatefulSet": "spec.template.spec", "DaemonSet": "spec.template.spec",
	"ReplicaSet": "spec.template.spec", "Job": "spec.template.spec", "CronJob": "spec.jobTemplate.spec.template.spec",
}

// pods calls f with each Kubernetes workload and the path of its pod.
func (in *input) pods(f func(r plan.Resource, pod string)) {
	for _, r := range in.resources {
		_, kind, _ := strings.Cut(strings.TrimPrefix(r.Type, "kubernetes:"), ":")
		if pod, ok := podPaths[kind]; ok && strings.HasPrefix(r.Type, "kubernetes:") {
			f(r, pod)
		}
	}
}

// containers calls f with the path of each container of a pod.
func containers(r plan.Resource, pod string, f func(path string)) {
	for _, list := range []string{"initContainers", "containers"} {
		for i := range r.List(pod + "." + list) {
			f(fmt.Sprintf("%s.%s[%d]", pod, list, i))
		}
	}
}

// harmless are the capabilities that a container may add; any other is equivalent to root on the node or on its
// network.
var harmless = []string{"NET_BIND_SERVICE", "CHOWN", "FOWNER", "SETGID", "SETUID", "KILL", "AUDIT_WRITE"}

// chartCapabilities are the capabilities that the program itself adds to the containers of a chart, by the chart's name.
var chartCapabilities = map[string][]string{
	// With some images of EKS' GPU nodes the plugin passes no GPU on without it.
	"nvidia-device-plugin": {"SYS_ADMIN"},
}

// ownFolders are the folders of a node that the program itself mounts: they hold nothing but what the program has written.
var ownFolders = []string{components.NodeCacheDir}

const privilegedFix = "remove it; if the container needs it, add an exception with the reason"

func privilegedContainers(in *input) []Violation {
	var found []Violation
	add := func(r plan.Resource, property, what string) {
		found = append(found, broken(r, property, what, privilegedFix))
	}
	in.pods(func(r plan.Resource, pod string) {
		for _, share := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			if r.Bool(pod + "." + share) {
				add(r, pod+"."+share, "true: the pod shares it with its node")
			}
		}
		for i := range r.List(pod + ".volumes") {
			path := fmt.Sprintf("%s.volumes[%d].hostPath", pod, i)
			if r.Has(path) && !slices.Contains(ownFolders, r.Text(path+".path")) {
				add(r, path, "the pod sees files of its node")
			}
		}
		containers(r, pod, func(path string) {
			security := path + ".securityContext"
			if r.Bool(security + ".privileged") {
				add(r, security+".privileged", "true: the container has the rights of its node")
			}
			if value, stated := plan.Value(r.Inputs, security+".allowPrivilegeEscalation"); !stated || value != false {
				add(r, security+".allowPrivilegeEscalation", "not false: a program in it can get more rights than it started with")
			}
			for i, value := range r.List(security + ".capabilities.add") {
				if name, _ := value.(string); !slices.Contains(harmless, name) {
					add(r, fmt.Sprintf("%s.capabilities.add[%d]", security, i), name+" is added")
				}
			}
		})
	})
	// Pods of charts are not in a preview; the charts' values are.
	in.each(release, func(r plan.Resource) {
		needed := chartCapabilities[r.Text("chart")]
		walk(r.Inputs["values"], "values", func(path, key string, value any) {
			list, _ := value.([]any)
			switch {
			case key == "privileged" && value == true:
				add(r, path, "true: a container of the chart has the rights of its node")
			case (key == "hostNetwork" || key == "hostPID" || key == "hostIPC") && value == true:
				add(r, path, "true: a pod of the chart shares it with its node")
			case key == "add" && strings.HasSuffix(path, "capabilities.add"):
				for _, item := range list {
					if name, _ := item.(string); !slices.Contains(harmless, name) && !slices.Contains(needed, name) {
						add(r, path, name+" is added")
					}
				}
			}
		})
	})
	return found
}

// walk calls f with every value below an object, with its path and its key.
func walk(value any, path string, f func(path, key string, value any)) {
	switch value := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			below := path + "." + key
			if strings.ContainsAny(key, ".[]\"") {
				below = fmt.Sprintf("%s[%q]", path, key)
			}
			f(below, key, value[key])
			walk(value[key], below, f)
		}
	case []any:
		for i, item := range value {
			walk(item, fmt.Sprintf("%s[%d]", path, i), f)
		}
	}
}

var (
	exactChart = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
	digest     = regexp.MustCompile(`@sha256:[0-9a-f]{64}$`)
	// floating are tags whose image can change at any time.
	floating = []string{"latest", "stable", "main", "master", "edge", "nightly", "dev"}
)

// unpinned returns what is wrong with a reference to an image; "" for nothing.
func unpinned(image string) string {
	if image == plan.Unknown || digest.MatchString(image) {
		return ""
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	switch {
	case !tagged || tag == "":
		return fmt.Sprintf("%s has no version: it is whatever is newest when a node pulls it", image)
	case isFloating(tag):
		return fmt.Sprintf("the tag of %s means something else tomorrow", image)
	case !strings.ContainsAny(tag, "0123456789"):
		return fmt.Sprintf("the tag of %s is no version", image)
	}
	return ""
}

func isFloating(tag string) bool { return slices.Contains(floating, strings.ToLower(tag)) }

const pinFix = "name an exact version, or a digest"

func unpinnedVersions(in *input) []Violation {
	var found []Violation
	in.pods(func(r plan.Resource, pod string) {
		containers(r, pod, func(path string) {
			if what := unpinned(r.Text(path + ".image")); what != "" {
				found = append(found, broken(r, path+".image", what, pinFix))
			}
		})
	})
	in.each(release, func(r plan.Resource) {
		version := r.Text("version")
		switch chart := r.Text("chart"); {
		case strings.HasSuffix(chart, ".tgz") || strings.HasPrefix(chart, "./") || strings.HasPrefix(chart, "/"):
			// A local file is one version.
		case version == "":
			found = append(found, broken(r, "version", "none: the newest chart is installed", pinFix))
		case version != plan.Unknown && !exactChart.MatchString(version):
			found = append(found, broken(r, "version", version+" is a range: another chart tomorrow", pinFix))
		}
		walk(r.Inputs["values"], "values", func(path, key string, value any) {
			text, isText := value.(string)
			switch {
			case !isText:
			case key == "tag" && isFloating(text):
				found = append(found, broken(r, path, fmt.Sprintf("the tag %s means something else tomorrow", text), pinFix))
			case key == "image" && strings.Contains(text, "/") && unpinned(text) != "":
				found = append(found, broken(r, path, unpinned(text), pinFix))
			}
		})
	})
	return found
}

// missingLimits does not require a CPU limit: it throttles a container although its node is idle.
func missingLimits(in *input) []Violation {
	var found []Violation
	in.pods(func(r plan.Resource, pod string) {
		containers(r, pod, func(path string) {
			for _, needed := range []struct{ property, why string }{
				{"resources.requests.cpu", "the scheduler has no number to go by"},
				{"resources.requests.memory", "the scheduler has no number to go by"},
				{"resources.limits.memory", "it can use all memory of its node"},
			} {
				if !r.Has(path + "." + needed.property) {
					found = append(found, broken(r, path+"."+needed.property, "not set: "+needed.why, "set it"))
				}
			}
		})
	})
	return found
}

func deletableClusters(in *input) []Violation {
	if !in.settings.Production {
		return nil
	}
	const fix = "set cluster.deletionProtection to true"
	var found []Violation
	in.each(gkeCluster, func(r plan.Resource) {
		if !r.Bool("deletionProtection") {
			found = append(found, broken(r, "deletionProtection", "not true, and the stack is marked production", fix))
		}
	})
	in.each(eksCluster, func(r plan.Resource) {
		if !r.Protected {
			found = append(found, broken(r, "protect", "not protected, and the stack is marked production", fix))
		}
	})
	in.each(aksCluster, func(r plan.Resource) {
		locked := false
		in.each(aksLock, func(lock plan.Resource) {
			locked = locked || lock.Text("level") == "CanNotDelete" || lock.Text("level") == "ReadOnly"
		})
		switch {
		case !r.Protected:
			found = append(found, broken(r, "protect", "not protected, and the stack is marked production", fix))
		case !locked:
			found = append(found, broken(r, "", "no lock against deletion, and the stack is marked production", fix))
		}
	})
	return found
}

func overspending(in *input) []Violation {
	ceiling := in.settings.SpendCeiling
	if ceiling <= 0 {
		return nil
	}
	var found []Violation
	var dearest string
	var pools []string
	most := -1.0
	for _, item := range in.cost.Items {
		if !item.GPU {
			continue
		}
		if item.Unknown {
			found = append(found, Violation{
				Resource: item.Resource, Type: "node pool", Property: item.Kind, Found: "no price is known, so the ceiling cannot be checked",
				Fix: fmt.Sprintf("state it as policy.prices.%s", item.Kind),
			})
			continue
		}
		total := item.Each * float64(item.Limit)
		if total > most {
			most, dearest = total, item.Resource
		}
		pools = append(pools, fmt.Sprintf("%s %.2f", item.Resource, total))
	}
	if in.cost.GPULimit > ceiling+0.005 {
		v := Violation{
			Resource: dearest, Type: "node pool", Property: "maximum of nodes",
			Found: fmt.Sprintf("all GPU nodes at their maximum cost %.2f USD/h, above the ceiling of %.2f", in.cost.GPULimit, ceiling),
			Fix:   "lower nodePools.gpu.maxNodes (and autoscaling.maxReplicas), or raise policy.spendCeiling",
		}
		if len(pools) > 1 {
			v.Found += " (" + strings.Join(pools, ", ") + ")"
			v.Fix = "lower maxNodes of one of these pools (and autoscaling.maxReplicas of its servers), or raise policy.spendCeiling"
		}
		found = append(found, v)
	}
	return found
}
