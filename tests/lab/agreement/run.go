package agreement

import (
	"fmt"
	"math"
	"slices"

	"vllm-autoscaling/ops/simulate"
)

// Run is what a load met on a deployment.
type Run struct {
	// Seconds is the length of the load.
	Seconds float64 `json:"seconds"`
	// Attainment is the share of the requests that kept the objective.
	Attainment float64 `json:"attainment"`
	// Replicas are the wanted and the ready replicas from each moment on at which either changed, beginning with the load.
	Replicas []simulate.Replicas `json:"replicas"`
}

// Decision is a change of the number of wanted replicas.
type Decision struct {
	// At is in seconds since the beginning of the load.
	At       float64
	Replicas int
}

// Simulate replays a load in memory.
func Simulate(s simulate.Settings, l *Load) (Run, error) {
	result, err := simulate.Run(s, l.Simulated())
	if err != nil {
		return Run{}, fmt.Errorf("load %s: %w", l.Name, err)
	}
	return Run{Seconds: l.Length().Seconds(), Attainment: result.Attainment(), Replicas: result.Timeline}, nil
}

// WantedSeconds and ReadySeconds return the integrals of the wanted and of the ready replicas over the load.
func (r Run) WantedSeconds() float64 {
	return r.integral(func(n simulate.Replicas) int { return n.Wanted })
}

// ReadySeconds returns the integral of the ready replicas over the load.
func (r Run) ReadySeconds() float64 {
	return r.integral(func(n simulate.Replicas) int { return n.Ready })
}

func (r Run) integral(of func(simulate.Replicas) int) float64 {
	sum := 0.0
	for i, n := range r.Replicas {
		end := r.Seconds
		if i+1 < len(r.Replicas) {
			end = min(end, r.Replicas[i+1].At)
		}
		sum += max(0, end-n.At) * float64(of(n))
	}
	return sum
}

// Decisions returns the changes of the wanted replicas within the load.
func (r Run) Decisions() []Decision {
	var all []Decision
	for i, n := range r.Replicas {
		if i > 0 && n.Wanted != r.Replicas[i-1].Wanted && n.At <= r.Seconds {
			all = append(all, Decision{n.At, n.Wanted})
		}
	}
	return all
}

// Matched returns how many decisions of r the other run has too, at most a time earlier or later, and how many r has.
func (r Run) Matched(other Run, within float64) (matched, all int) {
	candidates := other.Decisions()
	for _, d := range r.Decisions() {
		all++
		if slices.ContainsFunc(candidates, func(o Decision) bool { return o.Replicas == d.Replicas && math.Abs(o.At-d.At) <= within }) {
			matched++
		}
	}
	return matched, all
}
