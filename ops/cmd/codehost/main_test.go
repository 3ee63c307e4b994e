package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/codehost/githubstub"
)

// repository is a stand-in for GitHub with pull request 7, and the variables of one of its jobs.
func repository(t *testing.T) (*githubstub.Stub, func(string) string) {
	t.Helper()
	stub := githubstub.New("team/inference", "secret", "github-actions[bot]", 7)
	t.Cleanup(stub.Close)
	event := filepath.Join(t.TempDir(), "event.json")
	require.NoError(t, os.WriteFile(event, []byte(`{"pull_request":{"number":7}}`), 0o600))
	environment := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "team/inference", "GITHUB_TOKEN": "secret", "GITHUB_API_URL": stub.URL(), "GITHUB_EVENT_PATH": event,
	}
	return stub, func(name string) string { return environment[name] }
}

func TestCommands(t *testing.T) {
	stub, get := repository(t)
	body := filepath.Join(t.TempDir(), "body.md")
	require.NoError(t, os.WriteFile(body, []byte("two to update\n"), 0o600))
	issue := []string{"--marker", "drift: gke", "--label", "drift"}
	for _, step := range []struct {
		args    []string
		message string
	}{
		{[]string{"comment", "--marker", "preview: gke", "--body", body}, `comment "preview: gke": created https://`},
		{[]string{"comment", "--marker", "preview: gke", "--body", body, "--number", "7"}, `comment "preview: gke": unchanged https://`},
		{append([]string{"issue", "--title", "Stack gke has drifted", "--body", body}, issue...), `issue "drift: gke": created https://`},
		{append([]string{"close", "--body", body}, issue...), `close "drift: gke": closed https://`},
		{append([]string{"close"}, issue...), `close "drift: gke": none`},
	} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), step.args, get, &out), step.args)
		assert.Contains(t, out.String(), step.message)
	}
	require.Len(t, stub.Comments(7), 1)
	assert.Equal(t, "<!-- vllm-autoscaling preview: gke -->\ntwo to update\n", stub.Comments(7)[0].Body)
	require.Len(t, stub.Issues(), 1)
	assert.Equal(t, "closed", stub.Issues()[0].State)
}

func TestWhatIsRefused(t *testing.T) {
	stub, get := repository(t)
	empty := filepath.Join(t.TempDir(), "empty.md")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for message, args := range map[string][]string{
		"--body is missing or empty": {"comment", "--marker", "preview: gke", "--body", empty},
		"gone.md":                    {"comment", "--marker", "preview: gke", "--body", "gone.md"},
		`unknown argument "more"`:    {"comment", "--marker", "preview: gke", "more"},
		"-nothing":                   {"comment", "--nothing"},
		"a title and a label":        {"issue", "--marker", "drift: gke", "--body", empty},
	} {
		require.ErrorContains(t, run(t.Context(), args, get, &bytes.Buffer{}), message)
	}
	for _, args := range [][]string{nil, {"--help"}, {"merge"}} {
		require.ErrorIs(t, run(t.Context(), args, get, &bytes.Buffer{}), flag.ErrHelp, args)
	}
	assert.Empty(t, stub.Requests(), "nothing was asked")
}
