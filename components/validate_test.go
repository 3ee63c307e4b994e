package components

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestImagesWithAVersion(t *testing.T) {
	for _, image := range []string{
		"vllm/vllm-openai:v0.20.0-cu129",
		"registry:5000/vllm:v1",
		"vllm@sha256:0123",
	} {
		assert.NoError(t, validateImage(image))
	}
}
