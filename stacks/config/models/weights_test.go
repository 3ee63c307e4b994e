package models

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAgainstPublishedSizes compares the size of quantised weights with that of published files: embeddings and encoders stay in 16 bits.
func TestAgainstPublishedSizes(t *testing.T) {
	for name, test := range map[string]struct {
		id      string
		weights Weights
		// apart are the weights, in 10^9, that these files do not have, or have twice.
		apart float64
		want  float64 // bytes
	}{
		// huggingface.co/1kxia/gemma-3-270m-modelopt-fp8: linear layers in FP8, 416 MiB.
		"270M in FP8": {"google/gemma-3-270m", FP8, 0, 416 << 20},
		// google/gemma-3-*-it-qat-q4_0-gguf: 8.1 and 17.2 GB without the encoder of images, which is a file of its own.
		"12B in Q4_0": {"google/gemma-3-12b-it", Int4Fine, -siglip, 8.1e9},
		"27B in Q4_0": {"google/gemma-3-27b-it", Int4Fine, -siglip, 17.2e9},
		// RedHatAI/gemma-4-26B-A4B-it-FP8-dynamic: 28.64 GB with a second copy of the embeddings.
		"26B-A4B in FP8": {"google/gemma-4-26B-A4B-it", FP8, vocabulary * 2816, 28.64e9},
	} {
		model, ok := Find(test.id)
		require.True(t, ok, name)
		model.Weights = test.weights
		assert.InEpsilon(t, test.want, model.Bytes(2)+test.apart*2e9, 0.01, name)
	}
}

// TestCheckpoints checks what published checkpoints take over from their model, and what is their own.
func TestCheckpoints(t *testing.T) {
	base, _ := Find("google/gemma-3-27b-it")
	quantised, ok := Find("RedHatAI/gemma-3-27b-it-quantized.w4a16")
	require.True(t, ok)
	assert.Equal(t, base.Heads, quantised.Heads)
	assert.Equal(t, []string{"RedHatAI/gemma-3-27b-it-quantized.w4a16"}, quantised.IDs)
	assert.Equal(t, CompressedTensors, quantised.Method)
	assert.True(t, base.Gated)
	assert.False(t, quantised.Gated, "the gate is that of Google's repositories")
	// 25.6e9 weights of 4 bits with a scale for 128 of them, and 1.83e9 of 16 bits.
	assert.InEpsilon(t, 25.6007e9*(0.5+2.0/128)+1.8293e9*2, quantised.Bytes(2), 1e-4)
	assert.InDelta(t, quantised.Bytes(2), quantised.FileBytes(), 0)

	published, _ := Find("RedHatAI/gemma-4-26B-A4B-it-FP8-dynamic")
	assert.InDelta(t, 28.64e9, published.FileBytes(), 1)
	assert.Less(t, published.Bytes(2), published.FileBytes(), "a part of the files is not loaded")

	trained, ok := Find("google/gemma-3-27b-it-qat-q4_0-unquantized")
	require.True(t, ok)
	assert.Equal(t, base.Bytes(2), trained.Bytes(2))
	assert.True(t, trained.Gated)

	seen := map[string]bool{}
	for _, c := range checkpoints {
		_, known := Find(c.base)
		assert.True(t, known, "%s is no model", c.base)
		assert.False(t, seen[c.id], "%s stands twice", c.id)
		seen[c.id] = true
		assert.Equal(t, c.method == "", !c.weights.Quantized(), c.id)
	}
	for _, m := range Checkpoints() {
		assert.Contains(t, CheckpointsOf(baseOf(m.IDs[0])), m.IDs[0])
	}
	for _, m := range All() {
		assert.Less(t, m.Kept(), m.Parameters, m.IDs[0])
		assert.Positive(t, m.LayerCount(), m.IDs[0])
	}
}

func baseOf(id string) string {
	for _, c := range checkpoints {
		if c.id == id {
			return c.base
		}
	}
	return ""
}
