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
	// MemoryGiB is the memory of one GPU, as NVIDIA's data sheet names it.
	MemoryGiB float64
	// UsableGiB is what CUDA reports of it: the driver and error correction keep the rest. It is what
	// vLLM takes its share of.
	UsableGiB float64
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
	// CPUs is its number of virtual CPUs, MemoryGiB its main memory.
	CPUs      int
	MemoryGiB float64
}

// accelerators, smallest memory first. GPUs older than the V100 are left out: vLLM does not run on
// them. UsableGiB is the "total capacity" in out-of-memory messages of PyTorch that users published for
// each GPU, the lowest of several; it differs by a few tenths between drivers.
var accelerators = []Accelerator{
	{"nvidia-v100", 16, 15.77, 70},
	{"nvidia-t4", 16, 14.56, 75},
	{"nvidia-l4", 24, 22.03, 89},
	{"nvidia-a10g", 24, 22.03, 86},
	{"nvidia-a10", 24, 22.03, 86},
	{"nvidia-v100-32gb", 32, 31.73, 70},
	{"nvidia-a100-40gb", 40, 39.25, 80},
	{"nvidia-l40s", 48, 44.34, 89},
	{"nvidia-a100-80gb", 80, 79.14, 80},
	{"nvidia-h100-80gb", 80, 79.1, 90},
	{"nvidia-h100-mega-80gb", 80, 79.1, 90},
	{"nvidia-h100-94gb", 94, 93.02, 90},
	{"nvidia-h200-141gb", 141, 139.7, 90},
}

// group is the machine types of one cloud that carry one kind of GPU.
type group struct {
	accelerator string
	// gpus are the numbers of GPUs, each with its machine types, smallest first.
	gpus []count
}

type count struct {
	gpus  int
	types []size
}

// size is a machine type with its virtual CPUs and its main memory in GiB.
type size struct {
	name      string
	cpus      int
	memoryGiB float64
}

// machines by cloud, autumn 2026. Types that carry a part of a GPU are left out, and so are ARM
// machines: the server gets whole GPUs, and its image is for x86_64. On GKE, T4 and V100 have no
// machine types of their own; they are attached to N1 machines. CPUs and memory of AWS' and Azure's are
// those of cluster-autoscaler's tables, which are made from the clouds' APIs
// (github.com/kubernetes/autoscaler 55c37cd: cloudprovider/aws/ec2_instance_types.go and
// cloudprovider/azure/azure_instance_types.go; p5e like p5), Google's those of the page below.
var machines = map[string][]group{
	// https://cloud.google.com/compute/docs/gpus
	GKE: {
		{"nvidia-l4", []count{
			{1, []size{{"g2-standard-4", 4, 16}, {"g2-standard-8", 8, 32}, {"g2-standard-12", 12, 48}, {"g2-standard-16", 16, 64}, {"g2-standard-32", 32, 128}}},
			{2, []size{{"g2-standard-24", 24, 96}}}, {4, []size{{"g2-standard-48", 48, 192}}}, {8, []size{{"g2-standard-96", 96, 384}}},
		}},
		{"nvidia-a100-40gb", []count{
			{1, []size{{"a2-highgpu-1g", 12, 85}}}, {2, []size{{"a2-highgpu-2g", 24, 170}}}, {4, []size{{"a2-highgpu-4g", 48, 340}}},
			{8, []size{{"a2-highgpu-8g", 96, 680}}}, {16, []size{{"a2-megagpu-16g", 96, 1360}}},
		}},
		{"nvidia-a100-80gb", []count{
			{1, []size{{"a2-ultragpu-1g", 12, 170}}}, {2, []size{{"a2-ultragpu-2g", 24, 340}}}, {4, []size{{"a2-ultragpu-4g", 48, 680}}}, {8, []size{{"a2-ultragpu-8g", 96, 1360}}},
		}},
		{"nvidia-h100-80gb", []count{
			{1, []size{{"a3-highgpu-1g", 26, 234}}}, {2, []size{{"a3-highgpu-2g", 52, 468}}}, {4, []size{{"a3-highgpu-4g", 104, 936}}}, {8, []size{{"a3-highgpu-8g", 208, 1872}}},
		}},
		{"nvidia-h100-mega-80gb", []count{{8, []size{{"a3-megagpu-8g", 208, 1872}}}}},
		{"nvidia-h200-141gb", []count{{8, []size{{"a3-ultragpu-8g", 224, 2952}}}}},
	},
	// https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html
	EKS: {
		{"nvidia-v100", []count{{1, []size{{"p3.2xlarge", 8, 61}}}, {4, []size{{"p3.8xlarge", 32, 244}}}, {8, []size{{"p3.16xlarge", 64, 488}}}}},
		{"nvidia-t4", []count{
			{1, []size{{"g4dn.xlarge", 4, 16}, {"g4dn.2xlarge", 8, 32}, {"g4dn.4xlarge", 16, 64}, {"g4dn.8xlarge", 32, 128}, {"g4dn.16xlarge", 64, 256}}},
			{4, []size{{"g4dn.12xlarge", 48, 192}}}, {8, []size{{"g4dn.metal", 96, 384}}},
		}},
		{"nvidia-l4", []count{
			{1, []size{{"g6.xlarge", 4, 16}, {"g6.2xlarge", 8, 32}, {"g6.4xlarge", 16, 64}, {"gr6.4xlarge", 16, 128}, {"g6.8xlarge", 32, 128}, {"gr6.8xlarge", 32, 256}, {"g6.16xlarge", 64, 256}}},
			{4, []size{{"g6.12xlarge", 48, 192}, {"g6.24xlarge", 96, 384}}}, {8, []size{{"g6.48xlarge", 192, 768}}},
		}},
		{"nvidia-a10g", []count{
			{1, []size{{"g5.xlarge", 4, 16}, {"g5.2xlarge", 8, 32}, {"g5.4xlarge", 16, 64}, {"g5.8xlarge", 32, 128}, {"g5.16xlarge", 64, 256}}},
			{4, []size{{"g5.12xlarge", 48, 192}, {"g5.24xlarge", 96, 384}}}, {8, []size{{"g5.48xlarge", 192, 768}}},
		}},
		{"nvidia-l40s", []count{
			{1, []size{{"g6e.xlarge", 4, 32}, {"g6e.2xlarge", 8, 64}, {"g6e.4xlarge", 16, 128}, {"g6e.8xlarge", 32, 256}, {"g6e.16xlarge", 64, 512}}},
			{4, []size{{"g6e.12xlarge", 48, 384}, {"g6e.24xlarge", 96, 768}}}, {8, []size{{"g6e.48xlarge", 192, 1536}}},
		}},
		{"nvidia-a100-40gb", []count{{8, []size{{"p4d.24xlarge", 96, 1152}}}}},
		{"nvidia-a100-80gb", []count{{8, []size{{"p4de.24xlarge", 96, 1152}}}}},
		{"nvidia-h100-80gb", []count{{1, []size{{"p5.4xlarge", 16, 256}}}, {8, []size{{"p5.48xlarge", 192, 2048}}}}},
		{"nvidia-h200-141gb", []count{{8, []size{{"p5en.48xlarge", 192, 2048}, {"p5e.48xlarge", 192, 2048}}}}},
	},
	// https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated
	AKS: {
		{"nvidia-t4", []count{
			{1, []size{{"Standard_NC4as_T4_v3", 4, 28}, {"Standard_NC8as_T4_v3", 8, 56}, {"Standard_NC16as_T4_v3", 16, 110}}}, {4, []size{{"Standard_NC64as_T4_v3", 64, 440}}},
		}},
		{"nvidia-v100", []count{
			{1, []size{{"Standard_NC6s_v3", 6, 112}}}, {2, []size{{"Standard_NC12s_v3", 12, 224}}}, {4, []size{{"Standard_NC24s_v3", 24, 448}, {"Standard_NC24rs_v3", 24, 448}}},
		}},
		{"nvidia-v100-32gb", []count{{8, []size{{"Standard_ND40rs_v2", 40, 672}}}}},
		{"nvidia-a10", []count{
			{1, []size{{"Standard_NV36ads_A10_v5", 36, 440}, {"Standard_NV36adms_A10_v5", 36, 880}}}, {2, []size{{"Standard_NV72ads_A10_v5", 72, 880}}},
		}},
		{"nvidia-a100-40gb", []count{{8, []size{{"Standard_ND96asr_v4", 96, 900}}}}},
		{"nvidia-a100-80gb", []count{
			{1, []size{{"Standard_NC24ads_A100_v4", 24, 220}}}, {2, []size{{"Standard_NC48ads_A100_v4", 48, 440}}}, {4, []size{{"Standard_NC96ads_A100_v4", 96, 880}}},
			{8, []size{{"Standard_ND96amsr_A100_v4", 96, 1800}}},
		}},
		{"nvidia-h100-80gb", []count{{8, []size{{"Standard_ND96isr_H100_v5", 96, 1900}}}}},
		{"nvidia-h100-94gb", []count{{1, []size{{"Standard_NC40ads_H100_v5", 40, 320}}}, {2, []size{{"Standard_NC80adis_H100_v5", 80, 640}}}}},
		{"nvidia-h200-141gb", []count{{8, []size{{"Standard_ND96isr_H200_v5", 96, 1850}}}}},
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
		for _, s := range c.types {
			all = append(all, Machine{Type: s.name, Accelerator: g.accelerator, GPUs: c.gpus, CPUs: s.cpus, MemoryGiB: s.memoryGiB})
		}
	}
	return all
}
