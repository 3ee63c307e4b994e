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

// EnoughBatchedTokens returns the default, doubled until it is the least number with which vLLM starts, or more.
func EnoughBatchedTokens(byDefault, least int) int {
	enough := byDefault
	for enough < least {
		enough *= 2
	}
	return enough
}
