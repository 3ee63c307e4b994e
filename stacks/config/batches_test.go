package config

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestMaxNumBatchedTokens checks which stacks set the number of tokens in a forward pass, and that the sizing rule has the same number.
func TestMaxNumBatchedTokens(t *testing.T) {
	gke := func(model string, more keys) keys {
		given := keys{"model.id": model}
		maps.Copy(given, more)
		return onCloud(CloudGKE, given)
	}
	extra := func(args ...any) keys { return keys{"model.extraArgs": args} }
	const text, gemma3, gemma4 = "google/gemma-3-1b-it", "google/gemma-3-4b-it", "google/gemma-4-E2B-it"
	for name, test := range map[string]struct {
		cloud      string
		given      keys
		set, sized int
	}{
		"text":                         {CloudGKE, gke(text, nil), 0, 2048},
		"Gemma 3 with images":          {CloudGKE, gke(gemma3, nil), 512, 512},
		"few tokens in all requests":   {CloudGKE, gke(gemma3, keys{"model.maxModelLen": 128, "model.maxNumSeqs": 1}), 512, 512},
		"Gemma 4 on an L4":             {CloudGKE, gke("google/gemma-4-E4B-it", nil), 2560, 2560},
		"Gemma 4 on an A10":            {CloudAKS, onCloud(CloudAKS, keys{"model.id": gemma4, "nodePools.gpu.accelerator": "nvidia-a10"}), 2560, 2560},
		"Gemma 4 on an A100 of 80 GiB": {CloudAKS, onCloud(CloudAKS, keys{"model.id": "google/gemma-4-31B-it"}), 2560, 2560},
		"Gemma 4 on an H100":           {CloudGKE, gke("google/gemma-4-31B-it", keys{"nodePools.gpu.accelerator": "nvidia-h100-80gb", "nodePools.gpu.spot": true}), 2560, 2560},
		"Gemma 4 on an unknown GPU":    {CloudLocal, nvidia(keys{"model.id": gemma4}), 2560, 2560},
		"Gemma 4 without images":       {CloudGKE, gke(gemma4, extra("--language-model-only")), 512, 512},
		"throughput":                   {CloudGKE, gke(text, extra("--performance-mode=throughput")), 0, 4096},
		"more requests than tokens":    {CloudGKE, gke(text, keys{"model.maxModelLen": 256, "model.maxNumSeqs": 2100}), 2560, 2560},
		"whole prompts":                {CloudGKE, gke(text, extra("--no-enable-chunked-prefill")), 8192, 8192},
		"answers at 1s per token":      {CloudGKE, gke(gemma3, keys{"slo.interToken": "1s"}), 0, 2048},
		"text on a large GPU":          {CloudGKE, gke(text, keys{"nodePools.gpu.accelerator": "nvidia-h100-80gb", "nodePools.gpu.spot": true}), 0, 8192},
		"the user's number":            {CloudGKE, gke(gemma4, extra("--max-num-batched-tokens=3K")), 3072, 3072},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.cloud, test.given)
			assert.Equal(t, test.set, c.MaxNumBatchedTokens())
			_, server, _ := c.fit()
			assert.Equal(t, test.sized, server.BatchedTokens)
		})
	}
}

// TestHumanInt checks the numbers that vLLM reads for --max-num-batched-tokens.
func TestHumanInt(t *testing.T) {
	for text, want := range map[string]int{"4096": 4096, " 4k ": 4000, "4K": 4096, "2.5k": 2500, "1m": 1000000, "1M": 1 << 20} {
		got, ok := humanInt(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "0", "-1", "2.5", "2.5K", "4 k", "many", "99999999999999999999", "9999g"} {
		_, ok := humanInt(text)
		assert.False(t, ok, text)
	}
}
