// Package replica models one replica of vLLM: which requests it runs and how long its forward passes take. Time is virtual
// and in seconds.
//
// An Engine batches continuously, as vLLM V1 does. In each forward pass every running request that has its prompt computed
// gets one token; the rest of the budget of tokens goes to prompts, of running requests first and then of waiting ones, in
// the order of their arrival. A prompt that does not fit the rest is split. A request waits while MaxNumSeqs others run or
// the KV cache is full. When the cache overflows, the request that was admitted last is preempted and computed again.
//
// Prefix caching is modelled by its rate: the same share of each prompt is found computed. Hits of real requests differ, and depend on
// which replica they reach. The cache is allocated in blocks: each sequence takes half a block more than its tokens, the average.
//
// How long a pass takes is a Profile's: a fixed time, and then the longer of reading memory (the weights and the KV cache)
// and of computing (each token of the pass).
//
// While no prompt is computed, many equal passes are done at once. A day of requests is therefore simulated in seconds.
package replica
