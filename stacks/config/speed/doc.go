// Package speed computes how long a replica's forward passes take: from the data sheet of its GPU, the size of its model and its
// KV cache. Nothing of it was measured on a GPU of the project; docs/simulation-model.md compares it with published figures.
package speed
