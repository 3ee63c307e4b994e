package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preflight"
)

// fakeCLI puts a CLI without a login beside the pulumi on the PATH, and returns a function that reports whether it was called.
func fakeCLI(t *testing.T, name, message string) func() bool {
	t.Helper()
	bin := os.Getenv("PATH")
	called := filepath.Join(t.TempDir(), "called")
	script := "#!/bin/sh\necho called >" + called + "\necho '" + message + "' >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	return func() bool {
		_, err := os.Stat(called)
		return err == nil
	}
}

func TestPreflight(t *testing.T) {
	const loggedOut = "You do not currently have an active account selected"
	file := filepath.Join(t.TempDir(), "plan.txt")
	fake(t, recording("gke.create"), "", 0)
	asked := fakeCLI(t, "gcloud", loggedOut)

	off := call(t, "--stack", "gke", "--preflight", "off")
	assert.Zero(t, off.status)
	assert.NotContains(t, off.stdout, "Preflight")
	assert.False(t, asked())

	on := call(t, "--stack", "gke", "--plan-out", file)
	assert.Zero(t, on.status, "a check that failed fails nothing by itself")
	assert.Contains(t, on.stdout, "Preflight, with gcloud: 1 check failed, ")
	assert.Contains(t, on.stdout, "  failed kubeconfig-program: gke-gcloud-auth-plugin: not on the PATH")
	assert.Contains(t, on.stdout, ": gcloud is not logged in: run `gcloud auth login`\n")
	assert.Contains(t, on.stdout, "Changes\n")
	assert.Contains(t, on.stderr, "preflight: asking gcloud")
	assert.True(t, asked())
	plan, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, off.stdout, string(plan), "what a run without the preflight prints")

	failing := call(t, "--stack", "gke", "--fail-on", "policy,changes,preflight", "--out", filepath.Join(t.TempDir(), "report"))
	assert.Equal(t, exitAccount, failing.status)
	assert.Contains(t, failing.stderr, "preview: 1 checks of the account failed")

	only := call(t, "--stack", "gke", "--preflight", "only")
	assert.Zero(t, only.status)
	assert.NotContains(t, only.stdout, "Changes\n")
	assert.Contains(t, only.stdout, "Preflight, with gcloud")
	asJSON := call(t, "--stack", "gke", "--preflight", "only", "--format", "json")
	var result preflight.Result
	require.NoError(t, json.Unmarshal([]byte(asJSON.stdout), &result))
	assert.Equal(t, "gke", result.Cloud)
	assert.Contains(t, call(t, "--stack", "gke", "--preflight", "only", "--format", "markdown").stdout, "### Preflight\n")
}

// Without a plan there is nothing to ask.
func TestPreflightWithoutPlan(t *testing.T) {
	fake(t, "", "error: no stack named 'gke' found\n", 255)
	only := call(t, "--stack", "gke", "--preflight", "only")
	assert.Equal(t, exitFailed, only.status)
	assert.Contains(t, only.stderr, "the preview failed, so there is nothing to check: error: no stack named 'gke' found")

	asked := fakeCLI(t, "gcloud", "")
	recorded := call(t, "--stack", "gke", "--json-file", recording("gke.create"))
	assert.Zero(t, recorded.status)
	assert.False(t, asked(), "a recording runs nothing")
	recorded = call(t, "--stack", "gke", "--json-file", recording("gke.create"), "--preflight", "on")
	assert.Contains(t, recorded.stdout, "Preflight, with gcloud")
	assert.True(t, asked())

	for name, args := range map[string][]string{
		"another value":  {"--preflight", "maybe"},
		"plan of no one": {"--preflight", "only", "--plan-out", "x"},
	} {
		assert.Equal(t, exitUsage, call(t, append([]string{"--stack", "gke"}, args...)...).status, name)
	}
}
