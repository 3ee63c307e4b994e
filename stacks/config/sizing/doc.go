// Package sizing computes whether a model fits the GPUs of a replica and how many requests fit at a time, before any GPU is
// created. docs/sizing.md derives the rule and states its accuracy.
//
// vLLM takes a share of each GPU's memory: first for the weights, then for forward passes; the rest is the KV cache. vLLM
// does not start if the cache cannot hold one sequence of the longest context. If the cache cannot hold all running
// requests, vLLM preempts some of them and recomputes them.
package sizing
