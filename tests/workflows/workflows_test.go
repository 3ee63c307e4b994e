package workflows

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// repository returns the root folder of this repository.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	return root
}

func load(t *testing.T) map[string]Workflow {
	t.Helper()
	all, err := Load(repository(t))
	require.NoError(t, err)
	return all
}

// actionlint builds the linter, which is pinned with the lab's programs, and returns a function that runs it.
func actionlint(t *testing.T) func(files ...string) (string, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "actionlint")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/rhysd/actionlint/cmd/actionlint")
	build.Dir = filepath.Join(repository(t), "tests/lab/tools/actionlint")
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	return func(files ...string) (string, error) {
		// Without shellcheck and pyflakes, which are not installed everywhere; the workflows contain no code.
		lint := exec.CommandContext(t.Context(), program, append([]string{"-no-color", "-shellcheck=", "-pyflakes="}, files...)...)
		lint.Dir = repository(t)
		output, err := lint.CombinedOutput()
		return string(output), err
	}
}

func TestActionlintFindsNothing(t *testing.T) {
	lint := actionlint(t)
	files, err := filepath.Glob(filepath.Join(repository(t), Folder, "*"))
	require.NoError(t, err)
	found, err := lint(files...)
	require.NoError(t, err, found)
	assert.Empty(t, found)

	// A control: the linter has to report a broken workflow.
	content, err := os.ReadFile(filepath.Join(repository(t), Folder, "stack.yml"))
	require.NoError(t, err)
	broken := strings.Replace(string(content), "inputs.approved", "inputs.aproved", 1)
	require.NotEqual(t, string(content), broken)
	file := filepath.Join(t.TempDir(), "stack.yml")
	require.NoError(t, os.WriteFile(file, []byte(broken), 0o600))
	found, err = lint(file)
	require.Error(t, err)
	assert.Contains(t, found, "aproved")
}

var pinned = regexp.MustCompile(`^\s*(- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$`)

func TestActionsArePinnedByCommit(t *testing.T) {
	commits := map[string]string{}
	for file := range load(t) {
		content, err := os.ReadFile(filepath.Join(repository(t), Folder, file))
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			line = strings.TrimRight(line, "\n")
			if !strings.Contains(line, "uses:") || strings.Contains(line, "uses: ./"+Folder+"/") {
				continue
			}
			match := pinned.FindStringSubmatch(line)
			if !assert.NotNil(t, match, "%s: %s: a commit of 40 digits and its version behind # are needed", file, line) {
				continue
			}
			owner := strings.Join(strings.Split(match[2], "/")[:2], "/")
			if commit, seen := commits[owner]; seen {
				assert.Equal(t, commit, match[3], "%s: %s: elsewhere another commit", file, owner)
			}
			commits[owner] = match[3]
		}
	}
	assert.Equal(t, []string{
		"actions/cache", "actions/checkout", "actions/setup-go", "aws-actions/configure-aws-credentials", "azure/login",
		"google-github-actions/auth", "google-github-actions/setup-gcloud", "pulumi/auth-actions",
	}, slices.Sorted(maps.Keys(commits)), "an action is somebody else's code with our credentials: add one here on purpose")
}

func TestEachJobSaysWhatItMayDoAndHowLong(t *testing.T) {
	all := load(t)
	for file, w := range all {
		called := slices.Equal(w.On, On{"workflow_call"})
		if file != "stack.yml" {
			assert.Equal(t, Permissions{}, w.Permissions, "%s: permissions: {} for the workflow, what is needed for the job", file)
		}
		for name, job := range w.Jobs {
			where := file + ": " + name
			if job.Called() != "" {
				require.Contains(t, all, job.Called(), where)
			} else {
				assert.Positive(t, job.TimeoutMinutes, "%s: timeout-minutes", where)
				assert.NotEmpty(t, job.Steps, where)
			}
			if file == "stack.yml" {
				assert.True(t, called)
				assert.Nil(t, job.Permissions, "%s: it has those of its caller", where)
				continue
			}
			require.NotNil(t, job.Permissions, "%s: permissions", where)
			for scope, access := range job.Permissions {
				assert.True(t, access == "read" || access == "write", "%s: %s", where, scope)
			}
		}
	}
}

// TestPermissionsAreTheLeast checks the permissions of each job; a further one has to be added here.
func TestPermissionsAreTheLeast(t *testing.T) {
	read := Permissions{"contents": "read"}
	cloud := Permissions{"contents": "read", "id-token": "write"}
	want := map[string]Permissions{
		"test.yml program": read, "test.yml test": read, "preview.yml stacks": read, "up.yml stacks": read, "drift.yml stacks": read, "destroy.yml stack": read,
		"up.yml deploy": cloud, "deploy.yml plan": cloud, "deploy.yml up": cloud, "destroy.yml plan": cloud, "destroy.yml destroy": cloud,
		"preview.yml preview": {"contents": "read", "id-token": "write", "pull-requests": "write"},
		"drift.yml drift":     {"contents": "read", "id-token": "write", "issues": "write"},
		"stack.yml stack":     nil,
	}
	got := map[string]Permissions{}
	for file, w := range load(t) {
		for name, job := range w.Jobs {
			got[file+" "+name] = job.Permissions
		}
	}
	assert.Equal(t, want, got)
}

func TestForksGetTestsOnly(t *testing.T) {
	const guard = "github.event.pull_request.head.repo.full_name == github.repository"
	for file, w := range load(t) {
		content, err := os.ReadFile(filepath.Join(repository(t), Folder, file))
		require.NoError(t, err)
		assert.NotContains(t, string(content), "pull_request_target", file)
		assert.NotContains(t, string(content), "workflow_run", file)
		if !slices.Contains(w.On, "pull_request") {
			continue
		}
		for name, job := range w.Jobs {
			if file == "test.yml" {
				assert.NotContains(t, string(content), "secrets", "tests need none")
				assert.NotContains(t, string(content), "vars.", "tests need none")
				continue
			}
			guarded := strings.HasPrefix(job.If, guard)
			for _, other := range w.Jobs {
				guarded = guarded || strings.HasPrefix(other.If, guard) && strings.HasPrefix(job.If, "needs.stacks.")
			}
			assert.True(t, guarded, "%s: %s: a pull request of a fork gets that far", file, name)
		}
	}
}

// TestNoLongLivedKeys checks that the workflows read no secret except Pulumi's access token and set no static cloud credentials.
func TestNoLongLivedKeys(t *testing.T) {
	allowed := regexp.MustCompile(`secrets\.(\w+)|secrets: (\w+)`)
	for file := range load(t) {
		content, err := os.ReadFile(filepath.Join(repository(t), Folder, file))
		require.NoError(t, err)
		for _, match := range allowed.FindAllStringSubmatch(string(content), -1) {
			assert.Contains(t, []string{"PULUMI_ACCESS_TOKEN", "inherit"}, match[1]+match[2], file)
		}
		for _, key := range []string{"credentials_json", "aws-access-key-id", "aws-secret-access-key", "creds:", "client-secret"} {
			assert.NotContains(t, string(content), key, file)
		}
	}
}

func TestWhatChangesAStackIsNeverBrokenOff(t *testing.T) {
	all := load(t)
	for file, w := range all {
		if file != "test.yml" && file != "preview.yml" {
			assert.Nil(t, w.Concurrency, "%s: a group of the whole workflow would break off its jobs", file)
		}
	}
	stack := all["stack.yml"].Jobs["stack"]
	require.NotNil(t, stack.Concurrency)
	assert.Equal(t, "false", stack.Concurrency.CancelInProgress)
	assert.Contains(t, stack.Concurrency.Group, "(inputs.command == 'up' || inputs.command == 'destroy') && format('change-{0}', inputs.stack)")
	for file, w := range all {
		for name, job := range w.Jobs {
			if file == "preview.yml" && job.Called() != "" {
				assert.Equal(t, "preview", job.With["command"], name)
			}
		}
	}
}

// TestEnvironments checks that each identity has an environment of its own: that of pull requests, whose code nobody has
// reviewed; that which reads on main, for the nightly check and for plans; and the stack's own, which writes after approval.
func TestEnvironments(t *testing.T) {
	const variable = `\$\{\{ [\w.]*stack \}\}$`
	forms := map[string]string{
		"preview.yml preview": "^preview-" + variable,
		"drift.yml drift":     "^drift-" + variable, "deploy.yml plan": "^drift-" + variable, "destroy.yml plan": "^drift-" + variable,
		"deploy.yml up": "^" + variable, "destroy.yml destroy": "^" + variable,
	}
	commands := map[string]string{
		"preview.yml preview": "preview", "drift.yml drift": "drift", "deploy.yml plan": "preview", "destroy.yml plan": "destroy-plan",
		"deploy.yml up": "up", "destroy.yml destroy": "destroy",
	}
	seen := map[string]string{}
	for file, w := range load(t) {
		for name, job := range w.Jobs {
			where := file + " " + name
			if job.Called() == "" {
				assert.True(t, job.Environment == "" || file == "stack.yml", "%s: only stack.yml's job has an environment", where)
				continue
			}
			if job.Called() != "stack.yml" {
				continue
			}
			seen[where] = job.With["command"]
			assert.Regexp(t, forms[where], job.With["environment"], where)
			fromBranches := slices.Contains(w.On, "pull_request")
			assert.Equal(t, fromBranches, strings.HasPrefix(job.With["environment"], "preview-"), "%s: pull requests have an identity that nothing else has", where)
		}
	}
	assert.Equal(t, commands, seen)
}

// TestOnlyPullRequestsRunUnreviewedCode checks which events start what has credentials: besides pull requests of branches,
// only those that run main's code, or that a person starts, in environments that are limited to main.
func TestOnlyPullRequestsRunUnreviewedCode(t *testing.T) {
	events := map[string]On{}
	for file, w := range load(t) {
		events[file] = w.On
	}
	assert.Equal(t, map[string]On{
		"preview.yml": {"pull_request"}, "up.yml": {"push", "workflow_dispatch"}, "drift.yml": {"schedule", "workflow_dispatch"},
		"destroy.yml": {"workflow_dispatch"}, "deploy.yml": {"workflow_call"}, "stack.yml": {"workflow_call"}, "test.yml": {"pull_request", "push"},
	}, events)
}

// TestNothingLeavesAJob checks that no workflow stores artifacts, which readers of the repository could load, and that no script
// prints its commands, which may have tokens in them.
func TestNothingLeavesAJob(t *testing.T) {
	for file := range load(t) {
		content, err := os.ReadFile(filepath.Join(repository(t), Folder, file))
		require.NoError(t, err)
		assert.NotContains(t, string(content), "upload-artifact", file)
	}
	scripts, err := filepath.Glob(filepath.Join(repository(t), ".ci/*"))
	require.NoError(t, err)
	for _, file := range scripts {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotRegexp(t, `(?m)set -[a-z]*x|set -o xtrace|bash -x`, string(content), file)
		assert.NotContains(t, string(content), "--show-secrets", file)
	}
}

// TestTheProgramGetsNoTokenOfGitHub checks that the token that may comment is in no environment in which the
// program of a pull request runs.
func TestTheProgramGetsNoTokenOfGitHub(t *testing.T) {
	stack := load(t)["stack.yml"].Jobs["stack"]
	assert.NotContains(t, stack.Env, "GITHUB_TOKEN")
	for _, step := range stack.Steps {
		if step.Run == ".ci/preview" || step.Run == ".ci/up" || step.Run == ".ci/destroy-plan" || step.Run == ".ci/destroy" {
			assert.NotContains(t, step.Env, "GITHUB_TOKEN", step.Run)
		}
	}
}

func TestEachRunIsAScriptThatIsThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repository(t), "Makefile"))
	require.NoError(t, err)
	used := map[string]bool{}
	for file, w := range load(t) {
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				if step.Run == "" {
					continue
				}
				where := file + ": " + name + ": " + step.Run
				if target, ok := strings.CutPrefix(step.Run, "make "); ok {
					assert.Regexp(t, `(?m)^`+regexp.QuoteMeta(target)+`:`, string(makefile), where)
					continue
				}
				require.Regexp(t, `^\.ci/[a-z-]+$`, step.Run, "%s: one call of a script, without arguments", where)
				info, err := os.Stat(filepath.Join(repository(t), step.Run))
				if assert.NoError(t, err, where) {
					assert.NotZero(t, info.Mode()&0o111, "%s is executable", step.Run)
				}
				used[filepath.Base(step.Run)] = true
			}
		}
	}
	for _, script := range strings.Fields("run build affected-stacks azure-tokens install-pulumi preview preview-comment up drift confirm-destroy destroy-plan destroy") {
		assert.True(t, used[script], "no workflow runs .ci/%s", script)
	}
}

// aksServers is the Entra application of all AKS API servers.
const aksServers = "6dae42f8-4368-4678-94ff-3960e28e3630"

// TestAzureTokensComeRightAfterTheLogin checks that the token for the API server is fetched while the assertion of the login by
// OIDC is valid: minutes later, when the cluster is there, the Azure CLI would be refused.
func TestAzureTokensComeRightAfterTheLogin(t *testing.T) {
	steps := load(t)["stack.yml"].Jobs["stack"].Steps
	login := slices.IndexFunc(steps, func(s Step) bool { return strings.HasPrefix(s.Uses, "azure/login@") })
	require.NotEqual(t, -1, login)
	require.Less(t, login+1, len(steps))
	after := steps[login+1]
	assert.Equal(t, ".ci/azure-tokens", after.Run)
	assert.Contains(t, after.If, "inputs.cloud == 'aks'")
	assert.Contains(t, after.If, steps[login].If, "only after a login")
	script, err := os.ReadFile(filepath.Join(repository(t), after.Run))
	require.NoError(t, err)
	assert.Contains(t, string(script), "az account get-access-token --resource "+aksServers+" --output none")
	assert.NotContains(t, string(script), "set -x", "no token in a log")
}

// TestScriptsBuildWithTheMakefilesFlags checks that the scripts build with the flags of the Makefile and of Pulumi; with others,
// everything would be compiled again.
func TestScriptsBuildWithTheMakefilesFlags(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repository(t), "Makefile"))
	require.NoError(t, err)
	environment, err := os.ReadFile(filepath.Join(repository(t), ".ci/environment"))
	require.NoError(t, err)
	flags := regexp.MustCompile(`(?m)^export GOFLAGS := (.*)$`).FindStringSubmatch(string(makefile))
	require.NotNil(t, flags)
	assert.Contains(t, string(environment), `export CGO_ENABLED=0 GOFLAGS="`+flags[1]+`"`)
	assert.Regexp(t, `(?m)^export CGO_ENABLED := 0$`, string(makefile))
}

// TestCachesHaveOneKey checks that the cache key depends on all inputs of the build, and is the same for restore and save.
func TestCachesHaveOneKey(t *testing.T) {
	all := load(t)
	var written, read []Step
	for _, w := range all {
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				if !strings.HasPrefix(step.With["key"], "program-") {
					continue
				}
				if strings.HasPrefix(step.Uses, "actions/cache/restore@") {
					read = append(read, step)
				} else {
					written = append(written, step)
				}
			}
		}
	}
	require.Len(t, written, 1)
	require.Len(t, read, 2)
	for _, step := range read {
		assert.Equal(t, written[0].With, step.With)
	}
	assert.Contains(t, read[0].With["key"], "hashFiles('go.sum', 'ops/go.sum')")
	assert.Contains(t, read[0].With["key"], "hashFiles('**/*.go')")
}

// TestOnlyMainWritesWhatIsCompiled checks that only main saves caches: a pull request's cache is not visible to others, and it
// counts against the same size limit.
func TestOnlyMainWritesWhatIsCompiled(t *testing.T) {
	writes := 0
	for file, w := range load(t) {
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				compiled := strings.HasPrefix(step.With["key"], "program-") || strings.HasPrefix(step.With["key"], "test-")
				if !compiled || strings.HasPrefix(step.Uses, "actions/cache/restore@") {
					continue
				}
				writes++
				assert.Equal(t, "github.event_name == 'push'", step.If, "%s: %s: %s", file, name, step.Uses)
				assert.Equal(t, On{"pull_request", "push"}, w.On, file)
			}
		}
	}
	assert.Equal(t, 2, writes)
}
