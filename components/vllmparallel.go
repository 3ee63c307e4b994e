package components

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Parallel is how a model is spread over the GPUs of a replica.
type Parallel struct {
	// Tensor is the number of GPUs that share every layer, Pipeline the number of stages that the layers are spread over, and Data the
	// number of engines, each with the whole model. Each is at least 1; their product is the number of GPUs of a replica.
	Tensor, Pipeline, Data int
}

// LoRA are LoRA adapters, which vLLM loads when it starts and changes no more: its endpoint to load others is off.
type LoRA struct {
	// Adapters are the adapters by the name that requests choose them by: a model on the Hugging Face hub, or a path in the image.
	Adapters map[string]string
	// MaxRank is the highest rank of an adapter, MaxLoras the most adapters that the requests of a forward pass use together; both at
	// least 1 with adapters.
	MaxRank, MaxLoras int
}

// parallel returns how the model is spread over the GPUs.
func (a *VLLMArgs) parallel() Parallel {
	if a.Model.Parallel == (Parallel{}) {
		return Parallel{Tensor: max(1, a.GPU.PerReplica), Pipeline: 1, Data: 1}
	}
	return a.Model.Parallel
}

// sequences returns --max-num-seqs, which counts for each engine. The simulator has one engine, which stands for all of them: its own data
// parallelism would serve every engine on a port of its own.
func (a *VLLMArgs) sequences() int {
	if a.Engine == EngineSimulator {
		return a.Model.MaxNumSeqs * a.parallel().Data
	}
	return a.Model.MaxNumSeqs
}

// arguments returns the flags of vLLM.
func (p Parallel) arguments(m Model) []string {
	var args []string
	for _, size := range []struct {
		flag string
		n    int
	}{{"--tensor-parallel-size=", p.Tensor}, {"--pipeline-parallel-size=", p.Pipeline}, {"--data-parallel-size=", p.Data}} {
		if size.n > 1 {
			args = append(args, size.flag+strconv.Itoa(size.n))
		}
	}
	if p.Data > 1 && !m.extra("--api-server-count", "-asc") {
		// One API server for each engine, the default, costs main memory, and moves the metrics to files that all of them share.
		args = append(args, "--api-server-count=1")
	}
	return args
}

// adapter is an adapter in the form that vLLM and the simulator both read.
type adapter struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// arguments returns the flags that vLLM and the simulator both have, in an order that does not change.
func (l LoRA) arguments() []string {
	if len(l.Adapters) == 0 {
		return nil
	}
	args := []string{"--max-loras=" + strconv.Itoa(l.MaxLoras), "--lora-modules"}
	for _, name := range slices.Sorted(maps.Keys(l.Adapters)) {
		module, _ := json.Marshal(adapter{name, l.Adapters[name]}) // Two strings always encode.
		args = append(args, string(module))
	}
	return args
}

// inImage reports whether no adapter is downloaded.
func (l LoRA) inImage() bool {
	for _, path := range l.Adapters {
		if !strings.HasPrefix(path, "/") {
			return false
		}
	}
	return true
}

// validateParallel reports sizes that the GPUs of a replica do not have, and adapters that vLLM does not load.
func (a *VLLMArgs) validateParallel() []error {
	var problems []error
	if p := a.parallel(); p.Tensor < 1 || p.Pipeline < 1 || p.Data < 1 {
		problems = append(problems, fmt.Errorf("parallel sizes %+v not possible (each at least 1)", p))
	} else if a.GPU.ResourceName != "" && a.GPU.PerReplica > 0 && p.Tensor*p.Pipeline*p.Data != a.GPU.PerReplica {
		problems = append(problems, fmt.Errorf("parallel sizes %+v need %d GPUs, and a replica has %d", p, p.Tensor*p.Pipeline*p.Data, a.GPU.PerReplica))
	}
	if l := a.Model.LoRA; len(l.Adapters) > 0 && (l.MaxRank < 1 || l.MaxLoras < 1) {
		problems = append(problems, fmt.Errorf("LoRA adapters with MaxRank %d and MaxLoras %d not possible (each at least 1)", l.MaxRank, l.MaxLoras))
	}
	return problems
}
