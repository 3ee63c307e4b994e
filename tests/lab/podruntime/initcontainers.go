package podruntime

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// isSidecar reports whether an init container runs beside the pod's containers, until the pod ends.
func isSidecar(container *corev1.Container) bool {
	return container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// all returns the containers of the pod, with those init containers that the lab runs: the ones with a script.
func (w *worker) all() []*corev1.Container {
	var all []*corev1.Container
	for i := range w.pod.Spec.InitContainers {
		if c := &w.pod.Spec.InitContainers[i]; runsScript(c) {
			all = append(all, c)
		}
	}
	for i := range w.pod.Spec.Containers {
		all = append(all, &w.pod.Spec.Containers[i])
	}
	return all
}

// initialize runs the pod's scripts in init containers, one after the other, and starts those that stay. The other init containers count
// as run. It reports false when the pod is to end.
func (w *worker) initialize(ctx context.Context, sidecars *sync.WaitGroup) bool {
	for i := range w.pod.Spec.InitContainers {
		container := &w.pod.Spec.InitContainers[i]
		changed, runs := w.changed[container.Name]
		switch {
		case !runs:
		case isSidecar(container):
			sidecars.Go(func() { w.container(ctx, container, changed) })
		case !w.complete(ctx, container, changed):
			return false
		}
	}
	return true
}

// complete runs an init container until it ends without an error.
func (w *worker) complete(ctx context.Context, container *corev1.Container, changed chan struct{}) bool {
	l := &launcher{runtime: w.runtime, pod: w.pod, container: container, dir: w.dir}
	var crashes backOff
	for {
		err := w.once(ctx, l, changed)
		w.forget(container.Name)
		if w.ending(ctx) {
			return false
		}
		var end *containerEnd
		wait := firstRetry
		if errors.As(err, &end) {
			w.terminated(container, end)
			if end.status == 0 {
				return true
			}
			wait = crashes.after(time.Now())
		}
		if !errors.Is(err, errWaiting) {
			w.fail(ctx, container.Name, err)
		}
		if !w.pause(ctx, wait, nil) {
			return false
		}
	}
}
