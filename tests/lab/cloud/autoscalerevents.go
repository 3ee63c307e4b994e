package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The reasons for which cluster-autoscaler does not add a node of a pool.
const (
	otherNodes    = "node(s) didn't match Pod's node affinity/selector"
	poolAtMaximum = "max node group size reached"
	inBackoff     = "in backoff after failed scale-up"
)

// autoscalerEvent is an Event of a pod that cluster-autoscaler creates.
type autoscalerEvent struct {
	pod                   *corev1.Pod
	kind, reason, message string
}

// SetStock sets whether the clouds have more machines of a type. Without, node autoscalers request them in vain.
func (c *Cloud) SetStock(machineType string, available bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if available {
		delete(c.withoutStock, machineType)
	} else {
		c.withoutStock[machineType] = true
	}
}

// scaledUp records that a pool grows for a pod. It is called with the lock held, as those below.
func (c *Cloud) scaledUp(p *pool, pod *corev1.Pod) {
	c.say(autoscalerEvent{pod, corev1.EventTypeNormal, "TriggeredScaleUp",
		fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", p.name, p.desired, p.desired+1, p.max)})
}

// notScaledUp records why no pool grows for a pod, with the number of pools for each reason.
func (c *Cloud) notScaledUp(pod *corev1.Pod, refusals map[string]int) {
	if len(refusals) == 0 {
		return // No autoscaler runs.
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(refusals)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", refusals[reason], reason))
	}
	c.say(autoscalerEvent{pod, corev1.EventTypeNormal, "NotTriggerScaleUp", "pod didn't trigger scale-up: " + strings.Join(reasons, ", ")})
}

// tryWithoutStock records a scale-up that the cloud refuses. GKE reports its error at the pod; cluster-autoscaler elsewhere
// only that it does not try the pool again for some minutes.
func (c *Cloud) tryWithoutStock(p *pool, pod *corev1.Pod) {
	if _, before := c.told[string(pod.UID)]; !before {
		c.scaledUp(p, pod)
	}
	if p.double.name != "gcp" {
		c.notScaledUp(pod, map[string]int{inBackoff: 1})
		return
	}
	c.say(autoscalerEvent{pod, corev1.EventTypeWarning, "FailedScaleUp",
		fmt.Sprintf("Node scale up in zones %s associated with this pod failed: GCE out of resources. Pod is at risk of not being scheduled.",
			strings.Join(p.zones, ", "))})
}

// say records an event unless it is the pod's last one.
func (c *Cloud) say(event autoscalerEvent) {
	uid := string(event.pod.UID)
	if last := c.told[uid]; last.reason == event.reason && last.message == event.message {
		return
	}
	c.told[uid] = event
	c.untold = append(c.untold, event)
}

// tell creates events.
func (c *Cloud) tell(ctx context.Context, events []autoscalerEvent) error {
	var errs []error
	for _, e := range events {
		now := metav1.Now()
		event := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: e.pod.Namespace, Name: fmt.Sprintf("%s.%x", e.pod.Name, now.UnixNano())},
			InvolvedObject: corev1.ObjectReference{
				APIVersion: "v1", Kind: "Pod", Namespace: e.pod.Namespace, Name: e.pod.Name, UID: e.pod.UID,
			},
			Type: e.kind, Reason: e.reason, Message: e.message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
			Source: corev1.EventSource{Component: "cluster-autoscaler"},
		}
		_, err := c.options.ControlPlane.Client().CoreV1().Events(e.pod.Namespace).Create(ctx, event, metav1.CreateOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			errs = append(errs, fmt.Errorf("event of pod %s/%s: %w", e.pod.Namespace, e.pod.Name, err))
		}
	}
	return errors.Join(errs...)
}
