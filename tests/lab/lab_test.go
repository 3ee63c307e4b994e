package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/tests/lab/controlplane"
)

// eventually polls until seen returns "", and fails with its last result when the time is over.
func eventually(t *testing.T, timeout time.Duration, seen func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = seen(); last == "" {
			return
		}
	}
	require.Failf(t, "not in time", "after %s: %s", timeout, last)
}

// deployment returns a Deployment with one container and that many GPUs.
func deployment(name, image string, gpus int64) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	container := corev1.Container{Name: "main", Image: image}
	spec := corev1.PodSpec{}
	if gpus > 0 {
		container.Resources.Limits = corev1.ResourceList{controlplane.GPUResource: *resource.NewQuantity(gpus, resource.DecimalSI)}
		spec.Tolerations = []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		spec.NodeSelector = map[string]string{"nvidia.com/gpu.present": "true"}
	}
	spec.Containers = []corev1.Container{container}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
	}}
}

func deploy(t *testing.T, l *Lab, d *appsv1.Deployment) {
	t.Helper()
	_, err := l.Client().AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{})
	require.NoError(t, err)
}

func waitReady(t *testing.T, l *Lab, name string) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		d, err := l.Client().AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		if d.Status.ReadyReplicas == 1 {
			return ""
		}
		return fmt.Sprintf("%+v; failures: %v", d.Status, l.Failures())
	})
}

// processesNaming lists the processes that have the folder in their command line.
func processesNaming(t *testing.T, dir string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil || entry.Name() == strconv.Itoa(os.Getpid()) {
			continue
		}
		if line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline"); err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, entry.Name()+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// forwardsFollowPods checks that each ready pod gets a forward, which carries requests, does not break off an answer when
// its pod is deleted, and is reopened when it breaks.
func forwardsFollowPods(t *testing.T, l *Lab) {
	forwards, err := portforward.Follow(t.Context(), portforward.Options{
		Config: l.Config(), Namespace: "default", Selector: "app=model", Port: 8000, Log: t.Logf,
	})
	require.NoError(t, err)
	defer forwards.Stop()
	scale := func(n int32) {
		_, err := l.Client().AppsV1().Deployments("default").Patch(t.Context(), "model", types.MergePatchType,
			fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	open := func(n int) []portforward.Pod {
		var pods []portforward.Pod
		eventually(t, 60*time.Second, func() string {
			if pods = forwards.Pods(); len(pods) == n {
				return ""
			}
			return fmt.Sprintf("%d pods wanted, forwards to %v; failures: %v", n, pods, l.Failures())
		})
		return pods
	}
	get := func(url string) (string, error) {
		response, err := http.Get(url)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	open(1)
	require.NoError(t, l.AddGPUNodes(t.Context(), 1, 1))
	scale(2)
	pods := open(2)
	assert.NotEqual(t, pods[0].URL, pods[1].URL)
	for _, pod := range pods {
		metrics, err := get(pod.URL + "/metrics")
		require.NoError(t, err)
		assert.Contains(t, metrics, "vllm:num_requests_running")
	}
	// Many requests at once use one forward.
	results := make(chan error, 40)
	for range cap(results) {
		go func() { _, err := get(pods[0].URL + "/v1/models"); results <- err }()
	}
	for range cap(results) {
		require.NoError(t, <-results)
	}
	scale(1)
	left := open(1)
	eventually(t, 30*time.Second, func() string {
		for _, pod := range pods {
			if pod.Name == left[0].Name {
				continue
			}
			if _, err := get(pod.URL + "/health"); err == nil {
				return "the forward to the deleted pod " + pod.Name + " is still open"
			}
		}
		return ""
	})
	_, err = portforward.Follow(t.Context(), portforward.Options{Config: l.Config(), Namespace: "default", Port: 8000})
	require.ErrorContains(t, err, "the selector is empty")
}

func TestLab(t *testing.T) {
	l, err := Start(t.Context(), Options{Log: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Stop()) })

	t.Run("a pod without a program becomes ready", func(t *testing.T) {
		anything := deployment("anything", "example.invalid/anything:v1", 0)
		anything.Spec.Template.Spec.Containers[0].Command = []string{"/anything"}
		deploy(t, l, anything)
		waitReady(t, l, "anything")
	})

	t.Run("a model server runs on a GPU node as a real process", func(t *testing.T) { modelServerRuns(t, l) })
	t.Run("port-forwards go through the API server to every ready pod", func(t *testing.T) { forwardsFollowPods(t, l) })
	t.Run("remaining objects are listed, CRDs apart", func(t *testing.T) { leftoversAreListed(t, l) })

	t.Run("Metric fails without a Prometheus", func(t *testing.T) {
		_, err := l.Metric(t.Context(), "up")
		require.ErrorContains(t, err, "no ready Prometheus")
	})
	t.Run("nothing is left after Stop", func(t *testing.T) { stopLeavesNothing(t, l) })
}

// modelServerRuns checks that a model server starts with its GPU node and responds.
func modelServerRuns(t *testing.T, l *Lab) {
	d := deployment("model", "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2", 1)
	d.Spec.Template.Spec.Containers[0].Args = []string{"--model", "google/gemma-3-1b-it", "--port", "8000"}
	d.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}}
	deploy(t, l, d)
	time.Sleep(2 * time.Second) // longer than it takes with a node
	urls, err := l.ReadyPodURLs(t.Context(), "default", "app=model", 8000)
	require.NoError(t, err)
	assert.Empty(t, urls, "there is no GPU yet")
	require.NoError(t, l.AddGPUNodes(t.Context(), 1, 1))
	waitReady(t, l, "model")
	urls, err = l.ReadyPodURLs(t.Context(), "default", "app=model", 8000)
	require.NoError(t, err)
	require.Len(t, urls, 1)
	response, err := http.Get(urls[0] + "/health")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
}

// leftoversAreListed checks that remaining objects are listed, with CRDs apart.
func leftoversAreListed(t *testing.T, l *Lab) {
	remove := func(name string) {
		require.NoError(t, l.Client().AppsV1().Deployments("default").Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	remove("anything")
	remove("model")
	left, err := l.Leftovers(t.Context())
	require.NoError(t, err)
	require.Empty(t, left.Objects)
	require.Empty(t, left.CRDs)

	_, err = l.Client().CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "forgotten"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.Client().CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}},
		metav1.CreateOptions{})
	require.NoError(t, err)
	createCRD(t, l)
	left, err = l.leftovers(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Object{
		{Kind: "ConfigMap", Namespace: "kube-system", Name: "hidden"},
		{Kind: "Namespace", Name: "forgotten"},
	}, left.Objects)
	assert.Equal(t, []string{"widgets.example.invalid"}, left.CRDs)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, l.DeleteCRDs(ctx, left.CRDs))
	require.NoError(t, l.Client().CoreV1().Namespaces().Delete(ctx, "forgotten", metav1.DeleteOptions{}))
	require.NoError(t, l.Client().CoreV1().ConfigMaps("kube-system").Delete(ctx, "hidden", metav1.DeleteOptions{}))
	left, err = l.Leftovers(t.Context())
	require.NoError(t, err)
	assert.Empty(t, left.Objects)
	assert.Empty(t, left.CRDs)
}

// stopLeavesNothing checks that Stop ends all processes and removes all files.
func stopLeavesNothing(t *testing.T, l *Lab) {
	require.NotEmpty(t, processesNaming(t, l.Dir()))
	// A command of the CLI is still working.
	project := trivialProject(t)
	s, err := l.Stack(t.Context(), StackOptions{Name: "local", ProjectDir: project, Config: map[string]any{"sleep": "600s"}})
	require.NoError(t, err)
	up, err := s.StartUp(t.Context(), "--skip-preview")
	require.NoError(t, err)
	require.NoError(t, l.Stop())
	<-up.Done()
	assert.Empty(t, processesNaming(t, l.Dir()))
	assert.NoDirExists(t, l.Dir())
	assert.NoError(t, l.Stop(), "a second time does nothing")
}

func createCRD(t *testing.T, l *Lab) {
	t.Helper()
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.example.invalid"},
		"spec": map[string]any{
			"group": "example.invalid", "scope": "Namespaced",
			"names": map[string]any{"plural": "widgets", "singular": "widget", "kind": "Widget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}}}},
		},
	}}
	_, err = client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).
		Create(t.Context(), definition, metav1.CreateOptions{})
	require.NoError(t, err)
}

func TestStartRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mine")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o644))
	_, err := newFolder(dir)
	require.ErrorContains(t, err, "not empty")
	assert.FileExists(t, file)
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	ctx, cancel := context.WithCancel(t.Context())
	programs, err := BuildTools(ctx, os.Stderr)
	require.NoError(t, err)
	time.AfterFunc(time.Second, cancel) // in the middle of the start
	_, err = Start(ctx, Options{Dir: dir, Tools: programs})
	require.ErrorIs(t, err, context.Canceled)
	assert.NoDirExists(t, dir)
	assert.Empty(t, processesNaming(t, dir))
}
