package replica

// Profile is how long a replica's forward passes take.
type Profile struct {
	// Fixed is the time of a pass that depends on nothing: scheduling, launching kernels, sampling. In seconds.
	Fixed float64
	// Weights is the time in which all weights are read once. In seconds.
	Weights float64
	// PerCacheByte is the time in which a byte of the KV cache is read. In seconds.
	PerCacheByte float64
	// PerToken is the time in which a token is computed. In seconds.
	PerToken float64
}

// Limits are the settings of the server that limit a batch.
type Limits struct {
	// MaxNumSeqs is the maximum number of running requests.
	MaxNumSeqs int
	// BatchedTokens is the maximum number of tokens of a pass; at least MaxNumSeqs.
	BatchedTokens int
	// CacheBytes is the size of the KV cache over all GPUs of the replica.
	CacheBytes float64
	// PrefixHits is the share of each prompt, 0 to 1, that prefix caching finds computed. It saves computing, not room in the cache:
	// no two requests share their blocks here.
	PrefixHits float64
}

// BlockTokens is the number of tokens of a block of vLLM's KV cache on NVIDIA GPUs. Prefix caching finds full blocks only.
const BlockTokens = 16

// Cache is what a token takes in the KV cache over all layers and GPUs.
type Cache struct {
	// FullBytes is the size in layers that attend to all of the context, SlidingBytes in those that attend to its last
	// Window tokens.
	FullBytes, SlidingBytes float64
	Window                  int
}

// bytes returns the size of the cache of a number of sequences with that many tokens together. Windows are applied to the
// average length.
func (c Cache) bytes(sequences int, tokens float64) float64 {
	inWindow := tokens
	if c.Window > 0 {
		inWindow = min(tokens, float64(sequences*c.Window))
	}
	return c.FullBytes*tokens + c.SlidingBytes*inWindow
}

// allocated returns what vLLM allocates for sequences: full blocks. The last block of a sequence is half full on average.
func (c Cache) allocated(sequences, tokens int) float64 {
	return c.bytes(sequences, float64(tokens)+float64(sequences*(BlockTokens-1))/2)
}

// pass returns the time of a forward pass.
func (p Profile) pass(tokens int, cacheBytes float64) float64 {
	return p.Fixed + max(p.Weights+p.PerCacheByte*cacheBytes, p.PerToken*float64(tokens))
}
