package verify

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/rollout"
)

// weights describes where the server's weights come from, as the end of a line; "" for the hub and for files of the server's image. What is
// in a bucket cannot be read without access to the cloud.
func (w *walk) weights(ctx context.Context, pod *corev1.PodSpec, namespace string) string {
	for _, volume := range pod.Volumes {
		switch {
		case volume.Name != rollout.WeightsVolume:
		case volume.Image != nil:
			return ", weights from image " + volume.Image.Reference
		case volume.PersistentVolumeClaim != nil:
			name := volume.PersistentVolumeClaim.ClaimName
			claim, err := w.client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				// The pods are ready, so that it was there; whoever verifies need not be allowed to read it.
				return fmt.Sprintf(", weights from PersistentVolumeClaim %s (which cannot be read: %v)", name, firstLine([]byte(err.Error())))
			}
			return fmt.Sprintf(", weights from PersistentVolumeClaim %s (%s, %s)", name, claim.Status.Phase, modes(claim.Status.AccessModes))
		}
	}
	for _, container := range pod.Containers {
		if len(container.Args) > 0 && strings.Contains(container.Args[0], "://") {
			return ", weights from bucket " + container.Args[0]
		}
	}
	return ""
}

func modes(all []corev1.PersistentVolumeAccessMode) string {
	var names []string
	for _, mode := range all {
		names = append(names, string(mode))
	}
	return strings.Join(names, ", ")
}
