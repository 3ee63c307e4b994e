package workflows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Conclusions of a job.
const (
	Success = "success"
	Failure = "failure"
	Skipped = "skipped"
)

// Result is the result of a job.
type Result struct {
	// Conclusion is Success, Failure or Skipped.
	Conclusion string
	// Outputs holds the outputs of the job, or of the last run of a job that ran for several stacks.
	Outputs map[string]string
	// Steps lists the steps that ran a script, in order.
	Steps []string
	// Environments lists the environments that the job, or the jobs that it called, reference.
	Environments []string
}

// Runner runs workflows without GitHub: their `run:` steps unchanged, and a stand-in for each `uses:`.
type Runner struct {
	// Workflows holds all workflows of the repository, by file.
	Workflows map[string]Workflow
	// Contexts holds the contexts github, vars and secrets.
	Contexts map[string]any
	// Environment lists the environment variables of steps in addition to those of the workflow, as NAME=value.
	Environment []string
	// Actions holds the stand-ins by owner/name, without the commit. Their arguments are the job's folder and the step's
	// expanded inputs.
	Actions map[string]func(ctx context.Context, workspace string, with map[string]string) error
	// Folder is the folder for workspaces and for files such as GITHUB_OUTPUT.
	Folder string
	// Log receives the output of the steps.
	Log io.Writer
	// Summary collects the job summaries that the steps write.
	Summary bytes.Buffer

	runs int
}

// Run runs all jobs of a workflow with its inputs, each after the jobs that it needs. It returns the results by job, those of
// called workflows by caller/job.
func (r *Runner) Run(ctx context.Context, file string, inputs map[string]any) (map[string]Result, error) {
	w, ok := r.Workflows[file]
	if !ok {
		return nil, fmt.Errorf("there is no workflow %s", file)
	}
	results := map[string]Result{}
	for len(results) < len(w.Jobs)+called(results) {
		ran := false
		for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
			job := w.Jobs[name]
			_, done := results[name]
			ready := !slices.ContainsFunc(job.Needs, func(needed string) bool { _, ok := results[needed]; return !ok })
			if done || !ready {
				continue
			}
			ran = true
			result, inner, err := r.job(ctx, job, inputs, results)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", file, name, err)
			}
			results[name] = result
			for key, value := range inner {
				results[name+"/"+key] = value
			}
		}
		if !ran {
			return nil, fmt.Errorf("%s: jobs need each other", file)
		}
	}
	return results, nil
}

// called counts the results of called workflows.
func called(results map[string]Result) int {
	n := 0
	for name := range results {
		if strings.Contains(name, "/") {
			n++
		}
	}
	return n
}

// job runs a job once, or once for each entry of its matrix.
func (r *Runner) job(ctx context.Context, job Job, inputs map[string]any, before map[string]Result) (Result, map[string]Result, error) {
	needs := map[string]any{}
	succeeded := true
	for _, name := range job.Needs {
		needs[name] = map[string]any{"result": before[name].Conclusion, "outputs": anyMap(before[name].Outputs)}
		succeeded = succeeded && before[name].Conclusion == Success
	}
	contexts := maps.Clone(r.Contexts)
	contexts["needs"], contexts["inputs"] = needs, inputs
	run, err := condition(job.If, contexts, map[string]bool{"success": succeeded, "failure": !succeeded, "cancelled": false, "always": true})
	if err != nil || !run {
		return Result{Conclusion: Skipped}, nil, err
	}
	entries := []any{map[string]any{}}
	if text := job.Strategy.Matrix.Include; text != "" {
		value, err := Evaluate(strings.TrimSuffix(strings.TrimPrefix(text, "${{"), "}}"), contexts, nil)
		if err != nil {
			return Result{}, nil, err
		}
		list, ok := value.([]any)
		if !ok {
			return Result{}, nil, fmt.Errorf("the matrix is %v, which is no list", value)
		}
		entries = list
	}
	result := Result{Conclusion: Success, Outputs: map[string]string{}}
	inner := map[string]Result{}
	for _, entry := range entries {
		contexts["matrix"] = entry
		one, more, err := r.once(ctx, job, contexts)
		if err != nil {
			return Result{}, nil, err
		}
		if one.Conclusion == Failure {
			result.Conclusion = Failure
		}
		result.Outputs = one.Outputs
		result.Steps = append(result.Steps, one.Steps...)
		result.Environments = append(result.Environments, one.Environments...)
		maps.Copy(inner, more)
	}
	return result, inner, nil
}

func (r *Runner) once(ctx context.Context, job Job, contexts map[string]any) (Result, map[string]Result, error) {
	if job.Called() == "" {
		result, err := r.steps(ctx, job, contexts)
		return result, nil, err
	}
	inputs := map[string]any{}
	for name, text := range job.With {
		value, err := Expand(text, contexts, nil)
		if err != nil {
			return Result{}, nil, err
		}
		inputs[name] = value
	}
	callee := r.Workflows[job.Called()]
	inner, err := r.Run(ctx, job.Called(), inputs)
	if err != nil {
		return Result{}, nil, err
	}
	result := Result{Conclusion: Success, Outputs: map[string]string{}}
	jobs := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(callee.Jobs)) {
		one := inner[name]
		if one.Conclusion == Failure {
			result.Conclusion = Failure
		}
		jobs[name] = map[string]any{"outputs": anyMap(one.Outputs)}
		result.Steps = append(result.Steps, one.Steps...)
		result.Environments = append(result.Environments, one.Environments...)
	}
	for name, text := range callee.Outputs {
		if result.Outputs[name], err = Expand(text, map[string]any{"jobs": jobs}, nil); err != nil {
			return Result{}, nil, err
		}
	}
	return result, inner, nil
}

// steps runs the steps of a job in a new workspace.
func (r *Runner) steps(ctx context.Context, job Job, contexts map[string]any) (Result, error) {
	r.runs++
	home := filepath.Join(r.Folder, fmt.Sprintf("job-%d", r.runs))
	workspace := filepath.Join(home, "workspace")
	if err := os.MkdirAll(workspace, 0o755); err != nil {
		return Result{}, err
	}
	steps := map[string]any{}
	contexts = maps.Clone(contexts)
	contexts["steps"] = steps
	contexts["runner"] = map[string]any{"os": "Linux", "arch": "X64"}
	env := map[string]string{}
	for name, text := range job.Env {
		value, err := Expand(text, contexts, nil)
		if err != nil {
			return Result{}, err
		}
		env[name] = value
	}
	result := Result{Conclusion: Success, Outputs: map[string]string{}}
	if job.Environment != "" {
		environment, err := Expand(job.Environment, contexts, nil)
		if err != nil {
			return Result{}, err
		}
		result.Environments = []string{environment}
	}
	for i, step := range job.Steps {
		succeeded := result.Conclusion == Success
		run, err := condition(step.If, contexts, map[string]bool{"success": succeeded, "failure": !succeeded, "cancelled": false, "always": true})
		if err != nil {
			return Result{}, err
		}
		if !run {
			continue
		}
		if step.Uses != "" {
			if err := r.action(ctx, step, workspace, contexts); err != nil {
				return Result{}, err
			}
			continue
		}
		result.Steps = append(result.Steps, step.Run)
		outputs, err := r.script(ctx, step, workspace, filepath.Join(home, fmt.Sprint(i)), env, contexts)
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && ctx.Err() == nil:
			result.Conclusion = Failure
		case err != nil:
			return Result{}, err
		}
		if step.ID != "" {
			steps[step.ID] = map[string]any{"outputs": anyMap(outputs)}
		}
	}
	for name, text := range job.Outputs {
		value, err := Expand(text, contexts, nil)
		if err != nil {
			return Result{}, err
		}
		result.Outputs[name] = value
	}
	return result, nil
}

func (r *Runner) action(ctx context.Context, step Step, workspace string, contexts map[string]any) error {
	name, _, _ := strings.Cut(step.Uses, "@")
	standIn, ok := r.Actions[name]
	if !ok {
		return fmt.Errorf("no stand-in for the action %s", name)
	}
	with := map[string]string{}
	for key, text := range step.With {
		if strings.Contains(text, "hashFiles(") {
			continue // of caches, which the stand-ins do without
		}
		value, err := Expand(text, contexts, nil)
		if err != nil {
			return err
		}
		with[key] = value
	}
	if err := standIn(ctx, workspace, with); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// script runs a step like GitHub's runner, with files for its outputs, environment and summary.
func (r *Runner) script(ctx context.Context, step Step, workspace, files string, env map[string]string, contexts map[string]any) (map[string]string, error) {
	handed := map[string]string{
		"GITHUB_OUTPUT": files + ".output", "GITHUB_STEP_SUMMARY": files + ".summary",
		"GITHUB_PATH": files + ".path", "GITHUB_ENV": files + ".env",
	}
	for _, file := range handed {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return nil, err
		}
	}
	command := exec.CommandContext(ctx, "bash", "-e", "-c", step.Run)
	command.Dir = workspace
	command.Env = append(slices.Clone(r.Environment), "GITHUB_WORKSPACE="+workspace, "GITHUB_ACTIONS=true", "CI=true")
	all := maps.Clone(env)
	for name, text := range step.Env {
		value, err := Expand(text, contexts, nil)
		if err != nil {
			return nil, err
		}
		all[name] = value
	}
	maps.Copy(all, handed)
	for name, value := range all {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stdout, command.Stderr = r.Log, r.Log
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	fmt.Fprintf(r.Log, "$ %s\n", step.Run)
	failed := command.Run()
	summary, err := os.ReadFile(handed["GITHUB_STEP_SUMMARY"])
	if err != nil {
		return nil, err
	}
	r.Summary.Write(summary)
	text, err := os.ReadFile(handed["GITHUB_OUTPUT"])
	if err != nil {
		return nil, err
	}
	outputs := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			return nil, fmt.Errorf("%s: %q is no output", step.Run, line)
		}
		outputs[name] = value
	}
	return outputs, failed
}

var asksForStatus = regexp.MustCompile(`\b(success|failure|cancelled|always)\(\)`)

// condition evaluates an `if:`. Like GitHub, it requires success() where the condition calls no status check function.
func condition(text string, contexts map[string]any, status map[string]bool) (bool, error) {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "${{"); ok {
		text = strings.TrimSuffix(inner, "}}")
	}
	if !asksForStatus.MatchString(text) && !status["success"] {
		return false, nil
	}
	if text == "" {
		return true, nil
	}
	value, err := Evaluate(text, contexts, status)
	return truth(value), err
}

func anyMap(values map[string]string) map[string]any {
	result := map[string]any{}
	for key, value := range values {
		result[key] = value
	}
	return result
}

// Names is one name or a list of them.
type Names []string

// UnmarshalYAML decodes both forms.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}
