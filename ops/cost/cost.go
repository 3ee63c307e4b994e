package cost

import (
	"slices"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config"
)

// Types and names that are the same on every cloud.
const (
	typeHPA         = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
	typeDeployment  = "kubernetes:apps/v1:Deployment"
	gpuResourceName = "nvidia.com/gpu"
)

// Overrides are prices by machine type, in US dollars for one hour; they take precedence over the table.
type Overrides map[string]float64

// Machine returns the price of a machine type of a cloud: the overriding one, or else that of the table; false if there is none.
func (o Overrides) Machine(cloud, machineType string) (prices.Price, bool) {
	if usd, ok := o[machineType]; ok {
		return prices.Price{USDPerHour: usd}, true
	}
	return prices.Machine(cloud, machineType)
}

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

	// pool is set where several resources are one pool, whose limit is that of each of them.
	pool string
	// own is the value of the label of a server's own pool; "" for the pool that all other servers share.
	own string
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
	// MinReplicas and MaxReplicas are the autoscalers' together; 0 without one.
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
	all := serversOf(resources)
	for _, s := range all {
		e.MinReplicas, e.MaxReplicas = e.MinReplicas+s.low, e.MaxReplicas+s.high
	}
	for _, r := range resources {
		for _, item := range items(r, overrides) {
			e.add(item)
		}
	}
	for i, item := range e.Items {
		if item.GPU {
			e.Items[i] = item.fit(all)
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

// add adds an item, to that of the same pool where there is one.
func (e *Estimate) add(item Item) {
	i := slices.IndexFunc(e.Items, func(other Item) bool { return item.pool != "" && other.pool == item.pool && other.Kind == item.Kind })
	if i < 0 {
		e.Items = append(e.Items, item)
		return
	}
	same := &e.Items[i]
	same.Resource += ", " + item.Resource
	same.Min += item.Min
	same.Max, same.Limit = max(same.Max, item.Max, same.Min), max(same.Limit, item.Limit, same.Min)
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

func (i Item) gpusPerNode() int {
	for _, cloud := range config.Clouds {
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
	for _, reader := range readers {
		if found := reader(r, overrides); len(found) > 0 {
			return found
		}
	}
	return nil
}

// fee returns a price for n of something that is not a machine.
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
	if _, own := overrides[machineType]; own {
		item.Spot = false
	}
	price, ok := overrides.Machine(cloud, machineType)
	item.Unknown = !ok
	item.Each, item.Region, item.Date, item.Source = price.USDPerHour, price.Region, price.Date, price.Source
	return item
}
