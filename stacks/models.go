package stacks

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// knownModel is what the program knows about a model. Unknown models are served unchecked.
type knownModel struct {
	// ids are its names on Hugging Face.
	ids []string
	// weightsGB is the size of its weights in bfloat16, in 10^9 bytes (sizes of the model repositories).
	weightsGB float64
	// heads is its number of attention heads (num_attention_heads in its config.json); vLLM splits
	// them evenly over the GPUs of a replica.
	heads int
	// contextLength is the longest context it was made for, in tokens (model card).
	contextLength int
}

var knownModels = []knownModel{
	{ids: []string{"google/gemma-3-1b-it", "google/gemma-3-1b-pt"}, weightsGB: 2, heads: 4, contextLength: 32768},
	{ids: []string{"google/gemma-3-4b-it", "google/gemma-3-4b-pt"}, weightsGB: 8.6, heads: 8, contextLength: 131072},
	{ids: []string{"google/gemma-3-12b-it", "google/gemma-3-12b-pt"}, weightsGB: 24.4, heads: 16, contextLength: 131072},
	{ids: []string{"google/gemma-3-27b-it", "google/gemma-3-27b-pt"}, weightsGB: 54.8, heads: 32, contextLength: 131072},
}

// gatedModel matches models that Hugging Face hands out only to accounts that accepted a licence.
var gatedModel = regexp.MustCompile(`^google/gemma-3-`)

// noFloat16 matches models that vLLM refuses to run in float16, whose range they exceed.
var noFloat16 = regexp.MustCompile(`^google/gemma-[23]-`)

const gib = 1 << 30

func findModel(id string) (knownModel, bool) {
	i := slices.IndexFunc(knownModels, func(m knownModel) bool { return slices.Contains(m.ids, id) })
	if i < 0 {
		return knownModel{}, false
	}
	return knownModels[i], true
}

// weightsGiB is the size of the weights as loaded.
func (m knownModel) weightsGiB(dtype string) float64 {
	size := m.weightsGB * 1e9 / gib
	if dtype == "float" || dtype == "float32" {
		size *= 2 // Four bytes a weight in place of two.
	}
	return size
}

// fits says whether the weights leave any room at all in what vLLM takes of the GPUs of a replica.
// It is a lower bound: activations and the KV cache come on top.
func (m knownModel) fits(dtype string, memoryGiB float64, perReplica int, utilization float64) bool {
	return m.weightsGiB(dtype) < memoryGiB*float64(perReplica)*utilization
}

// whatFits names the GPUs that would do for the model, and the models that would do for the GPU.
func (m knownModel) whatFits(c *Config) string {
	var sizes, models []string
	for _, a := range accelerators.All() {
		size := fmt.Sprintf("%g", a.MemoryGiB)
		if m.fits(c.Model.DType, a.MemoryGiB, c.GPU.PerReplica, c.Model.GPUMemoryUtilization) && !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
	}
	for _, other := range knownModels {
		if other.fits(c.Model.DType, c.GPU.MemoryGiB, c.GPU.PerReplica, c.Model.GPUMemoryUtilization) {
			models = append(models, other.ids[0])
		}
	}
	var ways []string
	if onCloud := c.whatRuns(); onCloud != "" {
		ways = append(ways, onCloud)
	} else if len(sizes) > 0 && !c.onCloud() {
		ways = append(ways, fmt.Sprintf("GPUs of %s GiB", strings.Join(sizes, ", ")))
	}
	for perReplica := c.GPU.PerReplica * 2; perReplica <= maxGPUsPerReplica; perReplica *= 2 {
		if m.fits(c.Model.DType, c.GPU.MemoryGiB, perReplica, c.Model.GPUMemoryUtilization) && m.heads%perReplica == 0 {
			ways = append(ways, fmt.Sprintf("gpu.perReplica %d", perReplica))
			break
		}
	}
	if len(models) > 0 {
		ways = append(ways, "on this GPU one of "+strings.Join(models, ", "))
	}
	if len(ways) == 0 {
		return fmt.Sprintf("more GPU memory than %.0f GiB in a replica", math.Ceil(m.weightsGiB(c.Model.DType)))
	}
	return strings.Join(ways, "; or ")
}
