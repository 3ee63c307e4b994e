package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview"
)

// The variables of this test program in the role of `pulumi`, started through a link on the PATH.
const (
	playStdout = "PLAY_STDOUT" // file to print
	playStderr = "PLAY_STDERR" // text
	playStatus = "PLAY_STATUS"
	playRecord = "PLAY_RECORD" // file for its arguments and folder
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "pulumi" {
		os.Exit(playPulumi())
	}
	os.Exit(m.Run())
}

func playPulumi() int {
	dir, _ := os.Getwd()
	call, _ := json.Marshal(append([]string{dir}, os.Args[1:]...))
	// Renamed, so that the file is complete once it is there: TestInterrupt ends the process as soon as it is.
	record := os.Getenv(playRecord)
	if err := errors.Join(os.WriteFile(record+".part", call, 0o600), os.Rename(record+".part", record)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	fmt.Fprint(os.Stderr, os.Getenv(playStderr))
	if file := os.Getenv(playStdout); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 99
		}
		fmt.Print(string(content))
	}
	status, err := strconv.Atoi(os.Getenv(playStatus))
	if err != nil && os.Getenv(playStatus) != "" {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	if status == -1 {
		time.Sleep(time.Minute) // Until it is interrupted.
	}
	return status
}

// fake puts a pulumi on the PATH and returns a function that returns its arguments.
func fake(t *testing.T, stdout, stderr string, status int) func() []string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "pulumi")))
	calls := filepath.Join(bin, "call.json")
	if stdout != "" {
		stdout, err = filepath.Abs(stdout)
		require.NoError(t, err)
	}
	for name, value := range map[string]string{
		"PATH": bin, playStdout: stdout, playStderr: stderr, playStatus: fmt.Sprint(status), playRecord: calls,
	} {
		t.Setenv(name, value)
	}
	return func() []string {
		content, err := os.ReadFile(calls)
		require.NoError(t, err)
		var call []string
		require.NoError(t, json.Unmarshal(content, &call))
		return call
	}
}

// called is one run of the command.
type called struct {
	status         int
	stdout, stderr string
}

func call(t *testing.T, args ...string) called {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return called{status, stdout.String(), stderr.String()}
}

func recording(name string) string { return filepath.Join("../../preview/testdata", name+".json") }

func golden(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../preview/testdata", name))
	require.NoError(t, err)
	return string(content)
}

func TestRunsPulumi(t *testing.T) {
	for mode, test := range map[string]struct {
		recording string
		want      []string
	}{
		"update":  {"gke.change", []string{"preview", "--show-sames", "--json", "--non-interactive", "--stack", "gke", "--config-file", "x.yaml"}},
		"drift":   {"gke.noop", []string{"preview", "--show-sames", "--refresh", "--json", "--non-interactive", "--stack", "gke", "--config-file", "x.yaml"}},
		"destroy": {"gke.destroy", []string{"destroy", "--preview-only", "--json", "--non-interactive", "--stack", "gke", "--config-file", "x.yaml"}},
	} {
		t.Run(mode, func(t *testing.T) {
			how := fake(t, recording(test.recording), "compiling ...\n", 0)
			project := t.TempDir()
			result := call(t, "--stack", "gke", "--mode", mode, "--project", project, "--", "--config-file", "x.yaml")
			assert.Zero(t, result.status, result.stderr)
			assert.Contains(t, result.stderr, "compiling ...", "progress of the CLI is passed on")
			assert.NotContains(t, result.stdout, "compiling")
			where, err := filepath.EvalSymlinks(project)
			require.NoError(t, err)
			assert.Equal(t, append([]string{where}, test.want...), how())
		})
	}
}

// A Deployment that is not ready while a clean stack is read, because the HPA scales it up, is no drift: the engine plans an
// update without a property then.
func TestUnreadyDeploymentIsNoDrift(t *testing.T) {
	content, err := os.ReadFile(recording("local.nodrift"))
	require.NoError(t, err)
	var digest map[string]any
	require.NoError(t, json.Unmarshal(content, &digest))
	steps := digest["steps"].([]any)
	for _, s := range steps {
		step := s.(map[string]any)
		if !strings.Contains(step["urn"].(string), "kubernetes:apps/v1:Deployment::") {
			continue
		}
		after := maps.Clone(step["oldState"].(map[string]any))
		after["initErrors"] = []string{"1 of 2 replicas is available"}
		steps = append(steps, map[string]any{"op": "update", "urn": step["urn"], "oldState": after, "newState": step["oldState"], "detailedDiff": nil})
	}
	require.Greater(t, len(steps), len(digest["steps"].([]any)))
	digest["steps"] = steps
	content, err = json.Marshal(digest)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "unready.json")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	result := call(t, "--stack", "local", "--json-file", file, "--mode", "drift", "--fail-on", "changes")
	assert.Zero(t, result.status, result.stderr)
	assert.Contains(t, result.stdout, "Stack local has not drifted")
	assert.Contains(t, result.stdout, "1 of 2 replicas is available")
}

// A drift check that may not read Secrets leaves out what only they tell.
func TestDriftWithoutSecrets(t *testing.T) {
	how := fake(t, recording("local.nodrift"), "", 0)
	result := call(t, "--stack", "local", "--mode", "drift", "--without-secrets")
	assert.Zero(t, result.status, result.stderr)
	assert.Contains(t, result.stdout, "Secrets and Helm releases were not read")
	assert.Equal(t, []string{"preview", "--show-sames", "--refresh", "--exclude", "**kubernetes:core/v1:Secret::**",
		"--exclude", "**kubernetes:helm.sh/v3:Release::**", "--json", "--non-interactive", "--stack", "local"}, how()[1:])
}

func TestFormats(t *testing.T) {
	markdown := call(t, "--stack", "gke", "--json-file", recording("gke.replace"), "--format", "markdown")
	assert.Zero(t, markdown.status)
	assert.Equal(t, golden(t, "gke.replace.md"), markdown.stdout)
	assert.Empty(t, markdown.stderr)

	text := call(t, "--stack", "eks", "--json-file", recording("eks.replace"))
	assert.Equal(t, golden(t, "eks.replace.txt"), text.stdout)

	asJSON := call(t, "--stack", "gke", "--json-file", recording("gke.replace"), "--format", "json")
	var report preview.Report
	require.NoError(t, json.Unmarshal([]byte(asJSON.stdout), &report))
	assert.Equal(t, 1, report.Counts["replace"])
	assert.Equal(t, "node pool", report.Dangers[0].What)

	out := filepath.Join(t.TempDir(), "comment.md")
	file := call(t, "--stack", "gke", "--json-file", recording("gke.replace"), "--format", "markdown", "--out", out)
	assert.Empty(t, file.stdout)
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, markdown.stdout, string(content))

	short := call(t, "--stack", "eks", "--json-file", recording("eks.create"), "--format", "markdown", "--limit", "3000")
	assert.LessOrEqual(t, len(short.stdout), 3000)
	assert.Contains(t, short.stdout, "left out")
}

func TestStandardInput(t *testing.T) {
	content, err := os.ReadFile(recording("gke.noop"))
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	assert.Zero(t, run(context.Background(), []string{"--stack", "gke", "--json-file", "-"}, bytes.NewReader(content), &stdout, &stderr))
	assert.Contains(t, stdout.String(), "nothing changes")
}

func TestDiff(t *testing.T) {
	diff := filepath.Join(t.TempDir(), "diff.txt")
	require.NoError(t, os.WriteFile(diff, []byte("~ gcp:container:NodePool: (update)\n"), 0o600))
	result := call(t, "--stack", "gke", "--json-file", recording("gke.change"), "--format", "markdown", "--diff-file", diff)
	assert.Contains(t, result.stdout, "```diff\n~ gcp:container:NodePool: (update)\n```")
}

func TestPrices(t *testing.T) {
	result := call(t, "--stack", "eks", "--json-file", recording("eks.noop"), "--price", "g6.xlarge=100", "--price", "m6i.large=0")
	assert.Contains(t, result.stdout, "400.00")
	assert.Zero(t, result.status)
}

func TestExitStatus(t *testing.T) {
	ceiling := filepath.Join(t.TempDir(), "dear.json")
	content, err := os.ReadFile(recording("eks.noop"))
	require.NoError(t, err)
	low := strings.Replace(string(content), `"vllm-autoscaling:vllm":`, `"vllm-autoscaling:policy":"{\"spendCeiling\":1}","vllm-autoscaling:vllm":`, 1)
	require.NotEqual(t, string(content), low)
	require.NoError(t, os.WriteFile(ceiling, []byte(low), 0o600))
	unreadable := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(unreadable, []byte(strings.Replace(low, `{\"spendCeiling\":1}`, `{\"exceptions\":{\"x\":\"\"}}`, 1)), 0o600))

	for name, test := range map[string]struct {
		args   []string
		status int
	}{
		"changes":                     {[]string{"--stack", "gke", "--json-file", recording("gke.change")}, 0},
		"changes, to fail on them":    {[]string{"--stack", "gke", "--json-file", recording("gke.change"), "--fail-on", "changes"}, exitChanges},
		"no changes, to fail on them": {[]string{"--stack", "gke", "--json-file", recording("gke.noop"), "--fail-on", "policy,changes"}, 0},
		"drift": {[]string{"--stack", "local", "--json-file", recording("local.drift"), "--mode", "drift",
			"--fail-on", "changes"}, exitChanges},
		"no drift": {[]string{"--stack", "local", "--json-file", recording("local.nodrift"), "--mode", "drift",
			"--fail-on", "changes"}, 0},
		"a failed preview":                       {[]string{"--stack", "gke", "--json-file", recording("gke.failed")}, exitFailed},
		"policy kept":                            {[]string{"--stack", "eks", "--json-file", recording("eks.noop"), "--fail-on", "policy"}, 0},
		"policy broken":                          {[]string{"--stack", "eks", "--json-file", ceiling, "--fail-on", "policy"}, exitPolicy},
		"policy broken, both asked for":          {[]string{"--stack", "eks", "--json-file", ceiling, "--fail-on", "policy,changes"}, exitPolicy},
		"policy broken, not asked for":           {[]string{"--stack", "eks", "--json-file", ceiling}, 0},
		"policy that cannot be read":             {[]string{"--stack", "eks", "--json-file", unreadable, "--fail-on", "policy"}, exitPolicy},
		"a stack of an organization":             {[]string{"--stack", "team/gke", "--json-file", recording("gke.noop")}, 0},
		"another stack of an organization":       {[]string{"--stack", "team/prod", "--json-file", recording("gke.noop")}, exitFailed},
		"another stack's preview":                {[]string{"--stack", "prod", "--json-file", recording("gke.noop")}, exitFailed},
		"no such file":                           {[]string{"--stack", "gke", "--json-file", "gone.json"}, exitFailed},
		"no preview":                             {[]string{"--stack", "gke", "--json-file", "main.go"}, exitFailed},
		"no such diff":                           {[]string{"--stack", "gke", "--json-file", recording("gke.noop"), "--diff-file", "gone"}, exitFailed},
		"a folder that cannot be written":        {[]string{"--stack", "gke", "--json-file", recording("gke.noop"), "--out", "gone/x.md"}, exitFailed},
		"no stack":                               {[]string{"--json-file", recording("gke.noop")}, exitUsage},
		"unknown format":                         {[]string{"--stack", "gke", "--format", "html"}, exitUsage},
		"unknown mode":                           {[]string{"--stack", "gke", "--mode", "up"}, exitUsage},
		"unknown condition":                      {[]string{"--stack", "gke", "--fail-on", "policies"}, exitUsage},
		"price that is no number":                {[]string{"--stack", "gke", "--price", "g6.xlarge=NaN"}, exitUsage},
		"price without end":                      {[]string{"--stack", "gke", "--price", "g6.xlarge=Inf"}, exitUsage},
		"price without amount":                   {[]string{"--stack", "gke", "--price", "g6.xlarge"}, exitUsage},
		"arguments of pulumi that it never gets": {[]string{"--stack", "gke", "--json-file", "x", "--", "--refresh"}, exitUsage},
		"an update without Secrets":              {[]string{"--stack", "gke", "--without-secrets"}, exitUsage},
		"help":                                   {[]string{"--help"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			result := call(t, test.args...)
			assert.Equal(t, test.status, result.status, "%s%s", result.stdout, result.stderr)
			if test.status == exitUsage || test.status == exitPolicy {
				assert.NotEmpty(t, result.stderr, "the reason")
			}
		})
	}
}

// A failed preview is reported as well, whatever the CLI printed.
func TestPulumiFails(t *testing.T) {
	t.Run("with a preview", func(t *testing.T) {
		fake(t, recording("gke.failed"), "", 255)
		result := call(t, "--stack", "gke", "--format", "markdown")
		assert.Equal(t, exitFailed, result.status)
		assert.Equal(t, golden(t, "gke.failed.md"), result.stdout)
	})
	t.Run("without one", func(t *testing.T) {
		fake(t, "", "error: no stack named 'gke' found\n", 255)
		result := call(t, "--stack", "gke", "--format", "markdown")
		assert.Equal(t, exitFailed, result.status)
		assert.Contains(t, result.stdout, "<!-- vllm-autoscaling preview: gke -->")
		assert.Contains(t, result.stdout, "no stack named 'gke' found")
	})
	t.Run("after a preview without errors", func(t *testing.T) {
		fake(t, recording("gke.noop"), "error: the backend went away\n", 255)
		result := call(t, "--stack", "gke")
		assert.Equal(t, exitFailed, result.status)
		assert.Contains(t, result.stdout, "the backend went away")
	})
	t.Run("silently", func(t *testing.T) {
		fake(t, recording("gke.noop"), "", 7)
		result := call(t, "--stack", "gke")
		assert.Equal(t, exitFailed, result.status)
		assert.Contains(t, result.stdout, "exit status 7")
	})
	t.Run("not there", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		result := call(t, "--stack", "gke")
		assert.Equal(t, exitFailed, result.status)
		assert.Contains(t, result.stderr, "is it installed and on the PATH?")
	})
}

// An interrupt ends the CLI, and the command with it.
func TestInterrupt(t *testing.T) {
	how := fake(t, "", "", -1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { ended <- run(ctx, []string{"--stack", "gke"}, strings.NewReader(""), &bytes.Buffer{}, &stderr) }()
	file := os.Getenv(playRecord)
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 30*time.Second, 20*time.Millisecond, "pulumi has started")
	cancel()
	select {
	case status := <-ended:
		assert.Equal(t, exitFailed, status)
		assert.Contains(t, stderr.String(), "interrupted")
	case <-time.After(30 * time.Second):
		t.Fatal("the command did not end")
	}
	assert.Contains(t, how(), "preview")
}
