package speed

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

// Pass returns the time in seconds of a forward pass that computes a number of tokens and reads cacheBytes of the KV cache.
func (p Profile) Pass(tokens int, cacheBytes float64) float64 {
	return p.Fixed + max(p.Weights+p.PerCacheByte*cacheBytes, p.PerToken*float64(tokens))
}

// Staged returns the profile of an engine whose layers are spread over the stages of a pipeline: a pass goes through all of them, each on
// GPUs like those of p, so that it takes as long as on those of p alone, and the transfers between stages. That a pipeline works on
// several batches at a time is left out: a pass takes at most this long.
func (p Profile) Staged(stages int) Profile {
	p.Fixed += gpuSeconds * float64(stages-1)
	return p
}

// Engines returns the profile of several engines like that of p as if they were one that works on the tokens and the KV cache of all of
// them: in a pass, each reads the weights, and its share of the cache, and computes its share of the tokens. That is what happens if the
// requests are spread evenly, as vLLM's own load balancer means to.
func (p Profile) Engines(n int) Profile {
	p.PerCacheByte /= float64(n)
	p.PerToken /= float64(n)
	return p
}
