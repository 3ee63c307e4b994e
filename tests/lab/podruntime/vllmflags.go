package podruntime

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// vllmImage is the last part of the repository of vLLM's images.
const vllmImage = "vllm-openai"

// valueType is what vLLM's command line reads as the value of a flag.
type valueType int

const (
	vllmSwitch valueType = iota // --flag or --no-flag
	vllmStore                   // --flag only
	vllmText
	vllmInt
	vllmFloat
	vllmHuman     // 4096, 4k, 4K
	vllmHumanAuto // the same, -1 or auto
	vllmJSON      // or --flag.key value
	vllmList      // --flag a b c
)

// vllmFlagTypes are the flags of `vllm serve` 0.20.0 by the type of their value: those that the reference of 0.19.0 and the parser of
// 0.22.1 both have (https://docs.vllm.ai/en/v0.19.0/cli/serve/). A flag that only one of them has may be missing in 0.20.0, and is not
// listed.
var vllmFlagTypes = map[valueType]string{
	vllmStore: `headless disable-log-stats aggregate-engine-logging`,
	vllmSwitch: `fail-on-environ-validation enable-log-requests trust-request-chat-template return-tokens-as-token-ids enable-auto-tool-choice
		exclude-tools-when-tool-choice-none enable-prompt-tokens-details enable-server-load-tracking enable-force-include-usage
		enable-tokenizer-info-endpoint enable-log-outputs enable-log-deltas log-error-stack tokens-only disable-uvicorn-access-log
		allow-credentials enable-ssl-refresh enable-request-id-headers disable-fastapi-docs enable-offline-docs trust-remote-code
		allow-deprecated-quantization enforce-eager enable-return-routed-experts disable-sliding-window disable-cascade-attn
		skip-tokenizer-init enable-prompt-embeds enable-sleep-mode use-tqdm-on-load data-parallel-hybrid-lb data-parallel-external-lb
		enable-expert-parallel enable-ep-weight-filter enable-dbo enable-elastic-ep disable-nccl-for-dp-synchronization enable-eplb
		ray-workers-use-nsight disable-custom-all-reduce enable-prefix-caching calculate-kv-scales kv-sharing-fast-prefill
		language-model-only enable-mm-embeds mm-encoder-only interleave-mm-strings skip-mm-profiling enable-lora
		enable-tower-connector-lora fully-sharded-loras specialize-active-lora kv-cache-metrics cudagraph-metrics
		enable-layerwise-nvtx-tracing enable-mfu-metrics enable-logging-iteration-details enable-chunked-prefill
		disable-chunked-mm-input scheduler-reserve-full-isl disable-hybrid-kv-cache-manager async-scheduling enable-flashinfer-autotune`,
	vllmText: `config gdn-prefill-backend chat-template chat-template-content-format response-role tool-call-parser tool-parser-plugin
		tool-server log-config-file host uds uvicorn-log-level disable-access-log-for-endpoints ssl-keyfile ssl-certfile ssl-ca-certs
		ssl-ciphers root-path middleware model runner convert tokenizer tokenizer-mode dtype hf-config-path allowed-local-media-path revision
		code-revision tokenizer-revision quantization logprobs-mode config-format hf-token hf-overrides generation-config model-impl
		override-attention-dtype io-processor-plugin load-format download-dir safetensors-load-strategy model-loader-extra-config
		pt-load-map-location attention-backend reasoning-parser reasoning-parser-plugin distributed-executor-backend master-addr
		dcp-comm-backend data-parallel-address data-parallel-backend all2all-backend expert-placement-strategy worker-cls
		worker-extension-cls kv-cache-dtype prefix-caching-hash-algo mamba-cache-dtype mamba-ssm-cache-dtype mamba-cache-mode
		kv-offloading-backend offload-backend mm-processor-cache-type mm-encoder-tp-mode mm-encoder-attn-backend mm-tensor-ipc lora-dtype
		show-hidden-metrics-for-version otlp-traces-endpoint scheduling-policy scheduler-cls moe-backend optimization-level
		performance-mode`,
	vllmInt: `api-server-count shutdown-timeout max-log-len port ssl-cert-reqs h11-max-incomplete-event-size h11-max-header-count seed
		max-logprobs renderer-num-workers pipeline-parallel-size master-port nnodes node-rank distributed-timeout-seconds
		tensor-parallel-size decode-context-parallel-size dcp-kv-cache-interleave-size cp-kv-cache-interleave-size
		prefill-context-parallel-size data-parallel-size data-parallel-rank data-parallel-start-rank data-parallel-size-local
		data-parallel-rpc-port ubatch-size dbo-decode-token-threshold dbo-prefill-token-threshold max-parallel-loading-workers
		block-size num-gpu-blocks-override mamba-block-size offload-group-size offload-num-in-group offload-prefetch-step
		mm-shm-cache-max-object-size-mb max-loras max-lora-rank max-cpu-loras max-num-seqs max-num-partial-prefills
		max-long-partial-prefills long-prefill-token-threshold stream-interval max-cudagraph-capture-size`,
	vllmFloat:     `gpu-memory-utilization kv-offloading-size cpu-offload-gb mm-processor-cache-gb video-pruning-rate kv-cache-metrics-sample`,
	vllmHuman:     `max-num-batched-tokens kv-cache-memory-bytes`,
	vllmHumanAuto: `max-model-len`,
	vllmJSON: `default-chat-template-kwargs allowed-origins allowed-methods allowed-headers pooler-config override-generation-config eplb-config
		limit-mm-per-prompt media-io-kwargs mm-processor-kwargs default-mm-loras speculative-config kv-transfer-config kv-events-config
		ec-transfer-config compilation-config attention-config reasoning-config kernel-config additional-config structured-outputs-config
		profiler-config weight-transfer-config`,
	vllmList: `lora-modules api-key allowed-media-domains served-model-name logits-processors ignore-patterns kv-cache-dtype-skip-layers
		cpu-offload-params offload-params lora-target-modules collect-detailed-traces cudagraph-capture-sizes`,
}

// vllmShort are the short forms of vLLM's flags.
var vllmShort = map[string]string{
	"asc": "api-server-count", "q": "quantization", "pp": "pipeline-parallel-size", "n": "nnodes", "r": "node-rank", "tp": "tensor-parallel-size",
	"dcp": "decode-context-parallel-size", "pcp": "prefill-context-parallel-size", "dp": "data-parallel-size", "dpn": "data-parallel-rank",
	"dpr": "data-parallel-start-rank", "dpl": "data-parallel-size-local", "dpa": "data-parallel-address", "dpp": "data-parallel-rpc-port",
	"dpb": "data-parallel-backend", "dph": "data-parallel-hybrid-lb", "dpe": "data-parallel-external-lb", "ep": "enable-expert-parallel",
	"sc": "speculative-config", "cc": "compilation-config", "ac": "attention-config", "O": "optimization-level",
}

// vllmChoices are the values of flags that have few; others are read as any text.
var vllmChoices = map[string][]string{
	"dtype":                        {"auto", "bfloat16", "float", "float16", "float32", "half"},
	"runner":                       {"auto", "draft", "generate", "pooling"},
	"convert":                      {"auto", "classify", "embed", "none"},
	"uvicorn-log-level":            {"critical", "debug", "error", "info", "trace", "warning"},
	"chat-template-content-format": {"auto", "openai", "string"},
	"scheduling-policy":            {"fcfs", "priority"},
	"performance-mode":             {"balanced", "interactivity", "throughput"},
	"mm-processor-cache-type":      {"lru", "shm"},
	"prefix-caching-hash-algo":     {"sha256", "sha256_cbor", "xxhash", "xxhash_cbor"},
	"kv-cache-dtype":               {"auto", "bfloat16", "float16", "fp8", "fp8_ds_mla", "fp8_e4m3", "fp8_e5m2", "fp8_inc"},
}

// vllmFlags are the types of vLLM's flags by name.
var vllmFlags = func() map[string]valueType {
	types := map[string]valueType{}
	for kind, names := range vllmFlagTypes {
		for _, name := range strings.Fields(names) {
			types[name] = kind
		}
	}
	return types
}()

// vllmArgs is a command line of vLLM: the values of flags by name, the last one of each, and the model that is given without a flag. A switch has the value
// "true" or "false".
type vllmArgs struct {
	flags map[string]string
	model string
}

// usageError is a command line that vLLM's parser refuses, in the parser's words.
type usageError string

func (e usageError) Error() string { return string(e) }

// output returns what the parser prints.
func (e usageError) output() string {
	program := "vllm serve"
	if strings.HasPrefix(string(e), "unrecognized arguments") {
		program = "vllm" // The parser of the subcommand leaves them over.
	}
	return fmt.Sprintf("usage: vllm serve [model_tag] [options]\n%s: error: %s", program, string(e))
}

// parseVLLM reads the arguments of `vllm serve`.
func parseVLLM(words []string) (vllmArgs, error) {
	parsed := vllmArgs{flags: map[string]string{}}
	var unknown []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !isFlag(word) {
			if parsed.model == "" {
				parsed.model = word
			} else {
				unknown = append(unknown, word)
			}
			continue
		}
		given, value, joined := strings.Cut(word, "=")
		name, kind, on, ok := vllmFlag(given)
		if !ok {
			unknown = append(unknown, word)
			continue
		}
		switch {
		case kind == vllmSwitch || kind == vllmStore:
			if joined {
				return parsed, usageError(fmt.Sprintf("argument %s: ignored explicit argument '%s'", given, value))
			}
			parsed.flags[name] = strconv.FormatBool(on)
			continue
		case kind == vllmList && !joined:
			var values []string
			for i+1 < len(words) && !isFlag(words[i+1]) {
				i++
				values = append(values, words[i])
			}
			if len(values) == 0 {
				return parsed, usageError(fmt.Sprintf("argument --%s: expected at least one argument", name))
			}
			value = strings.Join(values, " ")
		case !joined:
			if i+1 >= len(words) || isFlag(words[i+1]) {
				return parsed, usageError(fmt.Sprintf("argument --%s: expected one argument", name))
			}
			i++
			value = words[i]
		}
		if err := checkValue(name, kind, value, strings.Contains(given, ".")); err != nil {
			return parsed, err
		}
		parsed.flags[name] = value
	}
	if len(unknown) > 0 {
		return parsed, usageError("unrecognized arguments: " + strings.Join(unknown, " "))
	}
	return parsed, nil
}

// negativeNumber matches an argument that begins with a dash and is a value.
var negativeNumber = regexp.MustCompile(`^-[0-9]+(\.[0-9]*)?$`)

func isFlag(word string) bool {
	return strings.HasPrefix(word, "-") && word != "-" && !negativeNumber.MatchString(word)
}

// vllmFlag returns the name and type of a flag as it is given; on is false for the negative form of a switch.
func vllmFlag(given string) (name string, kind valueType, on, ok bool) {
	if !strings.HasPrefix(given, "--") {
		if name, ok = vllmShort[strings.TrimPrefix(given, "-")]; ok {
			return name, vllmFlags[name], true, true
		}
		return "", 0, false, false
	}
	// Both spellings are read; keys of a JSON value are not part of the name.
	name, key, dotted := strings.Cut(strings.TrimPrefix(given, "--"), ".")
	name = strings.ReplaceAll(name, "_", "-")
	if kind, ok = vllmFlags[name]; ok {
		return name, kind, true, !dotted || kind == vllmJSON && key != ""
	}
	if positive, negative := strings.CutPrefix(name, "no-"); negative {
		kind, ok = vllmFlags[positive]
		return positive, kind, false, ok && kind == vllmSwitch && !dotted
	}
	return "", 0, false, false
}

var humanNumber = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?[kmgt]|[0-9]+[KMGT]?)$`)

// checkValue returns the error for a value that is not of the flag's type.
func checkValue(name string, kind valueType, value string, ofKey bool) error {
	refuse := func(what string) error {
		return usageError(fmt.Sprintf("argument --%s: invalid %s value: '%s'", name, what, value))
	}
	var err error
	switch kind {
	case vllmInt:
		if _, err = strconv.Atoi(value); err != nil {
			return refuse("int")
		}
	case vllmFloat:
		if _, err = strconv.ParseFloat(value, 64); err != nil {
			return refuse("float")
		}
	case vllmHuman, vllmHumanAuto:
		auto := kind == vllmHumanAuto && (value == "-1" || strings.EqualFold(value, "auto"))
		if !humanNumber.MatchString(value) && !auto {
			return refuse("human_readable_int")
		}
	case vllmJSON:
		if !ofKey && !json.Valid([]byte(value)) {
			return usageError(fmt.Sprintf("argument --%s: Value %s cannot be converted to <function loads>", name, value))
		}
	case vllmText:
		if choices := vllmChoices[name]; choices != nil && !slices.Contains(choices, value) {
			return usageError(fmt.Sprintf("argument --%s: invalid choice: '%s' (choose from %s)", name, value, strings.Join(choices, ", ")))
		}
	}
	return nil
}
