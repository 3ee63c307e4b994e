package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRulesOfWeights checks each rule of quantisation, parallelism and adapters with a configuration that breaks it and one that satisfies
// it.
func TestRulesOfWeights(t *testing.T) {
	adapters := keys{"support": "example/gemma-3-1b-support"}
	gke := func(more keys) keys { return onCloud(CloudGKE, more) }
	a100 := func(more keys) keys {
		more["nodePools.gpu.accelerator"] = "nvidia-a100-80gb"
		return gke(more)
	}
	for name, test := range map[string]struct {
		cloud        string
		wrong, right keys
		key          string
		says         []string
	}{
		"an unknown method": {
			CloudGKE, gke(keys{"model.quantization": "int3"}), gke(keys{"model.quantization": "bitsandbytes"}),
			"model.quantization", []string{"one of: awq, awq_marlin, bitsandbytes", "what the checkpoint declares"},
		},
		"a method that needs a checkpoint of its own": {
			CloudGKE, a100(keys{"model.id": "google/gemma-3-27b-it", "model.quantization": "compressed-tensors"}),
			a100(keys{"model.id": "RedHatAI/gemma-3-27b-it-quantized.w4a16", "model.quantization": "compressed-tensors"}),
			"model.quantization", []string{"have 16 bits", "use fp8 or bitsandbytes", "RedHatAI/gemma-3-27b-it-FP8-dynamic"},
		},
		"another method than the checkpoint's": {
			CloudGKE, a100(keys{"model.id": "RedHatAI/gemma-3-27b-it-quantized.w4a16", "model.quantization": "fp8"}),
			a100(keys{"model.id": "RedHatAI/gemma-3-27b-it-quantized.w4a16"}),
			"model.quantization", []string{"compressed-tensors, which RedHatAI/gemma-3-27b-it-quantized.w4a16 declares", "remove the key"},
		},
		"kernels for float16 only": {
			CloudLocal, nvidia(keys{"model.id": "example/gemma-3-27b-it-AWQ", "model.quantization": "awq"}),
			nvidia(keys{"model.id": "example/gemma-3-27b-it-AWQ", "model.quantization": "awq_marlin"}),
			"model.quantization", []string{"awq_marlin", "compute in float16 only", "remove the key"},
		},
		"kernels for float16 only, with another type": {
			CloudLocal, nvidia(keys{"model.id": "example/llama-GPTQ", "model.quantization": "gptq", "model.dtype": "bfloat16"}),
			nvidia(keys{"model.id": "example/llama-GPTQ", "model.quantization": "gptq", "model.dtype": "half"}),
			"model.quantization", []string{"gptq_marlin"},
		},
		"quantised weights in float32": {
			CloudGKE, gke(keys{"model.quantization": "fp8", "model.dtype": "float32"}), gke(keys{"model.quantization": "bitsandbytes", "model.dtype": "float32"}),
			"model.dtype", []string{"16 or fewer bits"},
		},
		"a checkpoint of bitsandbytes over two GPUs": {
			CloudLocal, nvidia(keys{"model.id": "unsloth/gemma-3-27b-it-bnb-4bit", "gpu.perReplica": 2, "model.quantization": "bitsandbytes"}),
			nvidia(keys{"model.id": "unsloth/gemma-3-27b-it-bnb-4bit", "gpu.perReplica": 2, "model.parallel.pipeline": 2, "model.quantization": "bitsandbytes"}),
			"model.parallel.tensor", []string{"1: vLLM does not split", "model.parallel.pipeline' 2"},
		},
		"FP8 on a T4": {
			CloudEKS, onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "a/b", "model.quantization": "fp8"}),
			onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "a/b", "model.quantization": "gptq"}),
			"nodePools.gpu.machineType", []string{"compute capability 8.0 or more", "kernels for model.quantization fp8 need it", "nvidia-l40s"},
		},
		"an FP8 checkpoint of Gemma on a T4": {
			CloudEKS, onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "RedHatAI/gemma-3-4b-it-FP8-dynamic"}),
			onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g5.xlarge", "model.id": "RedHatAI/gemma-3-4b-it-FP8-dynamic"}),
			"nodePools.gpu.machineType", []string{"compute capability 8.0", "nvidia-l4"},
		},
		"a KV cache in FP8 on an A100": {
			CloudGKE, a100(keys{"model.kvCacheDType": "fp8"}), gke(keys{"model.kvCacheDType": "fp8"}),
			"model.kvCacheDType", []string{"auto on nvidia-a100-80gb", "needs 8.9", "remove the key"},
		},
		"an unknown type of the KV cache": {
			CloudGKE, gke(keys{"model.kvCacheDType": "int4"}), gke(keys{"model.kvCacheDType": "fp8_e4m3"}),
			"model.kvCacheDType", []string{"one of: auto, fp8"},
		},
		"more GPUs than gpu.perReplica": {
			CloudLocal, nvidia(keys{"model.parallel.data": 2}), nvidia(keys{"model.parallel.data": 2, "gpu.perReplica": 2}),
			"model.parallel", []string{"gpu.perReplica (1); these are 2", "gpu.perReplica' 2"},
		},
		"fewer GPUs than gpu.perReplica": {
			CloudLocal, nvidia(keys{"model.parallel.tensor": 1, "gpu.perReplica": 4}),
			nvidia(keys{"model.parallel.tensor": 1, "model.parallel.pipeline": 2, "model.parallel.data": 2, "gpu.perReplica": 4}),
			"model.parallel", []string{"gpu.perReplica (4); these are 1"},
		},
		"three engines": {
			CloudLocal, nvidia(keys{"model.parallel.data": 3}), nvidia(keys{"model.parallel.data": 1}), "model.parallel.data", []string{"one of: 1, 2, 4, 8"},
		},
		"layers over more GPUs than heads": {
			CloudLocal, nvidia(keys{"gpu.perReplica": 8, "model.parallel.tensor": 8}), nvidia(keys{"gpu.perReplica": 8, "model.parallel.data": 2}),
			"model.parallel.tensor", []string{"divisor of 4", "model.parallel.data' 2"},
		},
		"a flag that has a key": {
			CloudGKE, gke(keys{"model.extraArgs": []any{"--quantization", "fp8"}}), gke(keys{"model.quantization": "fp8"}),
			"model.extraArgs[0]", []string{"set model.quantization instead"},
		},
		"a short flag that has a key": {
			CloudGKE, gke(keys{"model.extraArgs": []any{"--enforce-eager", "-dp=1"}}), gke(keys{"model.extraArgs": []any{"--api-server-count=2"}}),
			"model.extraArgs[1]", []string{"set model.parallel.data instead"},
		},
		"adapters in a flag": {
			CloudGKE, gke(keys{"model.extraArgs": []any{"--enable-lora"}}), gke(keys{"model.lora.adapters": adapters}),
			"model.extraArgs[0]", []string{"set model.lora.adapters instead"},
		},
		"a rank without adapters": {
			CloudGKE, gke(keys{"model.lora.maxRank": 64}), gke(keys{"model.lora.maxRank": 64, "model.lora.adapters": adapters}),
			"model.lora.maxRank", []string{"only together with model.lora.adapters"},
		},
		"a rank that vLLM does not have": {
			CloudGKE, gke(keys{"model.lora.maxRank": 24, "model.lora.adapters": adapters}), gke(keys{"model.lora.maxRank": 8, "model.lora.adapters": adapters}),
			"model.lora.maxRank", []string{"one of: 1, 8, 16, 32"},
		},
		"more at a time than there are": {
			CloudGKE, gke(keys{"model.lora.maxLoras": 2, "model.lora.adapters": adapters}), gke(keys{"model.lora.maxLoras": 1, "model.lora.adapters": adapters}),
			"model.lora.maxLoras", []string{"at most 1, the number of model.lora.adapters"},
		},
		"an adapter called like the model": {
			CloudGKE, gke(keys{"model.lora.adapters": keys{"google/gemma-3-1b-it": "example/a"}}), gke(keys{"model.lora.adapters": keys{"example/a": "example/a"}}),
			"model.lora.adapters.google/gemma-3-1b-it", []string{"other than model.id"},
		},
		"the name of an adapter": {
			CloudGKE, gke(keys{"model.lora.adapters": keys{"my adapter": "example/a"}}), gke(keys{"model.lora.adapters": keys{"my_adapter": "/adapters/a"}}),
			"model.lora.adapters.my adapter", []string{"letters, digits", "use another name"},
		},
		"the place of an adapter": {
			CloudGKE, gke(keys{"model.lora.adapters": keys{"support": "s3://bucket/a"}}), gke(keys{"model.lora.adapters": keys{"support": "example/a.b"}}),
			"model.lora.adapters.support", []string{"organisation/name"},
		},
		"adapters with speculative decoding": {
			CloudGKE, gke(keys{"model.lora.adapters": adapters, "model.extraArgs": []any{"--speculative-config={}"}}), gke(keys{"model.lora.adapters": adapters}),
			"model.lora.adapters", []string{"no --speculative-config"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, test.cloud, test.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":"+test.key, refused.Problems[0].Key)
			for _, says := range test.says {
				assert.Contains(t, refused.Problems[0].Allowed+"; "+refused.Problems[0].Fix, says)
			}
			_, err := Read(source(t, test.cloud, test.right))
			require.NoError(t, err)
		})
	}
}

// TestWarningsOfWeights checks the warnings of quantisation and adapters.
func TestWarningsOfWeights(t *testing.T) {
	for name, test := range map[string]warningTest{
		"adapters of a model that vLLM does not list": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-4-E2B-it", "model.lora.adapters": keys{"a": "example/a"}}),
			onCloud(CloudGKE, keys{"model.lora.adapters": keys{"a": "example/a"}}),
			"model.lora.adapters", []string{"has no LoRA for google/gemma-4-E2B-it"},
		},
		"adapters of an unknown model": {
			CloudGKE, onCloud(CloudGKE, keys{"model.id": "a/b", "model.size.weightsGiB": 8, "model.size.kvBytesPerToken": 100000,
				"model.lora.adapters": keys{"a": "example/a"}}),
			onCloud(CloudGKE, keys{"model.id": "a/b", "model.size.weightsGiB": 8, "model.size.kvBytesPerToken": 100000}),
			"model.lora.adapters", []string{"not checked"},
		},
		"engines of another process": {
			CloudGKE, onCloud(CloudGKE, keys{"model.extraArgs": []any{"--data-parallel-rank=1"}}), onCloud(CloudGKE, nil),
			"model.extraArgs", []string{"--data-parallel-rank", "not checked"},
		},
	} {
		t.Run(name, test.run)
	}
}

// TestWeightsFollow checks what follows from quantised weights, parallelism and adapters: the memory on each GPU, the number of requests,
// the targets, the volume, the download and the speed. The balance is that of package sizing.
func TestWeightsFollow(t *testing.T) {
	gke := func(more keys) *Config { return read(t, CloudGKE, onCloud(CloudGKE, more)) }
	fit := func(c *Config) float64 {
		f, known := c.Fit()
		require.True(t, known)
		return f.Weights
	}
	t.Run("weights in 4 bits on an L4", func(t *testing.T) {
		c := gke(keys{"model.id": "RedHatAI/gemma-3-12b-it-quantized.w4a16"})
		assert.InDelta(t, 8.06, fit(c), 0.01, "(10.7634 x 0.515625 + 2 x 1.4266)e9 bytes and 3 %")
		assert.Equal(t, Quantity("20Gi"), c.VLLM.ModelCache)
		assert.InDelta(t, 8.0, c.downloadGiB(), 0.05, "its files")
		assert.Greater(t, c.Model.MaxNumSeqs, 16)
		in16 := read(t, CloudGKE, onCloud(CloudGKE, keys{"model.id": "google/gemma-3-12b-it", "nodePools.gpu.accelerator": "nvidia-a100-80gb"}))
		assert.Less(t, c.ColdStart().Weights, in16.ColdStart().Weights/2, "half the bytes, and less")
		assert.Empty(t, c.Warnings())
	})
	t.Run("weights that are quantised while they are loaded", func(t *testing.T) {
		c, plain := gke(keys{"model.quantization": "fp8", "model.id": "google/gemma-3-4b-it"}), gke(keys{"model.id": "google/gemma-3-4b-it"})
		assert.InDelta(t, 5.17, fit(c), 0.01, "(3.2089 + 2 x 1.0911)e9 bytes and 3 %")
		assert.Equal(t, plain.downloadGiB(), c.downloadGiB(), "the files have 16 bits")
		assert.Equal(t, plain.ColdStart(), c.ColdStart())
		assert.Greater(t, c.Model.MaxNumSeqs, plain.Model.MaxNumSeqs, "more room")
		fast, _ := c.Speed()
		slow, _ := plain.Speed()
		assert.InEpsilon(t, slow.PerToken/2, fast.PerToken, 0.05, "an L4 has 8-bit tensor cores")
		assert.InEpsilon(t, 5.17/8.25, fast.Weights/slow.Weights, 0.01)
	})
	t.Run("weights in 8 bits on a GPU without such tensor cores", func(t *testing.T) {
		of := func(more keys) *Config {
			more["nodePools.gpu.accelerator"] = "nvidia-a100-40gb"
			return gke(more)
		}
		fast, _ := of(keys{"model.quantization": "fp8"}).Speed()
		slow, _ := of(keys{}).Speed()
		assert.InEpsilon(t, slow.PerToken, fast.PerToken, 0.05)
		assert.Less(t, fast.Weights, slow.Weights)
	})
	t.Run("bitsandbytes", func(t *testing.T) {
		c := gke(keys{"model.quantization": "bitsandbytes"})
		_, known := c.Speed()
		assert.False(t, known, "its speed is not computed")
		assert.Less(t, fit(c), fit(gke(nil)))
	})
	t.Run("a KV cache in 8 bits", func(t *testing.T) {
		c, plain := gke(keys{"model.kvCacheDType": "fp8"}), gke(nil)
		assert.InDelta(t, plain.TokenCache().FullBytes/2, c.TokenCache().FullBytes, 0)
		of := func(c *Config) float64 { f, _ := c.Fit(); return f.Sequence }
		assert.InDelta(t, of(plain)/2, of(c), 1e-9)
	})
	t.Run("two engines", func(t *testing.T) {
		four := keys{"model.id": "google/gemma-3-4b-it", "nodePools.gpu.machineType": "g2-standard-24", "gpu.perReplica": 2}
		one := gke(keys{"model.id": "google/gemma-3-4b-it"})
		four["model.parallel.data"] = 2
		c := gke(four)
		assert.Equal(t, Parallel{Tensor: 1, Pipeline: 1, Data: 2}, c.Model.Parallel)
		assert.Equal(t, fit(one), fit(c), "each has the whole model")
		assert.Equal(t, one.Model.MaxNumSeqs, c.Model.MaxNumSeqs, "of each engine")
		assert.Equal(t, 2*one.Model.MaxNumSeqs, c.ReplicaSequences())
		// 128 - 3 x sqrt(128) = 94.06, and 64 - 3 x sqrt(64) = 40.
		assert.Equal(t, 94.0, c.Autoscaling.Signals.RequestsInFlight.Target)
		assert.Equal(t, 40.0, one.Autoscaling.Signals.RequestsInFlight.Target)
		assert.Equal(t, 96.0, c.Autoscaling.Signals.RequestsRunning.Target)
		assert.Equal(t, one.ColdStart(), c.ColdStart(), "they read the same files at the same time")
		assert.Contains(t, c.Batch(), "each of the 2 engines of a replica runs up to 64 requests at a time (model.maxNumSeqs), because its KV cache of 9.7 GiB")
		assert.Equal(t, Quantity("1Gi"), c.VLLM.Shm, "nothing is shared between them")
		both, _ := c.ReplicaSpeed()
		each, _ := c.Speed()
		assert.InEpsilon(t, each.Pass(64, 1e9), both.Pass(128, 2e9), 1e-9)
		assert.Empty(t, c.Warnings())
	})
	t.Run("targets beyond one engine", func(t *testing.T) {
		given := keys{"nodePools.gpu.machineType": "g2-standard-24", "gpu.perReplica": 2, "model.parallel.data": 2, "model.maxNumSeqs": 16,
			"autoscaling.signals.requestsRunning.enabled": true, "autoscaling.signals.requestsRunning.target": 28}
		gke(given)
		given["autoscaling.signals.requestsRunning.target"] = 30
		refused := problemsOf(t, source(t, CloudGKE, onCloud(CloudGKE, given)))
		require.Len(t, refused.Problems, 1)
		assert.Contains(t, refused.Problems[0].Allowed, "more than 32 requests")
	})
	t.Run("a pipeline", func(t *testing.T) {
		given := keys{"model.id": "google/gemma-3-12b-it", "nodePools.gpu.machineType": "g2-standard-24", "gpu.perReplica": 2}
		tensor := gke(given)
		given["model.parallel.pipeline"] = 2
		c := gke(given)
		assert.Equal(t, Parallel{Tensor: 1, Pipeline: 2, Data: 1}, c.Model.Parallel)
		assert.Greater(t, fit(c), fit(tensor), "one stage has all embeddings")
		staged, _ := c.Speed()
		split, _ := tensor.Speed()
		assert.InEpsilon(t, 2*split.Weights, staged.Weights, 1e-9, "the stages work one after the other")
	})
	t.Run("adapters", func(t *testing.T) {
		given := keys{"model.lora.adapters": keys{"a": "example/a", "b": "example/b", "c": "/adapters/c"}}
		c, plain := gke(given), gke(nil)
		assert.Equal(t, LoRA{Adapters: map[string]string{"a": "example/a", "b": "example/b", "c": "/adapters/c"}, MaxRank: 16, MaxLoras: 3}, c.Model.LoRA)
		more := fit(c) - fit(plain)
		assert.Positive(t, more)
		given["model.lora.maxLoras"] = 1
		assert.InEpsilon(t, more/3, fit(gke(given))-fit(plain), 1e-6)
		given["model.lora.maxRank"] = 64
		assert.InEpsilon(t, 4*more/3, fit(gke(given))-fit(plain), 1e-6)
		assert.Greater(t, c.downloadGiB(), plain.downloadGiB())
		assert.Empty(t, c.Warnings())
	})
}
