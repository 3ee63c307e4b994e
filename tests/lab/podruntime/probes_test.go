package podruntime

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
)

// logOf returns what the container of a pod has written in its current or previous run.
func logOf(t *testing.T, r *Runtime, pod string, previous bool) string {
	t.Helper()
	log, err := r.Log("vllm", pod, "server", previous)
	require.NoError(t, err)
	defer func() { assert.NoError(t, log.Close()) }()
	content, err := io.ReadAll(log)
	require.NoError(t, err)
	return string(content)
}

// probe returns a probe of the server's health each second.
func probe(failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromString("http")}},
		PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: failures,
	}
}

// probedPod returns a server that ends soon after SIGTERM, with these probes.
func probedPod(startup, readiness, liveness *corev1.Probe) *corev1.Pod {
	pod := serverPod("a", "--model=m")
	grace := int64(1)
	pod.Spec.TerminationGracePeriodSeconds = &grace
	c := &pod.Spec.Containers[0]
	c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = startup, readiness, liveness
	c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	return pod
}

// eventOf returns the first Event with a reason and a text, nil for none.
func eventOf(t *testing.T, client *fake.Clientset, reason, text string) *corev1.Event {
	t.Helper()
	list, err := client.CoreV1().Events("vllm").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Message, text) {
			return &list.Items[i]
		}
	}
	return nil
}

func TestHungServerIsUnreadyAndRestarted(t *testing.T) {
	r, client, log := startRuntime(t, nil, probedPod(probe(5), probe(2), probe(4)))
	eventuallyReady(t, client, "a")
	began := time.Now()
	_, err := r.Fault("vllm", "a", Fault{Hang: true})
	require.NoError(t, err)
	_, err = r.Fault("vllm", "a", Fault{Status: 500})
	require.ErrorContains(t, err, "has a fault already")

	eventually(t, func() string {
		if isReady(t, client, "a") {
			return "still ready: " + log.String()
		}
		return ""
	})
	assert.Greater(t, time.Since(began), time.Second, "after two failures in a row")
	assert.Zero(t, containerOf(t, client, "a").RestartCount, "unready before it is restarted")
	eventually(t, func() string {
		if c := containerOf(t, client, "a"); c.RestartCount != 1 || !c.Ready {
			return fmt.Sprintf("%+v, %s", c, log)
		}
		return ""
	})
	c := containerOf(t, client, "a")
	last := c.LastTerminationState.Terminated
	require.NotNil(t, last)
	assert.EqualValues(t, 137, last.ExitCode, "a stopped process is killed after its grace period")
	assert.True(t, *c.Started)
	assert.False(t, last.StartedAt.IsZero())
	assert.Empty(t, r.Failures())

	unhealthy := eventOf(t, client, "Unhealthy", "Readiness probe failed: Get \"http://10.244.0.7:8000/health\": context deadline exceeded")
	require.NotNil(t, unhealthy)
	assert.Greater(t, unhealthy.Count, int32(1), "repeated events are counted")
	assert.NotNil(t, eventOf(t, client, "Unhealthy", "Liveness probe failed: "))
	assert.NotNil(t, eventOf(t, client, "Killing", "Container server failed liveness probe, will be restarted"))
}

func TestFaultsThatEnd(t *testing.T) {
	r, client, log := startRuntime(t, nil, probedPod(nil, probe(1), probe(60)))
	eventuallyReady(t, client, "a")
	base := r.PodURL("vllm", "a", 8000)
	readyIs := func(want bool) {
		t.Helper()
		eventually(t, func() string {
			if isReady(t, client, "a") != want {
				return log.String()
			}
			return ""
		})
	}
	for name, c := range map[string]struct {
		fault Fault
		check func(t *testing.T)
		ready bool
	}{
		"errors of the API": {Fault{Status: 503, Paths: []string{"/v1", "/args"}}, func(t *testing.T) {
			code, body := get(t, base+"/args")
			assert.Equal(t, "503 the lab's fault\n", fmt.Sprintf("%d %s", code, body))
			code, _ = get(t, base+"/metrics")
			assert.Equal(t, http.StatusOK, code)
		}, true},
		"errors of everything": {Fault{Status: 500}, func(t *testing.T) {
			assert.NotNil(t, eventOf(t, client, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500"))
		}, false},
		"slow": {Fault{Delay: 1500 * time.Millisecond}, func(t *testing.T) {
			began := time.Now()
			code, _ := get(t, base+"/args")
			assert.Equal(t, http.StatusOK, code)
			assert.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
		}, false},
		"hangs": {Fault{Hang: true}, func(*testing.T) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			end, err := r.Fault("vllm", "a", c.fault)
			require.NoError(t, err)
			readyIs(c.ready)
			c.check(t)
			require.NoError(t, end())
			require.NoError(t, end(), "a second time does nothing")
			readyIs(true)
			code, _ := get(t, base+"/args")
			assert.Equal(t, http.StatusOK, code)
		})
	}
	assert.Zero(t, containerOf(t, client, "a").RestartCount)
	_, err := r.Fault("vllm", "b", Fault{Hang: true})
	require.ErrorContains(t, err, "not running")
	_, err = r.Fault("vllm", "a", Fault{})
	require.ErrorContains(t, err, "give Hang, Crash, Delay or Status")
}

// TestStartupProbe checks that a container is killed when its start takes longer than the probe allows, and waits for ever longer
// times before it is started again.
func TestStartupProbe(t *testing.T) {
	r, client, log := startRuntime(t, func(c *Config) { c.Start.Weights = time.Hour }, probedPod(probe(1), probe(1), probe(1)))
	eventually(t, func() string {
		c := containerOf(t, client, "a")
		if c.State.Waiting == nil || c.State.Waiting.Reason != "CrashLoopBackOff" {
			return fmt.Sprintf("%+v, %s", c, log)
		}
		return ""
	})
	c := containerOf(t, client, "a")
	assert.Equal(t, "back-off 10s restarting failed container=server pod=a_vllm(a-uid)", c.State.Waiting.Message)
	assert.EqualValues(t, 1, c.RestartCount, "the first restart is at once")
	assert.NotNil(t, c.LastTerminationState.Terminated)
	assert.False(t, *c.Started)
	assert.NotNil(t, eventOf(t, client, "Unhealthy", "Startup probe failed: dial tcp 10.244.0.7:8000: connect: connection refused"))
	assert.Nil(t, eventOf(t, client, "Unhealthy", "Liveness"), "no other probe before the start-up probe's success")
	assert.NotNil(t, eventOf(t, client, "Killing", "Container server failed startup probe, will be restarted"))
	assert.NotNil(t, eventOf(t, client, "BackOff", "Back-off restarting failed container server in pod a_vllm(a-uid)"))
	assert.Contains(t, fmt.Sprint(r.Failures()), "its startup probe failed 1 times in a row")
}

func TestInitialDelay(t *testing.T) {
	late := probe(1)
	late.InitialDelaySeconds = 2
	_, client, _ := startRuntime(t, nil, probedPod(nil, late, nil))
	began := time.Now()
	eventuallyReady(t, client, "a")
	assert.Greater(t, time.Since(began), 1500*time.Millisecond)

	late.InitialDelaySeconds = 3600
	_, client, _ = startRuntime(t, func(c *Config) { c.InitialDelayLimit = time.Millisecond }, probedPod(nil, late, nil))
	eventuallyReady(t, client, "a")
}

func TestTCPProbe(t *testing.T) {
	tcp := func(port int) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(int32(port))}}, PeriodSeconds: 1}
	}
	_, client, _ := startRuntime(t, nil, probedPod(nil, tcp(8000), nil))
	eventuallyReady(t, client, "a")
	_, client, _ = startRuntime(t, nil, probedPod(nil, tcp(8001), nil))
	eventually(t, func() string {
		if eventOf(t, client, "Unhealthy", "Readiness probe failed: dial tcp 10.244.0.7:8001: connect: connection refused") == nil {
			return "no event"
		}
		return ""
	})
	assert.False(t, isReady(t, client, "a"), "nothing listens on this port")
}

func TestUnsupportedProbesAreRefused(t *testing.T) {
	for name, handler := range map[string]corev1.ProbeHandler{
		"exec": {Exec: &corev1.ExecAction{Command: []string{"true"}}},
		"grpc": {GRPC: &corev1.GRPCAction{Port: 8000}},
	} {
		t.Run(name, func(t *testing.T) {
			r, client, _ := startRuntime(t, nil, probedPod(nil, nil, &corev1.Probe{ProbeHandler: handler}))
			eventually(t, func() string {
				if f := fmt.Sprint(r.Failures()); !strings.Contains(f, "the lab runs httpGet and tcpSocket probes only: the liveness probe is "+name) {
					return f
				}
				return ""
			})
			eventually(t, func() string {
				if c := containerOf(t, client, "a"); c.State.Waiting == nil || c.State.Waiting.Reason != "CreateContainerError" {
					return fmt.Sprintf("%+v", c)
				}
				return ""
			})
			assert.False(t, isReady(t, client, "a"))
		})
	}
}

func TestResultsCountInARow(t *testing.T) {
	three := &corev1.Probe{FailureThreshold: 3, SuccessThreshold: 2}
	for name, c := range map[string]struct {
		kind probeKind
		// given are results in their order, and want is the time (from 1) of each that changes what counts.
		given string
		want  []int
	}{
		"not ready until two successes":   {readinessProbe, "+-++", []int{4}},
		"ready until three failures":      {readinessProbe, "++--+---", []int{2, 8}},
		"alive until three failures":      {livenessProbe, "+--+---", []int{7}},
		"a start-up probe that succeeds":  {startupProbe, "--++", []int{4}},
		"a start-up probe that never did": {startupProbe, "---", []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResults(c.kind, three)
			var changes []int
			for i, result := range c.given {
				if r.add(result == '+') {
					changes = append(changes, i+1)
				}
			}
			assert.Equal(t, c.want, changes)
		})
	}
}

// TestNodeTakesItsProcesses checks that the programs of a node's pods end with the node, although the pods' objects are still there.
func TestNodeTakesItsProcesses(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1"}}
	other := serverPod("b", "--model=m")
	other.Spec.NodeName = "gpu-2"
	r, client, log := startRuntime(t, nil, node, serverPod("a", "--model=m"), other)
	eventuallyReady(t, client, "a")
	eventuallyReady(t, client, "b")
	w := r.worker("vllm", "a")
	require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "gpu-1", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if _, ok := r.Endpoint("vllm", "a", 8000); ok {
			return log.String()
		}
		return ""
	})
	<-w.done
	assert.True(t, isReady(t, client, "a"), "no kubelet is left that could write its status")
	_, ok := r.Endpoint("vllm", "b", 8000)
	assert.True(t, ok, "a pod of another node")
	// A change of the pod, such as by the controller that collects it, starts nothing.
	pod, err := client.CoreV1().Pods("vllm").Get(t.Context(), "a", metav1.GetOptions{})
	require.NoError(t, err)
	pod.Labels = map[string]string{"changed": "true"}
	_, err = client.CoreV1().Pods("vllm").Update(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually(t, func() string {
		if r.worker("vllm", "a") != nil {
			return "the runtime still has the pod"
		}
		return ""
	})
	assert.Equal(t, 1, strings.Count(log.String(), "vllm/a: llm-d-inference-sim serves"))
}
