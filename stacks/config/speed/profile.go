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
