package podruntime

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/controlplane"
)

// errDeleted is the error of a wait that ends because the pod, or its node, is deleted.
var errDeleted = errors.New("the pod is deleted")

// pull waits for the container's image, with the Events of a kubelet. The container's status is that of the stages of the
// control plane, with the same time.
func (w *worker) pull(ctx context.Context, container *corev1.Container) error {
	event := func(reason, format string, args ...any) {
		w.event(ctx, corev1.EventTypeNormal, reason, fmt.Sprintf(format, args...))
	}
	if w.imageTime() > 0 {
		event("Pulling", "Pulling image %q", container.Image)
		select {
		case <-time.After(w.imageTime()):
		case <-w.deleted:
			return errDeleted
		case <-w.vanished:
			return errDeleted
		case <-ctx.Done():
			return ctx.Err()
		}
		event("Pulled", "Successfully pulled image %q in %s", container.Image, w.imageTime())
	} else {
		event("Pulled", "Container image %q already present on machine", container.Image)
	}
	event("Started", "Started container %s", container.Name)
	return nil
}

// imageTime returns how long the pod waits for its image.
func (w *worker) imageTime() time.Duration {
	for _, container := range w.pod.Spec.Containers {
		if _, ok := container.Resources.Limits[controlplane.GPUResource]; ok {
			return w.runtime.config.Start.Image
		}
	}
	return 0
}
