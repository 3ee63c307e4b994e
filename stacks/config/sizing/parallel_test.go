package sizing

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config/models"
)

// with returns the footprint of a model with quantised weights.
func with(t *testing.T, id string, weights models.Weights) Footprint {
	t.Helper()
	model, ok := models.Find(id)
	require.True(t, ok, id)
	model.Weights = weights
	return Of(model, 2, 2)
}

// TestQuantizedWeights compares the weights on a GPU with values computed by hand: linear layers in the format, embeddings (262144 x 5376
// or 3840) and the encoder (0.42e9) in 16 bits, and 3 % more as vLLM loads them.
func TestQuantizedWeights(t *testing.T) {
	for name, test := range map[string]struct {
		id      string
		weights models.Weights
		want    float64
	}{
		// 27.43 - 1.4093 - 0.42 = 25.6007; (25.6007 + 2 x 1.8293)e9 bytes = 27.25 GiB.
		"27B in FP8": {"google/gemma-3-27b-it", models.FP8, 28.07},
		// (25.6007 x 0.515625 + 3.6586)e9 bytes = 15.70 GiB.
		"27B in W4A16": {"google/gemma-3-27b-it", models.Int4, 16.17},
		// (25.6007 x 0.5625 + 3.6586)e9 bytes = 16.82 GiB.
		"27B in NF4": {"google/gemma-3-27b-it", models.NF4, 17.32},
		// 12.19 - 1.0066 - 0.42 = 10.7634; (10.7634 + 2 x 1.4266)e9 bytes = 12.68 GiB.
		"12B in FP8": {"google/gemma-3-12b-it", models.FP8, 13.06},
		// Most of it is embeddings: 5.15 - 0.4027 - 2.3488 - 0.45 = 1.9485; (1.9485 + 2 x 3.2015)e9 bytes = 7.78 GiB.
		"E2B in FP8": {"google/gemma-4-E2B-it", models.FP8, 8.01},
	} {
		fit := Compute(with(t, test.id, test.weights), server(t, "nvidia-l4", nil))
		assert.InDelta(t, test.want, fit.Weights, 0.01, name)
	}
	few := server(t, "nvidia-l4", func(s *Server) { s.BatchedTokens = FewestBatchedTokens })
	assert.True(t, Compute(with(t, "google/gemma-3-27b-it", models.Int4), few).Starts(), "27B on one L4, with the tokens that the program sets")
	assert.False(t, Compute(with(t, "google/gemma-3-27b-it", models.FP8), server(t, "nvidia-l4", nil)).WeightsFit())
}

// TestStages compares a pipeline with values computed by hand: the largest stage has whole layers, the embeddings and the encoder.
func TestStages(t *testing.T) {
	f := footprint(t, "google/gemma-3-27b-it")
	staged := func(stages, gpus int) Fit {
		return Compute(f, server(t, "nvidia-a100-80gb", func(s *Server) { s.Stages, s.GPUs = stages, gpus }))
	}
	one := staged(1, 1)
	assert.Equal(t, one, staged(0, 1), "no pipeline is one stage")
	// 31 of 62 layers: (3.6586 + 51.2014 / 2)e9 bytes = 27.25 GiB.
	two := staged(2, 1)
	assert.InDelta(t, 28.07, two.Weights, 0.01)
	assert.InDelta(t, one.Sequence/2, two.Sequence, 1e-9)
	// 16 of 62 layers, the largest of 16, 16, 15 and 15: (3.6586 + 51.2014 x 16/62)e9 bytes = 15.71 GiB.
	four := staged(4, 1)
	assert.InDelta(t, 16.18, four.Weights, 0.01)
	assert.InDelta(t, one.Sequence*16/62, four.Sequence, 1e-9)
	// Each stage is split over two GPUs.
	assert.InDelta(t, two.Weights/2, staged(2, 2).Weights, 1e-9)
	// With only the size known, every stage has its part of it.
	sized := Compute(OfSize(20, 1000), Server{GPUGiB: 40, GPUs: 1, Stages: 2, Utilization: 0.9, MaxModelLen: 1600, BatchedTokens: 2048})
	assert.InDelta(t, 10, sized.Weights, 1e-9)
	assert.InDelta(t, 1000*1600/2.0/GiB, sized.Sequence, 1e-12)
}

// TestAdapters compares the memory of adapters with the widths of Gemma 3 27B: 62 layers of 5376 with 32 heads of 128 for queries, 16 for
// keys and for values, and 21504 in the feed-forward part.
func TestAdapters(t *testing.T) {
	model, _ := models.Find("google/gemma-3-27b-it")
	layer := 2*(5376+4096) + 2*(5376+2048) + 3*(5376+21504)
	want := 16 * 2 * float64(62*layer+5376+262144)
	assert.InEpsilon(t, want, AdapterBytes(model, 16), 0.001)
	assert.InEpsilon(t, 4*want, AdapterBytes(model, 64), 0.001)

	f := Of(model, 2, 2)
	s := server(t, "nvidia-a100-80gb", func(s *Server) { s.GPUs = 2 })
	with, without := Compute(f.WithAdapters(model, 3, 16), s), Compute(f, s)
	assert.InEpsilon(t, 3*want/GiB, with.Weights-without.Weights, 0.001, "each GPU has a whole one")
	assert.Equal(t, f.LoadedBytes(), f.WithAdapters(model, 3, 16).LoadedBytes(), "adapters are not read in every pass")
}

// TestEngines checks main memory, shared memory and CPUs of a replica with several engines.
func TestEngines(t *testing.T) {
	for name, test := range map[string]struct {
		host                 Host
		shared, memory, cpus int
	}{
		"one engine of two GPUs": {Host{GPUs: 2, FilesGiB: 1.9}, 2, 16, 8},
		// API server 3, two workers 8, coordinator 1, download 2.33; six processes.
		"two engines of one": {Host{GPUs: 2, Engines: 2, FilesGiB: 1.9}, 1, 15, 12},
		// 2 x (160 + 24) + 4 x 240 + 1024 MiB; API server 3, workers 16, two engines 4, coordinator 1, shared memory 3.
		"two engines of two": {Host{GPUs: 4, Engines: 2, FilesGiB: 1.9}, 3, 27, 16},
		"with adapters":      {Host{GPUs: 1, FilesGiB: 1.9, AdaptersGiB: 2}, 1, 12, 6},
	} {
		assert.Equal(t, test.shared, test.host.SharedGiB(), name)
		assert.Equal(t, test.memory, test.host.MemoryGiB(float64(test.host.SharedGiB()), Room{}), name)
		assert.Equal(t, test.cpus, test.host.CPUs(Room{CPUs: 100, MemoryGiB: 1000}), name)
	}
}
