package lab

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/controlplane"
)

// systemNode is the name of the node without taints, for pods that need no GPU.
const systemNode = "system-1"

// AddGPUNodes adds nodes with the labels and taints that clouds set for GPUs, named gpu-1, gpu-2 and so on.
func (l *Lab) AddGPUNodes(ctx context.Context, n, gpusPerNode int) error {
	for range n {
		l.mu.Lock()
		l.gpuNodes++
		name := fmt.Sprintf("gpu-%d", l.gpuNodes)
		l.mu.Unlock()
		err := l.controlPlane.AddNode(ctx, controlplane.Node{
			Name: name, GPUs: gpusPerNode,
			Labels: map[string]string{"nvidia.com/gpu.present": "true"},
			Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// AddNode adds a node of any kind.
func (l *Lab) AddNode(ctx context.Context, n controlplane.Node) error {
	return l.controlPlane.AddNode(ctx, n)
}

// RemoveNode removes a node and its pods.
func (l *Lab) RemoveNode(ctx context.Context, name string) error {
	return l.controlPlane.RemoveNode(ctx, name)
}
