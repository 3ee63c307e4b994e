package components

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

func (a *VLLMArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Name", a.Name),
		validateNamespace("Namespace", a.Namespace),
		validateNamespace("MonitoringNamespace", a.MonitoringNamespace),
		validateImage(a.Image),
		validateQuantity("CPU", a.CPU),
		validateQuantity("Memory", a.Memory),
		validateQuantity("SharedMemory", a.SharedMemory),
		validateQuantity("ModelCache", a.ModelCache),
		validateInterval("ScrapeInterval", a.ScrapeInterval),
		validatePort("port", a.Port),
		a.CompileCache.validate(),
		a.GPU.Validate(),
		a.Model.validate(),
		a.Model.Weights.validate(),
	}
	for _, namespace := range a.ClientNamespaces {
		if namespace != AllNamespaces {
			problems = append(problems, validateNamespace("ClientNamespaces", namespace))
		}
	}
	for _, namespace := range a.EgressNamespaces {
		problems = append(problems, validateNamespace("EgressNamespaces", namespace))
	}
	for _, cidr := range a.ClientCIDRs {
		problems = append(problems, validateNetwork("ClientCIDRs", cidr))
	}
	for _, cidr := range a.EgressCIDRs {
		problems = append(problems, validateNetwork("EgressCIDRs", cidr))
	}
	for _, domain := range a.MediaDomains {
		problems = append(problems, validateHost("MediaDomains", domain))
	}
	problems = append(problems, a.validateParallel()...)
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }

	switch a.Engine {
	case EngineVLLM:
	case EngineSimulator:
		if s := a.Simulation; s.TimeToFirstToken <= 0 || s.InterTokenLatency <= 0 || s.LoadFactor < 1 {
			add("simulation %+v not possible (latencies above 0, load factor at least 1)", s)
		}
	default:
		add("engine %q not supported (one of: %s, %s)", a.Engine, EngineVLLM, EngineSimulator)
	}
	if a.Scraper == nil {
		add("Scraper is missing: nobody would collect the server's series")
	}
	if a.StartupBudget < probePeriod {
		add("startup budget %s is too short (at least %s)", a.StartupBudget, probePeriod)
	}
	if a.PreStop < time.Second || a.PreStop%time.Second != 0 {
		add("preStop %s not possible (whole seconds, at least 1s)", a.PreStop)
	}
	if a.ShutdownTimeout < 0 || a.ShutdownTimeout%time.Second != 0 {
		add("shutdown timeout %s not possible (whole seconds, 0 or more)", a.ShutdownTimeout)
	}
	for _, variable := range ownedVariables {
		if value, ok := a.Env[variable]; ok {
			add("environment variable %s=%q is set by the program: leave it out", variable, value)
		}
	}
	if a.weights().Source != WeightsBucket && (len(a.BucketIdentity.Access) > 0 || len(a.BucketIdentity.WriterAnnotations) > 0) {
		add("there is an identity for a bucket, but the weights come from %s", a.weights())
	}
	for _, variable := range a.PodTemplate.serverVariables() {
		if _, ok := a.Env[variable]; ok {
			add("vllm.podTemplate sets the environment variable %s, without which the server does not find the driver of its GPUs here: leave it out", variable)
		}
	}
	memory, memoryErr := resource.ParseQuantity(a.Memory)
	shared, sharedErr := resource.ParseQuantity(a.SharedMemory)
	if memoryErr == nil && sharedErr == nil && shared.Cmp(memory) >= 0 {
		add("shared memory %s counts towards memory %s and must be less", a.SharedMemory, a.Memory)
	}
	return errors.Join(problems...)
}

func (m Model) validate() error {
	var problems []error
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if m.ID == "" {
		add("model has no ID (such as google/gemma-3-1b-it)")
	}
	if m.MaxModelLen < 1 {
		add("maxModelLen %d not possible (tokens, at least 1)", m.MaxModelLen)
	}
	if m.MaxNumSeqs < 1 {
		add("maxNumSeqs %d not possible (requests, at least 1)", m.MaxNumSeqs)
	}
	if !(m.GPUMemoryUtilization > 0 && m.GPUMemoryUtilization <= 1) {
		add("gpuMemoryUtilization %v not possible (above 0, at most 1)", m.GPUMemoryUtilization)
	}
	if m.MaxNumBatchedTokens < 0 {
		add("maxNumBatchedTokens %d not possible (tokens, or 0 for vLLM's own number)", m.MaxNumBatchedTokens)
	}
	if m.ProcessorCacheGiB < 0 {
		add("processorCacheGiB %v not possible (GiB, or 0 for vLLM's own size)", m.ProcessorCacheGiB)
	}
	if m.DType == "" {
		add("dtype is empty (auto, or one of vLLM's types)")
	}
	for _, arg := range m.ExtraArgs {
		if flag, found := FindServerFlag(arg); found && !flag.Yields {
			// The name alone: the value may be a secret.
			add("extra argument %s is a flag that the program sets: %s", flag.Name, insteadOf(flag))
		}
	}
	return errors.Join(problems...)
}

// insteadOf returns what to do instead of giving a flag among the extra arguments.
func insteadOf(flag ServerFlag) string {
	if flag.Key == "" {
		return "remove it"
	}
	return "set " + flag.Key + " instead"
}
