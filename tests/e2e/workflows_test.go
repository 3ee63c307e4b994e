package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/codehost/githubstub"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/tools"
	"vllm-autoscaling/tests/workflows"
)

const pullRequest = 7

// pipeline is a repository on a simulated GitHub whose workflows run here. Scripts run unchanged on a clone, with the lab's
// Pulumi CLI and state; actions are simulated.
type pipeline struct {
	t      *testing.T
	stack  *deployment
	origin string // the repository that is cloned
	folder string
	github *githubstub.Stub
	// approvals are the environments for which jobs requested an approval.
	approvals []string
	// programs is a folder whose programs come before those of the lab; "" for none.
	programs string
	// readers are folders with the kubeconfig's program of an identity that only reads, by the name of its role.
	readers map[string]string
}

// newPipeline creates a repository from the working tree and the stack's configuration.
func newPipeline(t *testing.T, stack *deployment) *pipeline {
	t.Helper()
	folder, err := os.MkdirTemp("", "vllm-ci-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	p := &pipeline{t: t, stack: stack, folder: folder, origin: filepath.Join(folder, "origin"),
		github: githubstub.New("team/inference", "secret", "github-actions[bot]", pullRequest)}
	t.Cleanup(p.github.Close)
	require.NoError(t, copyTree(environment.root, p.origin, ".git", "bin", "demo-report"))
	p.git("init", "--quiet", "--initial-branch=main")
	p.commit("before")
	p.configure()
	p.commit("the change")
	return p
}

// configure commits the stack's configuration to the repository.
func (p *pipeline) configure() {
	p.t.Helper()
	content, err := os.ReadFile(p.stack.ConfigFile())
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(p.origin, "Pulumi."+p.stack.Name()+".yaml"), content, 0o644))
}

func (p *pipeline) commit(message string) {
	p.t.Helper()
	p.git("add", "--all")
	p.git("commit", "--quiet", "--allow-empty", "--message="+message)
}

// git runs git with a neutral identity, independent of the machine's configuration.
func (p *pipeline) git(args ...string) string {
	p.t.Helper()
	command := exec.CommandContext(testContext(p.t), "git",
		append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	command.Dir = p.origin
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	output, err := command.CombinedOutput()
	require.NoError(p.t, err, string(output))
	return strings.TrimSpace(string(output))
}

// copyTree copies files and folders, without those of these names at the top.
func copyTree(from, to string, without ...string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		for _, name := range without {
			if relative == name {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		target := filepath.Join(to, relative)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm())
	})
}

// run runs a workflow for an event and returns the results of its jobs and the summary of the run.
func (p *pipeline) run(file, event string, github, inputs map[string]any) (map[string]workflows.Result, string) {
	p.t.Helper()
	all, err := workflows.Load(p.origin)
	require.NoError(p.t, err)
	folder, err := os.MkdirTemp(p.folder, "run-")
	require.NoError(p.t, err)
	payload, err := json.Marshal(github["event"])
	require.NoError(p.t, err)
	eventFile := filepath.Join(folder, "event.json")
	require.NoError(p.t, os.WriteFile(eventFile, payload, 0o600))
	contexts := map[string]any{"repository": "team/inference", "event_name": event, "token": "secret", "run_id": "1", "actor": "someone"}
	for key, value := range github {
		contexts[key] = value
	}
	// The URL of the lab's backend is a variable of the repository.
	vars := map[string]any{"CI_STACKS": p.stack.Name()}
	env := []string{
		"GITHUB_REPOSITORY=team/inference", "GITHUB_EVENT_NAME=" + event, "GITHUB_EVENT_PATH=" + eventFile, "GITHUB_API_URL=" + p.github.URL(), "HOME=" + folder,
	}
	for _, variable := range p.stack.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		switch name {
		case "PULUMI_BACKEND_URL":
			vars[name] = value
		case "HOME":
		case "PATH":
			env = append(env, "PATH="+strings.TrimPrefix(p.programs+":"+value, ":"))
		default:
			env = append(env, variable)
		}
	}
	// The default folders without the changed HOME.
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB"} {
		value, err := exec.CommandContext(testContext(p.t), "go", "env", name).Output()
		require.NoError(p.t, err)
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	nothing := func(context.Context, string, map[string]string) error { return nil }
	r := &workflows.Runner{
		Workflows: all, Folder: folder, Environment: env, Log: lines(p.t, "workflow"),
		Contexts: map[string]any{"github": contexts, "vars": vars, "secrets": map[string]any{}},
		Actions: map[string]func(context.Context, string, map[string]string) error{
			"actions/checkout": p.checkout,
			"actions/setup-go": nothing,
			// The build cache is this machine's; bin is what the program workflow would have cached.
			"actions/cache/restore": func(ctx context.Context, workspace string, _ map[string]string) error {
				return p.restore(ctx, workspace, env)
			},
			"actions/cache": nothing,
			// The simulated clouds' credentials are in the environment.
			"google-github-actions/setup-gcloud": nothing,
		},
	}
	results, err := r.Run(testContext(p.t), file, inputs)
	require.NoError(p.t, err)
	for _, result := range results {
		p.approvals = append(p.approvals, result.Environments...)
	}
	return results, r.Summary.String()
}

// checkout clones the repository with the step's depth.
func (p *pipeline) checkout(ctx context.Context, workspace string, with map[string]string) error {
	if with["persist-credentials"] != "false" {
		return fmt.Errorf("the token would stay in the clone's configuration")
	}
	args := []string{"clone", "--quiet"}
	switch depth := with["fetch-depth"]; depth {
	case "0":
	case "":
		args = append(args, "--depth=1")
	default:
		args = append(args, "--depth="+depth)
	}
	output, err := exec.CommandContext(ctx, "git", append(args, "file://"+p.origin, workspace)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// restore copies the compiled program to the clone. With it and the build cache, nothing is compiled, which a verbose build
// confirms.
func (p *pipeline) restore(ctx context.Context, workspace string, env []string) error {
	program, err := os.ReadFile(filepath.Join(environment.root, "bin/vllm-autoscaling"))
	if err != nil {
		return err
	}
	target := filepath.Join(workspace, "bin/vllm-autoscaling")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(target, program, 0o755); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "bash", "-c", ". .ci/environment && go build -v -o bin/vllm-autoscaling")
	build.Dir, build.Env = workspace, env
	var said bytes.Buffer
	build.Stdout, build.Stderr = &said, &said
	if err := build.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, said.String())
	}
	if said.Len() > 0 {
		return fmt.Errorf("a clone in another folder compiles again:\n%s", said.String())
	}
	// The rest of bin, by the script that fills the cache.
	rest := exec.CommandContext(ctx, filepath.Join(workspace, ".ci/build"))
	rest.Dir, rest.Env = workspace, env
	if output, err := rest.CombinedOutput(); err != nil {
		return fmt.Errorf(".ci/build: %w: %s", err, output)
	}
	return nil
}

func (p *pipeline) pullRequest() (map[string]workflows.Result, string) {
	p.t.Helper()
	return p.run("preview.yml", "pull_request", map[string]any{
		"event": map[string]any{"pull_request": map[string]any{"number": pullRequest, "head": map[string]any{"repo": map[string]any{"full_name": "team/inference"}}}},
	}, nil)
}

// succeeded checks that a job ran with these scripts.
func succeeded(t *testing.T, results map[string]workflows.Result, job string, scripts ...string) {
	t.Helper()
	require.Equal(t, workflows.Success, results[job].Conclusion, "%s of %v", job, results)
	for _, script := range scripts {
		assert.Contains(t, results[job].Steps, script)
	}
}

// commentedOn checks that a pull request's workflow writes one comment with the summary of the affected stack.
func (p *pipeline) commentedOn(t *testing.T) {
	p.t = t
	results, summary := p.pullRequest()
	succeeded(t, results, "stacks", ".ci/affected-stacks")
	assert.Equal(t, `[{"stack":"gke","cloud":"gke"}]`, results["stacks"].Outputs["stacks"])
	succeeded(t, results, "preview", ".ci/install-pulumi", ".ci/preview", ".ci/preview-comment")
	assert.Equal(t, "true", results["preview"].Outputs["changed"])
	comments := p.github.Comments(pullRequest)
	require.Len(t, comments, 1)
	body := comments[0].Body
	assert.True(t, strings.HasPrefix(body, "<!-- vllm-autoscaling preview: gke -->\n## Preview of stack gke\n"), body)
	assert.Regexp(t, `\*\*\d+ to create\*\*, 0 to update, 0 to replace, 0 to delete`, body)
	assert.NotContains(t, body, "hf_", "no token")
	assert.Contains(t, summary, strings.TrimSpace(strings.SplitN(body, "\n", 2)[1])[:200], "the same is on the page of the run")
}

// commentUpdated checks that the same comment reports no changes after the deployment.
func (p *pipeline) commentUpdated(t *testing.T) {
	p.t = t
	defer p.as("vllm-preview")()
	before := p.github.Comments(pullRequest)
	results, _ := p.pullRequest()
	succeeded(t, results, "preview", ".ci/preview-comment")
	assert.Equal(t, "false", results["preview"].Outputs["changed"])
	comments := p.github.Comments(pullRequest)
	require.Len(t, comments, 1)
	assert.Equal(t, before[0].ID, comments[0].ID)
	assert.Contains(t, comments[0].Body, "nothing changes")
}

// deployed checks that a push to main plans, and applies the plan in the environment that requires an approval.
func (p *pipeline) deployed(t *testing.T) {
	p.t = t
	p.approvals = nil
	results, _ := p.run("up.yml", "push", map[string]any{"event": map[string]any{"before": p.git("rev-parse", "HEAD^1")}}, nil)
	succeeded(t, results, "deploy/plan", ".ci/preview")
	succeeded(t, results, "deploy/up", ".ci/up")
	assert.Regexp(t, `^[0-9a-f]{64}$`, results["deploy/plan"].Outputs["digest"])
	assert.ElementsMatch(t, []string{"drift-gke", "gke"}, slices.Compact(slices.Sorted(slices.Values(p.approvals))), "not the environment of pull requests")
}

// notTheApprovedPlan checks that an approved plan which is out of date is not applied.
func (p *pipeline) notTheApprovedPlan(t *testing.T, l *lab.Lab) {
	p.t = t
	before := l.Clouds().Operations()
	results, _ := p.stackCommand("up", map[string]any{"approved": strings.Repeat("0", 64)})
	assert.Equal(t, workflows.Failure, results["stack"].Conclusion)
	assert.Equal(t, before, l.Clouds().Operations(), "nothing is done")
}

// stackCommand runs the reusable workflow that the others call.
func (p *pipeline) stackCommand(command string, inputs map[string]any) (map[string]workflows.Result, string) {
	p.t.Helper()
	all := map[string]any{"command": command, "stack": p.stack.Name(), "cloud": "gke", "environment": "any"}
	for key, value := range inputs {
		all[key] = value
	}
	return p.run("stack.yml", "workflow_dispatch", map[string]any{}, all)
}

// driftReported checks that a deleted object causes one open issue until it is restored.
func (p *pipeline) driftReported(t *testing.T, l *lab.Lab) {
	p.t = t
	ctx := testContext(t)
	night := func() []githubstub.Entry {
		t.Helper()
		defer p.as("vllm-drift")()
		results, _ := p.run("drift.yml", "schedule", map[string]any{}, nil)
		succeeded(t, results, "drift", ".ci/drift")
		return p.github.Issues()
	}
	p.approvals = nil
	require.Empty(t, night(), "a clean stack has no issue")
	assert.Contains(t, p.approvals, "drift-gke")
	assert.NotContains(t, p.approvals, "preview-gke", "the identity of pull requests is not that of the check")
	require.NoError(t, l.Client().AutoscalingV2().HorizontalPodAutoscalers(serving).Delete(ctx, serving, metav1.DeleteOptions{}))
	issues := night()
	require.Len(t, issues, 1)
	assert.Equal(t, "Stack gke has drifted", issues[0].Title)
	assert.Contains(t, issues[0].Body, "HorizontalPodAutoscaler")
	require.NoError(t, p.stack.Up(ctx, "--refresh"))
	issues = night()
	require.Len(t, issues, 1, "the same issue")
	assert.Equal(t, "closed", issues[0].State)
	require.Len(t, p.github.Comments(issues[0].Number), 1, "it says why")
}

// destroyed checks that a wrong name destroys nothing, and the right one everything.
func (p *pipeline) destroyed(t *testing.T, l *lab.Lab) {
	p.t = t
	before := l.Clouds().Operations()
	results, _ := p.run("destroy.yml", "workflow_dispatch", map[string]any{}, map[string]any{"stack": "gke", "confirm": "eks"})
	assert.Equal(t, workflows.Failure, results["stack"].Conclusion)
	assert.Equal(t, workflows.Skipped, results["plan"].Conclusion)
	assert.Equal(t, workflows.Skipped, results["destroy"].Conclusion)
	require.Equal(t, before, l.Clouds().Operations(), "nothing is done")

	p.approvals = nil
	results, summary := p.run("destroy.yml", "workflow_dispatch", map[string]any{}, map[string]any{"stack": "gke", "confirm": "gke"})
	succeeded(t, results, "destroy", ".ci/destroy")
	assert.Contains(t, p.approvals, "gke")
	assert.Contains(t, summary, "to delete")
	assert.Empty(t, p.stack.resources(t))
}

// TestStackInit creates a stack with the real CLI, which is done once by hand before CI is used.
func TestStackInit(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{".ci", "Pulumi.yaml", "Pulumi.gke.yaml"} {
		require.NoError(t, copyTree(filepath.Join(environment.root, name), filepath.Join(folder, name)))
	}
	state := filepath.Join(folder, "state")
	require.NoError(t, os.Mkdir(state, 0o755))
	run := func() (string, error) {
		command := exec.CommandContext(testContext(t), filepath.Join(folder, ".ci/stack-init"), "gke")
		command.Env = []string{
			"HOME=" + folder, "PATH=" + filepath.Dir(environment.tools.Path(tools.Pulumi)) + ":" + os.Getenv("PATH"),
			"PULUMI_BACKEND_URL=file://" + state, "PULUMI_SECRETS_PROVIDER=passphrase", "PULUMI_CONFIG_PASSPHRASE=trial",
		}
		output, err := command.CombinedOutput()
		return string(output), err
	}
	said, err := run()
	require.NoError(t, err, said)
	assert.Contains(t, said, "Commit Pulumi.gke.yaml")
	assert.FileExists(t, filepath.Join(state, ".pulumi/stacks/vllm-autoscaling/gke.json"))
	content, err := os.ReadFile(filepath.Join(folder, "Pulumi.gke.yaml"))
	require.NoError(t, err)
	assert.Contains(t, string(content), "encryptionsalt: ")
	assert.Contains(t, string(content), "# FILL IN", "comments stay")
	said, err = run()
	require.NoError(t, err, said)
	assert.Contains(t, said, "Stack gke is there.")
}
