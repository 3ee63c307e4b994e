package gke

import (
	"maps"
	"slices"
	"strings"
)

// accelerator is a GPU that GKE offers and that vLLM can use. Older ones than the T4 and the V100
// are missing because vLLM does not run on them.
type accelerator struct {
	// name is the cloud-neutral name, gke is GKE's: the type in the node pool and the value of the
	// node label cloud.google.com/gke-accelerator.
	name, gke string
	// machines are the machine types that carry it, with their number of GPUs. Nil means that it
	// can be attached to N1 machines, in one of counts.
	machines map[string]int
	counts   []int
}

// accelerators as of Google's machine-type pages of autumn 2026; GPUs of G2, A2 and A3 machines
// cannot be chosen apart from the machine.
var accelerators = []accelerator{
	{name: "nvidia-l4", gke: "nvidia-l4", machines: map[string]int{
		"g2-standard-4": 1, "g2-standard-8": 1, "g2-standard-12": 1, "g2-standard-16": 1, "g2-standard-32": 1,
		"g2-standard-24": 2, "g2-standard-48": 4, "g2-standard-96": 8}},
	{name: "nvidia-a100-40gb", gke: "nvidia-tesla-a100", machines: map[string]int{
		"a2-highgpu-1g": 1, "a2-highgpu-2g": 2, "a2-highgpu-4g": 4, "a2-highgpu-8g": 8, "a2-megagpu-16g": 16}},
	{name: "nvidia-a100-80gb", gke: "nvidia-a100-80gb", machines: map[string]int{
		"a2-ultragpu-1g": 1, "a2-ultragpu-2g": 2, "a2-ultragpu-4g": 4, "a2-ultragpu-8g": 8}},
	{name: "nvidia-h100-80gb", gke: "nvidia-h100-80gb", machines: map[string]int{
		"a3-highgpu-1g": 1, "a3-highgpu-2g": 2, "a3-highgpu-4g": 4, "a3-highgpu-8g": 8}},
	{name: "nvidia-h100-mega-80gb", gke: "nvidia-h100-mega-80gb", machines: map[string]int{"a3-megagpu-8g": 8}},
	{name: "nvidia-h200-141gb", gke: "nvidia-h200-141gb", machines: map[string]int{"a3-ultragpu-8g": 8}},
	{name: "nvidia-t4", gke: "nvidia-tesla-t4", counts: []int{1, 2, 4}},
	{name: "nvidia-v100", gke: "nvidia-tesla-v100", counts: []int{1, 2, 4, 8}},
}

// findAccelerator finds an accelerator by either of its names.
func findAccelerator(name string) (accelerator, bool) {
	i := slices.IndexFunc(accelerators, func(a accelerator) bool { return name != "" && (a.name == name || a.gke == name) })
	if i < 0 {
		return accelerator{}, false
	}
	return accelerators[i], true
}

// acceleratorNames lists the cloud-neutral names.
func acceleratorNames() string {
	var names []string
	for _, a := range accelerators {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// machineNames lists the machine types that carry the accelerator.
func (a accelerator) machineNames() string {
	if a.machines == nil {
		return "an n1 machine type"
	}
	// By number of GPUs first, so that the smallest, which is usually meant, comes first.
	names := slices.SortedFunc(maps.Keys(a.machines), func(x, y string) int {
		if a.machines[x] != a.machines[y] {
			return a.machines[x] - a.machines[y]
		}
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
	return strings.Join(names, ", ")
}
