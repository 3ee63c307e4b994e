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

// TestFP8 checks that weights of 8 bits are computed twice as fast on GPUs with 8-bit tensor cores only.
func TestFP8(t *testing.T) {
	eight := small
	eight.FP8 = true
	for accelerator, factor := range map[string]float64{"nvidia-l4": 2, "nvidia-h100-80gb": 2, "nvidia-a100-80gb": 1, "nvidia-a10g": 1} {
		wide, _ := Roofline(accelerator, small, 1)
		narrow, _ := Roofline(accelerator, eight, 1)
		assert.InEpsilon(t, wide.PerToken/factor, narrow.PerToken, 1e-9, accelerator)
		assert.Equal(t, wide.Weights, narrow.Weights, "%s: their size is that of the weights", accelerator)
	}
}

// TestEngines checks that two engines take for the tokens and the cache of both as long as one takes for half of them.
func TestEngines(t *testing.T) {
	one, _ := Roofline("nvidia-l4", small, 1)
	two := one.Engines(2)
	for _, load := range []struct {
		tokens int
		cache  float64
	}{{2, 0}, {64, 2e9}, {4096, 1e9}} {
		assert.InEpsilon(t, one.Pass(load.tokens/2, load.cache/2), two.Pass(load.tokens, load.cache), 1e-9)
	}
	assert.Equal(t, one, one.Engines(1))
	assert.Equal(t, one, one.Staged(1))
	assert.InDelta(t, one.Pass(64, 1e9)+3*gpuSeconds, one.Staged(4).Pass(64, 1e9), 1e-12, "a pass goes through all stages")
}
