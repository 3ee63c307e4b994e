package sizing

// The number of tokens that vLLM's server puts into one forward pass unless told otherwise: more on
// GPUs of 70 GiB and above, except for the A100 (vllm/engine/arg_utils.py, get_batch_defaults).
const (
	BatchedTokens      = 2048
	BatchedTokensLarge = 8192
	LargeGPUGiB        = 70
)

// DefaultBatchedTokens returns the number of tokens that vLLM puts into one forward pass by default, on a GPU with that memory as
// reported by CUDA.
func DefaultBatchedTokens(gpuGiB float64, a100 bool) int {
	if gpuGiB >= LargeGPUGiB && !a100 {
		return BatchedTokensLarge
	}
	return BatchedTokens
}

// FewestBatchedTokens is the fewest tokens of a forward pass that are chosen for the sake of the time between tokens: with fewer, a pass
// takes about as long as reading the weights does, so that prompts take longer and answers gain nothing.
const FewestBatchedTokens = 512

// ShortBatchedTokens returns a number of tokens of a forward pass, halved until keeps returns true, but no fewer than FewestBatchedTokens.
func ShortBatchedTokens(tokens int, keeps func(tokens int) bool) int {
	for tokens > FewestBatchedTokens && !keeps(tokens) {
		tokens /= 2
	}
	return tokens
}

// EnoughBatchedTokens returns a number of tokens, or the least number with which vLLM starts, rounded up, where that is more.
func EnoughBatchedTokens(tokens, least int) int {
	if tokens >= least {
		return tokens
	}
	return blocks(least, FewestBatchedTokens) * FewestBatchedTokens
}
