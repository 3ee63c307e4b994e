package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab"
)

// TestBadInput checks that the real CLI fails for invalid input with one message that contains the remedy, and creates
// nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	object := func(pairs ...any) map[string]any {
		result := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			result[pairs[i].(string)] = pairs[i+1]
		}
		return result
	}
	for _, test := range []struct {
		name   string
		stack  string // default local
		config map[string]any
		says   []string
	}{
		{
			name: "unknown stack", stack: "moon",
			says: []string{`vllm-autoscaling:cloud`, `"moon"`, "local"},
		},
		{
			name: "unknown cloud", config: object("cloud", "ibm"),
			says: []string{`vllm-autoscaling:cloud`, `"ibm"`, "local"},
		},
		{
			name: "unknown key", config: object("autoscalling", object("maxReplicas", 8)),
			says: []string{"vllm-autoscaling:autoscalling", "vllm-autoscaling:autoscaling"},
		},
		{
			name: "unknown nested key", config: object("autoscaling", object("maxReplica", 8)),
			says: []string{"autoscaling.maxReplica", "autoscaling.maxReplicas"},
		},
		{
			name: "path that was set as a name", config: object("model.id", "google/gemma-3-1b-it"),
			says: []string{"vllm-autoscaling:model.id", "pulumi config rm 'vllm-autoscaling:model.id'", "pulumi config set --path 'vllm-autoscaling:model.id' <value>"},
		},
		{
			name: "wrong type", config: object("autoscaling", object("maxReplicas", "many")),
			says: []string{"autoscaling.maxReplicas", "many", "whole number"},
		},
		{
			name: "target out of reach", config: object("autoscaling", object("signals", object("requestsRunning", object("target", 16)))),
			says: []string{"requestsRunning.target", "16", "model.maxNumSeqs"},
		},
		{
			name: "missing token", config: object("gpu", object("mode", "nvidia")),
			says: []string{"pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		},
		{
			name: "model that does not fit", config: object("model", object("id", "google/gemma-3-27b-it"), "gpu", object("mode", "nvidia", "memoryGiB", 24)),
			says: []string{"model.id", "google/gemma-3-27b-it", "24"},
		},
		{
			name: "context that does not fit", config: object("model", object("id", "google/gemma-3-4b-it", "maxModelLen", 131072, "gpuMemoryUtilization",
				0.8), "gpu", object("mode", "nvidia", "memoryGiB", 16)),
			says: []string{"model.maxModelLen = 131072", "KV cache", "any of: model.maxModelLen "},
		},
		{
			name: "token in the wrong place", config: object("charts", object("dcgmExporter", object("values", object("token", "hf_0123456789abcdefghij")))),
			says: []string{"charts.dcgmExporter.values.token = [hidden]", "pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		},
		{
			name: "unreachable cluster", config: object("cluster", object("kubeconfig", unreachable(t, l), "context", l.ContextName())),
			says: []string{l.ContextName(), "does not answer", "check that it runs"},
		},
		{
			name: "missing context", config: object("cluster", object("context", "absent")),
			says: []string{`"absent"`, l.ContextName()},
		},
		{
			name: "missing kubeconfig", config: object("cluster", object("kubeconfig", "/nowhere/kubeconfig")),
			says: []string{"/nowhere/kubeconfig"},
		},
		{
			name: "several at once", config: object("autoscaling", object("minReplicas", 9, "maxReplicas", 2), "modell", object("id", "x")),
			says: []string{"vllm-autoscaling:modell", "minReplicas"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := test.stack
			if name == "" {
				name = "local"
			}
			stack := newStack(t, l, name, test.config, nil)
			err := stack.Up(testContext(t))
			var failed *lab.CommandError
			require.True(t, errors.As(err, &failed), "up has to fail: %v", err)
			assert.Positive(t, failed.Code)
			for _, text := range test.says {
				assert.Contains(t, failed.Output, text)
			}
			assert.NotRegexp(t, `panic:|goroutine \d+|\(\*.*\)|%!`, failed.Output, "a message, not a trace")
			assert.NotContains(t, failed.Output, "hf_0123456789", "no credential is shown")
			first := strings.SplitN(test.says[0], "\n", 2)[0]
			assert.LessOrEqual(t, strings.Count(failed.Output, first+" ="), 1, "said once")
			assert.Empty(t, stack.resources(t), "nothing in the state")
			left, err := l.Leftovers(testContext(t))
			require.NoError(t, err)
			assert.Empty(t, left, "nothing in the cluster")
		})
	}
}

// unreachable copies the lab's kubeconfig with the address of a port without a listener.
func unreachable(t *testing.T, l *lab.Lab) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := listener.Addr().String()
	require.NoError(t, listener.Close())
	content, err := os.ReadFile(l.Kubeconfig())
	require.NoError(t, err)
	changed := strings.ReplaceAll(string(content), strings.TrimPrefix(l.Config().Host, "https://"), closed)
	require.NotEqual(t, string(content), changed, fmt.Sprintf("the kubeconfig names %s", l.Config().Host))
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}
