package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// projectWith returns a folder with the file of a stack called local.
func projectWith(t *testing.T, configuration string) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Pulumi.local.yaml"), []byte("config:\n"+configuration), 0o600))
	return folder
}

// pulumi puts a program of that name on the PATH.
func pulumi(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "pulumi"), []byte("#!/bin/sh\n"+script), 0o755)) //nolint:gosec // a program
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestExitStatus(t *testing.T) {
	pulumi(t, `echo "error: no stack named '$*' found" >&2; exit 255`)
	fromHub := projectWith(t, "  vllm-autoscaling:gpu: {mode: nvidia}\n  vllm-autoscaling:model: {id: Qwen/Qwen3-0.6B}\n")
	several := projectWith(t, "  vllm-autoscaling:gpu: {mode: nvidia}\n  vllm-autoscaling:model: {id: Qwen/Qwen3-0.6B}\n"+
		"  vllm-autoscaling:servers: {chat: {}, code: {}}\n")
	fromClaim := projectWith(t, "  vllm-autoscaling:gpu: {mode: nvidia}\n"+
		"  vllm-autoscaling:model: {id: Qwen/Qwen3-0.6B, source: claim, claim: {name: models}}\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"help":             {[]string{"-h"}, exitComplete, "-stack"},
		"no stack":         {nil, exitUsage, "make stage-model STACK=NAME"},
		"unknown argument": {[]string{"-stack", "local", "x"}, exitUsage, `unknown argument "x"`},
		"no time":          {[]string{"-stack", "local", "-timeout", "1s"}, exitUsage, "-timeout 1s: must be 1m or more"},
		"no file":          {[]string{"-stack", "dev", "-project", fromHub}, exitUsage, `stack "dev" has no file`},
		"nothing to fill":  {[]string{"-stack", "local", "-project", fromHub}, exitUsage, "stack local: model.source is hub"},
		"which server":     {[]string{"-stack", "local", "-project", several}, exitUsage, "several servers, chat, code: choose one"},
		"not deployed":     {[]string{"-stack", "local", "-project", fromClaim}, exitFailed, "no stack named 'stack output"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			assert.Equal(t, test.status, run(t.Context(), test.args, &stdout, &stderr))
			assert.Empty(t, stdout.String())
			assert.Contains(t, stderr.String(), test.want)
		})
	}
}

func TestCommandToFollowAgain(t *testing.T) {
	assert.Equal(t, "make stage-model STACK=gke SERVER=chat", (&options{stack: "gke", server: "chat"}).command())
	assert.Equal(t, "make stage-model STACK=gke", (&options{stack: "gke"}).command())
}
