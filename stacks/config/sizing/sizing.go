package sizing

import (
	"math"

	"vllm-autoscaling/stacks/config/models"
)

const (
	// GiB is 2^30 bytes.
	GiB = 1 << 30

	// loadFactor is the ratio of the weight memory that vLLM reports to the size of the parameters: 2.7 % more for
	// Gemma 3 1B (1.91 GiB, github.com/vllm-project/vllm/issues/14696), 3.1 % for 27B on four GPUs (13.17
	// GiB on each, github.com/vllm-project/vllm/issues/15676).
	loadFactor = 1.03
	// contextGiB is the memory of the CUDA context, the kernels and, with several GPUs, NCCL's buffers.
	contextGiB = 0.6
	// graphsGiB is the memory of CUDA graphs (0.44 GiB for Gemma 3 1B in the log above). vLLM before 0.21 allocates them
	// outside its share; to count them inside is the safe assumption.
	graphsGiB = 0.5
	// imagesGiB is the memory of the encoder for the images that vLLM reserves memory for.
	imagesGiB = 0.5
	// activationWidth is the number of activations per token at the peak of a forward pass, in multiples of the hidden size.
	// With contextGiB and imagesGiB, the sum for Gemma 4 26B-A4B on an A100 is 1.4 GiB without graphs; vLLM's log has 1.3
	// (https://myoceane.fr/index.php/ai-vllm-a100-gemma-4).
	activationWidth = 24
	// vocabulary is the size of the vocabulary, the same for all Gemma models: each running request gets a logit per entry.
	vocabulary = 262144
	// scoreBytes is the memory per logit: three 32-bit numbers, for the logit, its sorted copy and its probability.
	scoreBytes = 12
	// sizedOverheadGiB is the memory of a forward pass for a model of which only the size is known.
	sizedOverheadGiB = 2.5

	// blockTokens is the number of tokens in a block of the KV cache.
	blockTokens = 16
	// TypicalTokens is the context of a typical request, prompt and answer. Public traces have 294 (ServeGen m-mid), 1,366 (Azure 2023,
	// conversations) and 2,075 tokens (Azure 2023, code) on average, the whole answer included, of which a request has half on average
	// while it runs.
	TypicalTokens = 1024
)

// Footprint is the memory that a model takes of the GPUs of a replica.
type Footprint struct {
	weightsGiB float64 // All weights, before loadFactor.
	hidden     int
	images     bool
	// bytesPerNumber is the size of a weight and of an activation, cacheBytes that of a number in the KV cache.
	bytesPerNumber, cacheBytes float64
	full, sliding              models.Layers
	window                     int
	// cachePerToken is the size of a token in the KV cache, in bytes, for a model of which only the size is known.
	cachePerToken float64
	// layers is the number of layers that the stages of a pipeline share; 0 for a model of which only the size is known.
	layers int
	// keptGiB is the part of weightsGiB that one stage of a pipeline has as a whole, and adaptersGiB is that of the LoRA adapters on
	// every GPU.
	keptGiB, adaptersGiB float64
}

// Of returns the footprint of a model of the catalogue with weights and activations of bytesPerNumber bytes (2 in bfloat16)
// and a KV cache of cacheBytes bytes per number.
func Of(m models.Model, bytesPerNumber, cacheBytes float64) Footprint {
	return Footprint{
		weightsGiB: m.Bytes(bytesPerNumber) / GiB, hidden: m.HiddenSize, images: m.Multimodal,
		bytesPerNumber: bytesPerNumber, cacheBytes: cacheBytes, full: m.Full, sliding: m.Sliding, window: m.Window,
		layers: m.LayerCount(), keptGiB: m.Kept() * 1e9 * bytesPerNumber / GiB,
	}
}

// OfSize returns the footprint of a model of which only the size is known: that of its loaded weights, in GiB, and that of a
// token in the KV cache over all layers, in bytes.
func OfSize(weightsGiB, cachePerToken float64) Footprint {
	return Footprint{weightsGiB: weightsGiB / loadFactor, cachePerToken: cachePerToken}
}

// Server holds the settings of vLLM and of its GPUs.
type Server struct {
	// GPUGiB is the memory of one GPU as reported by CUDA.
	GPUGiB float64
	// GPUs is the number of GPUs over which vLLM splits every layer, the tensor parallel size; at least 1.
	GPUs int
	// Stages is the number of stages that the layers are spread over, the pipeline parallel size; 0 is 1. Every stage has GPUs.
	Stages int
	// Utilization is the share of a GPU's memory that vLLM takes.
	Utilization float64
	// MaxModelLen is the longest context in tokens, MaxNumSeqs the maximum number of running requests.
	MaxModelLen, MaxNumSeqs int
	// BatchedTokens is the maximum number of tokens in one forward pass.
	BatchedTokens int
	// Eager is true if vLLM captures no CUDA graphs.
	Eager bool
}

// Fit is the memory balance of a model on each GPU of an engine of vLLM, in GiB: on that of the largest stage of a pipeline. A replica
// with data parallelism has several engines, all with the same balance.
type Fit struct {
	// Budget is vLLM's share of the GPU's memory.
	Budget float64
	// Weights is the memory of the weights, Overhead that of a forward pass.
	Weights, Overhead float64
	// Cache is the memory that is left for the KV cache; below 0 if weights and overhead do not fit.
	Cache float64
	// Sequence is the cache of one request of the longest context during prefill: vLLM requires it in order to start.
	Sequence float64
	// typical is the cache of a typical request during decoding.
	typical float64
}

// Compute returns how the footprint fits the server.
func Compute(f Footprint, s Server) Fit {
	share := f.stageShare(s.Stages)
	fit := Fit{
		Budget:   s.GPUGiB * s.Utilization,
		Weights:  f.stageGiB(share)*loadFactor/float64(s.GPUs) + f.adaptersGiB*share,
		Overhead: f.overhead(s),
		Sequence: f.sequence(s.MaxModelLen, s.BatchedTokens, s.GPUs) * share / GiB,
		typical:  f.sequence(min(TypicalTokens, s.MaxModelLen), 1, s.GPUs) * share / GiB,
	}
	fit.Cache = fit.Budget - fit.Weights - fit.Overhead
	return fit
}

// WeightsFit reports whether weights and overhead leave any memory for the KV cache.
func (f Fit) WeightsFit() bool { return f.Cache > 0 }

// Starts reports whether vLLM starts: whether one request of the longest context fits.
func (f Fit) Starts() bool { return f.Cache >= f.Sequence }

// FullLength returns how many requests of the longest context fit at a time: the "Maximum concurrency" in vLLM's log.
func (f Fit) FullLength() float64 { return math.Max(0, f.Cache) / f.Sequence }

// Typical returns how many requests of TypicalTokens fit at a time.
func (f Fit) Typical() int {
	if !f.Starts() {
		return 0
	}
	return int(f.Cache / f.typical)
}

// LongestContext returns the longest context with which vLLM starts, rounded down to blocks and at most s.MaxModelLen; 0 if
// there is none.
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

// stageShare returns the share of the layers in the largest stage of a pipeline: vLLM spreads them evenly, in whole layers.
func (f Footprint) stageShare(stages int) float64 {
	switch {
	case stages <= 1:
		return 1
	case f.layers == 0:
		return 1 / float64(stages)
	}
	return float64(blocks(f.layers, stages)) / float64(f.layers)
}

// stageGiB returns the size of the weights of the largest stage of a pipeline, before loadFactor. The first stage has the embeddings and
// the encoders, and the last one a copy of the embeddings, which are the scores of the next token too: either is assumed to be the largest.
func (f Footprint) stageGiB(share float64) float64 {
	if share == 1 {
		return f.weightsGiB
	}
	return f.keptGiB + (f.weightsGiB-f.keptGiB)*share
}

// LoadedBytes returns the memory that the weights take of all GPUs of an engine together, in bytes.
func (f Footprint) LoadedBytes() float64 { return f.weightsGiB * loadFactor * GiB }

// overhead returns the memory of a forward pass on each GPU, besides weights and cache, in GiB.
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

// sequence returns the size of a request of the given number of tokens in each GPU's cache, in bytes, with a prefill of
// batched tokens at a time. Full layers keep all tokens. Sliding layers keep their window and the batched tokens, and one
// more block, because the window does not begin at a block boundary (vllm/v1/kv_cache_interface.py, FullAttentionSpec and
// SlidingWindowSpec).
func (f Footprint) sequence(tokens, batched, gpus int) float64 {
	if f.hidden == 0 {
		return float64(blocks(tokens, blockTokens)*blockTokens) * f.cachePerToken / float64(gpus)
	}
	full, sliding := f.perToken(f.full, gpus), f.perToken(f.sliding, gpus)
	// In vLLM the blocks of all layers have the same size in bytes, so layers with less per token have more tokens per block.
	largest := math.Max(full, sliding)
	fullBlock, slidingBlock := int(blockTokens*largest/full), int(blockTokens*largest/sliding)
	inWindow := min(f.window-1+batched, tokens)
	layers := f.sliding.Count
	if f.full.Count > 0 {
		// vLLM forms groups of as many layers as there are full ones, and pads the last group.
		layers = blocks(layers, f.full.Count) * f.full.Count
	}
	return float64(f.full.Count*blocks(tokens, fullBlock)*fullBlock)*full +
		float64(layers*(blocks(inWindow, slidingBlock)+1)*slidingBlock)*sliding
}

// perToken returns the size of a token in the cache of one layer on one GPU, in bytes: a key and a value for each head. With
// more GPUs than heads, heads are replicated.
func (f Footprint) perToken(l models.Layers, gpus int) float64 {
	return 2 * float64(max(1, l.KVHeads/gpus)*l.HeadDim) * f.cacheBytes
}

// blocks returns the number of blocks of the given size that hold n tokens or layers.
func blocks(n, size int) int { return (n + size - 1) / size }
