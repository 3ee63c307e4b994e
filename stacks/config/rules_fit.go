package config

import (
	"fmt"
	"math"
	"regexp"

	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
)

// gatedModel and noFloat16 match models of known families that the catalogue does not list.
var (
	gatedModel = regexp.MustCompile(`^google/gemma-3-`)
	noFloat16  = regexp.MustCompile(`^google/gemma-[23]-`)
)

// float32Types lists the types with four bytes per number; all others have two.
var float32Types = []string{"float", "float32"}

const (
	// unknownUsable is the share of a GPU's memory that CUDA reports, for a GPU that is not in the
	// catalogue: the lowest of those that are.
	unknownUsable = 0.91
	// shortestContext is the shortest context that is proposed, in tokens.
	shortestContext = 256
	// highUtilization is the largest share that is proposed, the largest that vLLM recommends.
	highUtilization = 0.95
	// maxNamedModels is the maximum number of models that an error names.
	maxNamedModels = 3
	// outsideGiB is the memory that vLLM needs outside its share: the CUDA context, and CUDA graphs before 0.21.
	outsideGiB = 0.75
)

// changesSums lists flags of vLLM that change its GPU memory use in ways that package sizing does not model.
var changesSums = []string{
	"--load-format", "--cpu-offload-gb", "--kv-cache-memory-bytes", "--num-gpu-blocks-override", "--speculative-config", "--hf-overrides",
	"--config", "--disable-hybrid-kv-cache-manager", "--kv-transfer-config", "--limit-mm-per-prompt", "--lora-dtype",
	"--data-parallel-size-local", "-dpl", "--data-parallel-rank", "-dpn", "--data-parallel-external-lb", "-dpe", "--enable-expert-parallel", "-ep",
}

// gated reports whether downloading the model from Hugging Face requires an account that accepted its licence.
func (m Model) gated() bool {
	model, known := models.Find(m.ID)
	return known && model.Gated || gatedModel.MatchString(m.ID)
}

// refusesFloat16 reports whether vLLM refuses to run the model in float16.
func (m Model) refusesFloat16() bool {
	model, known := models.Find(m.ID)
	return known && model.NoFloat16 || noFloat16.MatchString(m.ID)
}

// needsCapability returns the minimum compute capability, times ten, for the model in its type and with its weights, and what needs it; 0
// for none.
func (c *Config) needsCapability() (int, string) {
	needs, why := c.typeCapability(), c.Model.ID+" runs in bfloat16"
	if quantised, reason := c.Model.quantizationCapability(); quantised > needs {
		return quantised, reason
	}
	return needs, why
}

// typeCapability returns the minimum compute capability, times ten, for the model in its type; 0 for none.
func (c *Config) typeCapability() int {
	model, known := models.Find(c.Model.ID)
	switch {
	case c.Model.DType == "bfloat16":
		return accelerators.BFloat16
	case c.Model.DType != "auto":
		return 0
	case known:
		return model.MinCapability
	case noFloat16.MatchString(c.Model.ID):
		return accelerators.BFloat16
	default:
		return 0
	}
}

// footprint returns the GPU memory that the model takes, and whether it is known.
func (m Model) footprint() (sizing.Footprint, bool) {
	flags := serverFlags(m.ExtraArgs)
	for _, flag := range changesSums {
		if _, given := flags[flag]; given {
			return sizing.Footprint{}, false
		}
	}
	if model, known := m.loaded(); known {
		return m.withAdapters(sizing.Of(model, m.numberBytes(), m.cacheBytes()), model), true
	}
	size := m.Size
	if size.WeightsGiB > 0 && size.KVBytesPerToken > 0 && len(m.LoRA.Adapters) == 0 {
		return sizing.OfSize(size.WeightsGiB, float64(size.KVBytesPerToken)), true
	}
	return sizing.Footprint{}, false
}

// usableGiB returns the memory of one GPU as reported by CUDA, or 0 if it is not known.
func (c *Config) usableGiB() float64 {
	if accelerator, ok := accelerators.Find(c.NodePools.GPU.Accelerator); ok && c.createsGPUPool() {
		return accelerator.UsableGiB
	}
	usable := unknownUsable * c.GPU.MemoryGiB
	found := false
	for _, a := range accelerators.All() {
		if a.MemoryGiB == c.GPU.MemoryGiB && (!found || a.UsableGiB < usable) {
			usable, found = a.UsableGiB, true
		}
	}
	return usable
}

// fit returns the inputs of the sizing rule for a replica, and whether all of them are known.
func (c *Config) fit() (sizing.Footprint, sizing.Server, bool) {
	m := c.Model
	_, eager := serverFlags(c.Model.ExtraArgs)["--enforce-eager"]
	server := sizing.Server{
		GPUGiB: c.usableGiB(), GPUs: m.Parallel.Tensor, Stages: m.Parallel.Pipeline, Utilization: m.GPUMemoryUtilization,
		MaxModelLen: m.MaxModelLen, MaxNumSeqs: m.MaxNumSeqs, BatchedTokens: c.batchedTokens(), Eager: eager,
	}
	footprint, known := c.Model.footprint()
	return footprint, server, known && c.GPU.Mode == GPUNvidia && server.GPUGiB > 0
}

// Fit returns the memory balance of the model on the GPUs of a replica. It reports whether both are known.
func (c *Config) Fit() (sizing.Fit, bool) {
	footprint, server, ok := c.fit()
	if !ok {
		return sizing.Fit{}, false
	}
	return sizing.Compute(footprint, server), true
}

// checkFit refuses configurations with which vLLM would not start, and warns of those that it would serve slowly. vLLM itself
// fails only minutes after the GPU node started.
func (c *Config) checkFit(r *report) {
	if r.anyRefused("model.id", "model.maxModelLen", "model.maxNumSeqs", "model.gpuMemoryUtilization", "model.dtype", "model.size.weightsGiB",
		"model.quantization", "model.kvCacheDType", "model.parallel", "model.parallel.tensor", "model.parallel.pipeline", "model.parallel.data",
		"model.lora.adapters", "model.lora.maxRank", "model.lora.maxLoras", "model.size.kvBytesPerToken", "gpu.mode", "gpu.perReplica", "gpu.memoryGiB",
		"nodePools.gpu.machineType", "nodePools.gpu.accelerator") || r.has("model.parallel") || r.has("model.quantization") {
		return
	}
	footprint, server, ok := c.fit()
	if !ok {
		c.warnUnchecked(r)
		return
	}
	fit := sizing.Compute(footprint, server)
	gpu := choose(c.createsGPUPool(), c.NodePools.GPU.Accelerator, fmt.Sprintf("a GPU of %g GiB", c.GPU.MemoryGiB))
	share := fmt.Sprintf("%.1f GiB (%g of the %.1f GiB that CUDA finds on %s)", fit.Budget, server.Utilization, server.GPUGiB, gpu)
	switch {
	case !fit.WeightsFit():
		r.badWith("model.id", c.Model.ID,
			fmt.Sprintf("weights that leave room in %s; on each of gpu.perReplica (%d) GPUs this model's weights take %.1f GiB and a forward pass %.1f GiB",
				share, c.GPU.PerReplica, fit.Weights, fit.Overhead),
			c.waysToFit(r, "model.id", footprint, server))
	case !fit.Starts():
		r.badWith("model.maxModelLen", c.Model.MaxModelLen,
			fmt.Sprintf("a context of which one request fits: of %s, weights (%.1f GiB) and a forward pass (%.1f GiB) leave %.2f GiB "+
				"for the KV cache, and a request of %d tokens takes %.2f GiB",
				share, fit.Weights, fit.Overhead, fit.Cache, server.MaxModelLen, fit.Sequence),
			c.waysToFit(r, "model.maxModelLen", footprint, server))
	default:
		c.warnOfCache(r, fit)
		if outside := (1 - server.Utilization) * server.GPUGiB; outside < outsideGiB {
			r.warn("model.gpuMemoryUtilization", c.Model.GPUMemoryUtilization,
				fmt.Sprintf("it leaves %.2f GiB of a GPU to everything else, and the CUDA context and CUDA graphs need about %g GiB; "+
					"vLLM refuses to start when its share is not free",
					outside, outsideGiB),
				fmt.Sprintf("set it to %g or less", math.Floor(100*(1-outsideGiB/server.GPUGiB))/100))
		}
	}
}

// warnOfCache warns when fewer requests fit in the KV cache than may run: vLLM then preempts some and recomputes them.
func (c *Config) warnOfCache(r *report, fit sizing.Fit) {
	typical := fit.Typical()
	if typical >= c.Model.MaxNumSeqs {
		return
	}
	why := fmt.Sprintf("the KV cache of %.1f GiB holds about %d requests of %d tokens, or %.1f of model.maxModelLen (%d); "+
		"more are paused and repeated, which costs throughput",
		fit.Cache, typical, min(sizing.TypicalTokens, c.Model.MaxModelLen), fit.FullLength(), c.Model.MaxModelLen)
	if target := c.Autoscaling.Signals.RequestsInFlight; target.Enabled && float64(typical*c.Model.Parallel.Data) <= target.Target*(1+hpaTolerance) {
		why += fmt.Sprintf(", and replicas are added only above autoscaling.signals.requestsInFlight.target (%g) requests in each", target.Target)
	}
	r.warn("model.maxNumSeqs", c.Model.MaxNumSeqs, why,
		"remove the key, or give a replica more GPU memory; fine if requests are much shorter")
}

// warnUnchecked warns when it is not known whether the model fits.
func (c *Config) warnUnchecked(r *report) {
	if c.GPU.Mode != GPUNvidia {
		return
	}
	for _, flag := range changesSums {
		if _, given := serverFlags(c.Model.ExtraArgs)[flag]; given {
			r.warn("model.extraArgs", flag, "it changes what vLLM takes of a GPU, so whether the model fits was not checked",
				"see that it does before you rely on it")
			return
		}
	}
	_, known := models.Find(c.Model.ID)
	switch {
	case !known && len(c.Model.LoRA.Adapters) > 0:
		r.warn("model.lora.adapters", "", "what adapters take of a GPU is known for the models of docs/sizing.md only, so whether they fit was not checked",
			"see that they do before you rely on it")
	case !known && c.Model.Size == ModelSize{}:
		r.warn("model.id", c.Model.ID, "the program does not know this model, so whether it fits the GPUs was not checked",
			"give its size with model.size.weightsGiB and model.size.kvBytesPerToken (docs/sizing.md describes how to find them)")
	case c.usableGiB() == 0:
		r.warn("gpu.memoryGiB", "", "the memory of the GPUs is not known, so whether the model fits was not checked",
			r.set("gpu.memoryGiB", "24")+" for GPUs of 24 GiB")
	}
}

// checkModelSize checks the configured size of a model that is not in the catalogue.
func checkModelSize(r *report, m Model) {
	size := m.Size
	if !r.given.hasBelow("model.size", "") {
		return
	}
	if _, known := models.Find(m.ID); known && !r.anyRefused("model.id") {
		r.bad("model.size", "", fmt.Sprintf("no size for %s, which the program knows", m.ID), "remove the key")
		return
	}
	if size.WeightsGiB <= 0 {
		r.bad("model.size.weightsGiB", size.WeightsGiB, "the size of the weights as loaded, in GiB, above 0",
			"take what vLLM logs (Model loading took ... GiB), or add up the model's files")
	}
	if size.KVBytesPerToken <= 0 {
		r.bad("model.size.kvBytesPerToken", size.KVBytesPerToken, "the KV cache of a token over all layers, in bytes, above 0",
			"multiply 2 x layers x key-value heads x head width x 2 bytes, from the model's config.json")
	}
	if size.ContextLength > 0 && m.MaxModelLen > size.ContextLength {
		r.bad("model.maxModelLen", m.MaxModelLen, fmt.Sprintf("at most model.size.contextLength (%d)", size.ContextLength), "lower it")
	}
}
