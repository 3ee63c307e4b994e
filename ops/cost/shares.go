package cost

import "vllm-autoscaling/stacks/config"

// Share is what the replicas of one of several servers take of the nodes of their GPU pool.
type Share struct {
	// Server is the server's name, Pool the key of its pool, which may be that of other servers.
	Server string `json:"server"`
	Pool   string `json:"pool"`
	// MachineType is that of the pool's nodes, of which each holds PerNode replicas.
	MachineType string `json:"machineType"`
	PerNode     int    `json:"perNode"`
	// MinReplicas and MaxReplicas are the autoscaler's.
	MinReplicas int `json:"minReplicas"`
	MaxReplicas int `json:"maxReplicas"`
	// MinGPUHours and MaxGPUHours are those of an hour, with all GPUs of the share of a node that a replica takes: also those that no
	// replica can use.
	MinGPUHours float64 `json:"minGPUHours"`
	MaxGPUHours float64 `json:"maxGPUHours"`
	// Min and Max are US dollars for one hour; not valid if Unknown.
	Min float64 `json:"min"`
	Max float64 `json:"max"`
	// Spot reports whether they are of the price on demand, which a spot machine never exceeds.
	Spot bool `json:"spot,omitempty"`
	// Unknown reports whether the machine type has no price.
	Unknown bool `json:"unknown,omitempty"`
}

// Shares returns what each server of a stack with the key servers costs, in the order of their names. Servers on nodes that the stack
// does not create are left out. Nodes are whole: those of a pool cost more than the shares where they are not full.
func Shares(c *config.Config, overrides Overrides) []Share {
	var all []Share
	for _, s := range c.ServerConfigs() {
		perNode := s.ReplicasPerNode()
		if !s.OneOfSeveral() || perNode == 0 {
			continue
		}
		pool := s.NodePools.GPU
		price, priced := overrides.Machine(s.Cloud, pool.MachineType)
		_, overridden := overrides[pool.MachineType]
		nodes := func(replicas int) float64 { return float64(replicas) / float64(perNode) }
		low, high := nodes(s.Autoscaling.MinReplicas), nodes(s.Autoscaling.MaxReplicas)
		all = append(all, Share{
			Server: s.Server, Pool: s.GPUPoolKey(), MachineType: pool.MachineType, PerNode: perNode,
			MinReplicas: s.Autoscaling.MinReplicas, MaxReplicas: s.Autoscaling.MaxReplicas,
			MinGPUHours: low * float64(pool.GPUsPerNode), MaxGPUHours: high * float64(pool.GPUsPerNode),
			Min: low * price.USDPerHour, Max: high * price.USDPerHour,
			Spot: pool.Spot && !overridden, Unknown: !priced,
		})
	}
	return all
}
