package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An update must neither cost a serving replica where a GPU can be had, nor wait for one that the pool can never have.
func TestUpdate(t *testing.T) {
	type keys = map[string]any
	for name, test := range map[string]struct {
		cloud string
		keys  keys
		surge bool
		says  string
	}{
		"the defaults of a cloud":    {CloudGKE, keys{}, true, "has room for 5, and autoscaling.maxReplicas is 4"},
		"no node for one more":       {CloudEKS, keys{"nodePools.gpu.maxNodes": 4}, false, "nodePools.gpu.maxNodes (4) has room for 4"},
		"one node more":              {CloudAKS, keys{"nodePools.gpu.maxNodes": 3, "autoscaling.maxReplicas": 2}, true, "has room for 3"},
		"nodes of several replicas":  {CloudEKS, keys{"nodePools.gpu.machineType": "g6.12xlarge", "nodePools.gpu.maxNodes": 1, "autoscaling.maxReplicas": 3}, true, "room for 4"},
		"and none of it left":        {CloudEKS, keys{"nodePools.gpu.machineType": "g6.12xlarge", "nodePools.gpu.maxNodes": 1}, false, "room for 4"},
		"replicas that fill a node":  {CloudEKS, keys{"nodePools.gpu.machineType": "g6.12xlarge", "gpu.perReplica": 4, "nodePools.gpu.maxNodes": 4}, false, "room for 4"},
		"a pool of theirs":           {CloudGKE, attached(CloudGKE, keys{"nodePools.gpu.create": false}), false, "is not known here"},
		"a cluster that was there":   {CloudLocal, keys{}, false, "vllm.updateStrategy surge keeps all replicas"},
		"asked for, and not known":   {CloudLocal, keys{"vllm.updateStrategy": "surge"}, true, "as vllm.updateStrategy asks for"},
		"not wanted, with room":      {CloudGKE, keys{"vllm.updateStrategy": "inPlace"}, false, "as vllm.updateStrategy asks for"},
		"auto, as a word":            {CloudGKE, keys{"vllm.updateStrategy": "auto"}, true, "has room for 5"},
		"wanted, with too little":    {CloudGKE, keys{"vllm.updateStrategy": "surge", "nodePools.gpu.maxNodes": 4}, true, "asks for"},
		"an attached cluster's pool": {CloudAKS, attached(CloudAKS, nil), true, "has room for 5"},
	} {
		t.Run(name, func(t *testing.T) {
			given := test.keys
			if _, theirs := given["cluster.existing"]; !theirs && test.cloud != CloudLocal {
				given = onCloud(test.cloud, given)
			}
			update := read(t, test.cloud, given).Update()
			assert.Equal(t, test.surge, update.Surge, update.Text)
			assert.Contains(t, update.Text, test.says)
		})
	}
}

func TestUpdateWithoutAGPU(t *testing.T) {
	full := map[string]any{"vllm.updateStrategy": "surge", "nodePools.gpu.maxNodes": 4}
	t.Run("while the HPA is at its maximum", func(t *testing.T) {
		warning := theWarning(t, read(t, CloudGKE, onCloud(CloudGKE, full)), "vllm.updateStrategy")
		assert.Contains(t, warning.Why, "while the HPA is at its maximum (4)")
		assert.Contains(t, warning.Fix, "nodePools.gpu.maxNodes to 5")
	})
	t.Run("for good", func(t *testing.T) {
		full["autoscaling.minReplicas"] = 4
		_, err := Read(source(t, CloudGKE, onCloud(CloudGKE, full)))
		require.ErrorContains(t, err, "vllm.updateStrategy")
		assert.ErrorContains(t, err, "for a GPU for good")
		assert.ErrorContains(t, err, "nodePools.gpu.maxNodes 5")
	})
}

// theWarning returns the warning of a key.
func theWarning(t *testing.T, c *Config, key string) Warning {
	t.Helper()
	for _, warning := range c.Warnings() {
		if warning.Key == c.Project+":"+key {
			return warning
		}
	}
	t.Fatalf("no warning of %s among %v", key, c.Warnings())
	return Warning{}
}
