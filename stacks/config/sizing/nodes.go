package sizing

import (
	"math"

	"vllm-autoscaling/providers/accelerators"
)

// Room is what a node has for pods.
type Room struct {
	CPUs, MemoryGiB float64
}

// Holds is how many pods of a size fit.
func (r Room) Holds(cpus, memoryGiB float64) int {
	return int(math.Max(0, math.Min(r.CPUs/cpus, r.MemoryGiB/memoryGiB)))
}

const (
	// evictionGiB is what the kubelet keeps free on all three clouds: 100 MiB.
	evictionGiB = 100.0 / 1024
	// nodePodsCPUs and nodePodsGiB are what the pods take that stand on every GPU node: the cloud's own
	// (network, storage, logs) and the exporters. An estimate.
	nodePodsCPUs, nodePodsGiB = 0.5, 0.75
)

// hiddenShare is the share of a machine's memory that never reaches its operating system: what Karpenter
// reckons with on AWS and Azure (vmMemoryOverheadPercent), and on Google the kernel's.
var hiddenShare = map[string]float64{accelerators.GKE: 0.025, accelerators.EKS: 0.075, accelerators.AKS: 0.075}

// MostRoom is the upper bound of what a node of a machine type has for pods: its size, less what the
// cloud documents as reserved. What asks for more never runs.
func MostRoom(cloud string, machine accelerators.Machine) Room {
	return room(cloud, machine.CPUs, machine.MemoryGiB)
}

// LikelyRoom is what is left of it, by estimate, after the hypervisor and the pods of every node.
func LikelyRoom(cloud string, machine accelerators.Machine) Room {
	left := room(cloud, machine.CPUs, machine.MemoryGiB*(1-hiddenShare[cloud]))
	return Room{CPUs: left.CPUs - nodePodsCPUs, MemoryGiB: left.MemoryGiB - nodePodsGiB}
}

func room(cloud string, cpus int, memoryGiB float64) Room {
	var reservedCPUs, reservedGiB float64
	switch cloud {
	case accelerators.AKS:
		// https://learn.microsoft.com/azure/aks/node-resource-reservations: 60 m of one CPU, 100 m and 10 m
		// for each CPU of more; 20 MB for each of 250 pods and 50 MB, at most a quarter.
		reservedCPUs = 0.1 + 0.01*float64(cpus)
		reservedGiB = math.Min((20*250+50)*1e6/GiB, memoryGiB/4)
	case accelerators.EKS:
		// https://github.com/awslabs/amazon-eks-ami, nodeadm: CPUs as on GKE; 255 MiB and 11 MiB for each
		// pod that the network allows, which for the smallest types is 58.
		reservedCPUs = steps(float64(cpus), cpuSteps)
		pods := 58.0
		if cpus > 8 {
			pods = 234
		}
		reservedGiB = (255 + 11*pods) / 1024
	default:
		// https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes
		reservedCPUs = steps(float64(cpus), cpuSteps)
		reservedGiB = steps(memoryGiB, memorySteps)
	}
	return Room{CPUs: float64(cpus) - reservedCPUs, MemoryGiB: memoryGiB - reservedGiB - evictionGiB}
}

// step is a share of everything up to a bound.
type step struct{ upTo, share float64 }

var (
	cpuSteps    = []step{{1, 0.06}, {2, 0.01}, {4, 0.005}, {math.Inf(1), 0.0025}}
	memorySteps = []step{{4, 0.25}, {8, 0.20}, {16, 0.10}, {128, 0.06}, {math.Inf(1), 0.02}}
)

// steps adds up the shares of each step.
func steps(amount float64, of []step) float64 {
	total, from := 0.0, 0.0
	for _, s := range of {
		total += math.Max(0, math.Min(amount, s.upTo)-from) * s.share
		from = s.upTo
	}
	return total
}
