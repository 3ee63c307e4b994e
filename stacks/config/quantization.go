package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
)

// The methods of vLLM that quantise weights in 16 bits while they are loaded.
const (
	methodFP8          = "fp8"
	methodBitsAndBytes = "bitsandbytes"
)

// onLoad are the formats that weights in 16 bits get while they are loaded, by method.
var onLoad = map[string]models.Weights{methodFP8: models.FP8, methodBitsAndBytes: models.NF4}

// methodCapability is the minimum compute capability, times ten, for a method whose format is not known otherwise
// (https://docs.vllm.ai/en/latest/features/quantization/, Supported Hardware).
var methodCapability = map[string]int{
	methodFP8: accelerators.Marlin, "awq_marlin": accelerators.Marlin, "gptq_marlin": accelerators.Marlin, "modelopt": accelerators.FP8,
	"modelopt_fp4": accelerators.Marlin, "awq": 75, "gptq": 70, methodBitsAndBytes: 70,
}

// halfOnly are the methods whose kernels compute in float16 alone, and the one that vLLM takes for the same checkpoint by itself
// (vllm/model_executor/layers/quantization/awq.py and gptq.py, get_supported_act_dtypes).
var halfOnly = map[string]string{"awq": "awq_marlin", "gptq": "gptq_marlin"}

// halfTypes are the names of float16.
var halfTypes = []string{"half", "float16"}

// The names of checkpoints that bitsandbytes has quantised, and of models that do not run in float16, wherever they come from.
var (
	quantizedByBitsAndBytes = regexp.MustCompile(`(?i)-bnb-|-bnb$`)
	anyGemma                = regexp.MustCompile(`(?i)gemma-?[23]`)
)

// loaded returns the model's entry in the catalogue with the weights as they are loaded, and whether there is one.
func (m Model) loaded() (models.Model, bool) {
	model, known := models.Find(m.ID)
	if format, quantised := onLoad[m.Quantization]; quantised && !model.Weights.Quantized() {
		model.Weights = format
	}
	return model, known
}

// cacheBytes returns the size of a number in the KV cache.
func (m Model) cacheBytes() float64 {
	if strings.HasPrefix(m.KVCacheDType, "fp8") {
		return 1
	}
	return m.numberBytes()
}

// numberBytes returns the size of an activation, and of a weight that is not quantised.
func (m Model) numberBytes() float64 {
	if slices.Contains(float32Types, m.DType) {
		return 4
	}
	return 2
}

// quantizationCapability returns the minimum compute capability, times ten, for the model's weights, and what needs it; 0 for none.
func (m Model) quantizationCapability() (int, string) {
	if model, known := m.loaded(); known && model.Weights.Quantized() {
		return model.Weights.MinCapability, fmt.Sprintf("vLLM's kernels for the %s weights of %s need it", model.Weights.Name, m.ID)
	}
	if needs := methodCapability[m.Quantization]; needs > 0 {
		return needs, fmt.Sprintf("vLLM's kernels for model.quantization %s need it", m.Quantization)
	}
	return 0, ""
}

// checkQuantization refuses weights and types that vLLM does not start with. Compute capability is checked with the GPU.
func (c *Config) checkQuantization(r *report) {
	m := c.Model
	if r.anyRefused("model.id", "model.quantization", "model.dtype") {
		return
	}
	known, listed := models.Find(m.ID)
	method := m.Quantization
	_, loads := onLoad[method]
	wide := slices.Contains(float32Types, m.DType)
	marlin, half := halfOnly[method]
	switch {
	case listed && known.Method != "" && method != "" && method != known.Method:
		r.bad("model.quantization", method, fmt.Sprintf("%s, which %s declares", known.Method, m.ID), "remove the key")
		return
	case listed && known.Method == "" && method != "" && !loads:
		r.bad("model.quantization", method, fmt.Sprintf("a checkpoint that is quantised so; the weights of %s have 16 bits", m.ID), waysToQuantize(m.ID))
		return
	case half && !slices.Contains(halfTypes, m.DType) && (wide || m.DType == "bfloat16" || anyGemma.MatchString(m.ID)):
		r.bad("model.quantization", method, fmt.Sprintf("%s: the kernels of %s compute in float16 only, which this model does not run in", marlin, method),
			r.set("model.quantization", marlin)+", or remove the key: vLLM then takes it by itself")
		return
	case wide && (known.Weights.Quantized() || method != "" && method != methodBitsAndBytes):
		r.bad("model.dtype", m.DType, "auto, bfloat16 or float16: quantised weights are computed in 16 or fewer bits", "remove the key")
	case m.Quantization == methodBitsAndBytes && m.Parallel.Tensor > 1 && quantizedByBitsAndBytes.MatchString(m.ID):
		r.bad("model.parallel.tensor", m.Parallel.Tensor, fmt.Sprintf("1: vLLM does not split the layers of a checkpoint that bitsandbytes has quantised (%s)", m.ID),
			r.set("model.parallel.pipeline", fmt.Sprint(c.GPU.PerReplica/m.Parallel.Data)))
	}
	if strings.HasPrefix(m.KVCacheDType, "fp8") && !r.anyRefused("model.kvCacheDType") {
		gpu, found := accelerators.Find(c.NodePools.GPU.Accelerator)
		if found && c.createsGPUPool() && gpu.ComputeCapability < accelerators.FP8 {
			r.bad("model.kvCacheDType", m.KVCacheDType, fmt.Sprintf("auto on %s: it has compute capability %s, and a KV cache in 8 bits needs 8.9",
				gpu.Name, gpu.Capability()), "remove the key, or choose a newer GPU with nodePools.gpu.machineType")
		}
	}
}

// waysToQuantize returns how to serve a model of the catalogue with fewer bits.
func waysToQuantize(id string) string {
	text := "use fp8 or bitsandbytes, which quantise while loading"
	if published := models.CheckpointsOf(id); len(published) > 0 {
		return fmt.Sprintf("%s, or a quantised checkpoint as model.id, such as %s, without the key", text,
			strings.Join(published[:min(maxNamedModels, len(published))], ", "))
	}
	return text
}
