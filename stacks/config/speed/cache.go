package speed

import "vllm-autoscaling/stacks/config/models"

// BlockTokens is the number of tokens of a block of vLLM's KV cache on NVIDIA GPUs. Prefix caching finds full blocks only.
const BlockTokens = 16

// Cache is what a token takes in the KV cache over all layers and GPUs.
type Cache struct {
	// FullBytes is the size in layers that attend to all of the context, SlidingBytes in those that attend to its last
	// Window tokens.
	FullBytes, SlidingBytes float64
	Window                  int
}

// Bytes returns the size of the cache of a number of sequences with that many tokens together. Windows are applied to the
// average length.
func (c Cache) Bytes(sequences int, tokens float64) float64 {
	inWindow := tokens
	if c.Window > 0 {
		inWindow = min(tokens, float64(sequences*c.Window))
	}
	return c.FullBytes*tokens + c.SlidingBytes*inWindow
}

// Allocated returns what vLLM allocates for sequences: full blocks. The last block of a sequence is half full on average.
func (c Cache) Allocated(sequences, tokens int) float64 {
	return c.Bytes(sequences, float64(tokens)+float64(sequences*(BlockTokens-1))/2)
}

// CacheOf returns what a token of a model takes in the KV cache, with a number of bytes per number.
func CacheOf(m models.Model, bytesPerNumber float64) Cache {
	of := func(l models.Layers) float64 { return 2 * float64(l.Count*l.KVHeads*l.HeadDim) * bytesPerNumber }
	return Cache{FullBytes: of(m.Full), SlidingBytes: of(m.Sliding), Window: m.Window}
}
