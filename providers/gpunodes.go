package providers

import (
	"maps"
	"slices"
)

// presentLabel is the label that all nodes with GPUs have, on every cloud that creates nodes.
const presentLabel = "nvidia.com/gpu.present"

// GPUNodes describes nodes with GPUs, for what runs on each of them.
type GPUNodes struct {
	// NodeSelector has labels that all of them have.
	NodeSelector map[string]string
	// AnyOf has alternatives of which each node meets at least one; empty means that NodeSelector suffices. An alternative has
	// labels with their values; "" as value stands for any.
	AnyOf []map[string]string
	// Tolerations let a pod onto all of them.
	Tolerations []Toleration
}

// Validate reports a toleration that the API server would refuse.
func (n GPUNodes) Validate() error { return GPUScheduling{Tolerations: n.Tolerations}.Validate() }

// GPUNodes returns the nodes of the main pool and of the servers' own pools. It does not depend on which own pools there are,
// but for tolerations that only some of them need: a further pool restarts nothing on the nodes of the others.
func (c *Cluster) GPUNodes() GPUNodes {
	nodes := GPUNodes{NodeSelector: c.GPU.NodeSelector, Tolerations: slices.Clone(c.GPU.Tolerations)}
	if len(c.OwnGPU) == 0 {
		return nodes
	}
	rest := maps.Clone(c.GPU.NodeSelector)
	nodes.NodeSelector = map[string]string{}
	if present := rest[presentLabel]; present != "" {
		nodes.NodeSelector[presentLabel] = present
		delete(rest, presentLabel)
	}
	if len(rest) > 0 {
		nodes.AnyOf = []map[string]string{rest, {PoolLabel: ""}}
	}
	nodes.tolerate(c.OwnGPU)
	return nodes
}

// DevicePluginNodes returns the nodes that need the stack's device plugin.
func (c *Cluster) DevicePluginNodes() GPUNodes {
	if !c.MainDevicePlugin || len(c.OwnGPU) == 0 {
		return c.GPUNodes()
	}
	nodes := GPUNodes{NodeSelector: map[string]string{presentLabel: "true"}, AnyOf: []map[string]string{{PoolLabel: ""}}}
	nodes.tolerate(c.OwnGPU)
	return nodes
}

// tolerate adds what lets a pod onto the nodes of all of the servers' own pools, once each.
func (n *GPUNodes) tolerate(own map[string]GPUScheduling) {
	for _, name := range slices.Sorted(maps.Keys(own)) {
		for _, t := range own[name].Tolerations {
			if t.Key == PoolLabel {
				t.Operator, t.Value = "Exists", ""
			}
			if !slices.Contains(n.Tolerations, t) {
				n.Tolerations = append(n.Tolerations, t)
			}
		}
	}
}
