package sizing

// MostSequences is the highest number of running requests that is chosen. It is vLLM's own number on GPUs below LargeGPUGiB
// (vllm/engine/arg_utils.py, get_batch_defaults); with more, the work of its scheduler for each request counts, which package speed
// leaves out.
const MostSequences = 256

// captured is the distance between two batch sizes up to MostSequences that vLLM captures as CUDA graphs (vllm/config/vllm.py,
// cudagraph_capture_sizes: 1, 2, 4 and the multiples of 8). A batch in between is padded to the next one.
const captured = 8

// Sequences returns the highest number of running requests, at most MostSequences, with which all of them fit the KV cache at
// TypicalTokens and keeps returns true. It is a batch size that vLLM captures as a CUDA graph. It returns 0 if vLLM does not start or
// even one request does not keep.
func Sequences(f Footprint, s Server, keeps func(sequences int) bool) int {
	for n := MostSequences; n > 0; n = smaller(n) {
		s.MaxNumSeqs = n
		if Compute(f, s).Typical() >= n && keeps(n) {
			return n
		}
	}
	return 0
}

// smaller returns the next smaller batch size that vLLM captures.
func smaller(n int) int {
	if n > captured {
		return n - captured
	}
	return n / 2
}
