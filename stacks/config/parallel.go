package config

import (
	"fmt"

	"vllm-autoscaling/stacks/config/models"
)

// Parallel configures how a model is spread over the GPUs of a replica: tensor x pipeline x data is gpu.perReplica.
type Parallel struct {
	// Tensor is the number of GPUs that share every layer, a divisor of the model's attention heads. The default is gpu.perReplica
	// divided by the other two.
	Tensor int `key:"tensor" values:"1 2 4 8" example:"2" hint:"remove the key: it follows from gpu.perReplica"`
	// Pipeline is the number of stages that the layers are spread over, one after the other.
	Pipeline int `key:"pipeline" values:"1 2 4 8" default:"1" example:"2" hint:"1 unless the GPUs share the layers badly"`
	// Data is the number of engines of a replica, each with the whole model and a KV cache of its own, behind one API server.
	Data int `key:"data" values:"1 2 4 8" default:"1" example:"2" hint:"1: more replicas of fewer GPUs scale in smaller steps"`
}

// defaultTensor returns the default of model.parallel.tensor; 1 where the others do not divide gpu.perReplica, which checkParallel refuses.
func (c *Config) defaultTensor() int {
	if others := c.Model.Parallel.Pipeline * c.Model.Parallel.Data; c.GPU.PerReplica%others == 0 {
		return c.GPU.PerReplica / others
	}
	return 1
}

// ReplicaSequences returns how many requests a replica works on at a time, over all of its engines.
func (c *Config) ReplicaSequences() int { return c.Model.MaxNumSeqs * c.Model.Parallel.Data }

// checkParallel refuses sizes that vLLM does not start with.
func (c *Config) checkParallel(r *report) {
	p := c.Model.Parallel
	if r.anyRefused("gpu.perReplica", "model.parallel.tensor", "model.parallel.pipeline", "model.parallel.data") {
		return
	}
	if product := p.Tensor * p.Pipeline * p.Data; product != c.GPU.PerReplica {
		r.bad("model.parallel", fmt.Sprintf("%d x %d x %d", p.Tensor, p.Pipeline, p.Data),
			fmt.Sprintf("tensor x pipeline x data GPUs of gpu.perReplica (%d); these are %d", c.GPU.PerReplica, product),
			r.set("gpu.perReplica", fmt.Sprint(product))+", or change the sizes")
		return
	}
	known, ok := models.Find(c.Model.ID)
	if !ok || r.anyRefused("model.id") {
		return
	}
	if known.Heads%p.Tensor != 0 {
		key := choose(r.given.has("model.parallel.tensor"), "model.parallel.tensor", "gpu.perReplica")
		value := choose(r.given.has("model.parallel.tensor"), p.Tensor, c.GPU.PerReplica)
		r.bad(key, value, fmt.Sprintf("a divisor of %d, the attention heads of %s, in GPUs that share a layer", known.Heads, c.Model.ID),
			"use fewer GPUs, or divide them between engines: "+
				r.set("model.parallel.data", fmt.Sprint(p.Data*p.Tensor/largestDivisor(known.Heads, p.Tensor))))
	}
	if p.Pipeline > known.LayerCount() {
		r.bad("model.parallel.pipeline", p.Pipeline, fmt.Sprintf("at most %d, the layers of %s", known.LayerCount(), c.Model.ID), "lower it")
	}
}

// largestDivisor returns the largest divisor of n among the divisors of most, which is a power of two.
func largestDivisor(n, most int) int {
	for n%most != 0 {
		most /= 2
	}
	return most
}
