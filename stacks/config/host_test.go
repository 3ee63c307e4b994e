package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config/models"
)

// TestHostDefaults checks the CPUs and the main memory of a replica by model, flags, number of GPUs and machine type.
func TestHostDefaults(t *testing.T) {
	gke := func(more keys) keys {
		given := keys{"model.id": "google/gemma-3-4b-it"}
		maps.Copy(given, more)
		return onCloud(CloudGKE, given)
	}
	extra := func(args ...any) keys { return keys{"model.extraArgs": args} }
	eight := keys{"nodePools.gpu.machineType": "g2-standard-8"}
	unknown := keys{"nodePools.gpu.machineType": "g99.large", "nodePools.gpu.accelerator": "nvidia-l4", "nodePools.gpu.gpusPerNode": 1}
	mixed := func(alternative string) keys {
		return onCloud(CloudEKS, keys{"nodePools.gpu.machineType": "g6.4xlarge", "eks.alternativeInstanceTypes": []any{alternative}})
	}
	with := func(all ...keys) keys {
		given := keys{}
		for _, more := range all {
			maps.Copy(given, more)
		}
		return given
	}
	for name, test := range map[string]struct {
		cloud            string
		given            keys
		cpu, memory, shm Quantity
		cache            float64
	}{
		"text":                      {CloudGKE, onCloud(CloudGKE, nil), "2", "10Gi", "1Gi", 0},
		"images":                    {CloudGKE, gke(nil), "2", "12Gi", "1Gi", 1},
		"images without a cache":    {CloudGKE, gke(extra("--mm-processor-cache-gb=0")), "2", "11Gi", "1Gi", 1},
		"a larger cache":            {CloudGKE, gke(with(eight, extra("--mm-processor-cache-gb", "4"))), "5", "21Gi", "1Gi", 1},
		"a cache in shared memory":  {CloudGKE, gke(with(eight, extra("--mm-processor-cache-type=shm"))), "5", "21Gi", "2Gi", 1},
		"images excluded":           {CloudGKE, gke(extra("--language-model-only", "--mm-processor-cache-type=shm")), "2", "10Gi", "1Gi", 0},
		"another /dev/shm":          {CloudGKE, onCloud(CloudGKE, with(eight, keys{"vllm.shm": "6Gi"})), "5", "15Gi", "6Gi", 0},
		"files in the page cache":   {CloudGKE, gke(eight), "5", "21Gi", "1Gi", 1},
		"four GPUs":                 {CloudGKE, gke(keys{"gpu.perReplica": 4}), "12", "37Gi", "3Gi", 1},
		"one of four GPUs":          {CloudGKE, gke(keys{"nodePools.gpu.machineType": "g2-standard-48"}), "6", "21Gi", "1Gi", 1},
		"GPU nodes that are there":  {CloudGKE, attached(CloudGKE, keys{"model.id": "google/gemma-3-4b-it", "nodePools.gpu.create": false}), "2", "12Gi", "1Gi", 1},
		"an unknown machine type":   {CloudEKS, onCloud(CloudEKS, unknown), "2", "10Gi", "1Gi", 0},
		"a smaller alternative":     {CloudEKS, mixed("g6.xlarge"), "2", "10Gi", "1Gi", 0},
		"an unknown alternative":    {CloudEKS, mixed("g99.large"), "2", "10Gi", "1Gi", 0},
		"a large model":             {CloudAKS, onCloud(CloudAKS, keys{"model.id": "google/gemma-3-27b-it"}), "6", "65Gi", "1Gi", 1},
		"GPUs of one's own":         {CloudLocal, nvidia(keys{"gpu.perReplica": 2}), "2", "16Gi", "2Gi", 0},
		"an unknown model":          {CloudLocal, nvidia(keys{"model.id": "a/b"}), "2", "10Gi", "1Gi", 0},
		"the simulator":             {CloudLocal, keys{"model.id": "google/gemma-3-4b-it"}, "500m", "1Gi", "64Mi", 0},
		"simulated, with /dev/shm":  {CloudLocal, keys{"vllm.shm": "2Gi"}, "500m", "3Gi", "2Gi", 0},
		"nothing of it the default": {CloudGKE, gke(keys{"vllm.cpu": 3, "vllm.memory": "11Gi", "vllm.shm": "500Mi"}), "3", "11Gi", "500Mi", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.cloud, test.given)
			assert.Equal(t, []Quantity{test.cpu, test.memory, test.shm}, []Quantity{c.VLLM.CPU, c.VLLM.Memory, c.VLLM.Shm})
			assert.InDelta(t, test.cache, c.ProcessorCacheGiB(), 0)
		})
	}
}

// TestHostDefaultsFitEveryMachine compares the defaults with requests of 2 CPUs, and of 10Gi with 2Gi more for images and 4Gi for each
// further GPU, which every machine of the catalogues held: with each model, a stack that was accepted with them is accepted with the
// defaults, with no other warning, and a node carries no fewer replicas.
func TestHostDefaultsFitEveryMachine(t *testing.T) {
	compared := map[string]int{}
	for _, cloud := range clouds {
		for _, machine := range cloud.Machines.Machines {
			for _, model := range append(models.All(), models.Model{IDs: []string{"a/b"}}) {
				for gpus := 1; gpus <= machine.GPUs; gpus *= 2 {
					given := keys{
						"model.id": model.IDs[0], "nodePools.gpu.machineType": machine.Type, "gpu.perReplica": gpus, "vllm.image": "vllm/vllm-openai:v0.24.0",
						"nodePools.gpu.spot": strings.HasPrefix(machine.Type, "a3-"), // Some of them are not offered otherwise.
					}
					before := maps.Clone(given)
					before["vllm.cpu"], before["vllm.shm"] = 2, "2Gi"
					before["vllm.memory"] = fmt.Sprintf("%dGi", 10+4*(gpus-1)+choose(model.Multimodal, 2, 0))
					old, err := Read(source(t, cloud.Name, onCloud(cloud.Name, before)))
					if err != nil {
						continue // The model does not fit the GPUs.
					}
					compared[cloud.Name]++
					c, err := Read(source(t, cloud.Name, onCloud(cloud.Name, given)))
					require.NoError(t, err)
					about := fmt.Sprintf("%s with %d GPUs on %s: %s CPUs and %s", c.Model.ID, gpus, machine.Type, c.VLLM.CPU, c.VLLM.Memory)
					assert.Equal(t, warned(old), warned(c), about)
					assert.GreaterOrEqual(t, c.ReplicasPerNode(), old.ReplicasPerNode(), about)
				}
			}
		}
	}
	for _, cloud := range []string{CloudGKE, CloudEKS, CloudAKS} {
		assert.Greater(t, compared[cloud], 50, cloud)
	}
	t.Log(compared)
}

// warned lists the keys of the warnings.
func warned(c *Config) []string {
	var warned []string
	for _, warning := range c.Warnings() {
		warned = append(warned, warning.Key)
	}
	slices.Sort(warned)
	return warned
}
