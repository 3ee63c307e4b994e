package cost

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config"
)

// Types of the resources with an hourly price.
const (
	typeGKECluster  = "gcp:container/cluster:Cluster"
	typeGKEPool     = "gcp:container/nodePool:NodePool"
	typeGKENAT      = "gcp:compute/routerNat:RouterNat"
	typeEKSCluster  = "aws:eks/cluster:Cluster"
	typeEKSPool     = "aws:eks/nodeGroup:NodeGroup"
	typeEKSNAT      = "aws:ec2/natGateway:NatGateway"
	typeEKSAddress  = "aws:ec2/eip:Eip"
	typeHPA         = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
	typeDeployment  = "kubernetes:apps/v1:Deployment"
	aksClusterKind  = ":ManagedCluster"
	aksPoolKind     = ":AgentPool"
	aksModule       = "azure-native:containerservice"
	gpuResourceName = "nvidia.com/gpu"
)

// Overrides are prices by machine type, in US dollars for one hour; they take precedence over the table.
type Overrides map[string]float64

// Item is one kind of cost.
type Item struct {
	// What is the item, such as "GPU nodes".
	What string `json:"what"`
	// Resource is the resource's name in the program.
	Resource string `json:"resource"`
	// Kind is the machine type, or "" for fees.
	Kind string `json:"kind,omitempty"`
	// GPU reports whether its machines have GPUs.
	GPU bool `json:"gpu,omitempty"`
	// Each is the price of one, in US dollars for one hour; not valid if Unknown.
	Each float64 `json:"each"`
	// Min and Max are the numbers with the fewest and the most replicas.
	Min int `json:"min"`
	Max int `json:"max"`
	// Limit is the largest possible number, independent of the replicas: the maximum of a node pool.
	Limit int `json:"limit"`
	// Spot reports whether Each is the on-demand price, which a spot machine never exceeds.
	Spot bool `json:"spot,omitempty"`
	// Unknown reports whether there is no price.
	Unknown bool `json:"unknown,omitempty"`
	// Region and Date are where and when the price was read; "" for an override.
	Region string `json:"region,omitempty"`
	Date   string `json:"date,omitempty"`
	Source string `json:"source,omitempty"`
}

// Estimate is the cost of a stack.
type Estimate struct {
	Items []Item `json:"items"`
	// Min and Max are US dollars for one hour, of the known prices.
	Min float64 `json:"min"`
	Max float64 `json:"max"`
	// GPULimit is the cost of all GPU nodes if every pool is at its maximum.
	GPULimit float64 `json:"gpuLimit"`
	// Unknown are the machine types without a price; Min, Max and GPULimit are then too low.
	Unknown []string `json:"unknown,omitempty"`
	// MinReplicas and MaxReplicas are the autoscaler's; 0 without one.
	MinReplicas int `json:"minReplicas"`
	MaxReplicas int `json:"maxReplicas"`
}

// NotIncluded lists what an estimate leaves out.
const NotIncluded = "disks and volumes, load balancers, traffic and its processing by a NAT, logs, metrics and audit trails, " +
	"keys, image registries, taxes, discounts, and nodes that an upgrade adds for a while"

// Of estimates the cost of resources. An existing cluster has no resources of a cloud and costs nothing: it is billed
// elsewhere.
func Of(resources []plan.Resource, overrides Overrides) Estimate {
	e := Estimate{Items: []Item{}}
	gpusPerReplica := 0
	for _, r := range resources {
		switch r.Type {
		case typeHPA:
			low, _ := r.Number("spec.minReplicas")
			high, _ := r.Number("spec.maxReplicas")
			e.MinReplicas, e.MaxReplicas = max(1, int(low)), int(high)
		case typeDeployment:
			gpusPerReplica = max(gpusPerReplica, gpus(r))
		}
	}
	for _, r := range resources {
		for _, item := range items(r, overrides) {
			if item.GPU {
				item = e.fit(item, gpusPerReplica)
			}
			e.Items = append(e.Items, item)
		}
	}
	e.addNAT(resources)
	slices.SortStableFunc(e.Items, func(a, b Item) int { return rank(a) - rank(b) })
	for _, item := range e.Items {
		if item.Unknown {
			if !slices.Contains(e.Unknown, item.Kind) {
				e.Unknown = append(e.Unknown, item.Kind)
			}
			continue
		}
		e.Min += item.Each * float64(item.Min)
		e.Max += item.Each * float64(item.Max)
		if item.GPU {
			e.GPULimit += item.Each * float64(item.Limit)
		}
	}
	return e
}

// rank sorts GPU nodes first, then other nodes, then fees.
func rank(item Item) int {
	switch {
	case item.GPU:
		return 0
	case item.Kind != "":
		return 1
	}
	return 2
}

// gpus returns how many GPUs a pod of a Deployment requests.
func gpus(r plan.Resource) int {
	total := 0
	for i := range r.List("spec.template.spec.containers") {
		n, _ := r.Number(fmt.Sprintf(`spec.template.spec.containers[%d].resources.limits["%s"]`, i, gpuResourceName))
		total += int(n)
	}
	return total
}

// fit limits the nodes of a GPU pool to what the replicas need. Without an autoscaler or a Deployment in the preview
// the pool's own limits apply.
func (e *Estimate) fit(item Item, gpusPerReplica int) Item {
	perNode := item.gpusPerNode()
	if e.MaxReplicas == 0 || gpusPerReplica == 0 || perNode < gpusPerReplica {
		return item
	}
	replicasPerNode := perNode / gpusPerReplica
	nodes := func(replicas int) int {
		return min(item.Limit, max(item.Min, int(math.Ceil(float64(replicas)/float64(replicasPerNode)))))
	}
	low, high := nodes(e.MinReplicas), nodes(e.MaxReplicas)
	item.Min, item.Max = low, high
	return item
}

func (i Item) gpusPerNode() int {
	for _, cloud := range []string{config.CloudGKE, config.CloudEKS, config.CloudAKS} {
		if machine, ok := findMachine(cloud, i.Kind); ok {
			return machine.GPUs
		}
	}
	return 0
}

// findMachine returns a machine type of a cloud that carries GPUs.
func findMachine(cloud, machineType string) (accelerators.Machine, bool) {
	found, _ := config.FindCloud(cloud)
	return found.Machines.Find(machineType)
}

// items returns the costs of one resource.
func items(r plan.Resource, overrides Overrides) []Item {
	switch {
	case r.Type == typeGKECluster:
		return []Item{fee(config.CloudGKE, prices.ControlPlane, r, 1)}
	case r.Type == typeGKEPool:
		return []Item{gkePool(r, overrides)}
	case r.Type == typeEKSCluster:
		return []Item{fee(config.CloudEKS, prices.ControlPlane, r, 1)}
	case r.Type == typeEKSPool:
		return []Item{eksPool(r, overrides)}
	case r.Type == typeEKSNAT:
		return []Item{fee(config.CloudEKS, prices.NATGateway, r, 1)}
	case r.Type == typeEKSAddress:
		return []Item{fee(config.CloudEKS, prices.PublicIPv4, r, 1)}
	case isAKS(r, aksClusterKind):
		all := []Item{}
		switch r.Text("sku.tier") {
		case "Standard":
			all = append(all, fee(config.CloudAKS, prices.ControlPlane, r, 1))
		case "Premium":
			all = append(all, fee(config.CloudAKS, prices.ControlPlanePremium, r, 1))
		}
		for i := range r.List("agentPoolProfiles") {
			all = append(all, aksPool(r, fmt.Sprintf("agentPoolProfiles[%d].", i), overrides))
		}
		return all
	case isAKS(r, aksPoolKind):
		return []Item{aksPool(r, "", overrides)}
	}
	return nil
}

func isAKS(r plan.Resource, kind string) bool {
	return strings.HasPrefix(r.Type, aksModule) && strings.HasSuffix(r.Type, kind)
}

func fee(cloud string, f prices.Fee, r plan.Resource, n int) Item {
	price, ok := prices.FeeOf(cloud, f)
	return Item{
		What: string(f), Resource: r.Name, Each: price.USDPerHour, Min: n, Max: n, Limit: n, Unknown: !ok,
		Region: price.Region, Date: price.Date, Source: price.Source,
	}
}

// nodes is a pool of machines.
func nodes(cloud, machineType string, r plan.Resource, low, high int, spot, gpu bool, overrides Overrides) Item {
	if _, ok := findMachine(cloud, machineType); ok {
		gpu = true
	}
	item := Item{
		What: "nodes", Resource: r.Name, Kind: machineType, GPU: gpu, Min: low, Max: high, Limit: high, Spot: spot,
	}
	if gpu {
		item.What = "GPU nodes"
	}
	if usd, ok := overrides[machineType]; ok {
		item.Each, item.Spot = usd, false
		return item
	}
	price, ok := prices.Machine(cloud, machineType)
	item.Unknown = !ok
	item.Each, item.Region, item.Date, item.Source = price.USDPerHour, price.Region, price.Date, price.Source
	return item
}

func gkePool(r plan.Resource, overrides Overrides) Item {
	low, _ := r.Number("autoscaling.totalMinNodeCount")
	high, _ := r.Number("autoscaling.totalMaxNodeCount")
	machineType := r.Text("nodeConfig.machineType")
	attached := len(r.List("nodeConfig.guestAccelerators")) > 0
	item := nodes(config.CloudGKE, machineType, r, int(low), int(high), r.Bool("nodeConfig.spot"), attached, overrides)
	if _, carries := findMachine(config.CloudGKE, machineType); attached && !carries {
		// GPUs attached to an N1 machine have a price of their own.
		_, overridden := overrides[machineType]
		item.Unknown = !overridden
	}
	return item
}

func eksPool(r plan.Resource, overrides Overrides) Item {
	low, _ := r.Number("scalingConfig.minSize")
	high, _ := r.Number("scalingConfig.maxSize")
	gpu := strings.Contains(r.Text("amiType"), "NVIDIA")
	var dearest Item
	for i, value := range r.List("instanceTypes") {
		machineType, _ := value.(string)
		item := nodes(config.CloudEKS, machineType, r, int(low), int(high), r.Text("capacityType") == "SPOT", gpu, overrides)
		// Any of the types may be used, so the most expensive counts; one without a price makes the item unknown.
		if i == 0 || !dearest.Unknown && (item.Unknown || item.Each > dearest.Each) {
			dearest = item
		}
	}
	return dearest
}

func aksPool(r plan.Resource, at string, overrides Overrides) Item {
	low, hasLow := r.Number(at + "minCount")
	high, hasHigh := r.Number(at + "maxCount")
	if !hasLow || !hasHigh {
		low, _ = r.Number(at + "count")
		high = low
	}
	return nodes(config.CloudAKS, r.Text(at+"vmSize"), r, int(low), int(high), r.Text(at+"scaleSetPriority") == "Spot", false, overrides)
}

// addNAT adds Google's NAT, which is charged for each node behind it.
func (e *Estimate) addNAT(resources []plan.Resource) {
	for _, r := range resources {
		if r.Type != typeGKENAT {
			continue
		}
		each, ok := prices.FeeOf(config.CloudGKE, prices.NATPerNode)
		most, _ := prices.FeeOf(config.CloudGKE, prices.NATMost)
		paidFor := int(math.Ceil(most.USDPerHour / each.USDPerHour))
		item := Item{
			What: string(prices.NATPerNode), Resource: r.Name, Each: each.USDPerHour, Unknown: !ok,
			Region: each.Region, Date: each.Date, Source: each.Source,
		}
		for _, other := range e.Items {
			if other.Kind != "" {
				item.Min, item.Max, item.Limit = item.Min+other.Min, item.Max+other.Max, item.Limit+other.Limit
			}
		}
		item.Min, item.Max, item.Limit = min(item.Min, paidFor), min(item.Max, paidFor), min(item.Limit, paidFor)
		e.Items = append(e.Items, item)
	}
}

// Known reports whether everything that was found has a price.
func (e Estimate) Known() bool { return len(e.Unknown) == 0 }

// Empty reports whether nothing with an hourly price was found.
func (e Estimate) Empty() bool { return len(e.Items) == 0 }
