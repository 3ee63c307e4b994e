package sizing

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/speed"
)

func footprint(t *testing.T, id string) Footprint {
	t.Helper()
	model, ok := models.Find(id)
	require.True(t, ok, id)
	return Of(model, 2, 2)
}

// server returns vLLM's settings as set by the program for a model of text, on an accelerator of the catalogue.
func server(t *testing.T, accelerator string, change func(*Server)) Server {
	t.Helper()
	a, ok := accelerators.Find(accelerator)
	require.True(t, ok, accelerator)
	s := serverFor(models.Model{}, a)
	if change != nil {
		change(&s)
	}
	return s
}

// interToken is the default of slo.interToken, in seconds.
const interToken = 0.1

// keepsInterToken returns whether a forward pass for so many answers of typical requests keeps interToken.
func keepsInterToken(model models.Model, a accelerators.Accelerator, gpus int) func(int) bool {
	profile, _ := speed.Roofline(a.Name, speed.SizeOf(model.IDs[0], Of(model, 2, 2).LoadedBytes()), gpus)
	return func(n int) bool {
		return n == 1 || profile.Pass(n, speed.CacheOf(model, 2).Bytes(n, float64(n*TypicalTokens))) <= interToken
	}
}

// serverFor returns vLLM's settings as set by the program for a model on one GPU, with 16 requests.
func serverFor(model models.Model, a accelerators.Accelerator) Server {
	tokens := DefaultBatchedTokens(a.UsableGiB, strings.Contains(a.Name, "a100"))
	if len(model.IDs) > 0 {
		profile, _ := speed.Roofline(a.Name, speed.SizeOf(model.IDs[0], Of(model, 2, 2).LoadedBytes()), 1)
		tokens = ShortBatchedTokens(tokens, func(n int) bool { return profile.Pass(n, 0) <= interToken })
	}
	return Server{
		GPUGiB: a.UsableGiB, GPUs: 1, Utilization: 0.9, MaxModelLen: 8192, MaxNumSeqs: 16,
		BatchedTokens: EnoughBatchedTokens(tokens, model.MinBatchedTokens),
	}
}

// TestBatchedTokens checks vLLM's default on each kind of GPU, and what the program sets for models that need more.
func TestBatchedTokens(t *testing.T) {
	for _, test := range []struct {
		accelerator               string
		byDefault, gemma3, gemma4 int
	}{
		{"nvidia-l4", 2048, 512, 2560}, {"nvidia-l40s", 2048, 512, 2560}, {"nvidia-a100-40gb", 2048, 512, 2560},
		// A large GPU, but an A100: 0.20 refused to start there too (github.com/vllm-project/recipes/issues/441).
		{"nvidia-a100-80gb", 2048, 512, 2560},
		{"nvidia-h100-80gb", 8192, 512, 2560}, {"nvidia-h200-141gb", 8192, 512, 2560},
	} {
		a, ok := accelerators.Find(test.accelerator)
		require.True(t, ok)
		assert.Equal(t, test.byDefault, serverFor(models.Model{}, a).BatchedTokens, test.accelerator)
		for id, want := range map[string]int{"google/gemma-3-27b-it": test.gemma3, "google/gemma-4-31B-it": test.gemma4, "google/gemma-4-26B-A4B-it": test.gemma4} {
			model, ok := models.Find(id)
			require.True(t, ok)
			assert.Equal(t, want, serverFor(model, a).BatchedTokens, "%s on %s", id, test.accelerator)
		}
	}
	assert.Equal(t, 2560, EnoughBatchedTokens(2048, 2049))
	assert.Equal(t, 2048, EnoughBatchedTokens(2048, 2048))
}

// TestAgainstPublishedLogs compares the rule with published logs of vLLM, within the tolerance that docs/sizing.md states.
func TestAgainstPublishedLogs(t *testing.T) {
	t.Run("weights of Gemma 3 1B", func(t *testing.T) { // github.com/vllm-project/vllm/issues/14696
		fit := Compute(footprint(t, "google/gemma-3-1b-it"), server(t, "nvidia-l4", nil))
		assert.InEpsilon(t, 1.9134, fit.Weights, 0.02)
	})
	t.Run("weights of Gemma 3 27B on each of four GPUs", func(t *testing.T) { // github.com/vllm-project/vllm/issues/15676
		fit := Compute(footprint(t, "google/gemma-3-27b-it"), server(t, "nvidia-l4", func(s *Server) { s.GPUs = 4 }))
		assert.InEpsilon(t, 13.1665, fit.Weights, 0.02)
	})
	t.Run("weights and cache of Gemma 4 26B-A4B on an A100", func(t *testing.T) { // https://myoceane.fr/index.php/ai-vllm-a100-gemma-4
		fit := Compute(footprint(t, "google/gemma-4-26B-A4B-it"), server(t, "nvidia-a100-80gb", func(s *Server) {
			s.MaxModelLen, s.MaxNumSeqs, s.Eager = 131072, 256, true
		}))
		assert.InEpsilon(t, 48.5, fit.Weights, 0.03)
		assert.InEpsilon(t, 21.5, fit.Cache, 0.10)
		assert.Less(t, fit.Cache, 21.5, "on the safe side")
		assert.True(t, fit.Starts(), "it did")
	})
	t.Run("tokens of Gemma 3 1B before sliding layers were told apart", func(t *testing.T) { // the first log
		// 1,139,728 tokens in the cache, 34.78 times 32,768: 26 layers alike.
		all := models.Layers{Count: 26, KVHeads: 1, HeadDim: 256}
		f := footprint(t, "google/gemma-3-1b-it")
		assert.InDelta(t, 28.26, 1139728*float64(all.Count)*f.perToken(all, 1)/GiB, 0.01)
		assert.InDelta(t, 34.78, 1139728.0/32768, 0.01)
	})
	// For Gemma 4 31B with about 50 GB of cache, 0.20.0 logged about 55,000 tokens and 0.21.0 525,000 (github.com/vllm-project/vllm/issues/43308).
	// Only the log differs (github.com/vllm-project/vllm/issues/40691): see loggedTokens.
	t.Run("cache of Gemma 4 31B", func(t *testing.T) {
		before, after := loggedTokens(footprint(t, "google/gemma-4-31B-it"), 50e9, 262144)
		assert.InEpsilon(t, 55000, before, 0.10)
		assert.InEpsilon(t, 525000, after, 0.10)
	})
}

// loggedTokens returns the "GPU KV cache size" in vLLM's log for a cache of that many bytes: until 0.20 the blocks of one group of
// layers, and from 0.21 on the number of requests that fit times their length.
func loggedTokens(f Footprint, cacheBytes float64, maxModelLen int) (before, after float64) {
	perGroup := f.full.Count
	groups := 1 + blocks(f.sliding.Count, perGroup)
	block := float64(perGroup*blockTokens) * math.Max(f.perToken(f.full, 1), f.perToken(f.sliding, 1))
	before = math.Floor(math.Floor(cacheBytes/block)/float64(groups)) * blockTokens
	return before, cacheBytes / f.sequence(maxModelLen, BatchedTokens, 1) * float64(maxModelLen)
}

// TestAgainstPublishedConfigurations compares the rule with configurations that were published as working or as not working.
func TestAgainstPublishedConfigurations(t *testing.T) {
	for name, test := range map[string]struct {
		model, accelerator string
		change             func(*Server)
		starts             bool
	}{
		// Google's samples for GKE (kubernetes/examples AI/vllm-deployment and accelerated-platforms).
		"Gemma 3 1B, one L4, 1024 tokens at 0.89": {"google/gemma-3-1b-it", "nvidia-l4", func(s *Server) { s.MaxModelLen, s.Utilization = 1024, 0.89 }, true},
		"Gemma 3 27B, eight L4 at 0.80":           {"google/gemma-3-27b-it", "nvidia-l4", func(s *Server) { s.GPUs, s.Utilization = 8, 0.80 }, true},
		"Gemma 3 4B, one L4, 4096 tokens at 0.92": {"google/gemma-3-4b-it", "nvidia-l4", func(s *Server) {
			s.MaxModelLen, s.Utilization, s.MaxNumSeqs = 4096, 0.92, 1
		}, true},
		"Gemma 3 27B, one A100 (kaito#2325)": {"google/gemma-3-27b-it", "nvidia-a100-80gb", nil, true},
		// github.com/vllm-project/recipes, Google/Gemma4.md
		"Gemma 4 E2B, 24 GB, 32768 tokens":        {"google/gemma-4-E2B-it", "nvidia-l4", func(s *Server) { s.MaxModelLen = 32768 }, true},
		"Gemma 4 E4B, 24 GB":                      {"google/gemma-4-E4B-it", "nvidia-l4", nil, true},
		"Gemma 4 26B-A4B, one A100, 32768 tokens": {"google/gemma-4-26B-A4B-it", "nvidia-a100-80gb", func(s *Server) { s.MaxModelLen = 32768 }, true},
		"Gemma 4 31B, 80 GB":                      {"google/gemma-4-31B-it", "nvidia-h100-80gb", nil, true},
		"Gemma 4 31B, two A100, 32768 tokens":     {"google/gemma-4-31B-it", "nvidia-a100-80gb", func(s *Server) { s.GPUs, s.MaxModelLen = 2, 32768 }, true},
		// https://dev.to/gde/lessons-learned-deployment-trade-offs-with-gemma4-nvidia-l4-cloud-run-and-antigravity-cli-lnl
		"Gemma 4 31B, one L4 (dev.to)":           {"google/gemma-4-31B-it", "nvidia-l4", nil, false},
		"Gemma 3 27B, one GPU of 24 GB":          {"google/gemma-3-27b-it", "nvidia-l4", nil, false}, // https://huggingface.co/google/gemma-3-27b-it/discussions/44
		"Gemma 3 12B, one L4":                    {"google/gemma-3-12b-it", "nvidia-l4", nil, false},
		"Gemma 4 31B, 80 GB, all of its context": {"google/gemma-4-31B-it", "nvidia-a100-80gb", func(s *Server) { s.MaxModelLen = 262144 }, false},
		"Gemma 3 4B in float32, one T4 (17 GB)":  {"google/gemma-3-4b-it", "nvidia-t4", nil, false}, // https://huggingface.co/OmarJemli/gopro-AI-gemma3-4b
	} {
		t.Run(name, func(t *testing.T) {
			model, _ := models.Find(test.model)
			f := footprint(t, test.model)
			if test.accelerator == "nvidia-t4" {
				f = Of(model, 4, 4)
			}
			a, ok := accelerators.Find(test.accelerator)
			require.True(t, ok)
			s := serverFor(model, a)
			if test.change != nil {
				test.change(&s)
			}
			assert.GreaterOrEqual(t, s.BatchedTokens, model.MinBatchedTokens, "vLLM would not start, whatever the memory")
			fit := Compute(f, s)
			assert.Equal(t, test.starts, fit.Starts(), "%+v", fit)
		})
	}
}

// TestMonotone checks that more resources never reduce what fits, and that more demand never increases it.
func TestMonotone(t *testing.T) {
	for _, model := range models.All() {
		f := Of(model, 2, 2)
		for _, a := range accelerators.All() {
			for gpus := 1; gpus <= 8; gpus *= 2 {
				s := server(t, a.Name, func(s *Server) { s.GPUs = gpus })
				base := Compute(f, s)
				for name, more := range map[string]func(*Server){
					"memory": func(s *Server) { s.GPUGiB++ }, "share": func(s *Server) { s.Utilization += 0.05 }, "GPUs": func(s *Server) { s.GPUs *= 2 },
					"no graphs": func(s *Server) { s.Eager = true }, "shorter": func(s *Server) { s.MaxModelLen /= 2 }, "fewer": func(s *Server) { s.MaxNumSeqs /= 2 },
					"smaller batches": func(s *Server) { s.BatchedTokens /= 2 },
				} {
					changed := s
					more(&changed)
					better := Compute(f, changed)
					assert.GreaterOrEqual(t, better.FullLength(), base.FullLength(), "%s on %d %s with %s", model.IDs[0], gpus, a.Name, name)
					assert.GreaterOrEqual(t, better.Typical(), base.Typical(), "%s on %d %s with %s", model.IDs[0], gpus, a.Name, name)
				}
				assert.GreaterOrEqual(t, float64(base.Typical()), float64(int(base.FullLength())), "typical requests are no longer than the longest")
			}
		}
	}
}

// TestLongestContext checks that vLLM starts with the longest context, and does not with the next longer one.
func TestLongestContext(t *testing.T) {
	found := 0
	for _, model := range models.All() {
		f := Of(model, 2, 2)
		for _, a := range accelerators.All() {
			s := server(t, a.Name, func(s *Server) { s.MaxModelLen = model.ContextLength })
			longest := LongestContext(f, s)
			if longest == 0 {
				s.MaxModelLen = blockTokens
				assert.False(t, Compute(f, s).Starts(), "%s on %s", model.IDs[0], a.Name)
				continue
			}
			s.MaxModelLen = longest
			assert.True(t, Compute(f, s).Starts(), "%s on %s", model.IDs[0], a.Name)
			if longest < model.ContextLength {
				found++
				s.MaxModelLen = longest + blockTokens
				assert.False(t, Compute(f, s).Starts(), "%s on %s", model.IDs[0], a.Name)
			}
		}
	}
	assert.Positive(t, found, "some model is held short by some GPU")
}

// TestSequence compares padding, replicated heads and blocks of different layers with values computed by hand.
func TestSequence(t *testing.T) {
	// 4 full layers of 512 blocks; 22 sliding ones filled up to 24, of (511+2048)/16 = 160 blocks and one.
	assert.InDelta(t, 16*1024*(4*512+24*161), footprint(t, "google/gemma-3-1b-it").sequence(8192, 2048, 1), 0)
	// Shorter than the window: all layers hold all tokens, sliding ones one more block.
	assert.InDelta(t, 16*1024*(4*10+24*11), footprint(t, "google/gemma-3-1b-it").sequence(160, 2048, 1), 0)
	// One key head cannot be split: a second GPU holds a copy.
	assert.InDelta(t, footprint(t, "google/gemma-3-1b-it").sequence(8192, 2048, 1), footprint(t, "google/gemma-3-1b-it").sequence(8192, 2048, 2), 0)
	// 16 heads are split.
	assert.InDelta(t, footprint(t, "google/gemma-3-27b-it").sequence(8192, 2048, 1)/4, footprint(t, "google/gemma-3-27b-it").sequence(8192, 2048, 4), 0)
	// A full layer of Gemma 4 31B (4 heads of 512) takes half of a sliding one (16 of 256), so its blocks
	// are of 32 tokens.
	assert.InDelta(t, 10*8192*256*32+50*16384*(192+1)*16, footprint(t, "google/gemma-4-31B-it").sequence(8192, 2048, 1), 0)
	// With only the size known.
	assert.InDelta(t, 1000*100*16/2, OfSize(20, 1000).sequence(1600, 2048, 2), 0)
	assert.InDelta(t, 20, Compute(OfSize(20, 1000), Server{GPUGiB: 40, GPUs: 1, Utilization: 0.9, MaxModelLen: 1600, BatchedTokens: 2048}).Weights, 1e-9)
}
