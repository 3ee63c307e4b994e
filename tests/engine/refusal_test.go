package engine

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Invalid input ends with one message before anything, even the provider, is registered.
func TestRefusedBeforeAnythingIsRegistered(t *testing.T) {
	for name, test := range map[string]struct {
		stack   string
		keys    map[string]any
		prepare func(s *stack)
		says    string
	}{
		"stack that names no cloud": {stack: "mars", says: `vllm-autoscaling:cloud = "mars"`},
		"unknown cloud":             {keys: map[string]any{"cloud": "mars"}, says: "one of: local"},
		"unknown key":               {keys: map[string]any{"mdel.id": "a/b"}, says: "the nearest is vllm-autoscaling:model"},
		"unknown nested key":        {keys: map[string]any{"model.idd": "a/b"}, says: "the nearest is vllm-autoscaling:model.id"},
		"wrong type":                {keys: map[string]any{"autoscaling.maxReplicas": "many"}, says: "a whole number"},
		"target out of reach": {keys: map[string]any{
			"autoscaling.signals.requestsRunning.enabled": true, "autoscaling.signals.requestsRunning.target": 16,
		}, says: "never runs more than"},
		"key of an earlier version": {keys: map[string]any{"autoscaling.signals.gpuUtilization.guardRequests": 12}, says: "requests waiting instead of"},
		"model that does not fit": {keys: map[string]any{
			"gpu.mode": "nvidia", "model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 24, "huggingFaceToken": secret("hf"),
		}, says: "GPUs of 80, 94, 96, 141, 180, 270 GiB"},
		"missing token": {keys: map[string]any{"gpu.mode": "nvidia"}, says: "pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		"token in plain text": {keys: map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": "hf_plain"},
			says: "pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		"token in a chart's values": {
			keys: map[string]any{"charts.dcgmExporter.values": map[string]any{"token": "hf_plainplainplainplain"}},
			says: "pulumi config set --secret vllm-autoscaling:huggingFaceToken",
		},
		"context that does not fit": {keys: map[string]any{
			"gpu.mode": "nvidia", "model.id": "google/gemma-3-4b-it", "gpu.memoryGiB": 16, "model.dtype": "bfloat16", "huggingFaceToken": secret("hf"),
			"model.maxModelLen": 131072, "model.gpuMemoryUtilization": 0.8,
		}, says: "model.maxModelLen = 131072"},
		"missing kubeconfig":  {keys: map[string]any{"cluster.kubeconfig": "/does/not/exist"}, says: "kubeconfig /does/not/exist does not exist"},
		"missing context":     {keys: map[string]any{"cluster.context": "production"}, says: `no context "production"`},
		"unreachable cluster": {prepare: func(s *stack) { s.server.Close() }, says: "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			stackName := test.stack
			if stackName == "" {
				stackName = "local"
			}
			s := newStack(t, stackName, test.keys)
			if test.prepare != nil {
				test.prepare(s)
			}
			for _, dryRun := range []bool{true, false} {
				refused := s.run(engine.Update, dryRun)
				require.ErrorContains(t, refused.err, test.says)
				assert.Equal(t, 1, strings.Count(refused.err.Error(), test.says), "said once: %v", refused.err)
				assert.NotContains(t, refused.err.Error(), "hf_plain")
				for _, event := range refused.events {
					if event.Type == engine.ResourcePreEvent {
						urn := event.Payload().(engine.ResourcePreEventPayload).Metadata.URN
						assert.Equal(t, "pulumi:pulumi:Stack", string(urn.Type()), "%s was registered", urn)
					}
				}
			}
			assert.Empty(t, s.cluster.remaining())
		})
	}
}

// Each warning is logged once for the stack, in a preview and in an up, and changes nothing.
func TestWarningsDoNotBlock(t *testing.T) {
	s := newStack(t, "local", map[string]any{
		"autoscaling.signals.requestsInFlight.enabled": false, "autoscaling.relistInterval": "2s",
	})
	for _, dryRun := range []bool{true, false} {
		done := s.run(engine.Update, dryRun)
		require.NoError(t, done.err)
		for _, says := range []string{
			"warning: vllm-autoscaling:autoscaling.signals.gpuUtilization.enabled = true: without a request signal",
			"warning: vllm-autoscaling:autoscaling.relistInterval = 2s: ",
		} {
			assert.Equal(t, 1, strings.Count(s.said.String(), says), "%q in %q", says, s.said)
		}
		assert.Equal(t, 1, strings.Count(s.said.String(), "warning: vllm-autoscaling:vllm.clientNamespaces: no client is named"), "%s", s.said)
		assert.Equal(t, 3, strings.Count(s.said.String(), "warning: "), "%s", s.said)
	}
	require.NotEmpty(t, s.state.Resources)

	quiet := newStack(t, "local", map[string]any{"vllm.clientNamespaces": []any{"vllm"}})
	quiet.up()
	assert.NotContains(t, quiet.said.String(), "warning", "where the clients are named the defaults warn of nothing")
	for _, choice := range []string{"updates of the server are in place", "each replica runs up to 16 requests at a time", "autoscaling keeps 1 to 4 replicas"} {
		assert.Equal(t, 1, strings.Count(quiet.said.String(), choice), "what the program chose, once: %s", quiet.said)
	}
}
