// Package blis compares the replica of ops/simulate with that of BLIS, a simulator of vLLM by other authors
// (github.com/inference-sim/inference-sim). It has tests only: how both schedule the same requests when a forward pass takes the
// same time in both, and how long a pass takes by default in each.
package blis
