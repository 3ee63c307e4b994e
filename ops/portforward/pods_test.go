package portforward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

// wire is a connection that a test can close.
type wire struct {
	done chan struct{}
	once sync.Once
}

func (w *wire) Done() <-chan struct{} { return w.done }
func (w *wire) PodErrors() string     { return "" }
func (w *wire) Close()                { w.once.Do(func() { close(w.done) }) }

func (w *wire) closed() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// wires is a dialer that keeps its connections by pod.
type wires struct {
	mu    sync.Mutex
	all   map[string][]*wire
	fails int // how many openings fail first
}

func (w *wires) dial(_ context.Context, pod string) (connection, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails > 0 {
		w.fails--
		return nil, "", errors.New("no kubelet")
	}
	one := &wire{done: make(chan struct{})}
	w.all[pod] = append(w.all[pod], one)
	return one, fmt.Sprintf("%s-%d", pod, len(w.all[pod])), nil
}

func (w *wires) of(pod string, n int) *wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[pod][n]
}

func pod(name string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "vllm"}},
		Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: ptr.To[int64](1)},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

func known(f *Forwards, uid types.UID) *podForward {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[uid]
}

func TestForwardsFollowPods(t *testing.T) {
	client := fake.NewClientset(pod("a", corev1.ConditionTrue), pod("b", corev1.ConditionFalse))
	pods := client.CoreV1().Pods("vllm")
	lines := &wires{all: map[string][]*wire{}, fails: 1}
	f, err := follow(t.Context(), client, Options{Namespace: "vllm", Selector: "app=vllm", Log: t.Logf}, lines.dial)
	require.NoError(t, err)
	defer f.Stop()
	become := func(want ...Pod) {
		t.Helper()
		var got []Pod
		require.Eventually(t, func() bool {
			got = f.Pods()
			return fmt.Sprint(got) == fmt.Sprint(want)
		}, 10*time.Second, 5*time.Millisecond, "want %v", want)
	}
	a, b := Pod{"a", "http://a-1"}, Pod{"b", "http://b-1"}
	become(a) // after a first try that failed; b is not ready
	require.NoError(t, f.Wait(t.Context(), 1))

	_, err = pods.Update(t.Context(), pod("b", corev1.ConditionTrue), metav1.UpdateOptions{})
	require.NoError(t, err)
	become(a, b)
	select {
	case <-f.Changed():
	case <-time.After(10 * time.Second):
		t.Fatal("Changed received nothing")
	}

	// A forward that breaks is opened again.
	lines.of("a", 0).Close()
	a.URL = "http://a-2"
	become(a, b)

	// A pod that is being deleted gets nothing new, and what is in flight goes on.
	dying := pod("b", corev1.ConditionTrue)
	now := metav1.Now()
	dying.DeletionTimestamp, dying.Finalizers = &now, []string{"test/kept"}
	_, err = pods.Update(t.Context(), dying, metav1.UpdateOptions{})
	require.NoError(t, err)
	become(a)
	assert.False(t, lines.of("b", 0).closed())
	// Its object can go before its process does; how long that may take is its grace period.
	require.NoError(t, pods.Delete(t.Context(), "b", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return known(f, "b") == nil }, 10*time.Second, 5*time.Millisecond, "seen")
	assert.False(t, lines.of("b", 0).closed(), "what is in flight goes on")
	require.Eventually(t, lines.of("b", 0).closed, 10*time.Second, 5*time.Millisecond, "closed with its grace period")

	// Not ready for a while: the same forward is used again.
	_, err = pods.Update(t.Context(), pod("a", corev1.ConditionFalse), metav1.UpdateOptions{})
	require.NoError(t, err)
	become()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, f.Wait(short, 1), "0 of 1 pods with labels app=vllm in namespace vllm can be reached")
	_, err = pods.Update(t.Context(), pod("a", corev1.ConditionTrue), metav1.UpdateOptions{})
	require.NoError(t, err)
	become(a)

	f.Stop()
	assert.True(t, lines.of("a", 1).closed(), "Stop closes every forward")
	assert.Empty(t, f.Pods())
}

func TestForwardEndsWithThePod(t *testing.T) {
	client := fake.NewClientset(pod("a", corev1.ConditionTrue))
	lines := &wires{all: map[string][]*wire{}}
	f, err := follow(t.Context(), client, Options{Namespace: "vllm", Selector: "app=vllm", Log: t.Logf}, lines.dial)
	require.NoError(t, err)
	defer f.Stop()
	require.NoError(t, f.Wait(t.Context(), 1))
	require.NoError(t, client.CoreV1().Pods("vllm").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return known(f, "a") == nil }, 10*time.Second, 5*time.Millisecond, "seen")
	// The process ends, and the forward with it: there is nothing to open again.
	lines.of("a", 0).Close()
	f.done.Wait()
	assert.Len(t, lines.all["a"], 1)
}
