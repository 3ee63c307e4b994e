package podruntime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"vllm-autoscaling/tests/lab/controlplane"
	"vllm-autoscaling/tests/lab/podruntime"
	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// pipeline is a control plane with the pod runtime on it.
type pipeline struct {
	*controlplane.ControlPlane
	pods    *podruntime.Runtime
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	// busy and idle are the two model servers; see deploy.
	busy, idle *corev1.Pod
}

func startPipeline(t *testing.T) *pipeline {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane and every program of the pipeline")
	}
	programs, err := tools.Build(t.Context(), os.Stderr)
	require.NoError(t, err)
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "lab-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("files and logs are kept in %s", dir)
			return
		}
		assert.NoError(t, os.RemoveAll(dir))
	})
	socket := filepath.Join(dir, "egress.sock")
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Dir: filepath.Join(dir, "plane"), Tools: programs, Log: os.Stderr, EgressSocket: socket})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	paths := map[string]string{}
	for _, program := range []podruntime.Program{podruntime.Simulator, podruntime.Operator, podruntime.Prometheus, podruntime.Adapter,
		podruntime.KubeStateMetrics} {
		paths[string(program)] = programs.Path(string(program))
	}
	pods, err := podruntime.New(podruntime.Config{
		REST: plane.Config(), KubeconfigFor: plane.KubeconfigFor, Tools: paths,
		Dir: filepath.Join(dir, "runtime"), EgressSocket: socket, Log: os.Stderr,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pods.Stop()) })
	require.NoError(t, pods.Start(t.Context()))
	client, err := dynamic.NewForConfig(plane.Config())
	require.NoError(t, err)
	return &pipeline{
		ControlPlane: plane, pods: pods, dynamic: client,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(plane.Client().Discovery())),
	}
}

// eventually polls until seen returns "", and fails with its last result when the time is over.
func eventually(t *testing.T, timeout time.Duration, seen func(ctx context.Context) string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if last = seen(t.Context()); last == "" {
			return
		}
	}
	require.Failf(t, "not in time", "after %s: %s", timeout, last)
}

// monitoringKinds are the operator's kinds; it waits for all of them.
var monitoringKinds = map[string][]string{
	"v1":       {"Prometheus", "Alertmanager", "ServiceMonitor", "PodMonitor", "Probe", "PrometheusRule", "ThanosRuler"},
	"v1alpha1": {"PrometheusAgent", "ScrapeConfig", "AlertmanagerConfig"},
}

// createMonitoringKinds defines the operator's kinds without a schema, because the operator validates them itself.
func (p *pipeline) createMonitoringKinds(t *testing.T) {
	t.Helper()
	for version, kinds := range monitoringKinds {
		for _, kind := range kinds {
			plural := strings.ToLower(kind) + "s"
			if kind == "Prometheus" {
				plural = "prometheuses"
			}
			p.create(t, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
				"metadata": map[string]any{"name": plural + ".monitoring.coreos.com"},
				"spec": map[string]any{
					"group": "monitoring.coreos.com", "scope": "Namespaced",
					"names": map[string]any{"kind": kind, "listKind": kind + "List", "plural": plural, "singular": strings.ToLower(kind)},
					"versions": []any{map[string]any{
						"name": version, "served": true, "storage": true,
						"schema":       map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
						"subresources": map[string]any{"status": map[string]any{}},
					}},
				},
			}})
		}
	}
	eventually(t, 20*time.Second, func(context.Context) string {
		p.mapper.Reset()
		for version, kinds := range monitoringKinds {
			for _, kind := range kinds {
				if _, err := p.mapper.RESTMapping(schema.GroupKind{Group: "monitoring.coreos.com", Kind: kind}, version); err != nil {
					return err.Error()
				}
			}
		}
		return ""
	})
}

func (p *pipeline) create(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	gvk := object.GroupVersionKind()
	mapping, err := p.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	require.NoError(t, err)
	var client dynamic.ResourceInterface = p.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = p.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	_, err = client.Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (p *pipeline) createAll(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		p.create(t, object)
	}
}

// query returns a PromQL query's values by the given label, from the Prometheus that the operator created.
func (p *pipeline) query(ctx context.Context, expression, label string) (map[string]string, error) {
	address := p.pods.ServiceURL("monitoring", "prometheus", 9090) + "/api/v1/query?query=" + url.QueryEscape(expression)
	body, err := fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, r := range answer.Data.Result {
		values[r.Metric[label]] = fmt.Sprint(r.Value[1])
	}
	return values, nil
}

func fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", address, resp.Status, body)
	}
	return body, err
}

func (p *pipeline) podsOf(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := p.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// readyPods returns the number of pods of all namespaces, and the names of those that are not ready.
func (p *pipeline) readyPods(ctx context.Context) (count int, unready []string, err error) {
	all, err := p.podsOf(ctx, "", "")
	for i := range all {
		if !isReady(&all[i]) {
			unready = append(unready, all[i].Name)
		}
	}
	return len(all), unready, err
}

// customMetric returns the value of vllm_requests_running for each pod as the HPA controller would get it.
func (p *pipeline) customMetric(ctx context.Context) (map[string]string, error) {
	body, err := p.Client().CoreV1().RESTClient().Get().
		AbsPath("/apis/custom.metrics.k8s.io/v1beta1/namespaces/vllm/pods/*/vllm_requests_running").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	var list struct {
		Items []struct {
			DescribedObject struct{ Name string }
			Value           string
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, item := range list.Items {
		values[item.DescribedObject.Name] = item.Value
	}
	return values, nil
}

// TestPipeline runs every program from pods and shows that load on one of them arrives in the custom
// metrics API and in the GPU series.
func TestPipeline(t *testing.T) {
	p := startPipeline(t)
	p.deploy(t)

	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	answered := p.load(ctx)
	t.Run("load arrives in the custom metrics API", p.loadInMetricsAPI)
	t.Run("load arrives in the GPU series of the pod that holds the GPU", p.loadInGPUSeries)
	t.Run("targets keep their cluster addresses", p.targetsKeepAddresses)
	t.Run("kube-state-metrics sees the pods", p.kubeStateMetricsSeesPods)
	t.Run("a new rule is loaded", p.newRuleIsLoaded)
	t.Run("a program acts as its ServiceAccount", p.programActsAsServiceAccount)
	t.Run("no program can be reached from other machines", func(t *testing.T) {
		exposed, err := process.Exposed()
		require.NoError(t, err)
		assert.Empty(t, exposed)
	})
	assert.Positive(t, answered.Load())
	stopLoad()

	t.Run("a deleted pod finishes what it answers and ends", p.deletedPodFinishes)
}

// deploy adds the nodes and creates the programs' objects, and returns when all pods are ready: the operator, Prometheus,
// kube-state-metrics, the adapter, the exporter and two servers, which are busy and idle.
func (p *pipeline) deploy(t *testing.T) {
	t.Helper()
	require.NoError(t, p.AddNode(t.Context(), controlplane.Node{Name: "system-1"}))
	require.NoError(t, p.AddNode(t.Context(), controlplane.Node{
		Name: "gpu-1", GPUs: 3, Labels: map[string]string{"nvidia.com/gpu.present": "true"},
		Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}},
	}))
	p.createMonitoringKinds(t)
	p.createAll(t, filepath.Join("testdata", "pipeline.yaml"))

	eventually(t, 90*time.Second, func(ctx context.Context) string {
		count, unready, err := p.readyPods(ctx)
		if err != nil || count != 7 || len(unready) > 0 {
			return fmt.Sprintf("%d pods, not ready %v, error %v, failures %v", count, unready, err, p.pods.Failures())
		}
		return ""
	})
	assert.Empty(t, p.pods.Failures())
	servers, err := p.podsOf(t.Context(), "vllm", "app=vllm")
	require.NoError(t, err)
	require.Len(t, servers, 2)
	p.busy, p.idle = &servers[0], &servers[1]
}

// load keeps three requests running on the busy server until the context ends, and counts those that were answered.
func (p *pipeline) load(ctx context.Context) *atomic.Int32 {
	const running = 3
	var answered atomic.Int32
	for range running {
		go func() {
			for ctx.Err() == nil {
				if complete(ctx, p.pods.PodURL("vllm", p.busy.Name, 8000)) == nil {
					answered.Add(1)
				}
			}
		}()
	}
	return &answered
}

func (p *pipeline) loadInMetricsAPI(t *testing.T) {
	eventually(t, 60*time.Second, func(ctx context.Context) string {
		values, err := p.customMetric(ctx)
		if err != nil || values[p.busy.Name] != "3" || values[p.idle.Name] != "0" || len(values) != 2 {
			return fmt.Sprintf("%v, error %v", values, err)
		}
		return ""
	})
}

func (p *pipeline) loadInGPUSeries(t *testing.T) {
	eventually(t, 30*time.Second, func(ctx context.Context) string {
		values, err := p.query(ctx, "DCGM_FI_DEV_GPU_UTIL", "exported_pod")
		if err != nil || values[p.busy.Name] != "94" || values[p.idle.Name] != "0" || values[""] != "0" {
			return fmt.Sprintf("%v, error %v", values, err)
		}
		return ""
	})
	p.pods.SetGPUUtilization(func(pod string, _ int) float64 {
		return map[string]float64{p.busy.Name: 12, p.idle.Name: 34}[pod]
	})
	defer p.pods.SetGPUUtilization(nil)
	eventually(t, 30*time.Second, func(ctx context.Context) string {
		values, err := p.query(ctx, "DCGM_FI_DEV_GPU_UTIL", "exported_pod")
		if err != nil || values[p.busy.Name] != "12" || values[p.idle.Name] != "34" {
			return fmt.Sprintf("%v, error %v", values, err)
		}
		return ""
	})
}

func (p *pipeline) targetsKeepAddresses(t *testing.T) {
	values, err := p.query(t.Context(), `up{job="vllm"}`, "instance")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{p.busy.Status.PodIP + ":8000": "1", p.idle.Status.PodIP + ":8000": "1"}, values)
}

func (p *pipeline) kubeStateMetricsSeesPods(t *testing.T) {
	values, err := p.query(t.Context(), `kube_pod_status_ready{namespace="vllm",condition="true"}`, "pod")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{p.busy.Name: "1", p.idle.Name: "1"}, values)
}

func (p *pipeline) newRuleIsLoaded(t *testing.T) {
	p.create(t, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
		"metadata": map[string]any{"name": "twice", "namespace": "vllm"},
		"spec": map[string]any{"groups": []any{map[string]any{"name": "twice", "rules": []any{
			map[string]any{"record": "twice_running", "expr": "2 * vllm:num_requests_running"},
		}}}},
	}})
	eventually(t, 60*time.Second, func(ctx context.Context) string {
		values, err := p.query(ctx, "twice_running", "pod")
		if err != nil || values[p.busy.Name] != "6" {
			return fmt.Sprintf("%v, error %v, failures %v", values, err, p.pods.Failures())
		}
		return ""
	})
}

func (p *pipeline) programActsAsServiceAccount(t *testing.T) {
	require.NoError(t, p.Client().RbacV1().ClusterRoleBindings().Delete(t.Context(), "adapter", metav1.DeleteOptions{}))
	eventually(t, 30*time.Second, func(ctx context.Context) string {
		values, err := p.customMetric(ctx)
		if err == nil || !strings.Contains(err.Error(), "unable to list matching resources") {
			return fmt.Sprintf("%v, error %v", values, err)
		}
		return ""
	})
}

func (p *pipeline) deletedPodFinishes(t *testing.T) {
	address := p.pods.PodURL("vllm", p.idle.Name, 8000)
	last := make(chan error, 1)
	go func() { last <- complete(t.Context(), address) }()
	eventually(t, 10*time.Second, func(ctx context.Context) string {
		body, err := fetch(ctx, address+"/metrics")
		if err != nil || !strings.Contains(string(body), `vllm:num_requests_running{model_name="google/gemma-3-1b-it"} 1`) {
			return fmt.Sprintf("the request is not seen: %v", err)
		}
		return ""
	})
	direct, ok := p.pods.Endpoint("vllm", p.idle.Name, 8000)
	require.True(t, ok)
	require.NoError(t, p.Client().CoreV1().Pods("vllm").Delete(t.Context(), p.idle.Name, metav1.DeleteOptions{}))
	require.NoError(t, <-last)
	eventually(t, 30*time.Second, func(ctx context.Context) string {
		if _, ok := p.pods.Endpoint("vllm", p.idle.Name, 8000); ok {
			return "the runtime still has the process"
		}
		if _, err := fetch(ctx, "http://"+direct+"/health"); err == nil {
			return "the process still answers"
		}
		return ""
	})
}

// complete sends one chat completion that takes about two seconds.
func complete(ctx context.Context, address string) error {
	body := `{"model":"google/gemma-3-1b-it","messages":[{"role":"user","content":"hello"}],"max_tokens":100,"ignore_eos":true}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, content)
	}
	return err
}
