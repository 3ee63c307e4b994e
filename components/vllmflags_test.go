package components

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVLLMServerArgs(t *testing.T) {
	t.Run("vLLM", func(t *testing.T) {
		args := vllmArgs()
		assert.Equal(t, []string{
			"google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--gpu-memory-utilization=0.9", "--dtype=auto", "--shutdown-timeout=45",
			"--disable-access-log-for-endpoints=/health,/metrics,/ping",
			"--allowed-media-domains", "none.invalid",
		}, serverArgs(args))
	})
	t.Run("media from two hosts", func(t *testing.T) {
		args := vllmArgs()
		args.MediaDomains = []string{"a.example", "b.example"}
		args.Model.ExtraArgs = []string{"--enable-prefix-caching"}
		got := serverArgs(args)
		at := slices.Index(got, "--allowed-media-domains")
		require.Positive(t, at)
		assert.Equal(t, []string{"a.example", "b.example", "--enable-prefix-caching"}, got[at+1:], "vLLM reads the list up to the next flag")
	})
	t.Run("a revision, two GPUs and extra arguments", func(t *testing.T) {
		args := vllmArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		args.Model.ExtraArgs = []string{"--enable-prefix-caching"}
		got := serverArgs(args)
		assert.Subset(t, got, []string{"--revision=dcc83ea", "--tensor-parallel-size=2"})
		assert.Equal(t, "--enable-prefix-caching", got[len(got)-1])
	})
	t.Run("tokens in a forward pass and the cache of images", func(t *testing.T) {
		args := vllmArgs()
		args.Model.MaxNumBatchedTokens, args.Model.ProcessorCacheGiB = 4096, 0.5
		assert.Subset(t, serverArgs(args), []string{"--max-num-batched-tokens=4096", "--mm-processor-cache-gb=0.5"})
		args.Model.ExtraArgs = []string{"--max_num_batched_tokens", "8k", "--mm-processor-cache-gb=4"}
		got := serverArgs(args)
		assert.NotContains(t, got, "--max-num-batched-tokens=4096", "the extra argument wins")
		assert.NotContains(t, got, "--mm-processor-cache-gb=0.5", "the extra argument wins")
		assert.Equal(t, args.Model.ExtraArgs, got[len(got)-3:])
		require.NoError(t, args.validate())
	})
	t.Run("quantised weights and cache", func(t *testing.T) {
		args := vllmArgs()
		args.Model.Quantization, args.Model.KVCacheDType = "fp8", "auto"
		assert.Contains(t, serverArgs(args), "--quantization=fp8")
		assert.NotContains(t, strings.Join(serverArgs(args), " "), "--kv-cache-dtype")
		args.Model.KVCacheDType = "fp8_e4m3"
		assert.Contains(t, serverArgs(args), "--kv-cache-dtype=fp8_e4m3")
	})
	t.Run("parallelism", func(t *testing.T) {
		args := vllmArgs()
		args.GPU.PerReplica, args.Model.Parallel = 8, Parallel{Tensor: 2, Pipeline: 2, Data: 2}
		require.NoError(t, args.validate())
		assert.Subset(t, serverArgs(args), []string{
			"--tensor-parallel-size=2", "--pipeline-parallel-size=2", "--data-parallel-size=2", "--api-server-count=1", "--max-num-seqs=16",
		}, "--max-num-seqs counts for each engine")
		args.Model.ExtraArgs = []string{"-asc", "2"}
		assert.NotContains(t, serverArgs(args), "--api-server-count=1", "the extra argument wins")
		args.Model.Parallel.Data = 1
		require.ErrorContains(t, args.validate(), "need 4 GPUs, and a replica has 8")
		args.Model.Parallel = Parallel{Tensor: 8}
		require.ErrorContains(t, args.validate(), "each at least 1")
		args.Model.Parallel = Parallel{Tensor: 8, Pipeline: 1, Data: 1}
		require.NoError(t, args.validate())
		assert.NotContains(t, strings.Join(serverArgs(args), " "), "pipeline")
	})
	t.Run("adapters", func(t *testing.T) {
		args := vllmArgs()
		args.Model.LoRA = LoRA{Adapters: map[string]string{"support": "org/b", "legal": "/adapters/a"}, MaxRank: 32, MaxLoras: 2}
		got := serverArgs(args)
		at := slices.Index(got, "--lora-modules")
		require.Positive(t, at)
		assert.Equal(t, []string{`{"name":"legal","path":"/adapters/a"}`, `{"name":"support","path":"org/b"}`}, got[at+1:at+3], "sorted by name")
		assert.True(t, strings.HasPrefix(got[at+3], "--"), "the list ends with the next flag")
		assert.Subset(t, got, []string{"--enable-lora", "--max-lora-rank=32", "--max-loras=2"})
		args.Model.LoRA.MaxRank = 0
		require.ErrorContains(t, args.validate(), "MaxRank 0")
	})
	// The simulator exits on a flag it does not know.
	t.Run("the simulator", func(t *testing.T) {
		args := simulatorArgs()
		args.Model.Revision = "dcc83ea"
		args.GPU.PerReplica = 2
		args.Model.MaxNumBatchedTokens, args.Model.ProcessorCacheGiB = 4096, 1
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=16",
			"--time-to-first-token=110ms", "--inter-token-latency=15ms", "--time-factor-under-load=1.5",
			"--force-dummy-tokenizer",
		}, serverArgs(args))
	})
	t.Run("the simulator with two engines and an adapter", func(t *testing.T) {
		args := simulatorArgs()
		args.Model.Quantization, args.Model.KVCacheDType, args.Model.Parallel = "fp8", "fp8", Parallel{Tensor: 1, Pipeline: 1, Data: 2}
		args.Model.LoRA = LoRA{Adapters: map[string]string{"support": "org/b"}, MaxRank: 16, MaxLoras: 1}
		assert.Equal(t, []string{
			"--model=google/gemma-3-1b-it", "--port=8000", "--max-model-len=8192", "--max-num-seqs=32",
			"--max-loras=1", "--lora-modules", `{"name":"support","path":"org/b"}`,
			"--time-to-first-token=110ms", "--inter-token-latency=15ms", "--time-factor-under-load=1.5",
			"--force-dummy-tokenizer",
		}, serverArgs(args), "one engine with the room of both")
	})
}

// A flag that the program sets and the table lacks could be set a second time by the extra arguments.
func TestEveryFlagSetIsInTheTable(t *testing.T) {
	many := vllmArgs()
	many.Model.Revision = "main"
	many.GPU.PerReplica = 2
	many.Model.MaxNumBatchedTokens, many.Model.ProcessorCacheGiB = 4096, 1
	many.Model.Quantization, many.Model.KVCacheDType, many.Model.Parallel = "fp8", "fp8", Parallel{Tensor: 2, Pipeline: 2, Data: 2}
	many.Model.LoRA = LoRA{Adapters: map[string]string{"support": "org/b"}, MaxRank: 16, MaxLoras: 1}
	for _, args := range []*VLLMArgs{many, simulatorArgs()} {
		for _, arg := range serverArgs(args) {
			if arg == args.Model.ID || !strings.HasPrefix(arg, "-") {
				continue
			}
			_, found := FindServerFlag(arg)
			assert.True(t, found, arg)
		}
	}
}

func TestServerFlags(t *testing.T) {
	names := map[string]bool{}
	for _, flag := range ServerFlags() {
		assert.Regexp(t, `^--?[a-z-]+$`, flag.Name)
		assert.False(t, names[flag.Name], "%s is listed twice", flag.Name)
		names[flag.Name] = true
	}
	for arg, want := range map[string]string{
		"--port": "vllm.port", "--port=9": "vllm.port", "--max_model_len=9": "model.maxModelLen", "-tp": "model.parallel.tensor", "-q": "model.quantization",
		"--pipeline_parallel_size=2": "model.parallel.pipeline", "-dp=2": "model.parallel.data", "--kv-cache-dtype": "model.kvCacheDType",
		"--lora-modules": "model.lora.adapters", "--max-lora-rank=8": "model.lora.maxRank",
		"--api-key=x": "apiKey", "--hf_token": "huggingFaceToken",
	} {
		flag, found := FindServerFlag(arg)
		assert.True(t, found, arg)
		assert.Equal(t, want, flag.Key, arg)
		assert.Equal(t, flag.Name == "--api-key" || flag.Name == "--hf-token", flag.Secret, arg)
	}
	for _, arg := range []string{"", "--enable-prefix-caching", "--port-range=1", "port"} {
		_, found := FindServerFlag(arg)
		assert.False(t, found, arg)
	}
}
