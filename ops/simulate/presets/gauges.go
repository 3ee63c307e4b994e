package presets

import (
	"fmt"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
)

// gauge is what a policy reads of a replica.
type gauge struct {
	name   string
	signal simulate.Signal
}

var (
	running  = gauge{"requests running", simulate.Signal{Value: func(e *replica.Engine) float64 { return float64(e.Running()) }}}
	waiting  = gauge{"requests waiting", simulate.Signal{Value: func(e *replica.Engine) float64 { return float64(e.Waiting()) }}}
	inFlight = gauge{"requests in flight", simulate.Signal{Value: func(e *replica.Engine) float64 { return float64(e.Running() + e.Waiting()) }}}
	// gpuUtilization is what DCGM reports, prepared by a recording rule.
	gpuUtilization = gauge{"GPU utilization", simulate.Signal{Recorded: true, Value: func(e *replica.Engine) float64 {
		return signals.SimulatedBusyUtilization * min(1, float64(e.Running()))
	}}}
)

// guarded is the GPU utilization, reduced in proportion while fewer requests are in flight than a number.
func guarded(requests float64) gauge {
	return gauge{fmt.Sprintf("GPU utilization guarded with %g requests", requests), simulate.Signal{Recorded: true, Value: func(e *replica.Engine) float64 {
		return signals.SimulatedBusyUtilization * min(1, float64(e.Running()+e.Waiting())/requests)
	}}}
}
