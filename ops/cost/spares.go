package cost

import (
	"time"

	"vllm-autoscaling/stacks/config"
)

// HoursPerMonth is the number of hours that the clouds' own price lists count a month with.
const HoursPerMonth = 730

// Spare is what the spare nodes of a server cost, and the time that they save a new replica.
type Spare struct {
	// Server is the server's name, Pool the key of its pool.
	Server string `json:"server"`
	Pool   string `json:"pool"`
	// Nodes is the number of spare nodes, MachineType that of each.
	Nodes       int    `json:"nodes"`
	MachineType string `json:"machineType"`
	// GPUHours are those of an hour.
	GPUHours float64 `json:"gpuHours"`
	// USDPerHour is the cost of all spare nodes; not valid if Unknown.
	USDPerHour float64 `json:"usdPerHour"`
	// Spot reports whether it is of the price on demand, which a spot machine never exceeds.
	Spot bool `json:"spot,omitempty"`
	// Unknown reports whether the machine type has no price.
	Unknown bool `json:"unknown,omitempty"`
	// Start is how long a new replica takes on a spare node, Without how long on one that has to be added: estimates.
	Start   time.Duration `json:"start"`
	Without time.Duration `json:"without"`
}

// Spares returns the spare nodes of each server of a stack, in the order of their names. Those on nodes that the stack does not create are
// left out.
func Spares(c *config.Config, overrides Overrides) []Spare {
	var all []Spare
	for _, s := range c.ServerConfigs() {
		if s.Autoscaling.SpareNodes == 0 || s.ReplicasPerNode() == 0 {
			continue
		}
		pool, nodes := s.NodePools.GPU, s.Autoscaling.SpareNodes
		price, priced := overrides.Machine(s.Cloud, pool.MachineType)
		_, overridden := overrides[pool.MachineType]
		all = append(all, Spare{
			Server: s.Server, Pool: s.GPUPoolKey(), Nodes: nodes, MachineType: pool.MachineType,
			GPUHours: float64(nodes * pool.GPUsPerNode), USDPerHour: float64(nodes) * price.USDPerHour,
			Spot: pool.Spot && !overridden, Unknown: !priced,
			Start: s.SpareStart().Total(), Without: s.ColdStart().Total(),
		})
	}
	return all
}
