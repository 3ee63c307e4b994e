package engine

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/outputs"
)

// onServers are the keys of a stack on GPUs of which a server has everything that it may have.
var onServers = map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token, "apiKey": secret("key-of-clients")}

// chatAndCode are two servers on the GPU pool of gke, with what differs between servers.
func chatAndCode() map[string]any {
	return map[string]any{
		"chat": map[string]any{
			"model": map[string]any{"id": "google/gemma-3-4b-it"}, "autoscaling": map[string]any{"maxReplicas": 3},
			"vllm": map[string]any{"clientNamespaces": []any{"web"}}, "slo": map[string]any{"ttft": "1s"},
		},
		"code": map[string]any{
			"autoscaling": map[string]any{"maxReplicas": 2, "signals": map[string]any{"gpuUtilization": map[string]any{"waitingRequests": 4}}},
		},
	}
}

// TestServersGoldenPreview compares the first preview of a stack of two servers with testdata; see TestGoldenPreviews.
func TestServersGoldenPreview(t *testing.T) {
	compareWithGolden(t, "gke-servers", newCloudStack(t, "gke", map[string]any{"servers": chatAndCode()}).rendered())
}

// serverObjects are what a server of a stack with onServers has of its own, by kind and name.
func serverObjects(name string) []string {
	return []string{
		"VLLM " + name, "ServiceAccount " + name, "Secret " + name + "-hf-token", "Secret " + name + "-api-key", "NetworkPolicy " + name,
		"ConfigMap " + name + "-request-guard", "Deployment " + name, "Service " + name, "PodDisruptionBudget " + name, "ServiceMonitor " + name,
		"Autoscaler autoscaler-" + name, "HorizontalPodAutoscaler " + name, "Rollout rollout-" + name,
		"ConfigMap vllm-dashboard-serving-" + name, "ConfigMap vllm-dashboard-autoscaling-" + name,
	}
}

// each puts an operation before objects.
func each(op string, objects []string) []string {
	var all []string
	for _, object := range objects {
		all = append(all, op+" "+object)
	}
	return all
}

// A server called vllm is that of a stack of one: only the form of the outputs differs.
func TestMovingToServersChangesNothing(t *testing.T) {
	for name, newStack := range map[string]func(t *testing.T) *stack{
		"local": func(t *testing.T) *stack { t.Helper(); return newStack(t, "local", onServers) },
		"gke":   func(t *testing.T) *stack { t.Helper(); return newCloudStack(t, "gke", nil).stack },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.set("model.id", "google/gemma-3-4b-it")
			s.set("autoscaling.maxReplicas", 3)
			s.up()
			before, root := s.inputs(), project+"-"+s.name
			assert.Contains(t, s.find("Stack", root).Outputs, resource.PropertyKey("hpaName"))

			delete(s.keys, "model.id")
			delete(s.keys, "autoscaling.maxReplicas")
			s.set("servers", map[string]any{"vllm": map[string]any{
				"model": map[string]any{"id": "google/gemma-3-4b-it"}, "autoscaling": map[string]any{"maxReplicas": 3},
			}})
			assert.Empty(t, s.up().changes())
			assert.Equal(t, before, s.inputs())
			moved := s.find("Stack", root).Outputs
			assert.NotContains(t, moved, resource.PropertyKey("hpaName"))
			assert.Equal(t, "vllm", text(moved, "servers.vllm.hpaName"))

			delete(s.keys, "servers")
			s.set("model.id", "google/gemma-3-4b-it")
			s.set("autoscaling.maxReplicas", 3)
			assert.Empty(t, s.up().changes(), "and back")
			assert.Contains(t, s.find("Stack", root).Outputs, resource.PropertyKey("hpaName"))
		})
	}
}

// A further server changes what watches and shows all of them, and nothing of the first. Without it, everything is as before.
func TestAddingAndRemovingAServer(t *testing.T) {
	s := newStack(t, "local", onServers)
	s.up()
	alone := s.cluster.remaining()
	// The alerts and the dashboards select the pods of their server once there is another.
	shared := []string{"update PrometheusRule vllm-alerts", "update ConfigMap vllm-dashboard-serving", "update ConfigMap vllm-dashboard-autoscaling"}

	s.set("servers", map[string]any{"vllm": nil, "code": map[string]any{"autoscaling": map[string]any{"maxReplicas": 2}}})
	before := s.inputs()
	assert.ElementsMatch(t, slices.Concat(each("create", serverObjects("code")), shared), s.up().changes())
	for urn, inputs := range s.inputs() {
		object := string(resource.URN(urn).Type().Name()) + " " + resource.URN(urn).Name()
		if _, there := before[urn]; there && !slices.Contains(shared, "update "+object) {
			assert.Equal(t, before[urn], inputs, urn)
		}
	}
	assert.Empty(t, s.up().changes(), "and then everything is the same again")

	t.Run("what only one server sets", func(t *testing.T) {
		s.set("servers", map[string]any{"vllm": nil, "code": map[string]any{"autoscaling": map[string]any{"maxReplicas": 3}}})
		assert.Equal(t, []string{"update HorizontalPodAutoscaler code"}, s.up().changes())
		s.set("servers", map[string]any{"vllm": nil, "code": map[string]any{
			"autoscaling": map[string]any{"maxReplicas": 3, "signals": map[string]any{"gpuUtilization": map[string]any{"waitingRequests": 4}}},
		}})
		assert.Equal(t, []string{"update PrometheusRule vllm-signals"}, s.up().changes(), "a guard of its own")
	})
	t.Run("another name", func(t *testing.T) {
		servers := maps.Clone(s.keys["servers"].(map[string]any))
		servers["coder"] = servers["code"]
		delete(servers, "code")
		s.set("servers", servers)
		changes := s.up().changes()
		// The selectors of the dashboards name their own server only.
		assert.ElementsMatch(t, slices.Concat(each("create", serverObjects("coder")), each("delete", serverObjects("code")),
			[]string{"update PrometheusRule vllm-alerts", "update PrometheusRule vllm-signals"}), changes)
		assert.Less(t, position(t, changes, "create HorizontalPodAutoscaler coder"), position(t, changes, "delete Deployment code"))
	})

	delete(s.keys, "servers")
	assert.ElementsMatch(t, slices.Concat(each("delete", serverObjects("coder")), shared, []string{"update PrometheusRule vllm-signals"}), s.up().changes())
	assert.Equal(t, alone, s.cluster.remaining())
	s.destroy()
	assert.Empty(t, s.cluster.remaining())
}

// A further server on the pool of a cloud raises the most nodes that the pool may have, in place.
func TestAddingAServerToAPool(t *testing.T) {
	s := newCloudStack(t, "gke", nil)
	s.deploy()
	nodes := func() float64 {
		most, ok := at(s.find("NodePool", "cluster-gpu").Inputs, "autoscaling.totalMaxNodeCount")
		require.True(t, ok)
		return most.NumberValue()
	}
	before := nodes()
	s.set("servers", map[string]any{"vllm": nil, "code": nil})
	changes := s.up().changes()
	assert.Contains(t, changes, "update NodePool cluster-gpu")
	assert.Contains(t, changes, "create Deployment code")
	for _, change := range changes {
		op, object, _ := strings.Cut(change, " ")
		assert.NotContains(t, []string{"delete", "replace", "create-replacement", "delete-replaced"}, op, change)
		assert.NotContains(t, []string{"Deployment vllm", "HorizontalPodAutoscaler vllm", "Service vllm", "Secret vllm-hf-token"}, object, change)
	}
	assert.Greater(t, nodes(), before)
	s.destroy()
	assert.Empty(t, s.cloud.remaining())
}

// Another name for the only server is another server on the same pipeline.
func TestReplacingTheOnlyServer(t *testing.T) {
	s := newStack(t, "local", onServers)
	s.up()
	s.set("servers", map[string]any{"chat": nil})
	var updated, created []string
	for _, change := range s.up().changes() {
		op, object, _ := strings.Cut(change, " ")
		switch op {
		case "update":
			updated = append(updated, object)
		case "create":
			created = append(created, object)
		default:
			assert.Equal(t, "delete", op, change)
		}
	}
	assert.ElementsMatch(t, serverObjects("chat"), created)
	assert.Equal(t, []string{"PrometheusRule vllm-alerts"}, updated)
	assert.Empty(t, s.up().changes())

	s.set("servers", map[string]any{"chat": nil, "code": nil})
	for _, change := range s.up().changes() {
		assert.NotContains(t, change, "delete", "the objects of chat keep their names")
	}
}

func TestOutputsOfServers(t *testing.T) {
	s := newStack(t, "local", map[string]any{"servers": map[string]any{
		"chat": map[string]any{"model": map[string]any{"id": "google/gemma-3-4b-it"}, "vllm": map[string]any{"port": 9000}}, "code": nil,
	}})
	s.up()
	assert.Contains(t, s.said.String(), "server chat: ")
	plain := s.find("Stack", project+"-local").Outputs.Mappable()
	for _, key := range []string{"apiUrl", "apiPortForward", "hpaName", outputs.PipelineKey} {
		assert.NotContains(t, plain, key, "of one server")
	}
	assert.Contains(t, plain, "grafanaPortForward")
	forward := "kubectl --kubeconfig " + s.kubeconfig + " --context kind-test --namespace vllm port-forward service/"
	assert.Equal(t, map[string]any{
		"chat": map[string]any{"apiUrl": "http://chat.vllm.svc:9000", "apiPortForward": forward + "chat 8000:9000", "hpaName": "chat", "model": "google/gemma-3-4b-it"},
		"code": map[string]any{"apiUrl": "http://code.vllm.svc:8000", "apiPortForward": forward + "code 8000:8000", "hpaName": "code", "model": "google/gemma-3-1b-it"},
	}, plain["servers"])

	written, err := json.Marshal(plain[outputs.PipelinesKey])
	require.NoError(t, err)
	var pipelines map[string]outputs.Pipeline
	require.NoError(t, json.Unmarshal(written, &pipelines))
	require.Equal(t, []string{"chat", "code"}, slices.Sorted(maps.Keys(pipelines)))
	want := defaultPipeline(4)
	want.Kubeconfig, want.Context, want.GPUMetrics = s.kubeconfig, "kind-test", "simulated"
	want.Rules = append([]string{"DCGM_FI_DEV_GPU_UTIL"}, want.Rules...)
	want.Serving.Deployment, want.Serving.Service, want.Serving.HPA = "code", "code", "code"
	want.Serving.Others = []string{"chat"}
	want.Signals = slices.Clone(want.Signals)
	for i := range want.Signals {
		want.Signals[i].Query = strings.Replace(want.Signals[i].Query, `{namespace="vllm"}`, `{namespace="vllm",pod=~"code-[a-z0-9]+-[a-z0-9]+"}`, 1)
	}
	assert.Equal(t, want, pipelines["code"])
	assert.Equal(t, 9000, pipelines["chat"].Serving.Port)
}
