package models

import (
	"slices"

	"vllm-autoscaling/providers/accelerators"
)

// Model describes a model as vLLM serves it in bfloat16, the type of its weights, or of a quantised checkpoint of it.
type Model struct {
	// IDs lists its names on Hugging Face, the instruction-tuned one first.
	IDs []string
	// Parameters is the number of its weights, in 10^9. It includes those that a mixture of experts does not use for a
	// single token, because all weights are loaded.
	Parameters float64
	// ContextLength is its longest context, in tokens (model card).
	ContextLength int
	// HiddenSize is the width of its layers (hidden_size in its config.json); activations grow with it.
	HiddenSize int
	// Heads is the number of attention heads; vLLM splits them evenly over the GPUs of a replica.
	Heads int
	// Full describes the layers that attend to all of the context, Sliding those that attend to its last Window tokens. Only
	// layers with a KV cache of their own are counted.
	Full, Sliding Layers
	// Window is the attention window of sliding layers, in tokens.
	Window int
	// Multimodal is true for a model that reads images too: vLLM reserves memory for them.
	Multimodal bool
	// MinBatchedTokens is the least --max-num-batched-tokens with which vLLM starts: the tokens of the longest image or video, which
	// it does not split over forward passes. 0 for a model without one.
	MinBatchedTokens int
	// Gated is true if a download from Hugging Face requires an account that accepted the licence.
	Gated bool
	// NoFloat16 is true if vLLM refuses to run it in float16, because its activations exceed the range.
	NoFloat16 bool
	// MinCapability is the minimum compute capability, times ten, of a GPU that runs it in the type of its weights.
	MinCapability int
	// MinVLLM is the first release of vLLM that serves it.
	MinVLLM string
	// Encoders is the number of weights of the encoders of images and audio, PerLayerEmbeddings that of the embeddings that layers
	// have of their own, both in 10^9 and part of Parameters. They stay in 16 bits where the rest is quantised.
	Encoders, PerLayerEmbeddings float64
	// SharedLayers is the number of layers that use the KV cache of another one.
	SharedLayers int
	// NoLoRA is true if vLLM's list of models has no LoRA for it.
	NoLoRA bool
	// Method is what a quantised checkpoint declares, in the words of vLLM's --quantization, and Weights is its format. Both are the
	// zero value for weights in 16 bits.
	Method  string
	Weights Weights
	// filesGB is the size of its files, in 10^9 bytes, where it is published.
	filesGB float64
}

// LayerCount returns the number of its layers, which vLLM spreads over the stages of a pipeline.
func (m Model) LayerCount() int { return m.Full.Count + m.Sliding.Count + m.SharedLayers }

// Layers describes the attention layers of one kind.
type Layers struct {
	// Count is the number of layers.
	Count int
	// KVHeads is the number of key and value heads of a layer, HeadDim the width of one head.
	KVHeads, HeadDim int
}

// The first releases of vLLM with each family: 0.8.0 for Gemma 3 (github.com/bentoml/BentoVLLM/pull/111 waits for it) and
// 0.19.0 for Gemma 4 (github.com/vllm-project/vllm-metal/pull/250). The 12B model has a different architecture; 0.24.0 is the
// first release that is reported to run it without changes (github.com/noonghunna/club-3090/pull/538).
const (
	firstWithGemma3        = "0.8.0"
	firstWithGemma4        = "0.19.0"
	firstWithGemma4Unified = "0.24.0"
)

// siglip is the number of weights of Gemma 3's encoder of images, in 10^9.
const siglip = 0.42

// The tokens of the longest item of each family: an image of Gemma 3 (github.com/decoderesearch/interp-engine/pull/2), and a video of
// Gemma 4 of 32 frames with 78 tokens each (github.com/vllm-project/vllm/pull/43051). vLLM 0.20 does not split the items of either
// family, whatever the size of the model.
const (
	gemma3Item = 256
	gemma4Item = 2496
)

// catalogue lists the models. The numbers of layers, heads and widths are those of Google's own definitions
// (github.com/google-deepmind/gemma: gemma/gm/nn/_gemma.py and gemma/gm/nn/gemma4/_gemma4.py), which
// agree with the config.json files on Hugging Face. Layers that share the KV cache of another one (the
// last 20 of Gemma 4 E2B, the last 18 of E4B) are left out. Contexts are those of the model cards.
//
// Parameters of Gemma 3: the number that Hugging Face shows for the files of each model. Of Gemma 4:
// from the memory that Google gives for the weights in 16 bits (E2B 9.6, E4B 15, 26B-A4B 48 and 31B 58.3
// GiB, https://ai.google.dev/gemma/docs/core), and 12B from its files of 23.9 GB. Gemma 4's licence is
// Apache 2.0, without a gate.
//
// Encoders: SigLIP 400M and its projection for Gemma 3; for Gemma 4 estimates, 150M for images and 300M for
// audio (E2B, E4B), and 550M for images (26B-A4B, 31B). 12B has none. The embeddings of each layer of E2B and E4B have 256 numbers for
// each entry of the vocabulary. LoRA is vLLM's list (https://docs.vllm.ai/en/latest/models/supported_models/), which has it for Gemma 3
// and not for Gemma 4 with images.
var catalogue = []Model{
	{
		IDs: []string{"google/gemma-3-270m-it", "google/gemma-3-270m"}, Parameters: 0.268, ContextLength: 32768, HiddenSize: 640, Heads: 4,
		Full: Layers{3, 1, 256}, Sliding: Layers{15, 1, 256}, Window: 512,
		Gated: true, NoFloat16: true, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma3,
	},
	{
		IDs: []string{"google/gemma-3-1b-it", "google/gemma-3-1b-pt"}, Parameters: 1.0, ContextLength: 32768, HiddenSize: 1152, Heads: 4,
		Full: Layers{4, 1, 256}, Sliding: Layers{22, 1, 256}, Window: 512,
		Gated: true, NoFloat16: true, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma3,
	},
	{
		IDs: []string{"google/gemma-3-4b-it", "google/gemma-3-4b-pt"}, Parameters: 4.3, ContextLength: 131072, HiddenSize: 2560, Heads: 8,
		Full: Layers{5, 4, 256}, Sliding: Layers{29, 4, 256}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma3Item,
		Gated: true, NoFloat16: true, Encoders: siglip, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma3,
	},
	{
		IDs: []string{"google/gemma-3-12b-it", "google/gemma-3-12b-pt"}, Parameters: 12.19, ContextLength: 131072, HiddenSize: 3840, Heads: 16,
		Full: Layers{8, 8, 256}, Sliding: Layers{40, 8, 256}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma3Item,
		Gated: true, NoFloat16: true, Encoders: siglip, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma3,
	},
	{
		IDs: []string{"google/gemma-3-27b-it", "google/gemma-3-27b-pt"}, Parameters: 27.43, ContextLength: 131072, HiddenSize: 5376, Heads: 32,
		Full: Layers{10, 16, 128}, Sliding: Layers{52, 16, 128}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma3Item,
		Gated: true, NoFloat16: true, Encoders: siglip, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma3,
	},
	{
		IDs: []string{"google/gemma-4-E2B-it"}, Parameters: 5.15, ContextLength: 131072, HiddenSize: 1536, Heads: 8,
		Encoders: 0.45, PerLayerEmbeddings: 35 * 256 * vocabulary, SharedLayers: 20, NoLoRA: true,
		Full: Layers{3, 1, 512}, Sliding: Layers{12, 1, 256}, Window: 512, Multimodal: true, MinBatchedTokens: gemma4Item,
		MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma4,
	},
	{
		IDs: []string{"google/gemma-4-E4B-it"}, Parameters: 8.05, ContextLength: 131072, HiddenSize: 2560, Heads: 8,
		Encoders: 0.45, PerLayerEmbeddings: 42 * 256 * vocabulary, SharedLayers: 18, NoLoRA: true,
		Full: Layers{4, 2, 512}, Sliding: Layers{20, 2, 256}, Window: 512, Multimodal: true, MinBatchedTokens: gemma4Item,
		MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma4,
	},
	{
		// No source gives its window; this is the window of the other two medium models.
		IDs: []string{"google/gemma-4-12B-it"}, Parameters: 11.95, ContextLength: 262144, HiddenSize: 3840, Heads: 16,
		Full: Layers{8, 1, 512}, Sliding: Layers{40, 8, 256}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma4Item,
		NoLoRA: true, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma4Unified,
	},
	{
		IDs: []string{"google/gemma-4-26B-A4B-it"}, Parameters: 25.8, ContextLength: 262144, HiddenSize: 2816, Heads: 16,
		Full: Layers{5, 2, 512}, Sliding: Layers{25, 8, 256}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma4Item,
		Encoders: 0.55, NoLoRA: true, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma4,
	},
	{
		IDs: []string{"google/gemma-4-31B-it"}, Parameters: 31.3, ContextLength: 262144, HiddenSize: 5376, Heads: 32,
		Full: Layers{10, 4, 512}, Sliding: Layers{50, 16, 256}, Window: 1024, Multimodal: true, MinBatchedTokens: gemma4Item,
		Encoders: 0.55, NoLoRA: true, MinCapability: accelerators.BFloat16, MinVLLM: firstWithGemma4,
	},
}

// All returns every model, by family and then by size.
func All() []Model { return slices.Clone(catalogue) }

// Find returns the model, or the published checkpoint of one, with the given name on Hugging Face, and whether there is one.
func Find(id string) (Model, bool) {
	i := slices.IndexFunc(catalogue, func(m Model) bool { return slices.Contains(m.IDs, id) })
	if i < 0 {
		return findCheckpoint(id)
	}
	return catalogue[i], true
}
