package podruntime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"vllm-autoscaling/tests/lab/router"
)

// serverVariable is the variable that runs the test's own binary as a model server, see fakeTool.
const serverVariable = "PODRUNTIME_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// serve runs a model server on the --port of its command line. POST /die ends it with status 3.
func serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/args", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Args[1:]) })
	mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Environ()) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"m\"} 5\n")
	})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "told to die")
		os.Exit(3)
	})
	if err := http.ListenAndServe("127.0.0.1:"+flagValue(os.Args[1:], "port", ""), mux); err != nil { //nolint:gosec // a test's server
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fakeTool writes a program that runs the test's own binary as a model server.
func fakeTool(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "llm-d-inference-sim")
	script := fmt.Sprintf("#!/bin/sh\nexec env %s=1 %q \"$@\"\n", serverVariable, self)
	require.NoError(t, os.WriteFile(file, []byte(script), 0o755)) //nolint:gosec // it must be executable
	return file
}

type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// nameEvents gives each event a name, as an API server does. The fake client does not implement GenerateName.
func nameEvents(client *fake.Clientset) {
	var made atomic.Int32
	client.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		event := action.(clienttesting.CreateAction).GetObject().(*corev1.Event)
		event.Name = fmt.Sprintf("%s%d", event.GenerateName, made.Add(1))
		return false, nil, nil
	})
}

// startRuntime starts a runtime on a fake API server with the objects.
func startRuntime(t *testing.T, change func(*Config), objects ...runtime.Object) (*Runtime, *fake.Clientset, *logged) {
	t.Helper()
	log := &logged{}
	config := Config{
		Dir: t.TempDir(), Log: log, Tools: map[string]string{string(Simulator): fakeTool(t)},
		KubeconfigFor: func(user string) (string, error) { return "/kubeconfig/" + user, nil },
	}
	if change != nil {
		change(&config)
	}
	client := fake.NewClientset(objects...)
	nameEvents(client)
	r := newRuntime(config, client)
	var err error
	r.router, err = router.New(r, log)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Stop()) })
	require.NoError(t, r.Start(t.Context()))
	return r, client, log
}

func eventually(t *testing.T, seen func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = seen(); last == "" {
			return
		}
	}
	require.Failf(t, "not in time", "%s", last)
}

func serverPod(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: name, UID: types.UID(name + "-uid")},
		Spec: corev1.PodSpec{NodeName: "gpu-1", Containers: []corev1.Container{{
			Name: "server", Image: "vllm/vllm-openai:v0.20.0", Args: args,
			Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8000}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpuResource: resource.MustParse("1")}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.7"},
	}
}

// statusOf returns the status of a pod as the API server has it.
func statusOf(t *testing.T, client *fake.Clientset, name string) corev1.PodStatus {
	t.Helper()
	pod, err := client.CoreV1().Pods("vllm").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return pod.Status
}

// containerOf returns the status of a pod's first container, an empty one before it is written.
func containerOf(t *testing.T, client *fake.Clientset, name string) corev1.ContainerStatus {
	t.Helper()
	if status := statusOf(t, client, name); len(status.ContainerStatuses) > 0 {
		return status.ContainerStatuses[0]
	}
	return corev1.ContainerStatus{}
}

// isReady reports whether a pod is ready, and checks that its conditions and containers agree on it.
func isReady(t *testing.T, client *fake.Clientset, name string) bool {
	t.Helper()
	status := statusOf(t, client, name)
	conditions := map[corev1.PodConditionType]bool{}
	for _, c := range status.Conditions {
		conditions[c.Type] = c.Status == corev1.ConditionTrue
	}
	all := len(status.ContainerStatuses) > 0
	for _, c := range status.ContainerStatuses {
		all = all && c.Ready
	}
	assert.Equal(t, all, conditions[corev1.PodReady], "%+v", status)
	assert.Equal(t, all, conditions[corev1.ContainersReady], "%+v", status)
	return all
}

// eventuallyReady waits until a pod is ready.
func eventuallyReady(t *testing.T, client *fake.Clientset, name string) {
	t.Helper()
	eventually(t, func() string {
		if isReady(t, client, name) {
			return ""
		}
		return fmt.Sprintf("%+v", statusOf(t, client, name))
	})
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body.String()
}
