package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/stacks/outputs"
)

// pulumi puts a program of that name on the PATH that prints text and ends with code.
func pulumi(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "pulumi"), []byte("#!/bin/sh\n"+script), 0o755)) //nolint:gosec // a program
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = run(context.Background(), args, &out, &problems)
	return code, out.String(), problems.String()
}

func TestWhatCannotRunEndsWith2(t *testing.T) {
	pulumi(t, `echo "error: no stack named '$*' found" >&2; exit 255`)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":         {nil, "make verify STACK=NAME"},
		"empty stack":      {[]string{"--stack", ""}, "make verify STACK=NAME"},
		"unknown flag":     {[]string{"--nothing"}, "-nothing"},
		"unknown argument": {[]string{"--stack", "a", "b"}, `unknown argument "b"`},
		"no time":          {[]string{"--stack", "a", "--timeout", "0"}, "--timeout 0s: must be above 0"},
		"negative wait":    {[]string{"--stack", "a", "--wait", "-1s"}, "--wait -1s: must be 0 or more"},
		"unknown stack":    {[]string{"--stack", "a"}, "no stack named 'stack output --json --show-secrets --non-interactive --stack a' found"},
		"no file":          {[]string{"--outputs", "/nowhere/outputs.json"}, "/nowhere/outputs.json"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, test.args...)
			assert.Equal(t, exitNotRun, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
		})
	}
}

func TestAFailedStageEndsWith1(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	// Nothing listens on port 1.
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: hunter2}}]
`), 0o600))
	pulumi(t, `echo "warning: a newer version of Pulumi is available" >&2
cat <<'EOT'
{"grafanaPassword": "swordfish", "pipeline": {"kubeconfig": "`+kubeconfig+`", "context": "c",
 "serving": {"namespace": "vllm", "deployment": "vllm"}, "signals": [{"name": "vllm_requests_running"}]}}
EOT`)
	for _, args := range [][]string{{"--stack", "local"}, {"--stack", "local", "--json"}, {"--stack", "local", "--wait", "6s"}} {
		code, stdout, stderr := call(t, args...)
		assert.Equal(t, exitFailed, code, stderr)
		assert.Contains(t, stdout, "https://127.0.0.1:1 does not answer")
		for _, secret := range []string{"hunter2", "swordfish"} {
			assert.NotContains(t, stdout+stderr, secret)
		}
		if args[len(args)-1] == "6s" {
			assert.Contains(t, stderr, "waiting at api: ")
		}
	}
}

// several prints the outputs of a stack with two servers on a cluster where nothing listens.
func several(t *testing.T) {
	t.Helper()
	kubeconfig := `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: hunter2}}]
`
	pipelines := map[string]outputs.Pipeline{}
	for name, other := range map[string]string{"chat": "code", "code": "chat"} {
		pipelines[name] = outputs.Pipeline{
			Serving: outputs.Serving{Namespace: "vllm", Deployment: name, Others: []string{other}}, Signals: []outputs.Signal{{Name: "vllm_requests_running"}},
		}
	}
	text, err := json.Marshal(map[string]any{outputs.KubeconfigKey: kubeconfig, outputs.PipelinesKey: pipelines})
	require.NoError(t, err)
	pulumi(t, "cat <<'EOT'\n"+string(text)+"\nEOT\n")
}

func TestSeveralServers(t *testing.T) {
	several(t)
	for name, test := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"all of them": {args: []string{"--stack", "gke"}, code: exitFailed, stdout: "verify gke: FAILED for chat, code, 2 servers\n"},
		"all as JSON": {args: []string{"--stack", "gke", "--json"}, code: exitFailed, stdout: `"server": "code"`},
		"one of them": {args: []string{"--stack", "gke", "-server", "code"}, code: exitFailed, stdout: "verify gke, server code: FAILED at api"},
		"an unknown one": {args: []string{"--stack", "gke", "--server", "docs"}, code: exitNotRun,
			stderr: `verify: the stack has no server "docs": it has chat, code`},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, test.args...)
			assert.Equal(t, test.code, code, stderr)
			assert.Contains(t, stdout, test.stdout)
			assert.Contains(t, stderr, test.stderr)
			assert.NotContains(t, stdout+stderr, "hunter2")
		})
	}
	_, stdout, _ := call(t, "--stack", "gke", "--json")
	var reports verify.Reports
	require.NoError(t, json.Unmarshal([]byte(stdout), &reports), stdout)
	assert.False(t, reports.Passed)
	require.Len(t, reports.Servers, 2)
	assert.Equal(t, "api", reports.Servers[1].Failed)

	_, stdout, _ = call(t, "--stack", "gke", "--json", "--server", "chat")
	var report verify.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &report), stdout)
	assert.Equal(t, "chat", report.Server)
	_, _, stderr := call(t, "--stack", "gke", "--wait", "6s")
	assert.Contains(t, stderr, "server chat: waiting at api: ")
}

// Ctrl-C also stops the CLI, whose error is then not the reason.
func TestInterrupt(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	pulumi(t, `touch "`+started+`"; exec sleep 60`)
	ctx, cancel := context.WithCancel(t.Context())
	var out, problems bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"--stack", "a"}, &out, &problems) }()
	require.Eventually(t, func() bool { _, err := os.Stat(started); return err == nil }, 30*time.Second, 20*time.Millisecond)
	cancel()
	select {
	case code := <-ended:
		assert.Equal(t, exitNotRun, code)
		assert.Equal(t, "verify: interrupted\n", problems.String())
	case <-time.After(30 * time.Second):
		t.Fatal("the command did not end")
	}
}

func TestHelp(t *testing.T) {
	code, _, stderr := call(t, "--help")
	assert.Equal(t, exitPassed, code)
	assert.Contains(t, stderr, "-wait")
}
