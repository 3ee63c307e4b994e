package coldstart

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Observer collects the starts of replicas that happen while it looks at the pods again and again.
type Observer struct {
	client              kubernetes.Interface
	namespace, selector string

	mu sync.Mutex
	// known are the pods that have started, before the first look or since; nil before it.
	known  map[string]bool
	starts []Start
}

// NewObserver returns an observer of the pods with the labels.
func NewObserver(client kubernetes.Interface, namespace, selector string) *Observer {
	return &Observer{client: client, namespace: namespace, selector: selector}
}

// Look lists the pods. A replica whose server had started before the first look has no start, whatever happens to it later.
func (o *Observer) Look(ctx context.Context) error {
	list, err := o.client.CoreV1().Pods(o.namespace).List(ctx, metav1.ListOptions{LabelSelector: o.selector})
	if err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.known == nil
	if first {
		o.known = map[string]bool{}
	}
	for i := range list.Items {
		pod := &list.Items[i]
		if first && hasStarted(pod) {
			o.known[pod.Name] = true
		}
		if start, ready := Of(pod); ready && !o.known[pod.Name] {
			o.known[pod.Name] = true
			o.starts = append(o.starts, start)
		}
	}
	return nil
}

// hasStarted reports whether the pod's server has run before.
func hasStarted(pod *corev1.Pod) bool {
	status := serverOf(pod)
	return status != nil && (status.RestartCount > 0 || status.Started != nil && *status.Started)
}

// Starts returns the starts so far, in the order of their end, with what the logs of the pods that still exist have of them.
func (o *Observer) Starts(ctx context.Context) []Start {
	o.mu.Lock()
	starts := slices.Clone(o.starts)
	o.mu.Unlock()
	for i := range starts {
		if starts[i].Log == nil && ctx.Err() == nil {
			starts[i].ReadLog(ctx, o.client, o.namespace)
		}
	}
	slices.SortStableFunc(starts, func(a, b Start) int { return a.Ready.Compare(b.Ready) })
	return starts
}
