package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNewerImage checks that the image to propose keeps the CUDA variant of the one in use: another one may need other drivers.
func TestNewerImage(t *testing.T) {
	for image, want := range map[string]string{
		imageVLLM:                  "vllm/vllm-openai:v0.24.0-cu129",
		"vllm/vllm-openai:v0.20.0": "vllm/vllm-openai:v0.24.0",
		"vllm/vllm-openai:v0.19.1": "vllm/vllm-openai:v0.24.0-cu129",
		"r.example.com:5000/m/vllm-openai:0.20.1-cu129-ubuntu2404@sha256:" + strings.Repeat("a", 64): "r.example.com:5000/m/vllm-openai:v0.24.0-cu129-ubuntu2404",
		"vllm/vllm-openai:v0.20.0rc1": "vllm/vllm-openai:v0.24.0",
	} {
		refused := problemsOf(t, source(t, CloudLocal, nvidia(keys{"model.id": "google/gemma-4-12B-it", "vllm.image": image})))
		require.Len(t, refused.Problems, 1, image)
		assert.Equal(t, "vllm.image "+want, refused.Problems[0].Fix, image)
	}
}
