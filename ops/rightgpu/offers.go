package rightgpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/stacks/config"
)

// Offer is a machine type with the replicas that a node of it holds.
type Offer struct {
	MachineType string `json:"machineType"`
	Accelerator string `json:"accelerator"`
	// GPUsPerReplica is the value of gpu.perReplica, Replicas the number of replicas of a node.
	GPUsPerReplica int `json:"gpusPerReplica"`
	Replicas       int `json:"replicas"`
	// USDPerHour is the price of a node on demand.
	USDPerHour float64 `json:"usdPerHour"`
	// RequestsPerSecond is the most that all replicas of a node serve within the objective; 0 if they keep it at no rate.
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// USDPerThousand is the price of a thousand requests at that rate; 0 if there is none.
	USDPerThousand float64 `json:"usdPerThousand"`
}

// Keys that make a configuration one for another machine type. Those of derived follow from the machine type.
const (
	keyMachineType = "nodePools.gpu.machineType"
	keyMaxNodes    = "nodePools.gpu.maxNodes"
	keyPerReplica  = "gpu.perReplica"
)

// poolKey is the key of the GPU pool, and ownPoolKey that of a server's own below the server.
const poolKey, ownPoolKey = "nodePools.gpu", "nodePool"

var derived = []string{"nodePools.gpu.accelerator", "nodePools.gpu.gpusPerNode", "gpu.memoryGiB"}

// perReplica are the numbers of GPUs that a replica can have.
var perReplica = []int{1, 2, 4, 8}

// margin is how much dearer than the cheapest offer one with a cheaper node may be: less than the error of the computed speeds.
const margin = 1.1

// comparison compares machine types for a server of a stack.
type comparison struct {
	source     config.Source
	configured *config.Config
	overrides  cost.Overrides
	// request is the request that machines are compared by.
	request request
	// capacities are those of the replicas that were simulated. Machine types with the same GPU share them.
	capacities map[simulate.Server]float64
}

// newComparisons returns the comparison for each server of a stack; none if its configuration is not valid, or its cluster was there
// before.
func newComparisons(source config.Source, overrides cost.Overrides) []*comparison {
	whole, err := config.Read(source.Trial())
	if err != nil || whole.ExistingCluster() {
		return nil
	}
	var all []*comparison
	for _, c := range whole.ServerConfigs() {
		all = append(all, &comparison{source, c, overrides, requestFor(c.Model.MaxModelLen), map[simulate.Server]float64{}})
	}
	return all
}

// place returns the key of the stack's file that sets a key for the server only: other servers on its pool stay as they are.
func (c *comparison) place(key string) string {
	if rest, ok := strings.CutPrefix(key, poolKey); ok && c.configured.SharesPool() {
		return c.configured.ServerKey(ownPoolKey + rest)
	}
	return c.configured.ServerKey(key)
}

// offers returns the machine types of the stack's cloud, with every number of GPUs per replica, that the stack can run on and on which a
// thousand requests cost at most limit.
func (c *comparison) offers(limit float64) []Offer {
	cloud, _ := config.FindCloud(c.configured.Cloud)
	var all []Offer
	for _, machine := range cloud.Machines.Machines {
		if _, priced := c.overrides.Machine(cloud.Name, machine.Type); !priced {
			continue
		}
		for _, gpus := range perReplica {
			if gpus > machine.GPUs {
				break
			}
			o, ok := c.offer(c.assignments(machine.Type, gpus), limit)
			if ok && o.RequestsPerSecond > 0 && o.USDPerThousand <= limit {
				all = append(all, o)
			}
		}
	}
	return all
}

// choose returns the offer with the cheapest node among those that are little dearer for a thousand requests than the cheapest one: with
// smaller nodes the pool follows the load in smaller steps. There must be an offer.
func choose(offers []Offer) Offer {
	lowest := slices.MinFunc(offers, func(a, b Offer) int { return cmp.Compare(a.USDPerThousand, b.USDPerThousand) }).USDPerThousand
	few := slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return o.USDPerThousand > margin*lowest })
	return slices.MinFunc(few, func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.USDPerHour, b.USDPerHour), cmp.Compare(a.USDPerThousand, b.USDPerThousand))
	})
}

// assignments returns what turns the stack's configuration into one for a machine type. The pool may have as many nodes as the replicas
// and an update need, however few of them a node holds.
func (c *comparison) assignments(machineType string, gpus int) []string {
	all := []string{
		keyMachineType + "=" + machineType,
		fmt.Sprintf("%s=%d", keyPerReplica, gpus),
		fmt.Sprintf("%s=%d", keyMaxNodes, max(c.configured.NodePools.GPU.MaxNodes, c.configured.Autoscaling.MaxReplicas+1)),
	}
	for _, key := range derived {
		all = append(all, key+"=") // Without a value it has the default.
	}
	return all
}

// read returns the configuration with assignments.
func (c *comparison) read(assignments []string) (*config.Config, error) {
	source := c.source.Trial()
	source.Values = maps.Clone(source.Values)
	for _, assignment := range assignments {
		key, value, _ := strings.Cut(assignment, "=")
		if err := project.Set(&source, c.place(key)+"="+value); err != nil {
			return nil, err
		}
	}
	whole, err := config.Read(source)
	if err != nil {
		return nil, err
	}
	return project.Server(whole, c.configured.Server)
}

// offer returns the offer of the configuration with assignments; false if the configuration is refused, its speed or price is not known,
// or a thousand requests surely cost more than limit.
func (c *comparison) offer(assignments []string, limit float64) (Offer, bool) {
	changed, err := c.read(assignments)
	if err != nil {
		return Offer{}, false
	}
	settings, err := deployment.Of(changed, deployment.Defaults())
	if err != nil {
		return Offer{}, false
	}
	pool := changed.NodePools.GPU
	price, priced := c.overrides.Machine(changed.Cloud, pool.MachineType)
	o := Offer{
		MachineType: pool.MachineType, Accelerator: pool.Accelerator, GPUsPerReplica: changed.GPU.PerReplica, Replicas: changed.ReplicasPerNode(),
		USDPerHour: price.USDPerHour,
	}
	if !priced || o.perThousand(fastest(settings.Server, c.request)) > limit {
		return Offer{}, false
	}
	rate, err := c.capacity(settings.Server)
	if err != nil {
		return Offer{}, false
	}
	o.RequestsPerSecond = rate * float64(o.Replicas)
	if rate > 0 {
		o.USDPerThousand = o.perThousand(rate)
	}
	return o, true
}

// perThousand returns the price of a thousand requests where each replica serves a rate, in requests per second.
func (o Offer) perThousand(rate float64) float64 {
	return o.USDPerHour / (3.6 * rate * float64(o.Replicas))
}

// capacity returns the capacity of a replica within the stack's objective.
func (c *comparison) capacity(server simulate.Server) (float64, error) {
	if known, ok := c.capacities[server]; ok {
		return known, nil
	}
	rate, err := capacity(server, c.request, objectiveOf(c.configured.SLO))
	if err == nil {
		c.capacities[server] = rate
	}
	return rate, err
}
