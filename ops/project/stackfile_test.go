package project

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func stackFile(t *testing.T, content string) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Pulumi.dev.yaml"), []byte(content), 0o600))
	return folder
}

func TestStackSource(t *testing.T) {
	source, err := StackSource(stackFile(t, `encryptionsalt: v1:abc
config:
  vllm-autoscaling:cloud: gke
  vllm-autoscaling:apiKey: {secure: canary}
  vllm-autoscaling:model: {maxNumSeqs: 32}
  vllm-autoscaling:charts: {a: [{secure: canary}]}
`), "dev")
	require.NoError(t, err)
	assert.Equal(t, "dev", source.Stack)
	assert.Equal(t, map[string]string{
		"vllm-autoscaling:cloud": "gke", "vllm-autoscaling:apiKey": "canary",
		"vllm-autoscaling:model": `{"maxNumSeqs":32}`, "vllm-autoscaling:charts": `{"a":["canary"]}`,
	}, source.Values)
	for key, secret := range map[string]bool{"cloud": false, "apiKey": true, "model": false, "charts": true} {
		assert.Equal(t, secret, source.Secret(Name+":"+key), key)
	}
}

func TestStackSourceErrors(t *testing.T) {
	_, err := StackSource(t.TempDir(), "dev")
	assert.ErrorContains(t, err, `stack "dev" has no file`)
	_, err = StackSource(stackFile(t, "config: ["), "dev")
	assert.ErrorContains(t, err, "Pulumi.dev.yaml: ")
}

func TestSet(t *testing.T) {
	source, err := StackSource(stackFile(t, "config: {'vllm-autoscaling:model': {id: a, maxNumSeqs: 16}, 'vllm-autoscaling:cloud': gke}"), "dev")
	require.NoError(t, err)
	for _, assignment := range []string{"model.maxNumSeqs=64", "autoscaling.signals.requestsRunning.enabled=false", "cloud=eks", "vllm.clientNamespaces=[a, b]"} {
		require.NoError(t, Set(&source, assignment))
	}
	assert.Equal(t, map[string]string{
		"vllm-autoscaling:model": `{"id":"a","maxNumSeqs":64}`, "vllm-autoscaling:cloud": "eks",
		"vllm-autoscaling:autoscaling": `{"signals":{"requestsRunning":{"enabled":false}}}`, "vllm-autoscaling:vllm": `{"clientNamespaces":["a","b"]}`,
	}, source.Values)
	assert.ErrorContains(t, Set(&source, "model.maxNumSeqs"), "is not KEY=VALUE")
	assert.ErrorContains(t, Set(&source, "cloud.name=x"), "is not an object")
}
