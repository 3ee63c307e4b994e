package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearestKey(t *testing.T) {
	for key, want := range map[string]string{
		// Misspelt in its place.
		"modle": "model", //nolint:misspell // The test is of misspelt names.
		"mdel":  "model", "autoscalling": "autoscaling", "model.idd": "model.id", "model.ID": "model.id", "gpu.mdoe": "gpu.mode",
		"autoscaling.maxReplica": "autoscaling.maxReplicas", "modell.maxmodellen": "model.maxModelLen", "vllm.modelcache": "vllm.modelCache",
		"autoscaling.signals.gpuUtilisation.target": "autoscaling.signals.gpuUtilization.target",
		"gpu.tolerations[2].efect":                  "gpu.tolerations[2].effect", "cluster.apiAccessCIDR": "cluster.apiAccessCidrs",
		// In another object.
		"model.maxReplicas": "autoscaling.maxReplicas", "maxModelLen": "model.maxModelLen", "grafanaPasword": "monitoring.grafanaPassword",
		// Known as it is.
		"model.id": "model.id",
		// Near to nothing, or to several.
		"vllm.env": "", "env": "", "x": "", "": "", "zones": "", "vllm.enabled": "", "imagePullSecrets": "", "vllm.runtimeClassName": "",
		"model[0]": "", "gpu.tolerations[0]": "gpu.tolerations[0]", "..": "", "model.id.x": "", "vllm.node": "",
	} {
		assert.Equal(t, want, nearestKey(key), key)
	}
}
