package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/verify"
)

// inProject makes the folder of a project the working folder, with a CLI that prints the outputs of a stack with two servers on a
// cluster where nothing listens.
func inProject(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	t.Chdir(folder)
	for name, content := range map[string]string{
		"Pulumi.yaml": "name: vllm-autoscaling\nruntime: go\n",
		"config": `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
`,
		"pulumi": `#!/bin/sh
cat <<'EOT'
{"pipelines": {"chat": {"kubeconfig": "config", "context": "c", "serving": {"namespace": "vllm", "deployment": "chat"}},
 "code": {"kubeconfig": "config", "context": "c", "serving": {"namespace": "vllm", "deployment": "code"}}}}
EOT
`,
	} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o755)) //nolint:gosec // one is a program
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestTheServerToLoad(t *testing.T) {
	inProject(t)
	t.Setenv("STACK", "")
	for args, message := range map[string]string{
		"-stack gke -rate 1":              "stack gke: the stack has several servers, chat, code: choose one, such as -server chat (with make: SERVER=chat)",
		"-stack gke -rate 1 -server docs": `stack gke: the stack has no server "docs": it has chat, code`,
		"-stack gke -rate 1 -server code": "deployment of stack gke at https://127.0.0.1:1: " +
			`Get "https://127.0.0.1:1/apis/apps/v1/namespaces/vllm/deployments/code"`,
		"-url http://localhost:1 -rate 1 -server ch": "-server names a server of a stack: give -stack, too",
	} {
		t.Run(args, func(t *testing.T) {
			var out bytes.Buffer
			assert.Equal(t, exitFailed, realMain(strings.Fields(args), &out))
			assert.Contains(t, out.String(), "load: failed: "+message)
		})
	}
}

func TestTheTitleNamesTheServer(t *testing.T) {
	for want, one := range map[string]target{
		"stack gke, server chat": {options: options{stack: "gke"}, access: &verify.Access{Server: "chat"}},
		"stack gke":              {options: options{stack: "gke"}, access: &verify.Access{}},
		"http://x":               {options: options{url: "http://x"}},
	} {
		assert.Equal(t, want, one.name())
	}
}
