package sizing

import (
	"math"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

// Room is the CPU and memory that a node has for pods.
type Room struct {
	CPUs, MemoryGiB float64
}

// Holds returns the number of pods with the given requests that fit.
func (r Room) Holds(cpus, memoryGiB float64) int {
	return int(math.Max(0, math.Min(r.CPUs/cpus, r.MemoryGiB/memoryGiB)))
}

const (
	// evictionGiB is the memory that the kubelet keeps free on every cloud: 100 MiB.
	evictionGiB = 100.0 / 1024
	// nodePodsCPUs and nodePodsGiB estimate the requests of the pods that run on every GPU node: the cloud's own (network,
	// storage, logs) and the exporters.
	nodePodsCPUs, nodePodsGiB = 0.5, 0.75
)

// MostRoom returns the upper bound of the room of a node of a machine type: its size, less what the cloud documents as
// reserved. A pod that requests more is never scheduled.
func MostRoom(node providers.NodeRoom, machine accelerators.Machine) Room {
	return room(node, machine.CPUs, machine.MemoryGiB)
}

// LikelyRoom returns an estimate of the room that is left after the hypervisor and the pods of every node.
func LikelyRoom(node providers.NodeRoom, machine accelerators.Machine) Room {
	left := room(node, machine.CPUs, machine.MemoryGiB*(1-node.HiddenShare))
	return Room{CPUs: left.CPUs - nodePodsCPUs, MemoryGiB: left.MemoryGiB - nodePodsGiB}
}

func room(node providers.NodeRoom, cpus int, memoryGiB float64) Room {
	reservedCPUs, reservedGiB := node.Reserved(cpus, memoryGiB)
	return Room{CPUs: float64(cpus) - reservedCPUs, MemoryGiB: memoryGiB - reservedGiB - evictionGiB}
}
