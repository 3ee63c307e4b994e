package deployment

import (
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/models"
)

// speed is what NVIDIA's data sheet of a GPU states.
type speed struct {
	// bandwidth is that of its memory in 10^9 bytes per second, compute that of its tensor cores in 10^12 operations per
	// second, for 16-bit numbers without sparsity.
	bandwidth, compute float64
	// link is what it sends to other GPUs at most, in one direction, in 10^9 bytes per second: by NVLink, or by PCIe without it.
	link float64
}

// speeds has every accelerator of the catalogue, from NVIDIA's data sheets "Tesla V100", "T4", "L4", "A10", "A100", "L40S", "H100"
// and "H200 Tensor Core GPU". A10G is made for AWS only; its numbers are those of the A10's data sheet, with the 70 tera-operations
// of the G5 instances' GPU instead of 125. The data sheets of L4, L40S, H100 and H200 state compute with sparsity: the half is here.
// They state links as the sum of both directions: the half is here as well. Where a GPU comes in several forms, the one that the
// clouds have is listed: SXM for V100, A100 and H100 80 GB, NVL for H100 94 GB. Azure's V100 have PCIe only.
var speeds = map[string]speed{
	"nvidia-v100":           {900, 125, 150},
	"nvidia-v100-32gb":      {900, 125, 150},
	"nvidia-t4":             {320, 65, 16},
	"nvidia-l4":             {300, 121, 32},
	"nvidia-a10g":           {600, 70, 32},
	"nvidia-a10":            {600, 125, 32},
	"nvidia-a100-40gb":      {1555, 312, 300},
	"nvidia-l40s":           {864, 362, 32},
	"nvidia-a100-80gb":      {2039, 312, 300},
	"nvidia-h100-80gb":      {3350, 989, 450},
	"nvidia-h100-mega-80gb": {3350, 989, 450},
	"nvidia-h100-94gb":      {3900, 835, 300},
	"nvidia-h200-141gb":     {4800, 989, 450},
}

// What of the data sheets' numbers a server reaches, and what a pass takes besides. These are estimates that TestPublishedFigures
// compares with published figures of vLLM: single figures differ by up to a quarter, their mean by less than a tenth.
const (
	bandwidthShare = 0.8
	computeShare   = 0.5
	// linkShare is what a large all-reduce over the NVLinks of four H100 reaches (366 of 450 GB/s, "Where Tensor-Parallel Inference
	// Hits the NVLink Wall", 2026). For PCIe it is an estimate.
	linkShare = 0.8
	// fixedSeconds is the time of a pass for scheduling, launching and sampling, with CUDA graphs.
	fixedSeconds = 0.003
	// gpuSeconds is the time for each further GPU. After the attention and the feed-forward part of every layer all GPUs wait for
	// each other: 3 ms for the 160 all-reduces of Llama 70B over four GPUs.
	gpuSeconds = 0.001
)

// Size is what the time of a forward pass depends on. Layers and HiddenSize are 0 for a model of which only the size of its weights
// is known: the transfers between GPUs are then left out.
type Size struct {
	// WeightBytes is the size of all weights on all GPUs, Parameters their number.
	WeightBytes, Parameters float64
	Layers, HiddenSize      int
}

// Roofline returns the profile of a replica: a pass takes as long as reading the weights and the cache, or as computing its tokens,
// whichever takes longer. It reports whether the accelerator's speed is known.
//
// Attention's own operations are left out. They grow with the square of the prompt, but most layers of the catalogue's models attend
// to a window: for a prompt of 8192 tokens they add 2 to 8 %, and 15 % with Gemma 3 270M (TestAttentionIsSmall).
// All experts of a mixture count as computed for each token, so that its prompts are too slow.
func Roofline(accelerator string, size Size, gpus int) (replica.Profile, bool) {
	s, ok := speeds[accelerator]
	if !ok {
		return replica.Profile{}, false
	}
	bandwidth := s.bandwidth * 1e9 * bandwidthShare * float64(gpus)
	compute := s.compute * 1e12 * computeShare * float64(gpus)
	return replica.Profile{
		Fixed:        fixedSeconds + gpuSeconds*float64(gpus-1),
		Weights:      size.WeightBytes / bandwidth,
		PerCacheByte: 1 / bandwidth,
		// A token takes a multiplication and an addition with each weight.
		PerToken: 2*size.Parameters/compute + size.sentBytes(gpus)/(s.link*1e9*linkShare),
	}, true
}

// sentBytes returns what a GPU sends for a token: two all-reduces in each layer, of a vector of the hidden size. In each of them a
// GPU sends the vector 2(n-1)/n times (ring algorithm).
func (s Size) sentBytes(gpus int) float64 {
	n := float64(gpus)
	return 2 * float64(s.Layers) * float64(s.HiddenSize) * bytesPerNumber * 2 * (n - 1) / n
}

// sizeOf returns the size of a model's layers, with the given weights.
func sizeOf(id string, weightBytes float64) Size {
	size := Size{WeightBytes: weightBytes, Parameters: weightBytes / bytesPerNumber}
	if model, known := models.Find(id); known {
		size.Layers, size.HiddenSize = model.Full.Count+model.Sliding.Count, model.HiddenSize
	}
	return size
}

// cacheOf returns what a token of a model takes in the KV cache, with a number of bytes per number.
func cacheOf(m models.Model, bytesPerNumber float64) replica.Cache {
	of := func(l models.Layers) float64 { return 2 * float64(l.Count*l.KVHeads*l.HeadDim) * bytesPerNumber }
	return replica.Cache{FullBytes: of(m.Full), SlidingBytes: of(m.Sliding), Window: m.Window}
}
