package podruntime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab/controlplane"
)

// The reasons of a container's states, as the kubelet has them.
const (
	reasonCreating  = "ContainerCreating"
	reasonCrashLoop = "CrashLoopBackOff"
	reasonError     = "Error"
	reasonCompleted = "Completed"
	reasonUnready   = "ContainersNotReady"
)

// reasonBackingOff is that of the Event of a container that waits before it is started again.
const reasonBackingOff = "BackOff"

// change changes a container's status and has it written to the API server.
func (w *worker) change(container string, change func(*corev1.ContainerStatus)) {
	w.mu.Lock()
	if status := w.statuses[container]; status != nil {
		change(status)
		w.isChanged = true
	}
	w.mu.Unlock()
	w.publish()
}

// waiting records why a container does not run.
func (w *worker) waiting(container, reason, message string) {
	w.change(container, func(s *corev1.ContainerStatus) {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// running records that a container was started. Without a start-up probe it counts as started at once.
func (w *worker) running(container *corev1.Container) {
	started := container.StartupProbe == nil
	logStart := size(w.logFile(container.Name))
	w.change(container.Name, func(s *corev1.ContainerStatus) {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		w.runs[container.Name] = append(w.runs[container.Name], logStart)
		s.RestartCount = int32(len(w.runs[container.Name]) - 1) //nolint:gosec // a small number
		s.Ready, s.Started = false, &started
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
}

// started records that a container's start-up probe has succeeded.
func (w *worker) started(container string) {
	w.change(container, func(s *corev1.ContainerStatus) { *s.Started = true })
}

// setReady records whether a container is ready. Becoming ready clears its last error.
func (w *worker) setReady(container string, ready bool) {
	if ready {
		w.clear(container)
	}
	w.change(container, func(s *corev1.ContainerStatus) { s.Ready = ready })
}

// terminated records how a container has ended.
func (w *worker) terminated(container *corev1.Container, end *containerEnd) {
	w.change(container.Name, func(s *corev1.ContainerStatus) {
		state := &corev1.ContainerStateTerminated{
			ExitCode: int32(end.status), Reason: reasonError, FinishedAt: metav1.Now(), //nolint:gosec // an exit status
		}
		if end.status == 0 {
			state.Reason = reasonCompleted
		} else if container.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
			state.Message = end.output
		}
		if s.State.Running != nil {
			state.StartedAt = s.State.Running.StartedAt
		}
		no := false
		s.Ready, s.Started = false, &no
		s.State = corev1.ContainerState{Terminated: state}
	})
}

// initialStatuses returns the statuses of a pod's containers before any has started. One that the lab runs no program for is
// ready at once.
func (w *worker) initialStatuses() map[string]*corev1.ContainerStatus {
	statuses := map[string]*corev1.ContainerStatus{}
	for _, c := range w.all() {
		_, runs := w.changed[c.Name]
		started := !runs
		status := &corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: started, Started: &started}
		if runs {
			status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonCreating}
		} else {
			status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Now()}
		}
		statuses[c.Name] = status
	}
	return statuses
}

// publish has the pod's status written to the API server.
func (w *worker) publish() {
	select {
	case w.unpublished <- struct{}{}:
	default:
	}
}

// observe looks at the pod's object: the status belongs to the stages of the control plane until they have set the phase Running. kwok
// may apply a stage to a pod that it has seen late, after the status was written: as a kubelet, the worker then writes it again.
func (w *worker) observe(pod *corev1.Pod) {
	w.mu.Lock()
	runs := pod.Status.Phase == corev1.PodRunning
	begins := runs && !w.isRunning
	replaced := runs && !w.since.IsZero() && readyCondition(pod) != w.isReady && pod.Annotations[controlplane.ReadyAnnotation] == ""
	w.isRunning, w.podIP = runs, pod.Status.PodIP
	w.isChanged = w.isChanged || replaced
	w.mu.Unlock()
	if begins || replaced {
		w.publish()
	}
}

// readyCondition reports whether the pod has the condition Ready.
func readyCondition(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// keepStatus writes each change of the containers' statuses to the API server, until the pod or its node is gone.
func (w *worker) keepStatus(ctx context.Context) {
	for {
		select {
		case <-w.unpublished:
		case <-w.deleted:
			return
		case <-w.vanished:
			return
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		patch := []byte(nil)
		var err error
		if w.isRunning && w.isChanged {
			patch, err = w.statusPatch()
			w.isChanged = false
		}
		w.mu.Unlock()
		if patch == nil && err == nil || w.ending(ctx) {
			continue
		}
		if err == nil {
			err = w.retry(ctx, func() error {
				_, err := w.runtime.client.CoreV1().Pods(w.pod.Namespace).Patch(ctx, w.pod.Name, types.StrategicMergePatchType, patch,
					metav1.PatchOptions{}, "status")
				return err
			})
		}
		if err != nil && !w.ending(ctx) {
			w.runtime.logf("%s: cannot write its status: %v", w.name(), err)
		}
	}
}

// statusPatch returns the patch of the pod's status: that of its containers, and the conditions that follow from it. The lock is held.
func (w *worker) statusPatch() ([]byte, error) {
	var containers []corev1.ContainerStatus
	var unready []string
	for i := range w.pod.Spec.Containers {
		status := w.statuses[w.pod.Spec.Containers[i].Name]
		containers = append(containers, *status)
		if !status.Ready {
			unready = append(unready, status.Name)
		}
	}
	if ready := len(unready) == 0; w.since.IsZero() || ready != w.isReady {
		w.isReady, w.since = ready, time.Now()
	}
	value := corev1.ConditionTrue
	// Null removes a field.
	var reason, message any
	if !w.isReady {
		value, reason = corev1.ConditionFalse, reasonUnready
		message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	condition := func(name corev1.PodConditionType) map[string]any {
		return map[string]any{"type": name, "status": value, "reason": reason, "message": message, "lastTransitionTime": metav1.NewTime(w.since)}
	}
	conditions := []map[string]any{condition(corev1.PodReady), condition(corev1.ContainersReady)}
	for _, gate := range w.pod.Spec.ReadinessGates {
		if w.isReady {
			conditions = append(conditions, condition(gate.ConditionType))
		}
	}
	status := map[string]any{"conditions": conditions, "containerStatuses": containers}
	if phase := w.endPhase(); phase != "" {
		status["phase"] = phase
	}
	// With the UID, a patch for a deleted pod does not apply to its successor of the same name.
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": w.pod.UID}, "status": status})
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

// Failure is the current error of a pod.
type Failure struct {
	Namespace, Pod string
	Err            error
}

func (f Failure) String() string { return fmt.Sprintf("pod %s/%s: %v", f.Namespace, f.Pod, f.Err) }
