package verify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/outputs"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://10.0.0.1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: gke-gcloud-auth-plugin, interactiveMode: IfAvailable}}}]
`

func outputsWith(t *testing.T, more map[string]any) []byte {
	t.Helper()
	all := map[string]any{outputs.PipelineKey: newFake().pipeline}
	for key, value := range more {
		all[key] = value
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return text
}

func TestOutputsOfACloud(t *testing.T) {
	access, err := ParseOutputs(outputsWith(t, map[string]any{
		"kubeconfig":     kubeconfig,
		"apiPortForward": "gcloud container clusters get-credentials c && kubectl --context gke_c --namespace vllm port-forward service/vllm 8000:8000",
	}), ".", "")
	require.NoError(t, err)
	assert.Equal(t, "https://10.0.0.1", access.Config.Host)
	require.NotNil(t, access.Config.ExecProvider)
	assert.Equal(t, "gke-gcloud-auth-plugin", access.Config.ExecProvider.Command)
	assert.Equal(t, "kubectl --context gke_c", access.Kubectl)
	assert.Equal(t, newFake().pipeline, access.Pipeline)
}

func TestOutputsOfAnExistingCluster(t *testing.T) {
	project := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(project, "config"), []byte(kubeconfig), 0o600))
	pipeline := newFake().pipeline
	pipeline.Kubeconfig, pipeline.Context = "config", "c"
	text := outputsWith(t, map[string]any{outputs.PipelineKey: pipeline})
	access, err := ParseOutputs(text, project, "")
	require.NoError(t, err)
	assert.Equal(t, "https://10.0.0.1", access.Config.Host)

	_, err = ParseOutputs(text, t.TempDir(), "")
	assert.ErrorContains(t, err, "where the stack was deployed from")
	pipeline.Context = "other"
	_, err = ParseOutputs(outputsWith(t, map[string]any{outputs.PipelineKey: pipeline}), project, "")
	assert.ErrorContains(t, err, `no usable context "other"`)

	// Nothing in the configuration: the user's own.
	t.Setenv("KUBECONFIG", filepath.Join(project, "config"))
	pipeline.Kubeconfig, pipeline.Context = "", "c"
	access, err = ParseOutputs(outputsWith(t, map[string]any{outputs.PipelineKey: pipeline}), project, "")
	require.NoError(t, err)
	assert.Equal(t, "https://10.0.0.1", access.Config.Host)
}

func TestOutputsThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":       {"password hunter2", "not a JSON object"},
		"none":          {"{}", "run `pulumi up` first"},
		"older program": {`{"apiUrl":"http://vllm"}`, `no output "pipeline"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseOutputs([]byte(test.text), ".", "")
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
	for _, bad := range []any{"[secret]", "token: hunter2\n\t- x", "users: [{user: {token: hunter2}}]", map[string]any{"token": "hunter2"}} {
		_, err := ParseOutputs(outputsWith(t, map[string]any{"kubeconfig": bad}), ".", "")
		require.ErrorContains(t, err, "--show-secrets", bad)
		assert.NotContains(t, err.Error(), "hunter2", "what cannot be read may be a secret")
	}
}
