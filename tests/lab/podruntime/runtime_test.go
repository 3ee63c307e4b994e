package podruntime

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"vllm-autoscaling/tests/lab/controlplane"
)

func TestServerPodRunsDiesAndEnds(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid")
	pod := serverPod("a", "--model=m", "--max-num-seqs=16", "--dtype=auto")
	pod.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
	}
	r, client, log := startRuntime(t, nil, pod)

	eventuallyReady(t, client, "a")
	assert.Empty(t, r.Failures())
	assert.Contains(t, log.String(), "vllm/a: llm-d-inference-sim serves\n")
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/args")
	assert.Equal(t, 200, code)
	assert.Contains(t, body, `"--model","m","--max-num-seqs=16"`)
	assert.NotContains(t, body, "dtype")
	_, body = get(t, r.PodURL("vllm", "a", 8000)+"/environment")
	assert.Contains(t, body, `"POD_NAME=a"`)
	assert.NotContains(t, body, "PROXY", "nothing of the lab's environment leaks in")
	assert.Equal(t, 5, r.running(t.Context(), pod))
	direct, ok := r.Endpoint("vllm", "a", 8000)
	require.True(t, ok)

	code, _ = get(t, r.PodURL("vllm", "a", 8000)+"/die")
	assert.Equal(t, 502, code)
	eventually(t, func() string {
		if c := containerOf(t, client, "a"); c.RestartCount != 1 || !c.Ready {
			return fmt.Sprintf("not started again: %+v, %s", c, log)
		}
		return ""
	})
	last := containerOf(t, client, "a").LastTerminationState.Terminated
	require.NotNil(t, last)
	assert.EqualValues(t, 3, last.ExitCode)
	assert.Equal(t, "Error", last.Reason)
	assert.False(t, last.FinishedAt.IsZero())
	assert.Equal(t, "told to die\n", logOf(t, r, "a", true))
	again, ok := r.Endpoint("vllm", "a", 8000)
	require.True(t, ok)
	assert.NotEqual(t, direct, again)
	assert.Empty(t, r.Failures(), "a pod that serves again has no failure")
	assert.Contains(t, log.String(), "told to die")

	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if _, ok := r.Endpoint("vllm", "a", 8000); ok {
			return "the runtime still has the pod"
		}
		if conn, err := net.Dial("tcp", again); err == nil {
			_ = conn.Close()
			return "the process still listens"
		}
		return ""
	})
}

func TestPodThatCannotStartSaysWhy(t *testing.T) {
	_, client, log := startRuntime(t, nil, serverPod("a", "--model=m", "--max-num-sequences=16"))
	eventually(t, func() string {
		events := warnings(t, client)
		if len(events) == 0 {
			return "no warning: " + log.String()
		}
		event := events[0]
		assert.Equal(t, "BackOff", event.Reason)
		assert.Contains(t, event.Message, "vllm: error: unrecognized arguments: --max-num-sequences=16")
		assert.Equal(t, types.UID("a-uid"), event.InvolvedObject.UID)
		return ""
	})
	assert.Contains(t, log.String(), "--max-num-sequences")
	assert.False(t, isReady(t, client, "a"))
}

// TestVLLMThatEndsHasALog checks that a pod whose vLLM refuses its configuration is never ready, and has vLLM's words in its log.
func TestVLLMThatEndsHasALog(t *testing.T) {
	r, client, _ := startRuntime(t, nil, serverPod("a", "google/gemma-4-E2B-it", "--max-num-seqs=16"))
	const want = "max_tokens_per_mm_item (2496) is larger than max_num_batched_tokens (2048)"
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 1 || !strings.Contains(f[0].String(), want) {
			return fmt.Sprint(f)
		}
		return ""
	})
	logs, err := filepath.Glob(filepath.Join(r.config.Dir, "pods", "*", "server.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	content, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	assert.Contains(t, string(content), want)
	assert.False(t, isReady(t, client, "a"))
}

// TestContainerWithoutCommand checks that a pod is never ready if one of its containers cannot be started, whether or not the lab runs a
// program for it.
func TestContainerWithoutCommand(t *testing.T) {
	adapter := serverPod("adapter", "--secure-port=10250")
	adapter.Spec.Containers[0].Image = "gcr.io/gke-release/custom-metrics-stackdriver-adapter:v0.16.9-gke.0"
	other := serverPod("other")
	other.Spec.Containers[0].Image = "example.invalid/anything:v1"
	r, client, _ := startRuntime(t, nil, adapter, other)
	eventually(t, func() string {
		f := fmt.Sprint(r.Failures())
		if !strings.Contains(f, "pod vllm/adapter: container \"server\": RunContainerError") ||
			!strings.Contains(f, "pod vllm/other: container \"server\": CreateContainerError: no command specified") {
			return f
		}
		return ""
	})
	assert.False(t, isReady(t, client, "adapter"))
	assert.False(t, isReady(t, client, "other"))
	eventually(t, func() string {
		if events := warnings(t, client); len(events) == 0 || events[0].Reason != "Failed" {
			return fmt.Sprint(events)
		}
		return ""
	})
}

// warnings returns the warnings among the events of the pods.
func warnings(t *testing.T, client *fake.Clientset) []corev1.Event {
	t.Helper()
	events, err := client.CoreV1().Events("vllm").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	return slices.DeleteFunc(events.Items, func(e corev1.Event) bool { return e.Type != corev1.EventTypeWarning })
}

func TestFailuresEndWithTheirCause(t *testing.T) {
	r, client, _ := startRuntime(t, func(c *Config) { c.Tools = nil }, serverPod("a", "--model=m"))
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 1 || !strings.Contains(f[0].String(), "pod vllm/a: container \"server\": the lab was given no file for llm-d-inference-sim") {
			return fmt.Sprint(f)
		}
		return ""
	})
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/metrics")
	assert.Equal(t, 502, code)
	assert.Contains(t, body, "no file for llm-d-inference-sim")
	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 0 {
			return fmt.Sprint(f)
		}
		return ""
	})
}

func TestNothingListensWhileTheModelLoads(t *testing.T) {
	r, client, _ := startRuntime(t, func(c *Config) { c.Start.Weights = time.Hour }, serverPod("a", "--model=m"))
	eventually(t, func() string {
		if r.worker("vllm", "a") == nil {
			return "not seen"
		}
		return ""
	})
	code, body := get(t, r.PodURL("vllm", "a", 8000)+"/metrics")
	assert.Equal(t, 502, code)
	assert.Contains(t, body, "no process serves it (yet)")
	assert.False(t, isReady(t, client, "a"))
}

func TestAPodIsReadyWhenItsModelIsLoaded(t *testing.T) {
	const delay = time.Second
	began := time.Now()
	r, client, _ := startRuntime(t, func(c *Config) { c.Start.Weights = delay }, serverPod("a", "--model=m"))
	eventuallyReady(t, client, "a")
	assert.GreaterOrEqual(t, time.Since(began), delay)
	code, _ := get(t, r.PodURL("vllm", "a", 8000)+"/metrics")
	assert.Equal(t, 200, code)
}

func TestPodWithoutProgramIsReadyAtOnce(t *testing.T) {
	pod := serverPod("grafana")
	pod.Spec.Containers[0].Image = "docker.io/grafana/grafana:13.0.0"
	unbound := serverPod("unbound")
	unbound.Spec.NodeName = ""
	unbound.Spec.Containers[0].Image = "docker.io/grafana/grafana:13.0.0"
	_, client, _ := startRuntime(t, nil, pod, unbound)
	eventuallyReady(t, client, "grafana")
	assert.False(t, isReady(t, client, "unbound"), "a pod without a node has not started")
}

func TestPreStopSleep(t *testing.T) {
	exec := func(command ...string) *corev1.Lifecycle {
		return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}}
	}
	tests := []struct {
		name string
		hook *corev1.Lifecycle
		want time.Duration
	}{
		{"none", nil, 0},
		{"action", &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 15}}}, 15 * time.Second},
		{"command", exec("/bin/sleep", "7"), 7 * time.Second},
		{"shell", exec("sh", "-c", "sleep 2.5"), 2500 * time.Millisecond},
		{"another hook", exec("/bin/drain", "now"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, preStopSleep(&corev1.Container{Lifecycle: tt.hook}))
		})
	}
}

func TestStopEndsEveryProcess(t *testing.T) {
	r, client, _ := startRuntime(t, nil, serverPod("a", "--model=m"), serverPod("b", "--model=m"))
	for _, name := range []string{"a", "b"} {
		eventuallyReady(t, client, name)
	}
	addresses := []string{}
	for _, name := range []string{"a", "b"} {
		at, ok := r.Endpoint("vllm", name, 8000)
		require.True(t, ok)
		addresses = append(addresses, at)
	}
	require.NoError(t, r.Stop())
	require.NoError(t, r.Stop(), "a second time does nothing")
	for _, address := range addresses {
		_, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		assert.Error(t, err, "%s still listens", address)
	}
}

// TestStatusIsWrittenAgain replaces the status of a ready pod, as a stage does that kwok applies late.
func TestStatusIsWrittenAgain(t *testing.T) {
	_, client, _ := startRuntime(t, nil, serverPod("a", "--model=m"))
	eventuallyReady(t, client, "a")
	replace := func(annotations map[string]string) {
		pod, err := client.CoreV1().Pods("vllm").Get(t.Context(), "a", metav1.GetOptions{})
		require.NoError(t, err)
		pod.Annotations = annotations
		for i := range pod.Status.Conditions {
			pod.Status.Conditions[i].Status = corev1.ConditionFalse
		}
		pod.Status.ContainerStatuses[0].Ready = false
		_, err = client.CoreV1().Pods("vllm").Update(t.Context(), pod, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	replace(nil)
	eventuallyReady(t, client, "a")
	replace(map[string]string{controlplane.ReadyAnnotation: "false"})
	assert.Never(t, func() bool { return isReady(t, client, "a") }, 300*time.Millisecond, 50*time.Millisecond, "a test has set it by hand")
}
