package deployment

import (
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/models"
)

// speed is what NVIDIA's data sheet of a GPU names.
type speed struct {
	// bandwidth is that of its memory in 10^9 bytes per second, compute that of its tensor cores in 10^12 operations per
	// second, for 16-bit numbers without sparsity.
	bandwidth, compute float64
}

// speeds has every accelerator of the catalogue. Where a GPU comes in several forms, the one that the clouds have is listed: SXM
// for V100, A100 80 GB and H100 80 GB.
var speeds = map[string]speed{
	"nvidia-v100":           {900, 125},
	"nvidia-v100-32gb":      {900, 125},
	"nvidia-t4":             {320, 65},
	"nvidia-l4":             {300, 121},
	"nvidia-a10g":           {600, 70},
	"nvidia-a10":            {600, 125},
	"nvidia-a100-40gb":      {1555, 312},
	"nvidia-l40s":           {864, 362},
	"nvidia-a100-80gb":      {2039, 312},
	"nvidia-h100-80gb":      {3350, 989},
	"nvidia-h100-mega-80gb": {3350, 989},
	"nvidia-h100-94gb":      {3900, 835},
	"nvidia-h200-141gb":     {4800, 989},
}

// What of the data sheets' numbers a server reaches, and what a pass takes besides. These are estimates: no measurement of this
// project stands behind them, and a comparison of configurations depends on them less than an absolute time does.
const (
	bandwidthShare = 0.8
	computeShare   = 0.5
	// fixedSeconds is the time of a pass for scheduling, launching and sampling, with CUDA graphs.
	fixedSeconds = 0.003
	// gpuSeconds is the time for each further GPU, over which every layer is split and added up again.
	gpuSeconds = 0.001
)

// Roofline returns the profile of a replica: a pass takes as long as reading the weights and the cache, or as computing its tokens,
// whichever takes longer. It reports whether the accelerator's speed is known.
func Roofline(accelerator string, weightBytes, parameters float64, gpus int) (replica.Profile, bool) {
	s, ok := speeds[accelerator]
	if !ok {
		return replica.Profile{}, false
	}
	bandwidth := s.bandwidth * 1e9 * bandwidthShare * float64(gpus)
	compute := s.compute * 1e12 * computeShare * float64(gpus)
	return replica.Profile{
		Fixed:        fixedSeconds + gpuSeconds*float64(gpus-1),
		Weights:      weightBytes / bandwidth,
		PerCacheByte: 1 / bandwidth,
		// A token takes a multiplication and an addition with each weight.
		PerToken: 2 * parameters / compute,
	}, true
}

// cacheOf returns what a token of a model takes in the KV cache, with a number of bytes per number.
func cacheOf(m models.Model, bytesPerNumber float64) replica.Cache {
	of := func(l models.Layers) float64 { return 2 * float64(l.Count*l.KVHeads*l.HeadDim) * bytesPerNumber }
	return replica.Cache{FullBytes: of(m.Full), SlidingBytes: of(m.Sliding), Window: m.Window}
}
