// Package accelerators is the catalogue of the GPUs that the clouds offer: what each of them is able
// to do, and the machine types that carry it. It holds data only and asks nobody.
package accelerators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The clouds, as the stacks call them.
const (
	GKE = "gke"
	EKS = "eks"
	AKS = "aks"
)

// BFloat16 is the compute capability from which on a GPU calculates in bfloat16, times ten (CUDA C
// programming guide, "Compute Capabilities": 8.0, the generation of the A100).
const BFloat16 = 80

// Accelerator is one kind of GPU.
type Accelerator struct {
	// Name is the same on every cloud, such as nvidia-l4.
	Name string
	// MemoryGiB is the memory of one GPU, as NVIDIA's data sheet names it. What a program finds free is
	// a little less.
	MemoryGiB float64
	// ComputeCapability is CUDA's, times ten: 89 means 8.9 (https://developer.nvidia.com/cuda-gpus).
	ComputeCapability int
}

// Capability is the compute capability as people write it: 8.9.
func (a Accelerator) Capability() string {
	return fmt.Sprintf("%d.%d", a.ComputeCapability/10, a.ComputeCapability%10)
}

// Machine is a machine type that carries GPUs.
type Machine struct {
	// Type is the cloud's name, such as g2-standard-4, g6.xlarge or Standard_NC24ads_A100_v4.
	Type string
	// Accelerator is the name of its GPUs.
	Accelerator string
	// GPUs is how many it carries.
	GPUs int
}

// accelerators, smallest memory first. GPUs older than the V100 are left out: vLLM does not run on
// them.
var accelerators = []Accelerator{
	{"nvidia-v100", 16, 70},
	{"nvidia-t4", 16, 75},
	{"nvidia-l4", 24, 89},
	{"nvidia-a10g", 24, 86},
	{"nvidia-a10", 24, 86},
	{"nvidia-v100-32gb", 32, 70},
	{"nvidia-a100-40gb", 40, 80},
	{"nvidia-l40s", 48, 89},
	{"nvidia-a100-80gb", 80, 80},
	{"nvidia-h100-80gb", 80, 90},
	{"nvidia-h100-mega-80gb", 80, 90},
	{"nvidia-h100-94gb", 94, 90},
	{"nvidia-h200-141gb", 141, 90},
}

// group is the machine types of one cloud that carry one kind of GPU.
type group struct {
	accelerator string
	// gpus are the numbers of GPUs, each with its machine types, smallest first.
	gpus []count
}

type count struct {
	gpus  int
	types []string
}

// machines by cloud, autumn 2026. Types that carry a part of a GPU are left out, and so are ARM
// machines: the server gets whole GPUs, and its image is for x86_64. On GKE, T4 and V100 have no
// machine types of their own; they are attached to N1 machines.
var machines = map[string][]group{
	// https://cloud.google.com/compute/docs/gpus
	GKE: {
		{"nvidia-l4", []count{
			{1, []string{"g2-standard-4", "g2-standard-8", "g2-standard-12", "g2-standard-16", "g2-standard-32"}},
			{2, []string{"g2-standard-24"}}, {4, []string{"g2-standard-48"}}, {8, []string{"g2-standard-96"}},
		}},
		{"nvidia-a100-40gb", []count{
			{1, []string{"a2-highgpu-1g"}}, {2, []string{"a2-highgpu-2g"}}, {4, []string{"a2-highgpu-4g"}},
			{8, []string{"a2-highgpu-8g"}}, {16, []string{"a2-megagpu-16g"}},
		}},
		{"nvidia-a100-80gb", []count{
			{1, []string{"a2-ultragpu-1g"}}, {2, []string{"a2-ultragpu-2g"}}, {4, []string{"a2-ultragpu-4g"}}, {8, []string{"a2-ultragpu-8g"}},
		}},
		{"nvidia-h100-80gb", []count{
			{1, []string{"a3-highgpu-1g"}}, {2, []string{"a3-highgpu-2g"}}, {4, []string{"a3-highgpu-4g"}}, {8, []string{"a3-highgpu-8g"}},
		}},
		{"nvidia-h100-mega-80gb", []count{{8, []string{"a3-megagpu-8g"}}}},
		{"nvidia-h200-141gb", []count{{8, []string{"a3-ultragpu-8g"}}}},
	},
	// https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html
	EKS: {
		{"nvidia-v100", []count{{1, []string{"p3.2xlarge"}}, {4, []string{"p3.8xlarge"}}, {8, []string{"p3.16xlarge"}}}},
		{"nvidia-t4", []count{
			{1, []string{"g4dn.xlarge", "g4dn.2xlarge", "g4dn.4xlarge", "g4dn.8xlarge", "g4dn.16xlarge"}},
			{4, []string{"g4dn.12xlarge"}}, {8, []string{"g4dn.metal"}},
		}},
		{"nvidia-l4", []count{
			{1, []string{"g6.xlarge", "g6.2xlarge", "g6.4xlarge", "gr6.4xlarge", "g6.8xlarge", "gr6.8xlarge", "g6.16xlarge"}},
			{4, []string{"g6.12xlarge", "g6.24xlarge"}}, {8, []string{"g6.48xlarge"}},
		}},
		{"nvidia-a10g", []count{
			{1, []string{"g5.xlarge", "g5.2xlarge", "g5.4xlarge", "g5.8xlarge", "g5.16xlarge"}},
			{4, []string{"g5.12xlarge", "g5.24xlarge"}}, {8, []string{"g5.48xlarge"}},
		}},
		{"nvidia-l40s", []count{
			{1, []string{"g6e.xlarge", "g6e.2xlarge", "g6e.4xlarge", "g6e.8xlarge", "g6e.16xlarge"}},
			{4, []string{"g6e.12xlarge", "g6e.24xlarge"}}, {8, []string{"g6e.48xlarge"}},
		}},
		{"nvidia-a100-40gb", []count{{8, []string{"p4d.24xlarge"}}}},
		{"nvidia-a100-80gb", []count{{8, []string{"p4de.24xlarge"}}}},
		{"nvidia-h100-80gb", []count{{1, []string{"p5.4xlarge"}}, {8, []string{"p5.48xlarge"}}}},
		{"nvidia-h200-141gb", []count{{8, []string{"p5en.48xlarge", "p5e.48xlarge"}}}},
	},
	// https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated
	AKS: {
		{"nvidia-t4", []count{
			{1, []string{"Standard_NC4as_T4_v3", "Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3"}}, {4, []string{"Standard_NC64as_T4_v3"}},
		}},
		{"nvidia-v100", []count{
			{1, []string{"Standard_NC6s_v3"}}, {2, []string{"Standard_NC12s_v3"}}, {4, []string{"Standard_NC24s_v3", "Standard_NC24rs_v3"}},
		}},
		{"nvidia-v100-32gb", []count{{8, []string{"Standard_ND40rs_v2"}}}},
		{"nvidia-a10", []count{
			{1, []string{"Standard_NV36ads_A10_v5", "Standard_NV36adms_A10_v5"}}, {2, []string{"Standard_NV72ads_A10_v5"}},
		}},
		{"nvidia-a100-40gb", []count{{8, []string{"Standard_ND96asr_v4"}}}},
		{"nvidia-a100-80gb", []count{
			{1, []string{"Standard_NC24ads_A100_v4"}}, {2, []string{"Standard_NC48ads_A100_v4"}}, {4, []string{"Standard_NC96ads_A100_v4"}},
			{8, []string{"Standard_ND96amsr_A100_v4"}},
		}},
		{"nvidia-h100-80gb", []count{{8, []string{"Standard_ND96isr_H100_v5"}}}},
		{"nvidia-h100-94gb", []count{{1, []string{"Standard_NC40ads_H100_v5"}}, {2, []string{"Standard_NC80adis_H100_v5"}}}},
		{"nvidia-h200-141gb", []count{{8, []string{"Standard_ND96isr_H200_v5"}}}},
	},
}

// All lists every accelerator, smallest memory first.
func All() []Accelerator { return slices.Clone(accelerators) }

// Find finds an accelerator by its name.
func Find(name string) (Accelerator, bool) {
	i := slices.IndexFunc(accelerators, func(a Accelerator) bool { return a.Name == name })
	if i < 0 {
		return Accelerator{}, false
	}
	return accelerators[i], true
}

// FindMachine finds a machine type of a cloud. Azure does not tell upper from lower case.
func FindMachine(cloud, machineType string) (Machine, bool) {
	for _, g := range machines[cloud] {
		for _, machine := range g.list() {
			if machine.Type == machineType || cloud == AKS && strings.EqualFold(machine.Type, machineType) {
				return machine, true
			}
		}
	}
	return Machine{}, false
}

// Machines lists the machine types of a cloud that carry an accelerator, fewest GPUs first and the
// smaller machine first among those with as many; none where the cloud does not have it.
func Machines(cloud, accelerator string) []Machine {
	for _, g := range machines[cloud] {
		if g.accelerator == accelerator {
			return g.list()
		}
	}
	return nil
}

// In lists the accelerators that have machine types in a cloud, smallest memory first.
func In(cloud string) []Accelerator {
	var found []Accelerator
	for _, g := range machines[cloud] {
		if a, ok := Find(g.accelerator); ok {
			found = append(found, a)
		}
	}
	slices.SortStableFunc(found, func(a, b Accelerator) int { return cmp.Compare(a.MemoryGiB, b.MemoryGiB) })
	return found
}

func (g group) list() []Machine {
	var all []Machine
	for _, c := range g.gpus {
		for _, machineType := range c.types {
			all = append(all, Machine{Type: machineType, Accelerator: g.accelerator, GPUs: c.gpus})
		}
	}
	return all
}
