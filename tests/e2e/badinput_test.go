package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

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
			name: "target out of reach", config: object("autoscaling", object("signals", object("requestsRunning", object("enabled", true, "target", 16)))),
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
			name: "a login that asks", config: object("cluster", object("kubeconfig", withUser(t, l, &api.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: api.AlwaysExecInteractiveMode,
			}))),
			says: []string{"logs in with sh", "interactiveMode: Always", "nobody answers"},
		},
		{
			name: "a login that is not there", config: object("cluster", object("kubeconfig", withUser(t, l, &api.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "no-such-login", InteractiveMode: api.NeverExecInteractiveMode,
				InstallHint: "get it from the platform team",
			}))),
			says: []string{"no-such-login, which is not there", "get it from the platform team"},
		},
		{
			name: "a login that reads its input", config: object("cluster", object("kubeconfig", withUser(t, l, &api.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "sh", Args: []string{"-c", "read password || exit 4"},
				InteractiveMode: api.IfAvailableExecInteractiveMode,
			}))),
			says: []string{"exit code 4", "get namespace kube-system"},
		},
		{
			name: "an expired token", config: object("cluster", object("kubeconfig", withUser(t, l, nil))),
			says: []string{"does not accept the credentials of user", "may have expired"},
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
			failsAtOnce(t, l, newStack(t, l, name, test.config, nil), test.says)
		})
	}
	t.Run("stack file", func(t *testing.T) { badStackFiles(t, l) })
}

// failsAtOnce checks that up fails with one message that contains the texts, and that nothing was created.
func failsAtOnce(t *testing.T, l *lab.Lab, stack *deployment, says []string) {
	t.Helper()
	err := stack.Up(testContext(t))
	var failed *lab.CommandError
	require.True(t, errors.As(err, &failed), "up has to fail: %v", err)
	assert.Positive(t, failed.Code)
	for _, text := range says {
		assert.Contains(t, failed.Output, text)
	}
	assert.NotRegexp(t, `panic:|goroutine \d+|\(\*.*\)|%!`, failed.Output, "a message, not a trace")
	assert.NotContains(t, failed.Output, "hf_0123456789", "no credential is shown")
	first := strings.SplitN(says[0], "\n", 2)[0]
	assert.LessOrEqual(t, strings.Count(failed.Output, first+" ="), 1, "said once")
	assert.Empty(t, stack.resources(t), "nothing in the state")
	left, err := l.Leftovers(testContext(t))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing in the cluster")
}

// badStackFiles checks what the CLI makes of stack files that editors and people write: it reads a byte order mark and carriage
// returns, and names the line of what is not YAML. What `pulumi config set --path` makes of texts is accepted.
func badStackFiles(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx := testContext(t)
	stack := newStack(t, l, "local", nil, nil)
	content, err := os.ReadFile(stack.ConfigFile())
	require.NoError(t, err)
	file := strings.TrimRight(string(content), "\n") + "\n"
	write := func(content string) { require.NoError(t, os.WriteFile(stack.ConfigFile(), []byte(content), 0o600)) }

	write("\ufeff" + strings.ReplaceAll(file, "\n", "\r\n"))
	require.NoError(t, stack.Preview(ctx, false), "a byte order mark and carriage returns")

	for name, test := range map[string]struct {
		add  string
		says []string
	}{
		"a key twice": {"config:\n  vllm-autoscaling:cloud: local\n", []string{"stack configuration", "line ", `mapping key "config" already defined at line`}},
		"a tab":       {"\tenvironment: []\n", []string{"stack configuration", "line ", "found a tab character that violates indentation"}},
		"half a line": {"environment\n", []string{"stack configuration", "line ", "could not find expected ':'"}},
	} {
		t.Run(name, func(t *testing.T) {
			write(file + test.add)
			defer write(file)
			var failed *lab.CommandError
			require.True(t, errors.As(stack.Up(ctx), &failed), "up has to fail")
			for _, text := range test.says {
				assert.Contains(t, failed.Output, text)
			}
		})
	}

	write(file)
	for _, set := range [][]string{
		{"model.revision", "123456789012"}, {`vllm.nodeSelector["example.com/fast"]`, "true"}, {"model.extraArgs[0]", "--seed"}, {"model.extraArgs[1]", "7"},
		{"autoscaling.maxReplicas", "3", "--type", "string"}, {"monitoring.grafana", "true", "--type", "string"}, {"model.gpuMemoryUtilization", "0.85"},
	} {
		arguments := append([]string{"set", "--path"}, set[2:]...)
		line := stack.CommandLine("config", append(arguments, "--", "vllm-autoscaling:"+set[0], set[1])...)
		command := exec.CommandContext(ctx, l.Tools().Path(line[0]), line[1:]...)
		command.Dir, command.Env = environment.root, stack.Environment()
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%v: %s", set, output)
	}
	require.NoError(t, stack.Preview(ctx, false), "what the CLI wrote is accepted")
	assert.Empty(t, stack.resources(t))
}

// withUser copies the lab's kubeconfig with another user: one who logs in with a program, or one whose token the cluster does not
// know.
func withUser(t *testing.T, l *lab.Lab, login *api.ExecConfig) string {
	t.Helper()
	file, err := clientcmd.LoadFromFile(l.Kubeconfig())
	require.NoError(t, err)
	user := &api.AuthInfo{Exec: login}
	if login == nil {
		user.Token = "expired"
	}
	file.AuthInfos = map[string]*api.AuthInfo{file.Contexts[l.ContextName()].AuthInfo: user}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*file, path))
	return path
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
