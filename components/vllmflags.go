package components

import (
	"maps"
	"slices"
	"strconv"

	"vllm-autoscaling/components/signals"
)

// ownedFlags are the flags that this program sets, and the setting that each stands for.
var ownedFlags = map[string]string{
	"--model":                            "the model's id",
	"--revision":                         "the model's revision",
	"--port":                             "the port",
	"--max-model-len":                    "maxModelLen",
	"--max-num-seqs":                     "maxNumSeqs",
	"--gpu-memory-utilization":           "gpuMemoryUtilization",
	"--dtype":                            "dtype",
	"--tensor-parallel-size":             "the number of GPUs per replica",
	"-tp":                                "the number of GPUs per replica",
	"--shutdown-timeout":                 "the shutdown timeout",
	"--disable-access-log-for-endpoints": "the probes and the scrape",
	"--api-key":                          "the API key, which must not stand in the Deployment",
	"--time-to-first-token":              "the simulation",
	"--inter-token-latency":              "the simulation",
	"--time-factor-under-load":           "the simulation",
	"--force-dummy-tokenizer":            "the simulation",
}

// serverArgs are the arguments of the container. The simulator exits on a flag it does not know, so
// it only gets those that both have, and its own.
func serverArgs(a *VLLMArgs) []string {
	args := []string{
		"--model=" + a.Model.ID,
		"--port=" + strconv.Itoa(a.Port),
		"--max-model-len=" + strconv.Itoa(a.Model.MaxModelLen),
		"--max-num-seqs=" + strconv.Itoa(a.Model.MaxNumSeqs),
	}
	switch a.Engine {
	case EngineSimulator:
		args = append(args,
			"--time-to-first-token="+a.Simulation.TimeToFirstToken.String(),
			"--inter-token-latency="+a.Simulation.InterTokenLatency.String(),
			"--time-factor-under-load="+decimal(a.Simulation.LoadFactor),
			// The real tokenizer would be downloaded from the hub.
			"--force-dummy-tokenizer",
		)
	default:
		args = append(args,
			"--gpu-memory-utilization="+decimal(a.Model.GPUMemoryUtilization),
			"--dtype="+a.Model.DType,
			// Without it the stop signal aborts the requests in flight.
			"--shutdown-timeout="+strconv.Itoa(wholeSeconds(a.ShutdownTimeout)),
			// Probes and scrapes come every few seconds and would drown the log.
			"--disable-access-log-for-endpoints="+healthPath+","+signals.MetricsPath+",/ping",
		)
		if a.Model.Revision != "" {
			args = append(args, "--revision="+a.Model.Revision)
		}
		if a.GPU.PerReplica > 1 {
			args = append(args, "--tensor-parallel-size="+strconv.Itoa(a.GPU.PerReplica))
		}
	}
	return append(args, a.Model.ExtraArgs...)
}

// decimal writes a number as command lines take it, without an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// OwnedFlags lists the server's flags that settings of their own stand for, sorted; they are refused
// among the extra arguments.
func OwnedFlags() []string { return slices.Sorted(maps.Keys(ownedFlags)) }
