package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab/podruntime"
)

// PodURL returns the URL of a pod's port on this machine, without a slash at the end.
func (l *Lab) PodURL(namespace, pod string, port int) string {
	return l.runtime.PodURL(namespace, pod, port)
}

// ServiceURL returns the URL of a Service's port on this machine, without a slash at the end. Requests go to its ready
// pods in turn.
func (l *Lab) ServiceURL(namespace, service string, port int) string {
	return l.runtime.ServiceURL(namespace, service, port)
}

// Fault makes the server of a running pod hang, or answer late or with errors, until end is called or its container is started
// again, for example by its liveness probe.
func (l *Lab) Fault(namespace, pod string, fault podruntime.Fault) (end func() error, err error) {
	return l.runtime.Fault(namespace, pod, fault)
}

// ClaimFolder returns the folder that stands for the volume of a PersistentVolumeClaim.
func (l *Lab) ClaimFolder(namespace, claim string) string {
	return l.runtime.ClaimFolder(namespace, claim)
}

// ReadyPodURLs returns the URLs of a port of all ready pods with the labels, ordered by pod name. No pod is no error.
func (l *Lab) ReadyPodURLs(ctx context.Context, namespace, labelSelector string, port int) ([]string, error) {
	pods, err := l.readyPods(ctx, namespace, labelSelector)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, pod := range pods {
		urls = append(urls, l.PodURL(pod.Namespace, pod.Name, port))
	}
	return urls, nil
}

func (l *Lab) readyPods(ctx context.Context, namespace, labelSelector string) ([]corev1.Pod, error) {
	list, err := l.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labelSelector})
	if err != nil {
		return nil, fmt.Errorf("list pods %s in %q: %w", labelSelector, namespace, err)
	}
	pods := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}
