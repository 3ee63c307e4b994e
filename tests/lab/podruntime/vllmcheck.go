package podruntime

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// vllmGPU describes the GPUs of a container of vLLM.
type vllmGPU struct {
	// name is the model, such as NVIDIA L4.
	name string
	// count is how many the container has.
	count int
}

// large reports whether vLLM puts more tokens into one forward pass on the GPU: it has 70 GiB or more, and is no A100.
func (g vllmGPU) large() bool {
	return largeGPU.MatchString(g.name)
}

var largeGPU = regexp.MustCompile(`(?i)h100|h200|h20|b200|b300|gh200|rtx.pro.6000`)

// old returns the compute capability of a GPU that has no bfloat16, "" for any other.
func (g vllmGPU) old() string {
	switch name := strings.ToUpper(g.name); {
	case strings.Contains(name, "T4"):
		return "7.5"
	case strings.Contains(name, "V100"):
		return "7.0"
	}
	return ""
}

// vllmModels are what config.json and the processor of models say that decides whether vLLM starts. Values are those of the files on
// Hugging Face; itemTokens is the longest image or video, which vLLM 0.20 does not split (vllm/v1/core/encoder_cache_manager.py,
// github.com/vllm-project/vllm/issues/42687).
var vllmModels = []struct {
	id                         *regexp.Regexp
	architecture               string
	heads, context, itemTokens int
	noFloat16                  bool
}{
	{regexp.MustCompile(`^google/gemma-3-(270m|1b)(-|$)`), "gemma3_text", 4, 32768, 0, true},
	{regexp.MustCompile(`^google/gemma-3-4b-`), "gemma3", 8, 131072, 256, true},
	{regexp.MustCompile(`^google/gemma-3-12b-`), "gemma3", 16, 131072, 256, true},
	{regexp.MustCompile(`^google/gemma-3-27b-`), "gemma3", 32, 131072, 256, true},
	{regexp.MustCompile(`^google/gemma-4-E[24]B`), "gemma4", 8, 131072, 2496, false},
	{regexp.MustCompile(`^google/gemma-4-(12B|26B-A4B)`), "gemma4", 16, 262144, 2496, false},
	{regexp.MustCompile(`^google/gemma-4-31B`), "gemma4", 32, 262144, 2496, false},
}

// configError is a configuration that vLLM refuses after it has read the command line.
type configError struct{ exception, message string }

func (e configError) Error() string { return e.exception + ": " + e.message }

// CheckContainer returns the error with which a container does not start, or with which vLLM ends at once, as on a real node; nil for
// none. gpu is the model of the node's GPUs.
func CheckContainer(container *corev1.Container, gpu string) error {
	if err := checkStart(container); err != nil || !isRepository(container.Image, vllmImage) {
		return err
	}
	count := 0
	if limit, ok := container.Resources.Limits[gpuResource]; ok {
		count = int(limit.Value())
	}
	return checkVLLM(vllmWords(container.Command, container.Args), vllmGPU{gpu, count})
}

// vllmWords returns the arguments of `vllm serve` of a container.
func vllmWords(command, args []string) []string {
	if len(command) == 0 {
		return args
	}
	return modelServerArgs(append(append([]string{}, command...), args...))
}

// checkVLLM returns the error with which vLLM 0.20 would end, in its own words: for arguments that its parser refuses and for
// combinations that its configuration refuses. Whether the model fits the GPUs' memory is not checked.
func checkVLLM(words []string, gpu vllmGPU) error {
	args, err := parseVLLM(words)
	if err != nil {
		return err
	}
	if given, ok := args.flags["model"]; ok {
		if args.model != "" {
			return usageError("unrecognized arguments: " + args.model)
		}
		args.model = given
	}
	// The files are not at hand; those of a model with that name are checked.
	args.model = args.modelName()
	if args.on("enable-auto-tool-choice", false) && args.flags["tool-call-parser"] == "" {
		return configError{"TypeError", "Error: --enable-auto-tool-choice requires --tool-call-parser"}
	}
	if share := args.float("gpu-memory-utilization", 0.9); share <= 0 || share > 1 {
		bound := "less than or equal to 1 [type=less_than_equal"
		if share <= 0 {
			bound = "greater than 0 [type=greater_than"
		}
		return configError{"pydantic_core._pydantic_core.ValidationError", fmt.Sprintf(
			"1 validation error for CacheConfig\ngpu_memory_utilization\n  Input should be %s, input_value=%v, input_type=float]", bound, share)}
	}
	if err := args.checkModel(gpu); err != nil {
		return err
	}
	return args.checkBatches(gpu)
}

// checkModel checks what the model's own configuration limits.
func (a vllmArgs) checkModel(gpu vllmGPU) error {
	if gpu.count == 0 {
		return configError{"RuntimeError", "Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging."}
	}
	world := a.int("tensor-parallel-size", 1) * a.int("pipeline-parallel-size", 1) * a.int("data-parallel-size", 1)
	if world > gpu.count {
		return configError{"ValueError", fmt.Sprintf("World size (%d) is larger than the number of available GPUs (%d) in this node.", world, gpu.count)}
	}
	dtype := a.flags["dtype"]
	if dtype == "bfloat16" && gpu.old() != "" {
		return configError{"ValueError", fmt.Sprintf("Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your %s GPU has "+
			"compute capability %s. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.",
			gpu.name, gpu.old())}
	}
	for _, model := range vllmModels {
		if !model.id.MatchString(a.model) {
			continue
		}
		if tp := a.int("tensor-parallel-size", 1); model.heads%tp != 0 {
			return configError{"ValueError", fmt.Sprintf("Total number of attention heads (%d) must be divisible by tensor parallel size (%d).", model.heads, tp)}
		}
		if n := a.int("max-model-len", 0); n > model.context {
			return configError{"ValueError", fmt.Sprintf(
				"User-specified max_model_len (%d) is greater than the derived max_model_len (max_position_embeddings=%d)", n, model.context)}
		}
		if model.noFloat16 && (dtype == "half" || dtype == "float16") {
			return configError{"ValueError", fmt.Sprintf("The model type '%s' does not support float16. Reason: Numerical instability. "+
				"Please use bfloat16 or float32 instead.", model.architecture)}
		}
	}
	return nil
}

// checkBatches checks the number of tokens in a forward pass.
func (a vllmArgs) checkBatches(gpu vllmGPU) error {
	length, seqs, chunked := a.int("max-model-len", 0), a.int("max-num-seqs", 0), a.on("enable-chunked-prefill", true)
	tokens := a.int("max-num-batched-tokens", 0)
	if tokens == 0 {
		// vllm/engine/arg_utils.py, get_batch_defaults and _set_default_max_num_seqs_and_batched_tokens_args.
		if tokens = 2048; gpu.large() {
			tokens = 8192
		}
		if a.flags["performance-mode"] == "throughput" {
			tokens *= 2
		}
		if !chunked {
			tokens = max(tokens, length)
		}
		if seqs > 0 && length > 0 {
			tokens = min(tokens, seqs*length)
		}
	}
	if !chunked && tokens < length {
		return configError{"ValueError", fmt.Sprintf("max_num_batched_tokens (%d) is smaller than max_model_len (%d). This effectively limits the maximum "+
			"sequence length to max_num_batched_tokens and makes vLLM reject longer sequences. Please increase max_num_batched_tokens or "+
			"decrease max_model_len.", tokens, length)}
	}
	if tokens < seqs {
		return configError{"ValueError", fmt.Sprintf("max_num_batched_tokens (%d) must be greater than or equal to max_num_seqs (%d).", tokens, seqs)}
	}
	if _, limited := a.flags["limit-mm-per-prompt"]; limited || a.on("language-model-only", false) {
		return nil
	}
	for _, model := range vllmModels {
		if model.id.MatchString(a.model) && tokens < model.itemTokens {
			return configError{"ValueError", fmt.Sprintf("Chunked MM input disabled but max_tokens_per_mm_item (%d) is larger than max_num_batched_tokens (%d). "+
				"Please increase max_num_batched_tokens.", model.itemTokens, tokens)}
		}
	}
	return nil
}

func (a vllmArgs) on(name string, unset bool) bool {
	if value, ok := a.flags[name]; ok {
		return value == "true"
	}
	return unset
}

func (a vllmArgs) float(name string, unset float64) float64 {
	if value, err := strconv.ParseFloat(a.flags[name], 64); err == nil {
		return value
	}
	return unset
}

// int returns a number that the parser has accepted, with its suffix; "auto" and -1 are unset.
func (a vllmArgs) int(name string, unset int) int {
	text := a.flags[name]
	if text == "" {
		return unset
	}
	factor, ok := map[byte]float64{'k': 1e3, 'K': 1 << 10, 'm': 1e6, 'M': 1 << 20, 'g': 1e9, 'G': 1 << 30}[text[len(text)-1]]
	if ok {
		text = text[:len(text)-1]
	} else {
		factor = 1
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value < 0 {
		return unset
	}
	return int(value * factor)
}

// vllmExit returns how vLLM ends with an error of checkVLLM: a usage error has status 2, an exception 1.
func vllmExit(err error) *programExit {
	if usage, ok := err.(usageError); ok { //nolint:errorlint // checkVLLM wraps nothing.
		return &programExit{name: "vLLM", code: 2, output: usage.output()}
	}
	return &programExit{name: "vLLM", code: 1, output: err.Error()}
}
