package cloud

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func aksAgentPoolKind() *kind {
	return &kind{
		token: AKSAgentPool, name: "agentPoolName", slow: true, replace: []string{"resourceGroupName", "resourceName", "agentPoolName"},
		fixed: []string{"vmSize", "osDiskSizeGB", "osDiskType", "availabilityZones", "vnetSubnetID", "scaleSetPriority", "scaleSetEvictionPolicy",
			"spotMaxPrice", "capacityReservationGroupID", "enableEncryptionAtHost", "osType", "podSubnetID"},
		computed: []string{"name", "provisioningState", "powerState", "currentOrchestratorVersion", "nodeImageVersion", "eTag"},
		references: []reference{
			azureGroupReference,
			{path: "resourceName", token: AKSCluster, by: []string{"name"}, then: follows},
		},
		create: createAgentPool,
		settle: func(ctx context.Context, c *Cloud, r *Resource) error { return c.waitForPool(ctx, r.ID) },
		observe: func(c *Cloud, r *Resource) {
			if p := c.pools[r.ID]; p != nil {
				r.Outputs["count"] = float64(p.desired)
			}
		},
		update: func(c *Cloud, r *Resource, _ object) error {
			p, err := aksPool(c, r.ID[:strings.LastIndex(r.ID, "/")+1], c.aksClusterOf(r), aksPoolInputs(r))
			if err != nil {
				return err
			}
			return c.changePool(p)
		},
		refuseDelete: func(c *Cloud, r *Resource) error { return c.azureLocked(r.ID) },
		vanish:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.removePool(ctx, r.ID) },
	}
}

func createAgentPool(c *Cloud, r *Resource, _ Settings) error {
	in := object(r.Inputs)
	cluster := c.aksClusterOf(r)
	if cluster == nil {
		return azureError("ResourceNotFound", fmt.Sprintf("The managed cluster %s was not found in group %s", in.text("resourceName"), in.text("resourceGroupName")))
	}
	r.ID, r.Region = cluster.ID+"/agentPools/"+in.text("agentPoolName"), cluster.Region
	if c.find(AKSAgentPool, "", r.ID) != nil || c.pools[r.ID] != nil {
		return fmt.Errorf("cannot create already existing resource '%s'", r.ID)
	}
	p, err := aksPool(c, cluster.ID+"/agentPools/", cluster, aksPoolInputs(r))
	if err != nil {
		return err
	}
	c.pools[r.ID] = p
	r.Outputs["name"], r.Outputs["provisioningState"] = in.text("agentPoolName"), "Succeeded"
	return nil
}

// aksPoolInputs returns the inputs of a separate agent pool with the names that they have inside a cluster's.
func aksPoolInputs(r *Resource) object {
	in := object{}
	for key, value := range r.Inputs {
		in[key] = value
	}
	in["name"] = in["agentPoolName"]
	return in
}

var (
	aksPoolName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	aksTaint     = regexp.MustCompile(`^([^=:]+)=([^=:]*):(NoSchedule|PreferNoSchedule|NoExecute)$`)
	aksSpotKey   = "kubernetes.azure.com/scalesetpriority"
	azureGPUSize = regexp.MustCompile(`^Standard_N[CDV]`)
)

// gpusByVMSize are the numbers of GPUs of VM sizes (Azure's list of accelerated VM sizes). Other sizes of the N family
// have one.
var gpusByVMSize = map[string]int{
	"standard_nc48ads_a100_v4": 2, "standard_nc96ads_a100_v4": 4, "standard_nd96amsr_a100_v4": 8, "standard_nd96asr_v4": 8,
	"standard_nc64as_t4_v3": 4, "standard_nv72ads_a10_v5": 2, "standard_nc80adis_h100_v5": 2, "standard_nd96isr_h100_v5": 8,
}

// aksPool returns the pool of an agent pool, whose id begins with the prefix.
func aksPool(c *Cloud, prefix string, cluster *Resource, in object) (*pool, error) {
	name := in.text("name")
	if !aksPoolName.MatchString(name) {
		return nil, azureError("InvalidParameter", fmt.Sprintf("The value of parameter agentPoolProfile.name is invalid: "+
			"%q must be 1 to 12 lower-case letters and digits, a letter first", name))
	}
	if err := checkAKSCapacity(cluster, in); err != nil {
		return nil, err
	}
	p := &pool{
		id: prefix + name, cluster: cluster.ID, double: c.doubleOf(cluster.Token), name: name, machineType: in.text("vmSize"),
		namePrefix: fmt.Sprintf("aks-%s-%s-vmss", name, digits(randomHex(60))[:8]), autoscaled: in.flag("enableAutoScaling"),
		min: in.number("minCount"), max: in.number("maxCount"), labels: in.labels("nodeLabels"), acceleratorLabel: "kubernetes.azure.com/accelerator",
	}
	// Azure does not ask whether the node autoscaler has made it another number since.
	p.desired, p.sized = in.number("count"), in.has("count")
	if p.autoscaled && (p.max < 1 || p.min > p.max || in.number("count") < p.min || in.number("count") > p.max) {
		return nil, azureError("InvalidParameter", fmt.Sprintf("count %d must be between minCount %d and maxCount %d", in.number("count"), p.min, p.max))
	}
	for _, zone := range in.texts("availabilityZones") {
		p.zones = append(p.zones, cluster.Region+"-"+zone)
	}
	if len(p.zones) == 0 {
		p.zones = []string{"0"} // AKS' name of no zone
	}
	spot := in.text("scaleSetPriority") == "Spot"
	for key := range p.labels {
		if (strings.Contains(key, "kubernetes.azure.com/") || strings.Contains(key, "kubernetes.io/")) && (key != aksSpotKey || !spot) {
			return nil, azureError("InvalidParameter", fmt.Sprintf("Label %s uses a reserved prefix", key))
		}
	}
	for _, text := range in.texts("nodeTaints") {
		parts := aksTaint.FindStringSubmatch(text)
		if parts == nil {
			return nil, azureError("InvalidParameter", fmt.Sprintf("Taint %q is not of the form key=value:Effect", text))
		}
		if err := p.taint(parts[1], parts[2], parts[3]); err != nil {
			return nil, azureError("InvalidParameter", err.Error())
		}
	}
	if spot {
		if in.text("mode") == "System" {
			return nil, azureError("InvalidParameter", "System pools cannot be of priority Spot")
		}
		p.labels[aksSpotKey] = "spot"
		if !p.tainted(aksSpotKey) {
			if err := p.taint(aksSpotKey, "spot", "NoSchedule"); err != nil {
				return nil, err
			}
		}
	}
	p.labels["agentpool"], p.labels["kubernetes.azure.com/agentpool"] = name, name
	p.labels["kubernetes.azure.com/mode"] = strings.ToLower(orElse(in.text("mode"), "User"))
	p.labels["kubernetes.azure.com/cluster"] = object(cluster.Outputs).text("nodeResourceGroup")
	p.labels["kubernetes.azure.com/os-sku"] = orElse(in.text("osSKU"), "Ubuntu")
	if azureGPUSize.MatchString(p.machineType) {
		p.gpuCount, p.gpus = 1, gpusByPlugin
		if n, ok := gpusByVMSize[strings.ToLower(p.machineType)]; ok {
			p.gpuCount = n
		}
		p.labels[p.acceleratorLabel] = "nvidia"
		p.labels["accelerator"] = "nvidia" // deprecated, still set
	}
	return p, nil
}

var azureCPUs = regexp.MustCompile(`^Standard_[A-Z]+(\d+)`)

// azureMachineSize returns the size of a VM size: the first number counts the vCPUs, each with 4 GiB.
func azureMachineSize(size string) (cpus, memoryGiB int) {
	if m := azureCPUs.FindStringSubmatch(size); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n, 4 * n
	}
	return defaultCPUs, defaultMemoryGiB
}
