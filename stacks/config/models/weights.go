package models

import (
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// vocabulary is the number of entries of the vocabulary, in 10^9: 262144, the same for all models of the catalogue.
const vocabulary = 262144e-9

// Weights is how the weights of linear layers are stored. The zero value is 16 bits.
type Weights struct {
	// Name is what the format is usually called, such as W4A16.
	Name string
	// Bytes is the size of a weight with its share of the scales.
	Bytes float64
	// MinCapability is the minimum compute capability, times ten, of a GPU that vLLM reads the format on.
	MinCapability int
	// FP8 is true where GPUs that have 8-bit tensor cores compute with them. All other formats are converted to 16 bits first, and
	// this one too on GPUs without (vLLM's Marlin kernels).
	FP8 bool
	// Slow is true for a format whose conversion takes longer than reading the weights saves, so that no speed is computed.
	Slow bool
}

// The formats. Sizes follow from the formats' own definitions: a scale of 16 bits for each group of weights. Capabilities are those of
// vLLM's table (https://docs.vllm.ai/en/latest/features/quantization/, Supported Hardware): Marlin, which reads FP8 and 4 bits, from
// Ampere on. Newer versions list Turing too, which has no bfloat16, so that none of the catalogue's models gains by it.
var (
	// FP8 has 8 bits and a scale for each row or block, which is less than a thousandth.
	FP8 = Weights{Name: "FP8", Bytes: 1, MinCapability: accelerators.Marlin, FP8: true}
	// Int8 has 8 bits; its activations have 8 bits too.
	Int8 = Weights{Name: "W8A8", Bytes: 1, MinCapability: accelerators.Int8}
	// Int4 has 4 bits and a scale for every 128 weights.
	Int4 = Weights{Name: "W4A16", Bytes: 0.5 + 2.0/128, MinCapability: accelerators.Marlin}
	// Int4Fine has 4 bits and a scale for every 32 weights, as Q4_0 has.
	Int4Fine = Weights{Name: "W4A16 in groups of 32", Bytes: 0.5 + 2.0/32, MinCapability: accelerators.Marlin}
	// NF4 is bitsandbytes' format of 4 bits: a scale of 32 bits for every 64 weights.
	NF4 = Weights{Name: "NF4", Bytes: 0.5 + 4.0/64, MinCapability: 70, Slow: true}
)

// Quantized reports whether the weights have fewer than 16 bits.
func (w Weights) Quantized() bool { return w.Bytes > 0 }

// CompressedTensors is the method that checkpoints of llm-compressor declare.
const CompressedTensors = "compressed-tensors"

// checkpoint is a published checkpoint of a model of the catalogue with other weights.
type checkpoint struct {
	id, base string
	// method is what its config.json declares, in the words of vLLM's --quantization; "" for 16 bits.
	method  string
	weights Weights
	// filesGB is the size of its files, in 10^9 bytes, where it is published; 0 where it follows from the format.
	filesGB float64
}

// checkpoints lists published checkpoints. Their names are those of their pages on Hugging Face; the format is in the name. Sizes:
//   - google/gemma-3-*-unquantized are trained for 4 bits and stored in 16: 54.9 and 24.4 GB, as the models themselves.
//   - RedHatAI/gemma-4-26B-A4B-it-FP8-dynamic has 28.64 GB, 1.5 GB of which are a copy of the embeddings that is not loaded.
//
// All other sizes are computed. weights_test.go compares the computation with four published sizes.
var checkpoints = []checkpoint{
	{"google/gemma-3-12b-it-qat-q4_0-unquantized", "google/gemma-3-12b-it", "", Weights{}, 0},
	{"google/gemma-3-27b-it-qat-q4_0-unquantized", "google/gemma-3-27b-it", "", Weights{}, 0},
	{"RedHatAI/gemma-3-4b-it-FP8-dynamic", "google/gemma-3-4b-it", CompressedTensors, FP8, 0},
	{"RedHatAI/gemma-3-12b-it-FP8-dynamic", "google/gemma-3-12b-it", CompressedTensors, FP8, 0},
	{"RedHatAI/gemma-3-27b-it-FP8-dynamic", "google/gemma-3-27b-it", CompressedTensors, FP8, 0},
	{"RedHatAI/gemma-3-4b-it-quantized.w4a16", "google/gemma-3-4b-it", CompressedTensors, Int4, 0},
	{"RedHatAI/gemma-3-12b-it-quantized.w4a16", "google/gemma-3-12b-it", CompressedTensors, Int4, 0},
	{"RedHatAI/gemma-3-27b-it-quantized.w4a16", "google/gemma-3-27b-it", CompressedTensors, Int4, 0},
	{"RedHatAI/gemma-3-12b-it-quantized.w8a8", "google/gemma-3-12b-it", CompressedTensors, Int8, 0},
	{"ISTA-DASLab/gemma-3-12b-it-GPTQ-4b-128g", "google/gemma-3-12b-it", CompressedTensors, Int4, 0},
	{"ISTA-DASLab/gemma-3-27b-it-GPTQ-4b-128g", "google/gemma-3-27b-it", CompressedTensors, Int4, 0},
	{"RedHatAI/gemma-4-26B-A4B-it-FP8-dynamic", "google/gemma-4-26B-A4B-it", CompressedTensors, FP8, 28.64},
	{"RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic", "google/gemma-4-26B-A4B-it", CompressedTensors, FP8, 28.64},
	{"RedHatAI/gemma-4-31B-it-FP8-dynamic", "google/gemma-4-31B-it", CompressedTensors, FP8, 0},
	{"RedHatAI/gemma-4-31B-it-FP8-Dynamic", "google/gemma-4-31B-it", CompressedTensors, FP8, 0},
	{"RedHatAI/gemma-4-31B-it-FP8-block", "google/gemma-4-31B-it", CompressedTensors, FP8, 0},
	{"google/gemma-4-31B-it-qat-w4a16-ct", "google/gemma-4-31B-it", CompressedTensors, Int4Fine, 0},
}

// findCheckpoint returns the model of a published checkpoint, and whether there is one.
func findCheckpoint(id string) (Model, bool) {
	for _, c := range checkpoints {
		if c.id != id {
			continue
		}
		model, ok := Find(c.base)
		model.IDs, model.Method, model.Weights, model.filesGB = []string{id}, c.method, c.weights, c.filesGB
		// The base's licence is asked for by Google's own repositories only.
		model.Gated = model.Gated && strings.HasPrefix(id, "google/")
		return model, ok
	}
	return Model{}, false
}

// Checkpoints returns the models of the published checkpoints with quantised weights, by model and then as listed.
func Checkpoints() []Model {
	var all []Model
	for _, c := range checkpoints {
		if model, ok := findCheckpoint(c.id); ok && model.Weights.Quantized() {
			all = append(all, model)
		}
	}
	return all
}

// CheckpointsOf returns the names of the published checkpoints of a model with quantised weights.
func CheckpointsOf(id string) []string {
	var ids []string
	for _, c := range checkpoints {
		if c.base == id && c.weights.Quantized() {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// Kept returns the weights that stay in 16 bits in every quantised form, in 10^9: embeddings and encoders of images and audio.
func (m Model) Kept() float64 {
	return vocabulary*float64(m.HiddenSize) + m.PerLayerEmbeddings + m.Encoders
}

// Bytes returns the size of all weights where those that are not quantised have a number of bytes.
func (m Model) Bytes(bytesPerNumber float64) float64 {
	if !m.Weights.Quantized() {
		return m.Parameters * 1e9 * bytesPerNumber
	}
	return (m.Parameters-m.Kept())*1e9*m.Weights.Bytes + m.Kept()*1e9*bytesPerNumber
}

// FileBytes returns the size of the files of the weights.
func (m Model) FileBytes() float64 {
	if m.filesGB > 0 {
		return m.filesGB * 1e9
	}
	return m.Bytes(2)
}
