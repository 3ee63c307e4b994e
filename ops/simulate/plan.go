package simulate

import (
	"fmt"
	"math"
)

// Step is a number of replicas that a plan asks for from a moment on, in seconds since the beginning.
type Step struct {
	At       float64
	Replicas int
}

// validatePlan returns what is wrong with the plan.
func (s *Settings) validatePlan() []error {
	var problems []error
	last := 0.0
	for _, step := range s.Plan {
		if step.Replicas < 1 {
			problems = append(problems, fmt.Errorf("the plan asks for %d replicas at %g s: at least 1", step.Replicas, step.At))
		}
		if step.At < last {
			problems = append(problems, fmt.Errorf("the plan has a step at %g s after %g s", step.At, last))
		}
		last = step.At
	}
	return problems
}

// follow asks for the replicas of the next step of the plan.
func (r *run) follow() {
	step := r.settings.Plan[r.followed]
	r.followed++
	r.scale(step.At, int32(step.Replicas))
	r.round = r.nextStep()
}

// nextStep returns when the next step of the plan is due.
func (r *run) nextStep() float64 {
	if r.followed >= len(r.settings.Plan) {
		return math.Inf(1)
	}
	return r.settings.Plan[r.followed].At
}

// Plan returns the replicas that were asked for as a plan that asks for the same ones.
func (r *Result) Plan() []Step {
	var plan []Step
	for _, moment := range r.Timeline {
		if n := len(plan); n == 0 || plan[n-1].Replicas != moment.Wanted {
			plan = append(plan, Step{At: moment.At, Replicas: moment.Wanted})
		}
	}
	return plan
}
