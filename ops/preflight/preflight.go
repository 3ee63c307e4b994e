package preflight

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/ops/preview/plan"
)

// Outcome is the result of a check.
type Outcome string

const (
	// Failed means that the update would fail, or that no replica could start.
	Failed Outcome = "failed"
	// Warning means that the update succeeds, but something later does not.
	Warning Outcome = "warning"
	// Unknown means that the account could not be asked; Found is the reason.
	Unknown Outcome = "unknown"
	// Passed means that the account has what is needed.
	Passed Outcome = "passed"
)

// Check is the result of one check.
type Check struct {
	// Name identifies the kind of check, such as gpu-quota; docs/preflight.md lists them.
	Name string `json:"name"`
	// Asked is what was looked at, such as "NVIDIA_L4_GPUS in us-central1".
	Asked   string  `json:"asked"`
	Outcome Outcome `json:"outcome"`
	// Found is what the cloud answered or, for Unknown, why there is no answer.
	Found string `json:"found"`
	// Fix is the command or setting that makes the check pass; "" for checks that passed.
	Fix string `json:"fix,omitempty"`
}

// String returns the check in one line.
func (c Check) String() string {
	line := fmt.Sprintf("%s: %s: %s", c.Name, c.Asked, c.Found)
	if c.Fix != "" {
		line += "; " + c.Fix
	}
	return line
}

// Result holds the checks of a plan.
type Result struct {
	// Cloud is the value of the key cloud, Program the CLI that was asked.
	Cloud   string `json:"cloud"`
	Program string `json:"program"`
	// Checks are sorted by outcome, failed ones first.
	Checks []Check `json:"checks"`
}

// Count returns the number of checks with an outcome.
func (r *Result) Count(outcome Outcome) int {
	n := 0
	for _, c := range r.Checks {
		if c.Outcome == outcome {
			n++
		}
	}
	return n
}

// question is something to find out. ask returns a check for each thing that it looked at.
type question struct {
	name string
	ask  func(ctx context.Context, c *cli) []Check
}

// cloud is a cloud whose account can be checked.
type cloud struct {
	// name is the value of the key cloud, program the cloud's CLI.
	name, program string
	// errors are the CLI's messages that have a meaning.
	errors messages
	// questions returns what to find out for a plan: first the question whose answer the others depend on, nil for none.
	// All are nil for a plan that creates nothing in the cloud.
	questions func(p *plan.Plan) (login *question, rest []question)
}

// clouds is the table of clouds.
var clouds = []cloud{gke, eks, aks}

// commandsAtOnce limits the CLI's processes: each of them needs a CPU for about a second to start.
const commandsAtOnce = 6

// Run checks what a plan creates. It returns nil if there is nothing to check: on a cluster of a kubeconfig, for a destroy,
// or for an update that creates no cluster and no nodes. One line on log tells that it has begun.
func Run(ctx context.Context, p *plan.Plan, runner Runner, log io.Writer) *Result {
	for _, cloud := range clouds {
		login, rest := cloud.questions(p)
		if login == nil && len(rest) == 0 {
			continue
		}
		result := &Result{Cloud: cloud.name, Program: cloud.program, Checks: []Check{}}
		if !runner.Has(cloud.program) {
			result.Checks = append(result.Checks, Check{
				Name: "login", Asked: cloud.program, Outcome: Unknown, Found: cloud.program + " is not on the PATH: install it and log in",
			})
			return result
		}
		fmt.Fprintf(log, "preflight: asking %s whether the account has what the update creates\n", cloud.program)
		c := newCLI(cloud, runner)
		if login != nil {
			first := login.ask(ctx, c)
			result.add(login.name, first)
			if slices.ContainsFunc(first, func(c Check) bool { return c.Outcome != Passed }) {
				return result
			}
		}
		answers := make([][]Check, len(rest))
		var wait sync.WaitGroup
		for i, q := range rest {
			wait.Go(func() { answers[i] = q.ask(ctx, c) })
		}
		wait.Wait()
		for i, q := range rest {
			result.add(q.name, answers[i])
		}
		order := []Outcome{Failed, Warning, Unknown, Passed}
		slices.SortStableFunc(result.Checks, func(a, b Check) int {
			return slices.Index(order, a.Outcome) - slices.Index(order, b.Outcome)
		})
		return result
	}
	return nil
}

// Unanswered are the names of the checks that are Unknown for one reason.
type Unanswered struct {
	Names  []string
	Reason string
}

// Unanswered returns the reasons of the checks that are Unknown, each once: a missing login has the same for all of them.
func (r *Result) Unanswered() []Unanswered {
	var all []Unanswered
	for _, c := range r.Checks {
		if c.Outcome != Unknown {
			continue
		}
		i := slices.IndexFunc(all, func(u Unanswered) bool { return u.Reason == c.Found })
		if i < 0 {
			i, all = len(all), append(all, Unanswered{Reason: c.Found})
		}
		if !slices.Contains(all[i].Names, c.Name) {
			all[i].Names = append(all[i].Names, c.Name)
		}
	}
	return all
}

// add adds the checks of a question.
func (r *Result) add(name string, checks []Check) {
	for _, c := range checks {
		c.Name, c.Found = name, strings.Join(strings.Fields(c.Found), " ")
		r.Checks = append(r.Checks, c)
	}
}

// Shorthands for the outcomes of a question.

func passed(asked, found string, args ...any) Check {
	return Check{Asked: asked, Outcome: Passed, Found: fmt.Sprintf(found, args...)}
}

func failed(asked, found, fix string) Check {
	return Check{Asked: asked, Outcome: Failed, Found: found, Fix: fix}
}

func warning(asked, found, fix string) Check {
	return Check{Asked: asked, Outcome: Warning, Found: found, Fix: fix}
}

// unknown returns the check for a command that failed; nothing is concluded from it.
func unknown(asked string, err error) Check {
	return Check{Asked: asked, Outcome: Unknown, Found: err.Error()}
}

// commandLimit is how long a command may take. Azure's list of machine sizes is the slowest: most of a minute on a bad day.
const commandLimit = 90 * time.Second
