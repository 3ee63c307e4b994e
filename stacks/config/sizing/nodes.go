package sizing

import (
	"math"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

// Room is what a node has for pods.
type Room struct {
	CPUs, MemoryGiB float64
}

// Holds returns how many pods of a size fit.
func (r Room) Holds(cpus, memoryGiB float64) int {
	return int(math.Max(0, math.Min(r.CPUs/cpus, r.MemoryGiB/memoryGiB)))
}

const (
	// evictionGiB is what the kubelet keeps free on every cloud: 100 MiB.
	evictionGiB = 100.0 / 1024
	// nodePodsCPUs and nodePodsGiB are what the pods take that stand on every GPU node: the cloud's own
	// (network, storage, logs) and the exporters. An estimate.
	nodePodsCPUs, nodePodsGiB = 0.5, 0.75
)

// MostRoom returns the upper bound of what a node of a machine type has for pods: its size, less what the
// cloud documents as reserved. What requests more never runs.
func MostRoom(node providers.NodeRoom, machine accelerators.Machine) Room {
	return room(node, machine.CPUs, machine.MemoryGiB)
}

// LikelyRoom returns what is left of it, by estimate, after the hypervisor and the pods of every node.
func LikelyRoom(node providers.NodeRoom, machine accelerators.Machine) Room {
	left := room(node, machine.CPUs, machine.MemoryGiB*(1-node.HiddenShare))
	return Room{CPUs: left.CPUs - nodePodsCPUs, MemoryGiB: left.MemoryGiB - nodePodsGiB}
}

func room(node providers.NodeRoom, cpus int, memoryGiB float64) Room {
	reservedCPUs, reservedGiB := node.Reserved(cpus, memoryGiB)
	return Room{CPUs: float64(cpus) - reservedCPUs, MemoryGiB: memoryGiB - reservedGiB - evictionGiB}
}
