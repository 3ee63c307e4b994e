package controlplane

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GPUResource is the name of the resource with which a pod requests GPUs.
const GPUResource corev1.ResourceName = "nvidia.com/gpu"

// Node is a simulated machine.
type Node struct {
	Name   string
	Labels map[string]string
	Taints []corev1.Taint
	// GPUs is the number of GPUs that the device plugin would report.
	GPUs int
	// CPU and Memory are the resources for pods, as quantities; "" means 16 cores and 64Gi.
	CPU, Memory string
}

// AddNode adds a node and returns when pods can be scheduled on it.
func (c *ControlPlane) AddNode(ctx context.Context, n Node) error {
	capacity, err := n.capacity()
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	labels := map[string]string{
		corev1.LabelHostname:       n.Name,
		corev1.LabelOSStable:       "linux",
		corev1.LabelArchStable:     "amd64",
		corev1.LabelTopologyZone:   "lab-a",
		corev1.LabelTopologyRegion: "lab",
	}
	for key, value := range n.Labels {
		labels[key] = value
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: n.Taints},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: KubeletPort}},
		},
	}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("add node %s: %w", n.Name, err)
	}
	return c.waitNode(ctx, n.Name)
}

func (n Node) capacity() (corev1.ResourceList, error) {
	texts := map[corev1.ResourceName]string{
		corev1.ResourceCPU: n.CPU, corev1.ResourceMemory: n.Memory,
		corev1.ResourcePods: "110", corev1.ResourceEphemeralStorage: "200Gi",
	}
	if n.CPU == "" {
		texts[corev1.ResourceCPU] = "16"
	}
	if n.Memory == "" {
		texts[corev1.ResourceMemory] = "64Gi"
	}
	list := corev1.ResourceList{}
	for name, text := range texts {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", name, text, err)
		}
		list[name] = quantity
	}
	if n.GPUs > 0 {
		list[GPUResource] = *resource.NewQuantity(int64(n.GPUs), resource.DecimalSI)
	}
	return list, nil
}

// waitNode waits until the node is Ready and without the taint that a node has before that.
func (c *ControlPlane) waitNode(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	seen := "nothing"
	for {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("add node %s: %w", name, err)
		case err == nil:
			if seen = notSchedulable(node); seen == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("add node %s: %w; last seen: %s", name, ctx.Err(), seen)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// notSchedulable returns why no pod can be scheduled on the node, "" if pods can be.
func notSchedulable(node *corev1.Node) string {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return "taint " + taint.Key
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return ""
		}
	}
	return "not Ready"
}

// RemoveNode deletes a node after its pods, as when a machine is drained. A missing node is no error.
func (c *ControlPlane) RemoveNode(ctx context.Context, name string) error {
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	for _, pod := range pods.Items {
		err := c.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove node %s: delete pod %s/%s: %w", name, pod.Namespace, pod.Name, err)
		}
	}
	err = c.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	return nil
}
