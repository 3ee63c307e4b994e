package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestDefaultMaxNumSeqs checks how many requests a replica runs by default, what the line of the preview gives as the reason, and that a
// given number wins.
func TestDefaultMaxNumSeqs(t *testing.T) {
	gke := func(more keys) keys { return onCloud(CloudGKE, more) }
	for name, test := range map[string]struct {
		cloud string
		given keys
		want  int
		line  []string
	}{
		"the simulator":             {CloudLocal, nil, 16, []string{"16 requests at a time", "the default without GPUs"}},
		"an unknown GPU":            {CloudLocal, nvidia(nil), 16, []string{"is not known"}},
		"a GPU of a known size":     {CloudLocal, nvidia(keys{"gpu.memoryGiB": 24, "model.id": "google/gemma-3-4b-it"}), 64, []string{"KV cache", "of 1024 tokens"}},
		"an unknown model":          {CloudGKE, gke(keys{"model.id": "a/b"}), 16, []string{"is not known"}},
		"a small model":             {CloudGKE, gke(nil), 256, []string{"the most that is chosen", "2048 tokens takes about 73ms", "slo.interToken is 100ms"}},
		"the KV cache":              {CloudGKE, gke(keys{"model.id": "google/gemma-3-4b-it"}), 64, []string{"because its KV cache of 9.7 GiB holds 70 of 1024 tokens", "512 tokens"}},
		"a short context":           {CloudGKE, gke(keys{"model.id": "google/gemma-3-4b-it", "model.maxModelLen": 512}), 128, []string{"of 512 tokens"}},
		"an objective for answers":  {CloudGKE, gke(keys{"slo.interToken": "25ms"}), 200, []string{"more would miss slo.interToken"}},
		"an impossible objective":   {CloudGKE, gke(keys{"model.id": "google/gemma-3-4b-it", "slo.interToken": "10ms"}), 1, []string{"more would miss slo.interToken"}},
		"a given number":            {CloudGKE, gke(keys{"model.maxNumSeqs": 40}), 40, []string{"40 requests at a time", "as the configuration asks for"}},
		"a size that the user gave": {CloudGKE, gke(keys{"model.id": "a/b", "model.size.weightsGiB": 8, "model.size.kvBytesPerToken": 139264}), 64, []string{"KV cache"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.cloud, test.given)
			assert.Equal(t, test.want, c.Model.MaxNumSeqs)
			for _, text := range test.line {
				assert.Contains(t, c.Batch(), text)
			}
			for _, w := range c.Warnings() {
				assert.NotEqual(t, "vllm-autoscaling:model.maxNumSeqs", w.Key, "a default needs no warning: %s", w)
			}
		})
	}
}

// TestColdStart checks the estimate of a start and what follows from it: the time before a replica is removed, and the line of the preview.
func TestColdStart(t *testing.T) {
	for name, test := range map[string]struct {
		cloud         string
		given         keys
		total         time.Duration
		stabilization time.Duration
		line          string
	}{
		"the simulator": {CloudLocal, nil, 150 * time.Second, 15 * time.Minute, "autoscaling keeps 1 to 4 replicas"},
		"GKE":           {CloudGKE, onCloud(CloudGKE, nil), 5*time.Minute + 43*time.Second, 15 * time.Minute, "after about 5m40s (an estimate"},
		"AKS":           {CloudAKS, onCloud(CloudAKS, nil), 7*time.Minute + 43*time.Second, 15 * time.Minute, "minReplicas (1)"},
		"a large model": {CloudAKS, onCloud(CloudAKS, keys{"model.id": "google/gemma-3-27b-it"}), 13*time.Minute + 29*time.Second, 15 * time.Minute, "13m30s"},
		"weights of 100 GiB": {CloudAKS, onCloud(CloudAKS, keys{
			"model.id": "a/b", "model.size.weightsGiB": 100, "model.size.kvBytesPerToken": 1000, "gpu.perReplica": 2,
			"nodePools.gpu.machineType": "Standard_NC48ads_A100_v4", "vllm.startupBudget": "1h", "nodePools.gpu.diskGiB": 200,
		}), 18*time.Minute + 51*time.Second, 19 * time.Minute, "18m50s"},
		"nodes are there": {CloudLocal, nvidia(nil), 2*time.Minute + 43*time.Second, 15 * time.Minute, "2m40s"},
		"a given time": {CloudGKE, onCloud(CloudGKE, keys{"autoscaling.scaleDown.stabilization": "7m"}), 5*time.Minute + 43*time.Second,
			7 * time.Minute, "5m40s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.cloud, test.given)
			if c.GPU.Mode == GPUNvidia {
				assert.Equal(t, test.total, c.ColdStart().Total().Round(time.Second))
			}
			assert.Equal(t, test.stabilization, c.Autoscaling.ScaleDown.Stabilization)
			assert.Contains(t, c.Scaling(), test.line)
		})
	}
}
