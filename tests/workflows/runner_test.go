package workflows

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEvaluate(t *testing.T) {
	contexts := map[string]any{
		"a": map[string]any{"b-c": "x", "empty": "", "yes": true},
	}
	status := map[string]bool{"cancelled": false}
	for expression, want := range map[string]any{
		"a.b-c":                               "x",
		"a.nothing.at.all":                    "",
		"a.b-c == 'X'":                        true,
		"a.b-c != 'x'":                        false,
		"a.empty || 'default'":                "default",
		"a.b-c == 'x' && 'it''s' || 'not'":    "it's",
		"!cancelled() && a.yes":               true,
		"(a.b-c == 'y' || a.yes) && 'z'":      "z",
		"format('{0}-{1}', a.b-c, 'y')":       "x-y",
		"a.b-c == 'y' && 'never' || a.empty":  "",
		"a.missing == ''":                     true,
		"a.missing != '' && a.missing == '1'": false,
	} {
		got, err := Evaluate(expression, contexts, status)
		require.NoError(t, err, expression)
		assert.Equal(t, want, got, expression)
	}
	got, err := Evaluate(`fromJSON('[{"stack":"gke"}]')`, contexts, status)
	require.NoError(t, err)
	assert.Equal(t, []any{map[string]any{"stack": "gke"}}, got)
	for _, expression := range []string{"a.b-c ==", "(a.b-c", "hashFiles('x')", "a.b-c $ 'x'", "'x' 'y'", "format('x'"} {
		_, err := Evaluate(expression, contexts, status)
		assert.Error(t, err, expression)
	}
}

// jobsOf runs a workflow with empty steps and returns the conclusions of its jobs.
func jobsOf(t *testing.T, file string, event string, github map[string]any, outputs map[string]string) map[string]string {
	t.Helper()
	all := load(t)
	for name, w := range all {
		for key, job := range w.Jobs {
			for i := range job.Steps {
				job.Steps[i].Run = map[bool]string{true: "", false: "true"}[job.Steps[i].Uses != ""]
				if job.Steps[i].ID != "" && job.Steps[i].Uses == "" {
					job.Steps[i].Run = `printf '` + outputs[job.Steps[i].ID] + `' >>"$GITHUB_OUTPUT"`
				}
			}
			w.Jobs[key] = job
		}
		all[name] = w
	}
	nothing := func(context.Context, string, map[string]string) error { return nil }
	actions := map[string]func(context.Context, string, map[string]string) error{}
	for _, name := range []string{
		"actions/checkout", "actions/setup-go", "actions/cache", "actions/cache/restore", "google-github-actions/auth", "google-github-actions/setup-gcloud",
		"aws-actions/configure-aws-credentials", "azure/login", "pulumi/auth-actions",
	} {
		actions[name] = nothing
	}
	github["event_name"], github["repository"] = event, "team/inference"
	r := &Runner{
		Workflows: all, Actions: actions, Folder: t.TempDir(), Log: &bytes.Buffer{}, Environment: []string{"PATH=" + os.Getenv("PATH")},
		Contexts: map[string]any{"github": github, "vars": map[string]any{"CI_STACKS": "gke"}, "secrets": map[string]any{}},
	}
	results, err := r.Run(t.Context(), file, nil)
	require.NoError(t, err)
	conclusions := map[string]string{}
	for name, result := range results {
		conclusions[name] = result.Conclusion
	}
	return conclusions
}

func pullRequestOf(repository string) map[string]any {
	return map[string]any{"number": 7, "head": map[string]any{"repo": map[string]any{"full_name": repository}}}
}

func TestWhichJobsRun(t *testing.T) {
	affected := map[string]string{
		"affected": `stacks=[{"stack":"gke","cloud":"gke"},{"stack":"prod","cloud":"eks"}]\ncount=2\n`, "preview": `changed=true\ndigest=d\n`,
	}
	none := map[string]string{"affected": `stacks=[]\ncount=0\n`}
	for _, c := range []struct {
		name, file, event string
		github            map[string]any
		outputs           map[string]string
		want              map[string]string
	}{
		{"a pull request of a branch", "preview.yml", "pull_request",
			map[string]any{"event": map[string]any{"pull_request": pullRequestOf("team/inference")}}, affected,
			map[string]string{"stacks": Success, "preview": Success, "preview/stack": Success}},
		{"a pull request that affects no stack", "preview.yml", "pull_request",
			map[string]any{"event": map[string]any{"pull_request": pullRequestOf("team/inference")}}, none,
			map[string]string{"stacks": Success, "preview": Skipped}},
		{"a pull request of a fork", "preview.yml", "pull_request",
			map[string]any{"event": map[string]any{"pull_request": pullRequestOf("mallory/inference")}}, affected,
			map[string]string{"stacks": Skipped, "preview": Skipped}},
		{"a pull request of Dependabot", "preview.yml", "pull_request",
			map[string]any{"actor": "dependabot[bot]", "event": map[string]any{"pull_request": pullRequestOf("team/inference")}}, affected,
			map[string]string{"stacks": Skipped, "preview": Skipped}},
		{"a push", "up.yml", "push", map[string]any{}, affected,
			map[string]string{"stacks": Success, "deploy": Success, "deploy/plan": Success, "deploy/plan/stack": Success,
				"deploy/up": Success, "deploy/up/stack": Success}},
		{"a push without a change of the stack", "up.yml", "push", map[string]any{},
			map[string]string{"affected": affected["affected"], "preview": `changed=false\ndigest=d\n`},
			map[string]string{"stacks": Success, "deploy": Success, "deploy/plan": Success, "deploy/plan/stack": Success, "deploy/up": Skipped}},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, jobsOf(t, c.file, c.event, c.github, c.outputs))
		})
	}
}

// TestCommentComesAfterAFailedPreview checks that a failed preview still adds its comment and fails the job.
func TestCommentComesAfterAFailedPreview(t *testing.T) {
	all := load(t)
	var runs []string
	job := all["stack.yml"].Jobs["stack"]
	for i := range job.Steps {
		switch job.Steps[i].Run {
		case "":
			job.Steps[i].Uses = "actions/none@x"
		case ".ci/preview":
			job.Steps[i].Run = "false"
		default:
			runs = append(runs, job.Steps[i].Run)
			job.Steps[i].Run = ": " + job.Steps[i].Run
		}
	}
	require.Contains(t, runs, ".ci/preview-comment")
	r := &Runner{
		Workflows: all, Folder: t.TempDir(), Log: &bytes.Buffer{}, Environment: []string{"PATH=" + os.Getenv("PATH")},
		Actions: map[string]func(context.Context, string, map[string]string) error{
			"actions/none": func(context.Context, string, map[string]string) error { return nil },
		},
		Contexts: map[string]any{"github": map[string]any{"event_name": "pull_request"}, "vars": map[string]any{}, "secrets": map[string]any{}},
	}
	results, err := r.Run(t.Context(), "stack.yml", map[string]any{"command": "preview", "stack": "gke", "cloud": "gke", "environment": "preview-gke"})
	require.NoError(t, err)
	assert.Equal(t, Failure, results["stack"].Conclusion)
	assert.Equal(t, []string{": .ci/install-pulumi", "false", ": .ci/preview-comment"}, results["stack"].Steps)
	assert.Equal(t, []string{"preview-gke"}, results["stack"].Environments)
	_, err = os.Stat(filepath.Join(r.Folder, "job-1", "workspace"))
	assert.NoError(t, err)
}
