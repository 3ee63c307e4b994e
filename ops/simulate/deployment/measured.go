package deployment

import (
	"fmt"

	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/config/speed"
)

// Subject returns what a measured profile of a replica of the stack is valid for.
func Subject(c *config.Config) profile.Subject {
	subject := profile.Subject{
		Model: c.Model.ID, Accelerator: c.NodePools.GPU.Accelerator, GPUsPerReplica: c.GPU.PerReplica, Quantization: c.Model.Quantization,
	}
	if c.Model.KVCacheDType != "auto" {
		subject.KVCacheDType = c.Model.KVCacheDType
	}
	if p := c.Model.Parallel; p.Pipeline > 1 || p.Data > 1 {
		subject.Parallel = fmt.Sprintf("tensor %d, pipeline %d, data %d", p.Tensor, p.Pipeline, p.Data)
	}
	return subject
}

// measured returns the profile of a file, or an error if it was measured on another replica than the stack's.
func measured(path string, c *config.Config) (speed.Profile, error) {
	file, err := profile.Read(path)
	if err != nil {
		return speed.Profile{}, fmt.Errorf("-profile: %w", err)
	}
	got, want := file.Subject, Subject(c)
	for _, field := range []struct{ name, got, want string }{
		{"model", got.Model, want.Model},
		{"accelerator", got.Accelerator, want.Accelerator},
		{"number of GPUs per replica", fmt.Sprint(got.GPUsPerReplica), fmt.Sprint(want.GPUsPerReplica)},
		{"quantisation", got.Quantization, want.Quantization},
		{"type of the KV cache", got.KVCacheDType, want.KVCacheDType},
		{"parallelism", got.Parallel, want.Parallel},
	} {
		if field.got != field.want {
			return speed.Profile{}, fmt.Errorf("-profile %s was measured with another %s: %q, the stack has %q; "+
				"measure again with make profile, or leave the flag out", path, field.name, field.got, field.want)
		}
	}
	return file.Constants.Profile(), nil
}

// Limits returns the limits of a replica of the stack, and what a token takes in its KV cache. It returns an error for a model or GPU
// whose size is not known.
func Limits(c *config.Config) (replica.Limits, speed.Cache, error) {
	server, err := sizedServer(c)
	return server.Limits, server.Cache, err
}
