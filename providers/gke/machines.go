package gke

import (
	"slices"
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// accelerator is a GPU that GKE offers.
type accelerator struct {
	// name is the catalogue's name, gke is GKE's: the type in the node pool and the value of the node
	// label cloud.google.com/gke-accelerator.
	name, gke string
	// counts are the numbers of it that an N1 machine can carry; nil where it comes with machine types
	// of its own, which the catalogue lists, and cannot be chosen apart from the machine.
	counts []int
}

// offered are GKE's accelerators as of its machine-type pages of autumn 2026.
var offered = []accelerator{
	{name: "nvidia-l4", gke: "nvidia-l4"},
	{name: "nvidia-a100-40gb", gke: "nvidia-tesla-a100"},
	{name: "nvidia-a100-80gb", gke: "nvidia-a100-80gb"},
	{name: "nvidia-h100-80gb", gke: "nvidia-h100-80gb"},
	{name: "nvidia-h100-mega-80gb", gke: "nvidia-h100-mega-80gb"},
	{name: "nvidia-h200-141gb", gke: "nvidia-h200-141gb"},
	{name: "nvidia-t4", gke: "nvidia-tesla-t4", counts: []int{1, 2, 4}},
	{name: "nvidia-v100", gke: "nvidia-tesla-v100", counts: []int{1, 2, 4, 8}},
}

// findAccelerator finds an accelerator by either of its names.
func findAccelerator(name string) (accelerator, bool) {
	i := slices.IndexFunc(offered, func(a accelerator) bool { return name != "" && (a.name == name || a.gke == name) })
	if i < 0 {
		return accelerator{}, false
	}
	return offered[i], true
}

// acceleratorNames lists the cloud-neutral names.
func acceleratorNames() string {
	var names []string
	for _, a := range offered {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// carriedBy is how many of it a machine type carries by itself; 0 for none.
func (a accelerator) carriedBy(machineType string) int {
	machine, ok := accelerators.FindMachine(accelerators.GKE, machineType)
	if !ok || machine.Accelerator != a.name {
		return 0
	}
	return machine.GPUs
}

// machineNames lists the machine types that carry the accelerator, the smallest first.
func (a accelerator) machineNames() string {
	if a.counts != nil {
		return "an n1 machine type"
	}
	var names []string
	for _, machine := range accelerators.Machines(accelerators.GKE, a.name) {
		names = append(names, machine.Type)
	}
	return strings.Join(names, ", ")
}
