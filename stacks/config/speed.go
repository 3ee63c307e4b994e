package config

import (
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/speed"
)

// Speed returns how long the forward passes of an engine take, computed from data sheets. It reports whether the GPU and the model are
// known, and what reading quantised weights costs. A replica has one engine but for model.parallel.data.
func (c *Config) Speed() (speed.Profile, bool) {
	footprint, known := c.Model.footprint()
	model, _ := c.Model.loaded()
	if !known || model.Weights.Slow || c.GPU.Mode != GPUNvidia {
		return speed.Profile{}, false
	}
	size := speed.SizeOf(c.Model.ID, footprint.LoadedBytes())
	if model.Weights.Quantized() {
		size.Parameters, size.FP8 = model.Parameters*1e9, model.Weights.FP8
	}
	profile, known := speed.Roofline(c.NodePools.GPU.Accelerator, size, c.Model.Parallel.Tensor)
	return profile.Staged(c.Model.Parallel.Pipeline), known
}

// ReplicaSpeed returns how long the forward passes of a replica take: those of its engines, which share its requests evenly, as one.
func (c *Config) ReplicaSpeed() (speed.Profile, bool) {
	profile, known := c.Speed()
	return profile.Engines(c.Model.Parallel.Data), known
}

// TokenCache returns what a token takes in the KV cache of a replica. Of a model of which only the size is known, every layer counts
// as one that attends to all of the context.
func (c *Config) TokenCache() speed.Cache {
	if model, known := models.Find(c.Model.ID); known {
		return speed.CacheOf(model, c.Model.cacheBytes())
	}
	return speed.Cache{FullBytes: float64(c.Model.Size.KVBytesPerToken)}
}
