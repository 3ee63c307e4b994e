package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const urn = "urn:pulumi:gke::vllm-autoscaling::aws:ec2/vpc:Vpc::network"

// pulumi puts a program of that name on the PATH that has a state in a file, and returns the project's folder and a function that
// lists the commands it got.
func pulumi(t *testing.T, state string) (folder string, commands func() string) {
	t.Helper()
	folder = t.TempDir()
	bin, file, log := filepath.Join(folder, "bin"), filepath.Join(folder, "state.json"), filepath.Join(folder, "log")
	require.NoError(t, os.Mkdir(bin, 0o755))
	require.NoError(t, os.WriteFile(file, []byte(state), 0o600))
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Pulumi.yaml"), []byte("name: vllm-autoscaling # a comment\nruntime: go\n"), 0o600))
	script := fmt.Sprintf(`#!/bin/sh
echo "$*" >>%[1]s
case "$*" in
*whoami*) echo '{"url": "file://%[3]s?metadata=skip"}' ;;
*"stack export"*) if [ -s %[2]s ]; then cat %[2]s; else echo "error: failed to load checkpoint: EOF" >&2; exit 255; fi ;;
*"stack import"*) cat >%[2]s ;;
*cancel*) rm -r %[3]s/.pulumi/locks ;;
*refresh*) sed -i 's/"id": "vpc-1",/"id": "vpc-1", "outputs": {"a": "b"},/' %[2]s; echo "Resources: 1 unchanged" ;;
esac
`, log, file, folder)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "pulumi"), []byte(script), 0o755)) //nolint:gosec // a program
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return folder, func() string {
		content, err := os.ReadFile(log)
		require.NoError(t, err)
		return string(content)
	}
}

func call(t *testing.T, agree bool, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = run(context.Background(), args, func() bool { return agree }, &out, &problems)
	return code, out.String(), problems.String()
}

// pendingVPC is a state in which a VPC was being created.
func pendingVPC() string {
	return `{"version": 3, "deployment": {"resources": [
  {"urn": "urn:pulumi:gke::vllm-autoscaling::pulumi:pulumi:Stack::s", "type": "pulumi:pulumi:Stack", "custom": false}],
 "pending_operations": [{"type": "creating", "resource": {"urn": "` + urn + `", "type": "aws:ec2/vpc:Vpc", "custom": true,
  "inputs": {"password": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": "\"canary\""}}}}]}}`
}

func TestWhatCannotRunEndsWith2(t *testing.T) {
	folder, _ := pulumi(t, "")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":         {nil, "make recover STACK=NAME"},
		"empty stack":      {[]string{"--stack", ""}, "make recover STACK=NAME"},
		"unknown flag":     {[]string{"--nothing"}, "-nothing"},
		"unknown argument": {[]string{"--stack", "a", "b"}, `unknown argument "b"`},
		"no id":            {[]string{"--stack", "a", "--id", urn}, "must be URN=ID"},
		"a damaged state":  {[]string{"--stack", "gke", "--project", folder}, "the state in " + folder},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, true, test.args...)
			assert.Equal(t, exitNotRun, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
		})
	}
	attrs := filepath.Join(folder, ".pulumi", "stacks", "vllm-autoscaling", "gke.json.attrs")
	require.NoError(t, os.MkdirAll(filepath.Dir(attrs), 0o755))
	require.NoError(t, os.WriteFile(attrs, []byte("{"), 0o600))
	_, _, stderr := call(t, true, "--stack", "gke", "--project", folder)
	assert.Contains(t, stderr, attrs)
	assert.Contains(t, stderr, "delete that file")
}

func TestRecover(t *testing.T) {
	folder, commands := pulumi(t, pendingVPC())
	locks := filepath.Join(folder, ".pulumi", "locks", "organization", "vllm-autoscaling", "gke")
	require.NoError(t, os.MkdirAll(locks, 0o755))
	host, err := os.Hostname()
	require.NoError(t, err)
	lock := fmt.Sprintf(`{"pid": 2147483646, "username": "ci", "hostname": %q, "timestamp": %q}`, host, time.Now().Format(time.RFC3339))
	require.NoError(t, os.WriteFile(filepath.Join(locks, "1.json"), []byte(lock), 0o600))

	code, stdout, stderr := call(t, true, "--stack", "gke", "--project", folder)
	assert.Equal(t, exitSomething, code, stderr)
	assert.Contains(t, stdout, "recover gke: 2 things to do")
	assert.Contains(t, stdout, "process 2147483646")
	assert.Contains(t, stdout, "--id '"+urn+"=vpc-...'")
	assert.Contains(t, stdout, "aws ec2 describe-vpcs")
	assert.NotContains(t, commands(), "cancel", "without the answer nothing is asked or done")

	code, _, stderr = call(t, true, "--stack", "gke", "--project", folder, "--yes")
	assert.Equal(t, exitSomething, code)
	assert.Contains(t, stderr, "nothing was changed")

	answered := []string{"--stack", "gke", "--project", folder, "--id", urn + "=vpc-1"}
	code, _, stderr = call(t, false, answered...)
	assert.Equal(t, exitSomething, code)
	assert.Contains(t, stderr, "RECOVER_FLAGS=--yes")
	assert.NotContains(t, commands(), "cancel")

	code, stdout, stderr = call(t, true, answered...)
	require.Equal(t, exitNothing, code, stdout+stderr)
	assert.Contains(t, stdout, "nothing to do")
	assert.Contains(t, commands(), "cancel gke --yes --non-interactive")
	assert.Contains(t, commands(), "refresh --stack gke --yes")
	state, err := os.ReadFile(filepath.Join(folder, "state.json"))
	require.NoError(t, err)
	assert.Contains(t, string(state), `"id": "vpc-1"`)
	assert.NotContains(t, string(state), "pending_operations")
	backups, err := filepath.Glob(filepath.Join(folder, "state-backup", "gke-*.json"))
	require.NoError(t, err)
	require.Len(t, backups, 1)
	assert.Contains(t, stderr, backups[0])
	assert.NotContains(t, stdout+stderr, "canary")

	code, _, stderr = call(t, true, answered...)
	assert.Equal(t, exitNothing, code, stderr)
}
