package podruntime

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ReadyAnnotation reports whether the pod's programs are ready: "true", "false", or absent until they first are. The
// simulated kubelet sets the pod's status from it.
const ReadyAnnotation = "lab.vllm-autoscaling/ready"

// eventMessageLimit is the longest text that an Event may have.
const eventMessageLimit = 1024

// announce writes to the API server whether every container is ready, if that has changed.
func (w *worker) announce(ctx context.Context) {
	w.mu.Lock()
	ready := true
	for name := range w.changed {
		ready = ready && w.ready[name]
	}
	news := w.announced == nil && ready || w.announced != nil && *w.announced != ready
	w.mu.Unlock()
	if !news {
		return
	}
	if err := w.retry(ctx, func() error { return w.annotate(ctx, ready) }); err != nil {
		w.couldNot(ctx, err)
		return
	}
	w.mu.Lock()
	w.announced = &ready
	w.mu.Unlock()
}

func (w *worker) couldNot(ctx context.Context, err error) {
	if ctx.Err() == nil && !w.ending(ctx) {
		w.runtime.logf("%s: cannot say whether it is ready: %v", w.name(), err)
	}
}

// retry repeats a call to the API server that fails temporarily. A deleted pod is no error.
func (w *worker) retry(ctx context.Context, call func() error) error {
	var err error
	for attempt := range 5 {
		if err = call(); err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		if sleep(ctx, time.Duration(attempt+1)*200*time.Millisecond) != nil {
			break
		}
	}
	return err
}

func (w *worker) annotate(ctx context.Context, ready bool) error {
	// With the UID, a patch for a deleted pod does not apply to its successor of the same name.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         w.pod.UID,
		"annotations": map[string]string{ReadyAnnotation: strconv.FormatBool(ready)},
	}})
	if err != nil {
		return err
	}
	_, err = w.runtime.client.CoreV1().Pods(w.pod.Namespace).Patch(ctx, w.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// warn creates a Warning Event of the pod.
func (r *Runtime) warn(ctx context.Context, pod *corev1.Pod, reason, message string) {
	r.event(ctx, pod, corev1.EventTypeWarning, reason, message)
}

// event creates an Event of the pod.
func (r *Runtime) event(ctx context.Context, pod *corev1.Pod, kind, reason, message string) {
	if len(message) > eventMessageLimit {
		message = message[:eventMessageLimit-3] + "..."
	}
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, GenerateName: pod.Name + "."},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		},
		Type: kind, Reason: reason, Message: message, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "kubelet", Host: pod.Spec.NodeName},
	}
	_, err := r.client.CoreV1().Events(pod.Namespace).Create(ctx, event, metav1.CreateOptions{})
	if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		r.logf("%s/%s: cannot record an event: %v", pod.Namespace, pod.Name, err)
	}
}

// Failure is the current error of a pod.
type Failure struct {
	Namespace, Pod string
	Err            error
}

func (f Failure) String() string { return fmt.Sprintf("pod %s/%s: %v", f.Namespace, f.Pod, f.Err) }
