// Package accelerators has the GPUs that the clouds offer, with what each of them can do, and the type of a cloud's
// catalogue of machine types that carry them. It is data only; nothing is looked up.
package accelerators

import (
	"fmt"
	"slices"
)

// BFloat16 is the compute capability from which on a GPU calculates in bfloat16, times ten (CUDA C
// programming guide, "Compute Capabilities": 8.0, the generation of the A100).
const BFloat16 = 80

// The compute capabilities, times ten, from which on vLLM runs kernels for quantised weights and caches
// (https://docs.vllm.ai/en/latest/features/quantization/, Supported Hardware).
const (
	// Int8 is that of 8-bit whole numbers.
	Int8 = 75
	// Marlin is that of the kernels that read FP8 and 4-bit weights and compute in 16 bits.
	Marlin = 80
	// FP8 is that of GPUs with tensor cores for 8-bit floating point, which vLLM needs for a KV cache in FP8 too.
	FP8 = 89
)

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
	// BandwidthGBs is the bandwidth of its memory, in 10^9 bytes per second.
	BandwidthGBs float64
	// ComputeTFLOPS is what its tensor cores compute with 16-bit numbers, without sparsity, in 10^12 operations per second.
	ComputeTFLOPS float64
	// LinkGBs is what it sends to other GPUs at most, in one direction, by NVLink or by PCIe without it, in 10^9 bytes per second.
	LinkGBs float64
}

// Capability is the compute capability as people write it: 8.9.
func (a Accelerator) Capability() string {
	return fmt.Sprintf("%d.%d", a.ComputeCapability/10, a.ComputeCapability%10)
}

// accelerators, smallest memory first. GPUs older than the V100 are left out: vLLM does not run on
// them. UsableGiB is the "total capacity" in out-of-memory messages of PyTorch that users published for
// each GPU, the lowest of several; it differs by a few tenths between drivers. Nobody published one of the RTX PRO 4500: its number is an
// estimate, the share that the RTX 5090 reports of as much memory of the same kind (31.34 of 32 GiB).
//
// Bandwidth, compute and links are those of NVIDIA's data sheets "Tesla V100", "T4", "L4", "A10", "A100", "L40S", "H100" and "H200
// Tensor Core GPU". A10G is made for AWS only; its numbers are those of the A10's data sheet, with the 70 tera-operations of the G5
// instances' GPU instead of 125. The data sheets of L4, L40S, H100 and H200 state compute with sparsity: the half is here. They state
// links as the sum of both directions: the half is here as well. Blackwell's numbers are those of the data sheets "HGX B200", "HGX B300",
// "RTX PRO 6000 Blackwell Server Edition" and "RTX PRO 4500 Blackwell Server Edition". HGX' footnote states that compute with 16 bits is
// with sparsity. The sheets of the RTX PRO have no such note, but the 406 tera-operations of the 4500 are eight times what it does in 32
// bits, so they are with sparsity too; of the 6000 the product page rounds them to 1000, and twice its 234 in TF32 is here. Where a GPU comes in several forms, the one that the clouds have is
// listed: SXM for V100, A100 and H100 80 GB, NVL for H100 94 GB. Azure's V100 have PCIe only.
var accelerators = []Accelerator{
	{"nvidia-v100", 16, 15.77, 70, 900, 125, 150},
	{"nvidia-t4", 16, 14.56, 75, 320, 65, 16},
	{"nvidia-l4", 24, 22.03, 89, 300, 121, 32},
	{"nvidia-a10g", 24, 22.03, 86, 600, 70, 32},
	{"nvidia-a10", 24, 22.03, 86, 600, 125, 32},
	{"nvidia-v100-32gb", 32, 31.73, 70, 900, 125, 150},
	{"nvidia-rtx-pro-4500", 32, 31.3, 120, 800, 203, 64},
	{"nvidia-a100-40gb", 40, 39.25, 80, 1555, 312, 300},
	{"nvidia-l40s", 48, 44.34, 89, 864, 362, 32},
	{"nvidia-a100-80gb", 80, 79.14, 80, 2039, 312, 300},
	{"nvidia-h100-80gb", 80, 79.1, 90, 3350, 989, 450},
	{"nvidia-h100-mega-80gb", 80, 79.1, 90, 3350, 989, 450},
	{"nvidia-h100-94gb", 94, 93.02, 90, 3900, 835, 300},
	{"nvidia-rtx-pro-6000", 96, 94.97, 120, 1597, 468, 64},
	{"nvidia-h200-141gb", 141, 139.7, 90, 4800, 989, 450},
	{"nvidia-b200", 180, 178.35, 100, 7700, 2250, 900},
	{"nvidia-b300", 270, 267.69, 103, 7700, 2250, 900},
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
