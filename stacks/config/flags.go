package config

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/components"
)

// flagKeys are the keys behind the server's flags that components.OwnedFlags lists; the others have none.
var flagKeys = map[string]string{
	"--api-key": "apiKey", "--hf-token": "huggingFaceToken", "--dtype": "model.dtype", "--gpu-memory-utilization": "model.gpuMemoryUtilization",
	"--max-model-len": "model.maxModelLen", "--max-num-seqs": "model.maxNumSeqs", "--model": "model.id",
	"--port": "vllm.port", "--revision": "model.revision", "--shutdown-timeout": "vllm.shutdownTimeout",
	"--tensor-parallel-size": "gpu.perReplica", "-tp": "gpu.perReplica",
}

// secretFlags are those whose values are never shown.
var secretFlags = []string{"--api-key", "--hf-token"}

// checkExtraArgs refuses flags that the program sets itself.
func checkExtraArgs(r *report, args []string) {
	for i, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		name := flagName(flag)
		if !slices.Contains(components.OwnedFlags(), name) {
			continue
		}
		if slices.Contains(secretFlags, name) {
			arg = flag
		}
		key := flagKeys[name]
		r.bad(fmt.Sprintf("model.extraArgs[%d]", i), arg, "flags that the program does not set itself",
			choose(key == "", "remove it", "set "+key+" instead"))
	}
}

// serverFlags returns the flags among the server's extra arguments with their values, in their long form with dashes.
func serverFlags(args []string) map[string]string {
	flags := map[string]string{}
	last := ""
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			if last != "" && flags[last] == "" {
				flags[last] = arg
			}
			continue
		}
		name, value, _ := strings.Cut(arg, "=")
		last = flagName(name)
		flags[last] = value
	}
	return flags
}

// flagName returns a flag as vLLM's help writes it; underscores are allowed in place of dashes.
func flagName(flag string) string { return strings.ReplaceAll(flag, "_", "-") }
