package engine

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"vllm-autoscaling/tests/lab/podruntime"
)

// TestContainersStart checks every container that the program itself writes: it has a command or an image with an entrypoint, vLLM
// accepts its arguments, its probes ask a port that it has, and its mounts have volumes.
func TestContainersStart(t *testing.T) {
	const l4, a100, h100 = "nvidia-l4", "nvidia-a100-80gb", "nvidia-h100-80gb"
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		gpu   string
	}{
		"simulated":       {"local", nil, ""},
		"local":           {"local", map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token, "apiKey": token}, l4},
		"gke":             {"gke", nil, l4},
		"eks":             {"eks", nil, l4},
		"aks":             {"aks", nil, a100},
		"google-managed":  {"gke", map[string]any{"metrics": managed}, l4},
		"Gemma 3, images": {"gke", map[string]any{"model.id": "google/gemma-3-4b-it"}, l4},
		"Gemma 3, four GPUs": {"eks", map[string]any{
			"model.id": "google/gemma-3-27b-it", "gpu.perReplica": 4, "nodePools.gpu.machineType": "g6.12xlarge",
		}, l4},
		"Gemma 4 on an L4":           {"gke", map[string]any{"model.id": "google/gemma-4-E4B-it"}, l4},
		"Gemma 4 on an A100":         {"aks", map[string]any{"model.id": "google/gemma-4-31B-it"}, a100},
		"Gemma 4 on an H100":         {"gke", map[string]any{"model.id": "google/gemma-4-26B-A4B-it", "nodePools.gpu.accelerator": h100, "nodePools.gpu.spot": true}, h100},
		"a revision":                 {"gke", map[string]any{"model.revision": "main"}, l4},
		"more requests than a batch": {"gke", map[string]any{"model.maxModelLen": 256, "model.maxNumSeqs": 2100}, l4},
		"the user's number of tokens": {"gke", map[string]any{
			"model.id": "google/gemma-4-E4B-it", "model.extraArgs": []any{"--max_num_batched_tokens", "3K"},
		}, l4},
	} {
		t.Run(name, func(t *testing.T) {
			var s *stack
			if test.cloud == "local" {
				s = newStack(t, test.cloud, test.keys)
				s.up()
			} else {
				created := newCloudStack(t, test.cloud, test.keys)
				created.deploy()
				s = created.stack
			}
			found := 0
			for _, r := range s.resources() {
				content, err := json.Marshal(r.Inputs["spec"])
				require.NoError(t, err)
				var workload struct{ Template corev1.PodTemplateSpec }
				if json.Unmarshal(content, &workload) != nil || len(workload.Template.Spec.Containers) == 0 {
					continue // Not a workload.
				}
				pod := workload.Template.Spec
				for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
					found++
					require.NoError(t, podruntime.CheckContainer(&container, test.gpu), "%s: %s %v", r.URN, container.Name, container.Args)
					checkPorts(t, &container)
					for _, mount := range container.VolumeMounts {
						assert.True(t, slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }), "%s: %s", r.URN, mount.Name)
					}
				}
			}
			assert.Positive(t, found)
		})
	}
}

// checkPorts checks that the probes of a container ask one of its ports.
func checkPorts(t *testing.T, container *corev1.Container) {
	t.Helper()
	for name, probe := range map[string]*corev1.Probe{
		"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe,
	} {
		if !assert.NotNil(t, probe, "%s has no %s probe", container.Name, name) || !assert.NotNil(t, probe.HTTPGet, name) {
			continue
		}
		port := probe.HTTPGet.Port
		assert.True(t, slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool {
			return p.Name == port.StrVal || port.Type == intstr.Int && strconv.Itoa(int(p.ContainerPort)) == port.String()
		}), "%s: the %s probe asks %s", container.Name, name, port.String())
	}
}
