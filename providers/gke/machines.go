package gke

import (
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// machines are the machine types with GPUs, autumn 2026. T4 and V100 have none of their own; they are attached to N1
// machines (offered). Sizes are those of https://cloud.google.com/compute/docs/gpus.
var machines = accelerators.Catalogue{
	Machines: slices.Concat(
		carrying("nvidia-l4", 1,
			size("g2-standard-4", 4, 16), size("g2-standard-8", 8, 32), size("g2-standard-12", 12, 48),
			size("g2-standard-16", 16, 64), size("g2-standard-32", 32, 128)),
		carrying("nvidia-l4", 2, size("g2-standard-24", 24, 96)),
		carrying("nvidia-l4", 4, size("g2-standard-48", 48, 192)),
		carrying("nvidia-l4", 8, size("g2-standard-96", 96, 384)),
		carrying("nvidia-a100-40gb", 1, size("a2-highgpu-1g", 12, 85)),
		carrying("nvidia-a100-40gb", 2, size("a2-highgpu-2g", 24, 170)),
		carrying("nvidia-a100-40gb", 4, size("a2-highgpu-4g", 48, 340)),
		carrying("nvidia-a100-40gb", 8, size("a2-highgpu-8g", 96, 680)),
		carrying("nvidia-a100-40gb", 16, size("a2-megagpu-16g", 96, 1360)),
		carrying("nvidia-a100-80gb", 1, size("a2-ultragpu-1g", 12, 170)),
		carrying("nvidia-a100-80gb", 2, size("a2-ultragpu-2g", 24, 340)),
		carrying("nvidia-a100-80gb", 4, size("a2-ultragpu-4g", 48, 680)),
		carrying("nvidia-a100-80gb", 8, size("a2-ultragpu-8g", 96, 1360)),
		carrying("nvidia-h100-80gb", 1, size("a3-highgpu-1g", 26, 234)),
		carrying("nvidia-h100-80gb", 2, size("a3-highgpu-2g", 52, 468)),
		carrying("nvidia-h100-80gb", 4, size("a3-highgpu-4g", 104, 936)),
		carrying("nvidia-h100-80gb", 8, size("a3-highgpu-8g", 208, 1872)),
		carrying("nvidia-h100-mega-80gb", 8, size("a3-megagpu-8g", 208, 1872)),
		carrying("nvidia-h200-141gb", 8, size("a3-ultragpu-8g", 224, 2952)),
		carrying("nvidia-b200", 8, size("a4-highgpu-8g", 224, 3968)),
		carrying("nvidia-rtx-pro-6000", 1, size("g4-standard-48", 48, 180)),
		carrying("nvidia-rtx-pro-6000", 2, size("g4-standard-96", 96, 360)),
		carrying("nvidia-rtx-pro-6000", 4, size("g4-standard-192", 192, 720)),
		carrying("nvidia-rtx-pro-6000", 8, size("g4-standard-384", 384, 1440)),
	),
	Parts: []accelerators.Part{
		{Type: "g4-standard-6", Accelerator: "nvidia-rtx-pro-6000", Of: 8, MemoryGiB: 12},
		{Type: "g4-standard-12", Accelerator: "nvidia-rtx-pro-6000", Of: 4, MemoryGiB: 24},
		{Type: "g4-standard-24", Accelerator: "nvidia-rtx-pro-6000", Of: 2, MemoryGiB: 48},
	},
}

// notOnDemand are the machine types that Google offers only as spot machines, with flex-start or in a reservation, with what to
// choose otherwise (https://cloud.google.com/compute/docs/accelerator-optimized-machines).
var notOnDemand = map[string]string{
	"a3-highgpu-1g": "a3-highgpu-8g", "a3-highgpu-2g": "a3-highgpu-8g", "a3-highgpu-4g": "a3-highgpu-8g",
	"a3-ultragpu-8g": "another GPU", "a4-highgpu-8g": "another GPU",
}

// Types of disks.
const (
	persistentDisk = "pd-balanced"
	hyperdisk      = "hyperdisk-balanced"
)

// hyperdiskOnly are the machine families that have no Persistent Disk, hyperdiskToo those with GPUs that can start from either
// (https://cloud.google.com/compute/docs/disks/hyperdisks), noStandardDisk those with GPUs that cannot start from pd-standard.
var (
	hyperdiskOnly  = []string{"n4-", "n4d-", "c4-", "c4d-", "a3-ultragpu-", "a4-", "g4-"}
	hyperdiskToo   = []string{"a3-highgpu-", "a3-megagpu-"}
	noStandardDisk = []string{"g2-", "a3-"}
)

var (
	// armFamilies are the machine families with ARM processors, for which the images are not.
	armFamilies = []string{"t2a-", "c4a-", "n4a-", "a4x-"}
	// gpuFamily matches the machine families that carry GPUs, those that the catalogue lacks included. To others a GPU is
	// attached, and of them only N1 takes any.
	gpuFamily = regexp.MustCompile(`^[ag][0-9]+[a-z]?-`)
)

// diskTypeOf returns the type of a machine's disk where none is chosen.
func diskTypeOf(machineType string) string {
	if hasPrefix(machineType, hyperdiskOnly) {
		return hyperdisk
	}
	return persistentDisk
}

// startsFrom reports whether a machine with GPUs can start from a disk of a type.
func startsFrom(machineType, diskType string) bool {
	switch {
	case diskType == hyperdisk:
		return hasPrefix(machineType, hyperdiskOnly) || hasPrefix(machineType, hyperdiskToo)
	case diskType == "pd-standard" && hasPrefix(machineType, noStandardDisk):
		return false
	default:
		return !hasPrefix(machineType, hyperdiskOnly)
	}
}

func hasPrefix(machineType string, families []string) bool {
	return slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(machineType, family) })
}

// size and carrying are short for their names in package accelerators.
var (
	size     = accelerators.Size
	carrying = accelerators.Carrying
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
	{name: "nvidia-b200", gke: "nvidia-b200"},
	{name: "nvidia-rtx-pro-6000", gke: "nvidia-rtx-pro-6000"},
	{name: "nvidia-t4", gke: "nvidia-tesla-t4", counts: []int{1, 2, 4}},
	{name: "nvidia-v100", gke: "nvidia-tesla-v100", counts: []int{1, 2, 4, 8}},
}

// findAccelerator returns the accelerator of either of its names.
func findAccelerator(name string) (accelerator, bool) {
	i := slices.IndexFunc(offered, func(a accelerator) bool { return name != "" && (a.name == name || a.gke == name) })
	if i < 0 {
		return accelerator{}, false
	}
	return offered[i], true
}

// typeOf returns GKE's name of an accelerator. One that is not known here is called what the stack's file calls it.
func typeOf(name string) string {
	if gpu, found := findAccelerator(name); found {
		return gpu.gke
	}
	return name
}

// acceleratorNames lists the cloud-neutral names.
func acceleratorNames() []string {
	var names []string
	for _, a := range offered {
		names = append(names, a.name)
	}
	return names
}

// carriedBy returns how many of it a machine type carries by itself; 0 for none.
func (a accelerator) carriedBy(machineType string) int {
	machine, ok := machines.Find(machineType)
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
	for _, machine := range machines.With(a.name) {
		names = append(names, machine.Type)
	}
	return strings.Join(names, ", ")
}
