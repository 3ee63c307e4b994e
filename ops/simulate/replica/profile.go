package replica

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
