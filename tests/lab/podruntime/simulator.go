package podruntime

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// simulatorFlags are the flags of llm-d-inference-sim v0.10.2 (pkg/common/parser.go) that are passed
// on, except those in simulatorReplaced.
var simulatorFlags = map[string]flagKind{
	"block-size":                        takesValue,
	"config":                            takesValue,
	"data-parallel-rank":                takesValue,
	"data-parallel-size":                takesValue,
	"dataset-in-memory":                 isSwitch,
	"dataset-path":                      takesValue,
	"dataset-table-name":                takesValue,
	"dataset-url":                       takesValue,
	"default-embedding-dimensions":      takesValue,
	"ec-transfer-config":                takesValue,
	"enable-kvcache":                    isSwitch,
	"enable-prefix-caching":             isSwitch,
	"enable-request-id-headers":         isSwitch,
	"enable-sleep-mode":                 isSwitch,
	"enforce-eager":                     isSwitch,
	"event-batch-size":                  takesValue,
	"failure-injection-rate":            takesValue,
	"failure-types":                     takesList,
	"fake-metrics":                      takesList,
	"fake-metrics-refresh-interval":     takesValue,
	"force-dummy-tokenizer":             isSwitch,
	"global-cache-hit-threshold":        takesValue,
	"hash-seed":                         takesValue,
	"image-emission-rate":               takesValue,
	"inter-token-latency":               takesValue,
	"inter-token-latency-std-dev":       takesValue,
	"kv-cache-size":                     takesValue,
	"kv-cache-transfer-latency":         takesValue,
	"kv-cache-transfer-latency-std-dev": takesValue,
	"kv-cache-transfer-time-per-token":  takesValue,
	"kv-cache-transfer-time-std-dev":    takesValue,
	"latency-calculator":                takesValue,
	"log-http":                          isSwitch,
	"lora-modules":                      takesList,
	"max-cpu-loras":                     takesValue,
	"max-loras":                         takesValue,
	"max-model-len":                     takesValue,
	"max-num-seqs":                      takesValue,
	"max-request-body-size-mb":          takesValue,
	"max-tool-call-array-param-length":  takesValue,
	"max-tool-call-integer-param":       takesValue,
	"max-tool-call-number-param":        takesValue,
	"max-waiting-queue-length":          takesValue,
	"min-tool-call-array-param-length":  takesValue,
	"min-tool-call-integer-param":       takesValue,
	"min-tool-call-number-param":        takesValue,
	"mm-encoder-only":                   isSwitch,
	"mm-processor-kwargs":               takesValue,
	"mm-render-timeout":                 takesValue,
	"mode":                              takesValue,
	"model":                             takesValue,
	"no-enable-prefix-caching":          isSwitch,
	"no-enable-sleep-mode":              isSwitch,
	"no-enforce-eager":                  isSwitch,
	"no-mm-encoder-only":                isSwitch,
	"no-omni":                           isSwitch,
	"object-tool-call-not-required-field-probability": takesValue,
	"omni":                           isSwitch,
	"port":                           takesValue,
	"prefill-overhead":               takesValue,
	"prefill-time-per-token":         takesValue,
	"prefill-time-std-dev":           takesValue,
	"render-timeout":                 takesValue,
	"render-url":                     takesValue,
	"seed":                           takesValue,
	"served-model-name":              takesList,
	"startup-duration":               takesValue,
	"time-factor-under-load":         takesValue,
	"time-to-first-token":            takesValue,
	"time-to-first-token-std-dev":    takesValue,
	"time-to-generate-image":         takesValue,
	"time-to-generate-image-std-dev": takesValue,
	"tool-call-not-required-param-probability": takesValue,
	"use-vllm-map-event-format":                isSwitch,
	"v":                                        takesValue,
	"zmq-endpoint":                             takesValue,
}

// vllmDefaultModel is what vLLM serves unless told otherwise.
const vllmDefaultModel = "Qwen/Qwen3-0.6B"

// defaultModelPort is the port of vLLM and the simulator without --port.
const defaultModelPort = 8000

// Latency is that of simulated model servers whose arguments do not set it.
type Latency struct {
	// TimeToFirstToken is the time from a free slot to the first token; 0 means 200 ms.
	TimeToFirstToken time.Duration
	// InterToken is the time for each further token of a request; 0 means 20 ms.
	InterToken time.Duration
	// FactorUnderLoad multiplies both when every slot is busy, and linearly less below that. It is at least 1; 0 means 1.
	FactorUnderLoad float64
}

func (l Latency) withDefaults() Latency {
	if l.TimeToFirstToken == 0 {
		l.TimeToFirstToken = 200 * time.Millisecond
	}
	if l.InterToken == 0 {
		l.InterToken = 20 * time.Millisecond
	}
	if l.FactorUnderLoad == 0 {
		l.FactorUnderLoad = 1
	}
	return l
}

// vllmToSimulator returns the arguments of vLLM that the simulator has too.
func vllmToSimulator(parsed vllmArgs) []string {
	words := []string{"--model", parsed.model}
	for _, name := range slices.Sorted(maps.Keys(parsed.flags)) {
		value := parsed.flags[name]
		kind, known := simulatorFlags[name]
		switch {
		case !known || name == "model":
		case name == "data-parallel-size":
			// The simulator would serve each engine on a port of its own: one with the room of all stands for them.
		case name == "max-num-seqs":
			words = append(words, fmt.Sprintf("--%s=%d", name, parsed.int(name, 1)*parsed.int("data-parallel-size", 1)))
		case name == "max-model-len":
			if length := parsed.int(name, 0); length > 0 {
				words = append(words, fmt.Sprintf("--%s=%d", name, length))
			}
		case kind == isSwitch && value == "true":
			words = append(words, "--"+name)
		case kind == isSwitch:
			if _, known := simulatorFlags["no-"+name]; known {
				words = append(words, "--no-"+name)
			}
		case kind == takesList:
			words = append(words, append([]string{"--" + name}, strings.Fields(value)...)...)
		default:
			words = append(words, "--"+name+"="+value)
		}
	}
	return words
}

// simulatorArgs adapts the simulator's arguments to this machine, where it listens on localPort and has that latency
// unless the command line sets it. containerPort is the port in the command line, which the pod's Service and monitor use.
func simulatorArgs(words []string, localPort int, latency Latency) (args []string, containerPort int, err error) {
	flags, positional, err := parseFlags(modelServerArgs(words), simulatorFlags)
	if err != nil {
		return nil, 0, fmt.Errorf("%w to llm-d-inference-sim", err)
	}
	containerPort = defaultModelPort
	given := map[string]bool{}
	for _, flag := range flags {
		given[flag.name] = true
		if flag.name == "port" {
			if containerPort, err = strconv.Atoi(flag.values[0]); err != nil || containerPort < 1 || containerPort > 65535 {
				return nil, 0, fmt.Errorf("--port %q is not a port number", flag.values[0])
			}
			continue
		}
		args = append(args, flag.words()...)
	}
	switch {
	case len(positional) > 0:
		return nil, 0, fmt.Errorf("arguments %q without a flag", positional)
	case !given["model"]:
		return nil, 0, fmt.Errorf("no model: give --model")
	}
	latency = latency.withDefaults()
	if !given["time-to-first-token"] && !given["prefill-time-per-token"] && !given["prefill-overhead"] && !given["latency-calculator"] {
		args = append(args, "--time-to-first-token="+latency.TimeToFirstToken.String())
	}
	if !given["inter-token-latency"] && !given["latency-calculator"] {
		args = append(args, "--inter-token-latency="+latency.InterToken.String())
	}
	if !given["time-factor-under-load"] && latency.FactorUnderLoad != 1 {
		args = append(args, "--time-factor-under-load="+strconv.FormatFloat(latency.FactorUnderLoad, 'f', -1, 64))
	}
	// The real tokenizer is a separate service, and downloads the model from another machine.
	if !given["force-dummy-tokenizer"] {
		args = append(args, "--force-dummy-tokenizer")
	}
	return append(args, "--port="+strconv.Itoa(localPort)), containerPort, nil
}

// modelServerArgs returns the command line without the program itself: `vllm serve`, the Python module of its API server,
// or the simulator's file.
func modelServerArgs(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	switch base := path.Base(words[0]); {
	case base == "vllm" && len(words) > 1 && words[1] == "serve":
		return words[2:]
	case strings.HasPrefix(base, "python") && len(words) > 2 && words[1] == "-m":
		return words[3:]
	case base == "llm-d-inference-sim" && !strings.HasPrefix(words[0], "-"):
		return words[1:]
	}
	return words
}

func (l *launcher) simulator() (*launch, error) {
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	words, err := l.commandLine()
	if err != nil {
		return nil, err
	}
	env, err := l.environment()
	if err != nil {
		return nil, err
	}
	if isRepository(l.container.Image, vllmImage) {
		words = vllmWords(words[:len(l.container.Command)], words[len(l.container.Command):])
		if err := checkVLLM(words, l.vllmGPU()); err != nil {
			return &launch{program: Simulator, exit: vllmExit(err)}, nil
		}
		if err := l.checkMiddleware(words, env); err != nil {
			return &launch{program: Simulator, exit: vllmExit(err)}, nil
		}
		parsed, err := parseVLLM(words)
		if err != nil {
			return nil, err
		}
		parsed.model = cmp.Or(parsed.model, parsed.flags["model"], vllmDefaultModel)
		if err := l.checkWeights(parsed, env); err != nil {
			return &launch{program: Simulator, exit: vllmExit(err)}, nil
		}
		// The simulator loads nothing from a URI or a path.
		parsed.model = parsed.modelName()
		words = vllmToSimulator(parsed)
	}
	args, containerPort, err := simulatorArgs(words, port, l.runtime.config.Latency)
	if err != nil {
		return nil, err
	}
	start, started := l.startTimes(words, env)
	return &launch{
		program: Simulator,
		args:    args,
		env:     keepVariables(env, "POD_NAME", "POD_NAMESPACE", "POD_IP", "PYTHONHASHSEED", "VLLM_SERVER_DEV_MODE", "SIM_MODEL"),
		start:   start,
		started: started,
		ports:   map[int]endpoint{containerPort: {port: port}},
		ready:   getOK(fmt.Sprintf("http://127.0.0.1:%d/health", port), http.DefaultClient),
		// The simulator completes running requests before it ends.
		stopTimeout: l.runtime.config.DrainTimeout,
	}, nil
}

// vllmGPU returns the GPUs of the container.
func (l *launcher) vllmGPU() vllmGPU {
	gpu := vllmGPU{name: defaultGPUModel}
	if limit, ok := l.container.Resources.Limits[gpuResource]; ok {
		gpu.count = int(limit.Value())
	}
	if node, err := l.runtime.nodes.Get(l.pod.Spec.NodeName); err == nil {
		gpu.name = cmp.Or(node.Labels[gpuModelLabel], node.Labels["cloud.google.com/gke-accelerator"], defaultGPUModel)
	}
	return gpu
}
