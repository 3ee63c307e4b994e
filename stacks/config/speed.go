package config

import (
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/speed"
)

// Speed returns how long the forward passes of a replica take, computed from data sheets. It reports whether the GPU and the model
// are known.
func (c *Config) Speed() (speed.Profile, bool) {
	footprint, known := c.Model.footprint()
	if !known || c.GPU.Mode != GPUNvidia {
		return speed.Profile{}, false
	}
	return speed.Roofline(c.NodePools.GPU.Accelerator, speed.SizeOf(c.Model.ID, footprint.LoadedBytes()), c.GPU.PerReplica)
}

// TokenCache returns what a token takes in the KV cache of a replica. Of a model of which only the size is known, every layer counts
// as one that attends to all of the context.
func (c *Config) TokenCache() speed.Cache {
	if model, known := models.Find(c.Model.ID); known {
		return speed.CacheOf(model, speed.BytesPerNumber)
	}
	return speed.Cache{FullBytes: float64(c.Model.Size.KVBytesPerToken)}
}
