package speed

import (
	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
)

// BytesPerNumber is the size of a number in the 16-bit types, which all models of the catalogue are served in.
const BytesPerNumber = 2

// What of the data sheets' numbers a server reaches, and what a pass takes besides. These are estimates that TestPublishedFigures
// compares with published figures of vLLM: single figures differ by up to a quarter, their mean by less than a tenth.
const (
	bandwidthShare = 0.8
	computeShare   = 0.5
	// linkShare is what a large all-reduce over the NVLinks of four H100 reaches (366 of 450 GB/s, "Where Tensor-Parallel Inference
	// Hits the NVLink Wall", 2026). For PCIe it is an estimate.
	linkShare = 0.8
	// fp8Factor is how much more GPUs compute with 8 bits than with 16, by the data sheets of all of them that have 8-bit tensor cores.
	fp8Factor = 2
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
	// FP8 is true for weights of 8 bits that a GPU with 8-bit tensor cores computes with, which it does twice as fast as with 16 bits.
	FP8 bool
}

// Roofline returns the profile of an engine, of which a replica has one: a pass takes as long as reading the weights and the cache, or as
// computing its tokens, whichever takes longer. It reports whether the accelerator's speed is known.
//
// Attention's own operations are left out. They grow with the square of the prompt, but most layers of the catalogue's models attend
// to a window: for a prompt of 8192 tokens they add 2 to 8 %, and 15 % with Gemma 3 270M (TestAttentionIsSmall).
// All experts of a mixture count as computed for each token, so that its prompts are too slow.
func Roofline(accelerator string, size Size, gpus int) (Profile, bool) {
	a, ok := accelerators.Find(accelerator)
	if !ok {
		return Profile{}, false
	}
	bandwidth := a.BandwidthGBs * 1e9 * bandwidthShare * float64(gpus)
	compute := a.ComputeTFLOPS * 1e12 * computeShare * float64(gpus)
	if size.FP8 && a.ComputeCapability >= accelerators.FP8 {
		compute *= fp8Factor
	}
	return Profile{
		Fixed:        fixedSeconds + gpuSeconds*float64(gpus-1),
		Weights:      size.WeightBytes / bandwidth,
		PerCacheByte: 1 / bandwidth,
		// A token takes a multiplication and an addition with each weight.
		PerToken: 2*size.Parameters/compute + size.sentBytes(gpus)/(a.LinkGBs*1e9*linkShare),
	}, true
}

// sentBytes returns what a GPU sends for a token: two all-reduces in each layer, of a vector of the hidden size. In each of them a
// GPU sends the vector 2(n-1)/n times (ring algorithm).
func (s Size) sentBytes(gpus int) float64 {
	n := float64(gpus)
	return 2 * float64(s.Layers) * float64(s.HiddenSize) * BytesPerNumber * 2 * (n - 1) / n
}

// SizeOf returns the size of a model of the catalogue, or of an unknown one, with weights of that many bytes in 16 bits.
func SizeOf(id string, weightBytes float64) Size {
	size := Size{WeightBytes: weightBytes, Parameters: weightBytes / BytesPerNumber}
	if model, known := models.Find(id); known {
		size.Layers, size.HiddenSize = model.Full.Count+model.Sliding.Count, model.HiddenSize
	}
	return size
}
