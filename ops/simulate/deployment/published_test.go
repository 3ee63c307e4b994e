package deployment

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/speed"
)

// Models of published figures, in 16 bits unless said otherwise.
var (
	llama8B  = speed.Size{WeightBytes: 16.06e9, Parameters: 8.03e9, Layers: 32, HiddenSize: 4096}
	llama70B = speed.Size{WeightBytes: 141.1e9, Parameters: 70.55e9, Layers: 80, HiddenSize: 8192}
	gemma4B  = speed.Size{WeightBytes: 8.6e9, Parameters: 4.3e9, Layers: 34, HiddenSize: 2560}
	// llama11B is what Llama 3.2 11B Vision reads for text: its linear layers in FP8, the output layer in 16 bits.
	llama11B = speed.Size{WeightBytes: 9.8e9, Parameters: 9.8e9, Layers: 40, HiddenSize: 4096}
)

// What a token takes in the KV cache: a key and a value of 8 heads of 128 numbers in each layer.
var (
	cache8B  = speed.Cache{FullBytes: 2 * 8 * 128 * 2 * 32}
	cache70B = speed.Cache{FullBytes: 2 * 8 * 128 * 2 * 80}
)

// measure is the statistic of a published figure. The requests of a batch are sent at once.
type measure func([]*replica.Request) float64

// latency is the time until all answers are complete.
func latency(batch []*replica.Request) float64 {
	last := 0.0
	for _, r := range batch {
		last = max(last, r.Finish)
	}
	return last
}

func firstToken(batch []*replica.Request) float64 { return batch[0].FirstToken }

// interToken is the mean time between tokens while only decoding: that of the request whose prompt is computed last.
func interToken(batch []*replica.Request) float64 {
	r := batch[len(batch)-1]
	return (r.Finish - r.FirstToken) / float64(r.Output-1)
}

// published is a figure of vLLM that others measured and published, in seconds.
type published struct {
	source, accelerator  string
	gpus                 int
	model                string
	size                 speed.Size
	cache                speed.Cache
	batch, input, output int
	measure              measure
	name                 string
	seconds              float64
}

func (p published) simulated(t *testing.T) float64 {
	t.Helper()
	profile, ok := speed.Roofline(p.accelerator, p.size, p.gpus)
	require.True(t, ok, p.accelerator)
	e := replica.New(profile, replica.Limits{MaxNumSeqs: 256, BatchedTokens: 2048, CacheBytes: math.MaxInt64}, p.cache)
	batch := make([]*replica.Request, p.batch)
	for i := range batch {
		batch[i] = &replica.Request{Input: p.input, Output: p.output}
		e.Submit(batch[i])
	}
	e.Drain()
	return p.measure(batch)
}

// figures are all that were found with a named GPU and a workload that can be repeated.
func figures(t *testing.T) []published {
	gemma, ok := models.Find("google/gemma-3-4b-it")
	require.True(t, ok)
	cache4B := speed.CacheOf(gemma, speed.BytesPerNumber)
	const (
		// The latency tests of https://buildkite.com/vllm/performance-benchmark, 2024.
		vllm = "vLLM CI"
		// https://johnmusgrave.com/p/vllm-throughput-latency-sweep-on, vLLM 0.23.0.
		musgrave = "Musgrave"
		// https://github.com/tenstorrent/tt-inference-server/issues/521, 2025. Which form of the A100 is not stated.
		tenstorrent = "Tenstorrent"
		// https://github.com/substratusai/kubeai, docs/benchmarks/llama-3.2-11b-vision.md, vLLM 0.6.2: the median with 15.6 requests
		// running (285 tokens/s with 54.8 ms for each).
		kubeAI = "KubeAI"
	)
	return []published{
		{vllm, "nvidia-h100-80gb", 1, "Llama 3.1 8B", llama8B, cache8B, 8, 32, 128, latency, "latency", 0.9975},
		{vllm, "nvidia-h200-141gb", 1, "Llama 3.1 8B", llama8B, cache8B, 8, 32, 128, latency, "latency", 0.8334},
		{vllm, "nvidia-a100-80gb", 1, "Llama 3.1 8B", llama8B, cache8B, 8, 32, 128, latency, "latency", 1.5854},
		{vllm, "nvidia-h100-80gb", 4, "Llama 3 70B", llama70B, cache70B, 8, 32, 128, latency, "latency", 2.4445},
		{vllm, "nvidia-h200-141gb", 4, "Llama 3 70B", llama70B, cache70B, 8, 32, 128, latency, "latency", 2.0775},
		{musgrave, "nvidia-a100-40gb", 1, "Llama 3.1 8B", llama8B, cache8B, 1, 1024, 128, interToken, "between tokens", 1.0 / 75},
		{tenstorrent, "nvidia-a100-80gb", 1, "Gemma 3 4B", gemma4B, cache4B, 1, 128, 128, interToken, "between tokens", 0.0084},
		{tenstorrent, "nvidia-a100-80gb", 1, "Gemma 3 4B", gemma4B, cache4B, 1, 3072, 128, interToken, "between tokens", 0.0101},
		{tenstorrent, "nvidia-a100-80gb", 1, "Gemma 3 4B", gemma4B, cache4B, 1, 1024, 128, firstToken, "first token", 0.0627},
		{tenstorrent, "nvidia-a100-80gb", 1, "Gemma 3 4B", gemma4B, cache4B, 1, 2048, 128, firstToken, "first token", 0.1077},
		{tenstorrent, "nvidia-a100-80gb", 1, "Gemma 3 4B", gemma4B, cache4B, 1, 4096, 128, firstToken, "first token", 0.2080},
		{kubeAI, "nvidia-l4", 1, "Llama 3.2 11B FP8", llama11B, cache8B, 16, 231, 195, interToken, "between tokens", 0.04744},
	}
}

// TestPublishedFigures compares the roofline with what others measured, and prints the table.
func TestPublishedFigures(t *testing.T) {
	table := &strings.Builder{}
	logs := 0.0
	all := figures(t)
	for _, f := range all {
		simulated := f.simulated(t)
		ratio := simulated / f.seconds
		logs += math.Log(ratio)
		row := fmt.Sprintf("%-11s %d x %-17s %-17s %2d x %4d/%3d %-14s", f.source, f.gpus, f.accelerator, f.model, f.batch, f.input, f.output, f.name)
		fmt.Fprintf(table, "\n%s %7.1f ms published %7.1f ms simulated, ratio %.2f", row, 1e3*f.seconds, 1e3*simulated, ratio)
		assert.InDelta(t, 1, ratio, 0.25, row)
	}
	mean := math.Exp(logs / float64(len(all)))
	t.Logf("%s\ngeometric mean of the ratios %.2f", table, mean)
	assert.InDelta(t, 1, mean, 0.1, "a mean that differs more is a share that is off")
}

// TestAttentionIsSmall computes what Roofline leaves out: the operations of attention itself.
func TestAttentionIsSmall(t *testing.T) {
	const prompt = 8192.0 // The default of model.maxModelLen.
	for _, m := range models.All() {
		operations := func(l models.Layers, window float64) float64 {
			// A token attends to half of the prompt on average, or to the window. Scores and values take two operations each.
			attended := min(prompt/2, window)
			return 4 * float64(l.Count*m.Heads*l.HeadDim) * attended
		}
		share := (operations(m.Full, prompt) + operations(m.Sliding, float64(m.Window))) / (2e9 * m.Parameters)
		t.Logf("%-24s %4.1f %%", m.IDs[0], 100*share)
		assert.Less(t, share, 0.16, m.IDs[0])
	}
}
