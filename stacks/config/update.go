package config

import (
	"fmt"
	"math"
)

// Values of vllm.updateStrategy.
const (
	UpdateAuto    = "auto"
	UpdateSurge   = "surge"
	UpdateInPlace = "inPlace"
)

// Update is how an update replaces the replicas.
type Update struct {
	// Surge is true where each new replica starts before an earlier one stops, and false where one stops first.
	Surge bool
	// Text is the choice with its reason, in one line.
	Text string
}

// poolRoom returns how many replicas the stack's GPU pool can hold, beside the most of the other servers; known is false where the
// stack creates none.
func (c *Config) poolRoom() (replicas int, known bool) {
	if !c.createsGPUPool() || c.GPU.PerReplica < 1 {
		return 0, false
	}
	perNode, _ := c.replicasPerNode()
	free := float64(c.NodePools.GPU.MaxNodes) - c.nodesFor(c.neighbours)
	return max(0, int(math.Floor(free*float64(perNode)+rounding))), true
}

// Update returns how an update replaces the replicas.
//
// How many there are is the autoscaler's, so that auto compares with the most that it may ask for. Without room for one more, a
// surge could wait for good: with none unavailable, Kubernetes does not even replace replicas that are broken.
func (c *Config) Update() Update {
	const (
		surge   = "surge: each new replica starts before an earlier one stops"
		inPlace = "in place: one replica stops before the next one starts, so that with one replica nothing serves meanwhile"
	)
	room, known := c.poolRoom()
	most := c.Autoscaling.MaxReplicas
	switch {
	case c.VLLM.UpdateStrategy == UpdateSurge:
		return Update{Surge: true, Text: surge + ", as vllm.updateStrategy asks for"}
	case c.VLLM.UpdateStrategy == UpdateInPlace:
		return Update{Text: inPlace + ", as vllm.updateStrategy asks for"}
	case !known:
		return Update{Text: inPlace + "; whether the cluster has room for a replica more is not known here. " +
			"Where it has, vllm.updateStrategy surge keeps all replicas"}
	case room > most:
		return Update{Surge: true, Text: fmt.Sprintf("%s; nodePools.gpu has room for %d, and autoscaling.maxReplicas is %d", surge, room, most)}
	}
	return Update{Text: fmt.Sprintf("%s; nodePools.gpu.maxNodes (%d) has room for %d, which autoscaling.maxReplicas (%d) may take up. "+
		"One node more keeps all replicas", inPlace, c.NodePools.GPU.MaxNodes, room, most)}
}

// checkUpdate refuses updates that could never get their GPU, and warns of those that may have to wait for one.
func (c *Config) checkUpdate(r *report) {
	room, known := c.poolRoom()
	if c.VLLM.UpdateStrategy != UpdateSurge || !known || room == 0 || r.has("autoscaling.maxReplicas") ||
		r.anyRefused("vllm.updateStrategy", "nodePools.gpu.maxNodes", "autoscaling.minReplicas", "autoscaling.maxReplicas", "gpu.perReplica") {
		return
	}
	a := c.Autoscaling
	perNode, _ := c.replicasPerNode()
	more := a.MaxReplicas/perNode + 1
	switch {
	case room <= a.MinReplicas:
		r.badWith("vllm.updateStrategy", UpdateSurge,
			fmt.Sprintf("inPlace, or auto, with a pool that autoscaling.minReplicas (%d) fills: nodePools.gpu.maxNodes (%d) has room for %d, "+
				"and an update would wait for a GPU for good", a.MinReplicas, c.NodePools.GPU.MaxNodes, room),
			[]way{{fmt.Sprintf("nodePools.gpu.maxNodes %d", more), []change{{"nodePools.gpu.maxNodes": more}}},
				{"remove the key", []change{{"vllm.updateStrategy": nil}}}})
	case room <= a.MaxReplicas:
		r.warn("vllm.updateStrategy", UpdateSurge,
			fmt.Sprintf("nodePools.gpu.maxNodes (%d) has room for %d: while the HPA is at its maximum (%d), an update waits for a GPU, "+
				"also one that would mend broken replicas", c.NodePools.GPU.MaxNodes, room, a.MaxReplicas),
			fmt.Sprintf("set nodePools.gpu.maxNodes to %d or more", more))
	}
}
