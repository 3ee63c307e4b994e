// Package sizing says whether a model fits the GPUs of a replica, and how many requests fit beside it,
// before any of them is paid for. docs/sizing.md derives the rule and says how sure it is.
//
// vLLM takes a share of each GPU's memory. The weights come off it first, then what a forward pass
// needs, and all that is left is the KV cache. vLLM refuses to start when the cache does not hold one
// sequence of the longest context; with less than all requests need, it pauses and repeats some.
package sizing

import (
	"math"

	"vllm-autoscaling/stacks/config/models"
)

const (
	// GiB is 2^30 bytes.
	GiB = 1 << 30

	// loadFactor is how much more vLLM reports for loaded weights than their parameters take: 2.7 % for
	// Gemma 3 1B (1.91 GiB, github.com/vllm-project/vllm/issues/14696), 3.1 % for 27B on four GPUs (13.17
	// GiB on each, github.com/vllm-project/vllm/issues/15676).
	loadFactor = 1.03
	// contextGiB is the CUDA context, the kernels and, over several GPUs, NCCL's buffers.
	contextGiB = 0.6
	// graphsGiB is what CUDA graphs take (0.44 GiB for Gemma 3 1B in the log above). Before 0.21 vLLM
	// takes them outside its share; inside is the safe side.
	graphsGiB = 0.5
	// imagesGiB is the encoder's work on the images that vLLM plans for.
	imagesGiB = 0.5
	// activationWidth is how many numbers a token takes at the peak of a forward pass, in widths of a
	// layer. With the two lines above, it puts Gemma 4 26B-A4B on an A100 at 1.4 GiB without graphs, where
	// vLLM's log has 1.3 (https://myoceane.fr/index.php/ai-vllm-a100-gemma-4).
	activationWidth = 24
	// vocabulary is the number of tokens that each running request gets a score for, all Gemmas alike.
	vocabulary = 262144
	// scoreBytes is what the scores of a token take: as 32-bit numbers, sorted, and as probabilities.
	scoreBytes = 12
	// sizedOverheadGiB is what a forward pass takes for a model of which only the size is known.
	sizedOverheadGiB = 2.5

	// blockTokens is the number of tokens in a block of the KV cache.
	blockTokens = 16
	// TypicalShare is the share of the longest context that a typical request takes.
	TypicalShare = 0.5
)

// The number of tokens that vLLM's server puts into one forward pass unless told otherwise: more on
// GPUs of 70 GiB and above, except for the A100 (vllm/engine/arg_utils.py, get_batch_defaults).
const (
	BatchedTokens      = 2048
	BatchedTokensLarge = 8192
	LargeGPUGiB        = 70
)

// Footprint is what a model takes of the GPUs of a replica.
type Footprint struct {
	weightsGiB float64 // All weights, before loadFactor.
	hidden     int
	images     bool
	// bytesPerNumber is the size of a weight and of an activation, cacheBytes that of a number in the KV
	// cache.
	bytesPerNumber, cacheBytes float64
	full, sliding              models.Layers
	window                     int
	// cachePerToken is the KV cache of a token in bytes, for a model of which only the size is known.
	cachePerToken float64
}

// Of is the footprint of a model of the catalogue whose weights and activations take bytesPerNumber
// bytes each (2 in bfloat16) and whose KV cache takes cacheBytes.
func Of(m models.Model, bytesPerNumber, cacheBytes float64) Footprint {
	return Footprint{
		weightsGiB: m.Parameters * 1e9 * bytesPerNumber / GiB, hidden: m.HiddenSize, images: m.Multimodal,
		bytesPerNumber: bytesPerNumber, cacheBytes: cacheBytes, full: m.Full, sliding: m.Sliding, window: m.Window,
	}
}

// OfSize is the footprint of a model of which only the size is known: that of its weights as loaded,
// in GiB, and that of the KV cache of a token over all layers, in bytes.
func OfSize(weightsGiB, cachePerToken float64) Footprint {
	return Footprint{weightsGiB: weightsGiB / loadFactor, cachePerToken: cachePerToken}
}

// Server is how vLLM runs.
type Server struct {
	// GPUGiB is the memory of one GPU as CUDA reports it.
	GPUGiB float64
	// GPUs is the number of GPUs of a replica, over which vLLM splits every layer; at least 1.
	GPUs int
	// Utilization is the share of a GPU's memory that vLLM takes.
	Utilization float64
	// MaxModelLen is the longest context in tokens, MaxNumSeqs how many requests run at a time.
	MaxModelLen, MaxNumSeqs int
	// BatchedTokens is how many tokens go into one forward pass at most.
	BatchedTokens int
	// Eager is true when vLLM makes no CUDA graphs.
	Eager bool
}

// Fit is how a model fits, for each of the GPUs of a replica, in GiB.
type Fit struct {
	// Budget is what vLLM takes of the GPU.
	Budget float64
	// Weights are those of the model, Overhead what a forward pass takes.
	Weights, Overhead float64
	// Cache is what is left for the KV cache; below 0 when the rest does not fit.
	Cache float64
	// Sequence is the cache of one request of the longest context while its prompt is read: what vLLM
	// has to find free in order to start.
	Sequence float64
	// typical is the cache of a typical request that writes its answer.
	typical float64
}

// Compute makes the sum.
func Compute(f Footprint, s Server) Fit {
	gpus := float64(s.GPUs)
	fit := Fit{
		Budget:   s.GPUGiB * s.Utilization,
		Weights:  f.weightsGiB * loadFactor / gpus,
		Overhead: f.overhead(s),
		Sequence: f.sequence(s.MaxModelLen, s.BatchedTokens, s.GPUs) / GiB,
		typical:  f.sequence(int(math.Ceil(TypicalShare*float64(s.MaxModelLen))), 1, s.GPUs) / GiB,
	}
	fit.Cache = fit.Budget - fit.Weights - fit.Overhead
	return fit
}

// WeightsFit says whether weights and forward passes leave anything for a cache at all.
func (f Fit) WeightsFit() bool { return f.Cache > 0 }

// Starts says whether vLLM starts: whether one request of the longest context fits.
func (f Fit) Starts() bool { return f.Cache >= f.Sequence }

// FullLength is how many requests of the longest context fit at a time: the "Maximum concurrency" of
// vLLM's log.
func (f Fit) FullLength() float64 { return math.Max(0, f.Cache) / f.Sequence }

// Typical is how many typical requests fit at a time, while the prompt of another one is read.
func (f Fit) Typical() int {
	if !f.Starts() {
		return 0
	}
	return 1 + int((f.Cache-f.Sequence)/f.typical)
}

// LongestContext is the longest context with which vLLM would start, rounded down to blocks and at
// most s.MaxModelLen; 0 when there is none.
func LongestContext(f Footprint, s Server) int {
	low, high := 0, s.MaxModelLen/blockTokens
	for low < high {
		middle := (low + high + 1) / 2
		s.MaxModelLen = middle * blockTokens
		if Compute(f, s).Starts() {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low * blockTokens
}

// overhead is what a forward pass takes of each GPU besides weights and cache, in GiB.
func (f Footprint) overhead(s Server) float64 {
	if f.hidden == 0 {
		return sizedOverheadGiB
	}
	total := contextGiB + float64(s.BatchedTokens)*float64(f.hidden)*activationWidth*f.bytesPerNumber/GiB
	total += float64(s.MaxNumSeqs) * vocabulary * scoreBytes / GiB
	if !s.Eager {
		total += graphsGiB
	}
	if f.images {
		total += imagesGiB
	}
	return total
}

// sequence is what a request of a length takes of each GPU's cache, in bytes, while batched tokens of
// its prompt are read at a time. Full layers keep all of it. Sliding layers keep what they look back at
// and what is read, and one block more, because the window does not begin where a block does
// (vllm/v1/kv_cache_interface.py, FullAttentionSpec and SlidingWindowSpec).
func (f Footprint) sequence(tokens, batched, gpus int) float64 {
	if f.hidden == 0 {
		return float64(blocks(tokens, blockTokens)*blockTokens) * f.cachePerToken / float64(gpus)
	}
	full, sliding := f.perToken(f.full, gpus), f.perToken(f.sliding, gpus)
	// vLLM gives all layers blocks of one size in bytes, so layers with less per token get longer ones.
	largest := math.Max(full, sliding)
	fullBlock, slidingBlock := int(blockTokens*largest/full), int(blockTokens*largest/sliding)
	inWindow := min(f.window-1+batched, tokens)
	layers := f.sliding.Count
	if f.full.Count > 0 {
		// It forms groups of as many layers as there are full ones, and fills the last group up.
		layers = blocks(layers, f.full.Count) * f.full.Count
	}
	return float64(f.full.Count*blocks(tokens, fullBlock)*fullBlock)*full +
		float64(layers*(blocks(inWindow, slidingBlock)+1)*slidingBlock)*sliding
}

// perToken is what a token takes in one layer on one GPU, in bytes: a key and a value for each head.
// More GPUs than heads hold copies.
func (f Footprint) perToken(l models.Layers, gpus int) float64 {
	return 2 * float64(max(1, l.KVHeads/gpus)*l.HeadDim) * f.cacheBytes
}

// blocks is how many blocks of a size it takes.
func blocks(n, size int) int { return (n + size - 1) / size }
