package eks

import "strings"

// InstanceType is what an EC2 instance type brings in GPUs.
type InstanceType struct {
	// Accelerator is the GPU's cloud-neutral name.
	Accelerator string
	// GPUs is how many the machine carries.
	GPUs int
	// MemoryGiB is the memory of one of them.
	MemoryGiB int
	// ComputeCapability is CUDA's, times ten: 89 means 8.9. Gemma 3 in bfloat16 needs 80.
	ComputeCapability int
}

// gpu is one kind of GPU (NVIDIA's data sheets).
type gpu struct {
	accelerator       string
	memoryGiB         int
	computeCapability int
}

// gpuFamily is an instance family and the number of GPUs of each of its sizes (EC2's list of
// accelerated computing instances). Fractional GPUs (g6f, gr6f), ARM (g5g) and families that no
// one has run this program on are absent; their types can be used by stating what they carry.
type gpuFamily struct {
	gpu   gpu
	sizes map[string]int
}

var gpuFamilies = map[string]gpuFamily{
	"g4dn": {gpu{"nvidia-t4", 16, 75}, map[string]int{
		"xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 4, "16xlarge": 1, "metal": 8,
	}},
	"p3":   {gpu{"nvidia-v100", 16, 70}, map[string]int{"2xlarge": 1, "8xlarge": 4, "16xlarge": 8}},
	"g5":   {gpu{"nvidia-a10g", 24, 86}, eightGPUFamily},
	"g6":   {gpu{"nvidia-l4", 24, 89}, eightGPUFamily},
	"gr6":  {gpu{"nvidia-l4", 24, 89}, map[string]int{"4xlarge": 1, "8xlarge": 1}},
	"g6e":  {gpu{"nvidia-l40s", 48, 89}, eightGPUFamily},
	"p4d":  {gpu{"nvidia-a100-40gb", 40, 80}, map[string]int{"24xlarge": 8}},
	"p4de": {gpu{"nvidia-a100-80gb", 80, 80}, map[string]int{"24xlarge": 8}},
	"p5":   {gpu{"nvidia-h100-80gb", 80, 90}, map[string]int{"4xlarge": 1, "48xlarge": 8}},
	"p5e":  {gpu{"nvidia-h200-141gb", 141, 90}, map[string]int{"48xlarge": 8}},
	"p5en": {gpu{"nvidia-h200-141gb", 141, 90}, map[string]int{"48xlarge": 8}},
}

// eightGPUFamily is how the g families from g5 on are built.
var eightGPUFamily = map[string]int{
	"xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 4, "16xlarge": 1, "24xlarge": 4, "48xlarge": 8,
}

// FindInstanceType gives what is known about an instance type such as g6.xlarge.
func FindInstanceType(name string) (InstanceType, bool) {
	family, size, _ := strings.Cut(name, ".")
	f, ok := gpuFamilies[family]
	if !ok || f.sizes[size] == 0 {
		return InstanceType{}, false
	}
	return InstanceType{
		Accelerator: f.gpu.accelerator, GPUs: f.sizes[size],
		MemoryGiB: f.gpu.memoryGiB, ComputeCapability: f.gpu.computeCapability,
	}, true
}
