package podruntime

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// endsOnce reports whether a pod is that of a Job which runs scripts. They end by themselves and are not started again, and the pod has
// their end as its phase.
func endsOnce(pod *corev1.Pod) bool {
	if pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
		return false
	}
	for i := range pod.Spec.Containers {
		if !runsScript(&pod.Spec.Containers[i]) {
			return false
		}
	}
	return true
}

// untilGone waits for the deletion of a pod that has ended: its log is kept until then.
func (w *worker) untilGone(ctx context.Context) {
	select {
	case <-w.deleted:
	case <-w.vanished:
	case <-ctx.Done():
	}
}

// endPhase returns the phase of a pod whose containers have all ended for good, "" for any other. The lock is held.
func (w *worker) endPhase() corev1.PodPhase {
	if !endsOnce(w.pod) {
		return ""
	}
	phase := corev1.PodSucceeded
	for i := range w.pod.Spec.Containers {
		end := w.statuses[w.pod.Spec.Containers[i].Name].State.Terminated
		switch {
		case end == nil:
			return ""
		case end.ExitCode != 0:
			phase = corev1.PodFailed
		}
	}
	return phase
}
