package components

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"vllm-autoscaling/components/signals"
)

// ServerFlag is a flag of the server that the program sets, or has another way to set. Unless it yields, it is refused among
// Model.ExtraArgs: of a flag that is given twice the server uses the last.
type ServerFlag struct {
	// Name is the flag as the server's help writes it, with dashes, such as "--max-model-len".
	Name string
	// Key is the configuration key to set instead, without the project's namespace; "" where there is none, because
	// the program decides.
	Key string
	// Secret is true for a flag whose value must not be printed.
	Secret bool
	// Yields is true for a flag that may be among the extra arguments; the program then does not set it.
	Yields bool
}

// serverFlags are the flags of vLLM and of the simulator that the program sets, or has another way to set.
var serverFlags = []ServerFlag{
	{Name: "--model", Key: "model.id"},
	{Name: "--revision", Key: "model.revision"},
	{Name: "--port", Key: "vllm.port"},
	{Name: "--max-model-len", Key: "model.maxModelLen"},
	{Name: "--max-num-seqs", Key: "model.maxNumSeqs"},
	{Name: "--gpu-memory-utilization", Key: "model.gpuMemoryUtilization"},
	{Name: "--dtype", Key: "model.dtype"},
	{Name: "--quantization", Key: "model.quantization"},
	{Name: "-q", Key: "model.quantization"},
	{Name: "--kv-cache-dtype", Key: "model.kvCacheDType"},
	{Name: "--tensor-parallel-size", Key: "model.parallel.tensor"},
	{Name: "-tp", Key: "model.parallel.tensor"},
	{Name: "--pipeline-parallel-size", Key: "model.parallel.pipeline"},
	{Name: "-pp", Key: "model.parallel.pipeline"},
	{Name: "--data-parallel-size", Key: "model.parallel.data"},
	{Name: "-dp", Key: "model.parallel.data"},
	{Name: "--api-server-count", Yields: true},
	{Name: "-asc", Yields: true},
	{Name: "--enable-lora", Key: "model.lora.adapters"},
	{Name: "--lora-modules", Key: "model.lora.adapters"},
	{Name: "--max-lora-rank", Key: "model.lora.maxRank"},
	{Name: "--max-loras", Key: "model.lora.maxLoras"},
	{Name: "--shutdown-timeout", Key: "vllm.shutdownTimeout"},
	// Both are environment variables from Secrets; as flags they would be readable in the Deployment.
	{Name: "--api-key", Key: "apiKey", Secret: true},
	{Name: "--hf-token", Key: "huggingFaceToken", Secret: true},
	{Name: "--disable-access-log-for-endpoints"},
	{Name: "--max-num-batched-tokens", Yields: true},
	{Name: "--mm-processor-cache-gb", Yields: true},
	{Name: "--allowed-media-domains", Key: "vllm.mediaDomains"},
	{Name: "--served-model-name", Yields: true},
	{Name: "--load-format", Yields: true},
	{Name: "--model-loader-extra-config", Yields: true},
	// The simulator's.
	{Name: "--time-to-first-token"},
	{Name: "--inter-token-latency"},
	{Name: "--time-factor-under-load"},
	{Name: "--force-dummy-tokenizer"},
}

// ServerFlags returns the flags of the server that the program sets, or has another way to set.
func ServerFlags() []ServerFlag { return slices.Clone(serverFlags) }

// FindServerFlag returns the flag that an argument of the server sets, if it is one that the program sets. The argument may have a value
// ("--port=9") and underscores in place of dashes, as vLLM accepts both.
func FindServerFlag(arg string) (ServerFlag, bool) {
	name, _, _ := strings.Cut(arg, "=")
	name = strings.ReplaceAll(name, "_", "-")
	i := slices.IndexFunc(serverFlags, func(flag ServerFlag) bool { return flag.Name == name })
	if i < 0 {
		return ServerFlag{}, false
	}
	return serverFlags[i], true
}

// serverArgs returns the arguments of the container. The simulator exits on an unknown flag, so it only gets those
// that both programs have, and its own.
func serverArgs(a *VLLMArgs) []string {
	args := []string{
		"--port=" + strconv.Itoa(a.Port),
		"--max-model-len=" + strconv.Itoa(a.Model.MaxModelLen),
		"--max-num-seqs=" + strconv.Itoa(a.sequences()),
	}
	args = append(args, a.Model.LoRA.arguments()...)
	if a.Engine == EngineSimulator {
		args = slices.Concat([]string{"--model=" + a.Model.ID}, args, simulatorArguments(a))
	} else {
		// vLLM deprecates --model: `vllm serve`, the entrypoint of its image, has the model as its first argument.
		args = slices.Concat([]string{cmp.Or(a.weights().Location(), a.Model.ID)}, args, vllmArguments(a))
	}
	return append(args, a.Model.ExtraArgs...)
}

// simulatorArguments returns the arguments that only the simulator has.
func simulatorArguments(a *VLLMArgs) []string {
	return []string{
		"--time-to-first-token=" + a.Simulation.TimeToFirstToken.String(),
		"--inter-token-latency=" + a.Simulation.InterTokenLatency.String(),
		"--time-factor-under-load=" + decimal(a.Simulation.LoadFactor),
		// The real tokenizer would be downloaded from the hub.
		"--force-dummy-tokenizer",
	}
}

// vllmArguments returns the arguments that only vLLM has.
func vllmArguments(a *VLLMArgs) []string {
	args := []string{
		"--gpu-memory-utilization=" + decimal(a.Model.GPUMemoryUtilization),
		"--dtype=" + a.Model.DType,
		// Without it the stop signal aborts the requests in flight.
		"--shutdown-timeout=" + strconv.Itoa(wholeSeconds(a.ShutdownTimeout)),
		// Probes and scrapes come every few seconds and would drown the log.
		"--disable-access-log-for-endpoints=" + healthPath + "," + signals.MetricsPath + ",/ping",
	}
	args = append(args, a.weightsArguments()...)
	if a.Model.Revision != "" && a.weights().FromHub() {
		args = append(args, "--revision="+a.Model.Revision)
	}
	args = append(args, a.parallel().arguments(a.Model)...)
	if a.Model.Quantization != "" {
		args = append(args, "--quantization="+a.Model.Quantization)
	}
	if dtype := a.Model.KVCacheDType; dtype != "" && dtype != "auto" {
		args = append(args, "--kv-cache-dtype="+dtype)
	}
	if len(a.Model.LoRA.Adapters) > 0 {
		args = append(args, "--enable-lora", "--max-lora-rank="+strconv.Itoa(a.Model.LoRA.MaxRank))
	}
	if n := a.Model.MaxNumBatchedTokens; n > 0 && !a.Model.extra("--max-num-batched-tokens") {
		args = append(args, "--max-num-batched-tokens="+strconv.Itoa(n))
	}
	if size := a.Model.ProcessorCacheGiB; size > 0 && !a.Model.extra("--mm-processor-cache-gb") {
		args = append(args, "--mm-processor-cache-gb="+decimal(size))
	}
	args = append(args, mediaArguments(a.MediaDomains)...)
	if a.guardsRequests() {
		// vLLM adds it last, so that it runs before everything else. The flag may be given more than once.
		args = append(args, "--middleware="+requestGuardClass)
	}
	return args
}

// extra reports whether a flag is among the extra arguments, under any of its names.
func (m Model) extra(names ...string) bool {
	return slices.ContainsFunc(m.ExtraArgs, func(arg string) bool {
		flag, found := FindServerFlag(arg)
		return found && slices.Contains(names, flag.Name)
	})
}

// mediaArguments returns the hosts that media may be loaded from, one argument each, as vLLM expects a list. An empty list
// allows every host, so that without a host it is one that cannot exist (RFC 6761).
func mediaArguments(domains []string) []string {
	if len(domains) == 0 {
		domains = []string{"none.invalid"}
	}
	return append([]string{"--allowed-media-domains"}, domains...)
}

// decimal formats a number without an exponent, which command lines do not accept.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
