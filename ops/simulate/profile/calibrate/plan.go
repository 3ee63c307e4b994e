package calibrate

import (
	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

const (
	// answer is the length of the answers whose gaps are measured, in tokens.
	answer = 64
	// short is the length of prompts that take little of the cache, long that of prompts that take much.
	short, long = 64, 2048
)

// prompts are the lengths of the prompts whose first tokens are measured. The first ones are so short that reading the weights takes
// longer than computing them.
var prompts = []int{16, 64, 256, 512, 1024, 1536, 2048, 4096, 8192}

// batches are the numbers of requests at once.
var batches = []int{1, 2, 4, 8, 16, 32, 64}

// Plan returns the points to measure on a replica, in an order in which the first ones suffice for a coarse fit.
func Plan(limits replica.Limits, cache speed.Cache, maxModelLen int) []profile.Point {
	var first, between []profile.Point
	for _, n := range prompts {
		if n < maxModelLen {
			first = append(first, profile.Point{Quantity: profile.FirstToken, Concurrency: 1, InputTokens: n, OutputTokens: 1})
		}
	}
	for _, input := range []int{short, min(long, maxModelLen-2*answer)} {
		for _, n := range batches {
			// More than the cache would be preempted.
			bytes := (cache.FullBytes + cache.SlidingBytes) * float64(n*(input+answer))
			if input > 0 && n <= limits.MaxNumSeqs && (n == 1 || bytes <= limits.CacheBytes) {
				between = append(between, profile.Point{Quantity: profile.InterToken, Concurrency: n, InputTokens: input, OutputTokens: answer})
			}
		}
	}
	return alternate(first, between)
}

// alternate returns the elements of both, in turns.
func alternate(a, b []profile.Point) []profile.Point {
	var all []profile.Point
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all
}
