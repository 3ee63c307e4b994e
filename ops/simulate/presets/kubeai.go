package presets

import (
	"fmt"
	"math"

	"vllm-autoscaling/ops/simulate"
)

// kubeAI is KubeAI's autoscaler: the requests in flight, averaged over a window, divided by a target.
type kubeAI struct {
	// interval is the time between two decisions, window what is averaged, and scaleDownDelay how long fewer replicas have to be
	// asked for. In seconds.
	interval, window, scaleDownDelay float64
	// targetRequests is the number of requests of a replica.
	targetRequests float64
}

// kubeAIDefaults are those of the chart and of the Model's fields.
var kubeAIDefaults = kubeAI{interval: 10, window: 600, scaleDownDelay: 30, targetRequests: 100}

func (k kubeAI) period() float64 { return k.interval }

func (k kubeAI) describe() string {
	return fmt.Sprintf("requests in flight, average of %gs, / %g, every %gs; down after %gs", k.window, k.targetRequests, k.interval, k.scaleDownDelay)
}

func (k kubeAI) decider(limits limits, _ simulate.Objective) (simulate.Decider, error) {
	return &kubeAIDecider{
		limits: limits, target: k.targetRequests,
		history:       make([]float64, int(math.Ceil(k.window/k.interval))),
		requiredDowns: int(math.Ceil(k.scaleDownDelay / k.interval)),
	}, nil
}

type kubeAIDecider struct {
	limits limits
	target float64
	// history are the requests in flight of the window, written in turn.
	history []float64
	next    int
	// downs is how often in a row fewer replicas were asked for, and requiredDowns how often they are before any is removed.
	downs, requiredDowns int
}

func (d *kubeAIDecider) Decide(_ float64, o simulate.Observation) int {
	d.history[d.next] = float64(o.InFlight)
	d.next = (d.next + 1) % len(d.history)
	sum := 0.0
	for _, requests := range d.history {
		sum += requests
	}
	desired := int(math.Ceil(sum / float64(len(d.history)) / d.target))
	desired = max(int(d.limits.minimum), min(int(d.limits.maximum), desired))
	if desired >= o.Wanted {
		d.downs = 0
		return desired
	}
	if d.downs < d.requiredDowns {
		d.downs++
		return o.Wanted
	}
	return desired
}
