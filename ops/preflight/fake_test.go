package preflight

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// fake answers commands.
type fake struct {
	t        *testing.T
	programs []string
	// layers are what commands print, by a part of the command line; in a layer the longest part wins, and the last layer
	// before the others. An answer that begins with "error: " is printed on standard error by a command that fails.
	layers []map[string]string

	mu    sync.Mutex
	calls []string
}

func (f *fake) Has(program string) bool { return slices.Contains(f.programs, program) }

func (f *fake) Run(_ context.Context, program string, args ...string) ([]byte, error) {
	line := program + " " + strings.Join(args, " ")
	f.mu.Lock()
	f.calls = append(f.calls, line)
	f.mu.Unlock()
	for _, layer := range slices.Backward(f.layers) {
		best := ""
		for part := range layer {
			if strings.Contains(line, part) && len(part) > len(best) {
				best = part
			}
		}
		if best == "" {
			continue
		}
		if message, fails := strings.CutPrefix(layer[best], "error: "); fails {
			return nil, &ExitError{Program: program, Code: 1, Stderr: message}
		}
		return []byte(layer[best]), nil
	}
	f.t.Errorf("no answer for %s", line)
	return nil, &ExitError{Program: program, Code: 2, Stderr: "no answer in this test"}
}

// with returns the fake with other answers.
func (f *fake) with(answers map[string]string) *fake {
	return &fake{t: f.t, programs: f.programs, layers: append(slices.Clone(f.layers), answers)}
}

// planOf returns a plan of a stack with some keys.
func planOf(keys map[string]string, steps ...plan.Step) *plan.Plan {
	p := &plan.Plan{Project: "vllm-autoscaling", Stack: "test", Config: map[string]string{}, Steps: steps}
	for key, value := range keys {
		p.Config["vllm-autoscaling:"+key] = value
	}
	return p
}

// inputs decodes the inputs of a resource; UNKNOWN stands for a value that is not known before the update.
func inputs(t *testing.T, text string) map[string]any {
	t.Helper()
	var values map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(text, "UNKNOWN", plan.Unknown)), &values))
	return values
}

func create(t *testing.T, typ, name, text string) plan.Step {
	t.Helper()
	return plan.Step{Op: plan.OpCreate, Type: typ, Name: name, URN: typ + name, New: &plan.Resource{Type: typ, Name: name, Inputs: inputs(t, text)}}
}

// changed returns the step that changes a resource.
func changed(t *testing.T, op, typ, name, before, after string) plan.Step {
	t.Helper()
	s := create(t, typ, name, after)
	s.Op, s.Old = op, &plan.Resource{Type: typ, Name: name, Inputs: inputs(t, before)}
	return s
}

func same(s plan.Step) plan.Step {
	s.Op, s.Old = plan.OpSame, s.New
	return s
}

// check runs the preflight and returns it.
func check(t *testing.T, p *plan.Plan, f *fake) *Result {
	t.Helper()
	result := Run(t.Context(), p, f, io.Discard)
	require.NotNil(t, result)
	for _, c := range result.Checks {
		assert.NotEmpty(t, c.Name)
		assert.NotEmpty(t, c.Asked, c.Name)
		assert.NotEmpty(t, c.Found, c.Name)
		assert.NotContains(t, c.String(), "\n")
		if c.Outcome == Failed || c.Outcome == Warning {
			assert.NotEmpty(t, c.Fix, c.Name)
		} else {
			assert.Empty(t, c.Fix, c.Name)
		}
	}
	return result
}

// lines returns the checks of a name that did not pass, as "outcome asked: found; fix".
func (r *Result) lines(name string) []string {
	var all []string
	for _, c := range r.Checks {
		if c.Name == name && c.Outcome != Passed {
			all = append(all, string(c.Outcome)+" "+strings.TrimPrefix(c.String(), name+": "))
		}
	}
	return all
}

// problems returns all checks that did not pass.
func (r *Result) problems() []string {
	var all []string
	for _, c := range r.Checks {
		if c.Outcome != Passed {
			all = append(all, string(c.Outcome)+" "+c.String())
		}
	}
	return all
}

// names returns the names of the checks.
func (r *Result) names() []string {
	var all []string
	for _, c := range r.Checks {
		all = append(all, c.Name)
	}
	return unique(all)
}
