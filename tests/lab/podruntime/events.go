package podruntime

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// eventMessageLimit is the longest text that an Event may have.
const eventMessageLimit = 1024

// events are the Events of one pod. As a kubelet's recorder does, it counts an Event that repeats instead of adding another.
type events struct {
	mu       sync.Mutex
	recorded map[[2]string]*corev1.Event
}

// warn records a Warning Event of the pod.
func (w *worker) warn(ctx context.Context, reason, message string) {
	w.event(ctx, corev1.EventTypeWarning, reason, message)
}

// event records an Event of the pod.
func (w *worker) event(ctx context.Context, kind, reason, message string) {
	if len(message) > eventMessageLimit {
		message = message[:eventMessageLimit-3] + "..."
	}
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	client := w.runtime.client.CoreV1().Events(w.pod.Namespace)
	key := [2]string{reason, message}
	if known := w.events.recorded[key]; known != nil {
		again := known.DeepCopy()
		again.Count++
		again.LastTimestamp = metav1.Now()
		updated, err := client.Update(ctx, again, metav1.UpdateOptions{})
		if err == nil {
			w.events.recorded[key] = updated
			return
		}
		// It may have been deleted, which an API server does after an hour.
		delete(w.events.recorded, key)
	}
	created, err := client.Create(ctx, w.newEvent(kind, reason, message), metav1.CreateOptions{})
	switch {
	case err == nil:
		w.events.recorded[key] = created
	case ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		w.runtime.logf("%s: cannot record an event: %v", w.name(), err)
	}
}

func (w *worker) newEvent(kind, reason, message string) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.pod.Namespace, GenerateName: w.pod.Name + "."},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: w.pod.Namespace, Name: w.pod.Name, UID: w.pod.UID,
		},
		Type: kind, Reason: reason, Message: message, Count: 1,
		FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "kubelet", Host: w.pod.Spec.NodeName},
	}
}
