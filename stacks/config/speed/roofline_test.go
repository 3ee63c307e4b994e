package speed

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers/accelerators"
)

// small is a model with round numbers.
var small = Size{WeightBytes: 2e9, Parameters: 1e9, Layers: 10, HiddenSize: 1000}

func TestEveryAcceleratorHasASpeed(t *testing.T) {
	for _, a := range accelerators.All() {
		profile, ok := Roofline(a.Name, small, 1)
		assert.True(t, ok, "%s: add its columns to the table", a.Name)
		assert.Positive(t, profile.Weights, a.Name)
		assert.Positive(t, profile.PerToken, a.Name)
	}
	_, ok := Roofline("nvidia-unknown", small, 1)
	assert.False(t, ok)
}

func TestRoofline(t *testing.T) {
	one, _ := Roofline("nvidia-l4", small, 1)
	assert.InDelta(t, 2/(300*bandwidthShare), one.Weights, 1e-9, "2 GB at the share of 300 GB/s that is reached")
	assert.InDelta(t, 2e9/(121e12*computeShare), one.PerToken, 1e-15)
	four, _ := Roofline("nvidia-l4", small, 4)
	assert.InDelta(t, one.Weights/4, four.Weights, 1e-12)
	assert.Greater(t, four.Fixed, one.Fixed)
	sent := 2.0 * 10 * 1000 * 2 * 1.5
	assert.InDelta(t, one.PerToken/4+sent/(32e9*linkShare), four.PerToken, 1e-12, "two all-reduces in each layer, over PCIe")
}
