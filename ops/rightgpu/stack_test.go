package rightgpu

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/stacks/config"
)

// required are the keys that a stack of each cloud needs.
var required = map[string]map[string]any{
	config.CloudGKE:   {"gke": map[string]any{"project": "my-project", "location": "us-central1-a"}},
	config.CloudEKS:   {"eks": map[string]any{"region": "us-east-1", "zones": []string{"us-east-1a", "us-east-1b"}}},
	config.CloudAKS:   {"aks": map[string]any{"location": "eastus"}},
	config.CloudLocal: {"cluster": map[string]any{"context": "kind"}},
}

// stackOf returns the source of a stack with further assignments KEY=VALUE.
func stackOf(t *testing.T, cloud string, assignments ...string) config.Source {
	t.Helper()
	source := config.Source{Project: project.Name, Stack: cloud, Values: map[string]string{"pulumi:disable-default-providers": `["*"]`}}
	source.Secret = func(key string) bool { return key == project.Name+":huggingFaceToken" }
	keys := map[string]any{"huggingFaceToken": "hf_token"}
	if cloud != config.CloudLocal {
		keys["cluster"] = map[string]any{"apiAccessCidrs": []string{"1.2.3.4/32"}}
	}
	for key, value := range required[cloud] {
		keys[key] = value
	}
	for key, value := range keys {
		text, ok := value.(string)
		if !ok {
			content, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(content)
		}
		source.Values[project.Name+":"+key] = text
	}
	for _, assignment := range assignments {
		require.NoError(t, project.Set(&source, assignment))
	}
	return source
}

// newestImage is an image of the server for every model of the catalogue.
const newestImage = "vllm/vllm-openai:v0.24.0-cu129"

// comparisonOf returns the comparison for a model on a cloud, from a stack of some machine type that the model fits.
func comparisonOf(t *testing.T, cloud, model string, overrides cost.Overrides) *comparison {
	t.Helper()
	found, ok := config.FindCloud(cloud)
	require.True(t, ok)
	for _, machine := range found.Machines.Machines {
		for _, gpus := range perReplica {
			source := stackOf(t, cloud, "model.id="+model, "vllm.image="+newestImage, "nodePools.gpu.diskGiB=200",
				keyMachineType+"="+machine.Type, fmt.Sprintf("%s=%d", keyPerReplica, gpus))
			if all := newComparisons(source, overrides); len(all) > 0 {
				return all[0]
			}
		}
	}
	require.Fail(t, "no machine type fits", "%s on %s", model, cloud)
	return nil
}
