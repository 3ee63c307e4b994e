package sizing

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
)

// TestSequences checks what limits the number of running requests: vLLM's own limit, the KV cache, and what the caller keeps.
func TestSequences(t *testing.T) {
	always := func(int) bool { return true }
	for name, test := range map[string]struct {
		model, accelerator string
		gpus               int
		keeps              func(int) bool
		want               int
	}{
		"the most that is chosen":  {"google/gemma-3-1b-it", "nvidia-l4", 1, always, MostSequences},
		"the cache":                {"google/gemma-3-4b-it", "nvidia-l4", 1, always, 64},
		"the cache of two GPUs":    {"google/gemma-3-12b-it", "nvidia-l4", 2, always, 32},
		"what is kept":             {"google/gemma-3-1b-it", "nvidia-l4", 1, func(n int) bool { return n <= 41 }, 40},
		"a few":                    {"google/gemma-3-1b-it", "nvidia-l4", 1, func(n int) bool { return n <= 5 }, 4},
		"one":                      {"google/gemma-3-1b-it", "nvidia-l4", 1, func(n int) bool { return n == 1 }, 1},
		"none is kept":             {"google/gemma-3-1b-it", "nvidia-l4", 1, func(int) bool { return false }, 0},
		"weights that do not fit":  {"google/gemma-3-27b-it", "nvidia-l4", 1, always, 0},
		"a model that hardly fits": {"google/gemma-4-31B-it", "nvidia-a100-80gb", 1, always, 8},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, test.accelerator, func(s *Server) { s.GPUs = test.gpus })
			assert.Equal(t, test.want, Sequences(footprint(t, test.model), s, test.keeps))
		})
	}
}

// TestDefaultsFitEverywhere checks that the chosen number of requests never makes vLLM preempt typical requests.
func TestDefaultsFitEverywhere(t *testing.T) {
	for _, model := range models.All() {
		for _, a := range accelerators.All() {
			s := serverFor(model, a)
			s.MaxNumSeqs = Sequences(Of(model, 2, 2), s, keepsInterToken(model, a, 1))
			if s.MaxNumSeqs > 0 {
				assert.GreaterOrEqual(t, Compute(Of(model, 2, 2), s).Typical(), s.MaxNumSeqs, "%s on %s", model.IDs[0], a.Name)
			}
		}
	}
}
