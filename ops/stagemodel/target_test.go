package stagemodel

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config"
)

// configured returns the configuration of a stack on local, with further values.
func configured(t *testing.T, values map[string]string) *config.Config {
	t.Helper()
	all := map[string]string{"p:gpu": `{"mode": "nvidia"}`, "p:huggingFaceToken": "hf_x", "p:labels": `{"team": "ml"}`}
	secret := func(key string) bool { return key == "p:huggingFaceToken" }
	for key, value := range values {
		all["p:"+key] = value
	}
	c, err := config.Read(config.Source{Project: "p", Stack: "local", Values: all, Secret: secret})
	require.NoError(t, err)
	return c
}

func TestTargetOf(t *testing.T) {
	target, err := TargetOf(configured(t, map[string]string{
		"model": `{"id": "google/gemma-3-1b-it", "revision": "v1", "source": "claim", "claim": {"name": "models"}}`,
	}))
	require.NoError(t, err)
	assert.Equal(t, "vllm", target.Server)
	assert.Equal(t, "google/gemma-3-1b-it at v1, to PersistentVolumeClaim models, folder /google/gemma-3-1b-it", target.String())
	assert.Equal(t, "/weights/google/gemma-3-1b-it", target.path())
	assert.True(t, target.Gated)
	assert.True(t, target.HasToken)
	assert.Equal(t, map[string]string{"team": "ml"}, target.Labels)
}

func TestNothingToFill(t *testing.T) {
	for want, values := range map[string]map[string]string{
		"gpu.mode is simulated":                     {"gpu": `{"mode": "simulated"}`},
		"model.id /models/one is a path":            {"model": `{"id": "/models/one"}`},
		"model.source is hub: every replica":        {},
		"model.source is image: the weights are in": {"model": `{"source": "image", "image": {"reference": "registry.example.com/models:v1"}}`},
	} {
		_, err := TargetOf(configured(t, values))
		require.ErrorContains(t, err, want)
	}
}
