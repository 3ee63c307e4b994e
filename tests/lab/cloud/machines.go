package cloud

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab/controlplane"
)

// runMachines keeps every pool at its size until the clouds end.
func (c *Cloud) runMachines() {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
		}
		c.resize()
		if round%5 != 0 {
			continue
		}
		if err := c.look(c.ctx); err != nil && c.ctx.Err() == nil {
			fmt.Fprintf(c.options.Log, "cloud: reading the cluster: %v\n", err)
		}
	}
}

// resize starts and ends machines until each pool has its desired number.
func (c *Cloud) resize() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		for !p.removed && len(p.nodes)+len(p.starting) < p.desired && !c.lacksMachines(p) {
			c.startMachine(p)
		}
		for !p.removed && len(p.nodes) > p.desired && len(p.starting) == 0 {
			c.endMachine(p, p.nodes[len(p.nodes)-1])
		}
		// The program configures upgrades of one node at a time, without a spare one.
		if !p.removed && len(p.outdated) > 0 && len(p.nodes) == p.desired && len(p.starting) == 0 {
			c.endMachine(p, p.outdated[0])
		}
	}
}

// startMachine adds a node to a pool. The caller holds the lock.
func (c *Cloud) startMachine(p *pool) {
	index := p.made
	p.made++
	name := fmt.Sprintf("%s%06x", p.namePrefix, index)
	if p.double.nodeName != nil {
		name = p.double.nodeName(p, index)
	}
	if p.starting == nil {
		p.starting = map[string]bool{}
	}
	p.starting[name] = true
	machine := p.machine
	cpus, memory := p.allocatable()[corev1.ResourceCPU], p.allocatable()[corev1.ResourceMemory]
	node := controlplane.Node{Name: name, Labels: p.nodeLabels(index), Taints: p.taints, CPU: cpus.String(), Memory: memory.String()}
	node.Labels[poolLabel] = poolHash(p.id)
	if p.gpus == gpusAtOnce {
		node.GPUs = p.gpuCount
	}
	c.working.Go(func() {
		c.pause(c.options.NodeStartTime)
		err := c.options.ControlPlane.AddNode(c.ctx, node)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(p.starting, name)
		if current := c.pools[p.id]; current != nil {
			p = current // changed meanwhile
			delete(p.starting, name)
		}
		if err != nil {
			p.lastError = fmt.Errorf("starting node %s: %w", name, err)
			return
		}
		p.nodes = append(p.nodes, name)
		if p.machine != machine {
			p.outdated = append(p.outdated, name)
		}
		fmt.Fprintf(c.options.Log, "cloud: node %s of pool %s joined (%d of %d)\n", name, p.name, len(p.nodes), p.max)
	})
}

// poolHash returns a hash of a pool's id that is a valid label value.
func poolHash(id string) string {
	var sum uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(id) {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return strconv.FormatUint(sum, 16)
}

// endMachine drains a node and removes it from a pool. The caller holds the lock.
func (c *Cloud) endMachine(p *pool, name string) {
	p.nodes = slices.DeleteFunc(p.nodes, func(n string) bool { return n == name })
	p.outdated = slices.DeleteFunc(p.outdated, func(n string) bool { return n == name })
	fmt.Fprintf(c.options.Log, "cloud: node %s of pool %s removed (%d left)\n", name, p.name, len(p.nodes))
	c.working.Go(func() {
		// A machine that goes waits for its pods no longer than its cloud does, and then ends with them.
		if err := c.drain(c.ctx, name, c.options.DrainPatience, true); err != nil && c.ctx.Err() == nil {
			c.incident("removing node %s: %v", name, err)
		}
	})
}

// drainTime is how long evicted pods may take to end.
const drainTime = 90 * time.Second

// drain evicts the pods of a node, waits until they have ended and removes the node. A PodDisruptionBudget that allows no
// eviction for the time of patience is an error, or, with forced, ignored.
func (c *Cloud) drain(ctx context.Context, name string, patience time.Duration, forced bool) error {
	core := c.options.ControlPlane.Client().CoreV1()
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	if _, err := core.Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("cordon node %s: %w", name, err)
	}
	onNode := metav1.ListOptions{FieldSelector: "spec.nodeName=" + name}
	impatient := time.Now().Add(patience)
	for deadline := time.Now().Add(patience + drainTime); time.Now().Before(deadline) && ctx.Err() == nil; c.pause(100 * time.Millisecond) {
		pods, err := core.Pods("").List(ctx, onNode)
		if err != nil {
			return fmt.Errorf("drain node %s: %w", name, err)
		}
		left := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !keepsNode(&pod) })
		if len(left) == 0 {
			break
		}
		for _, pod := range left {
			if pod.DeletionTimestamp != nil {
				continue
			}
			err := c.evict(ctx, &pod)
			if apierrors.IsTooManyRequests(err) && time.Now().After(impatient) {
				if !forced {
					return fmt.Errorf("drain node %s: a PodDisruptionBudget did not allow the eviction of pod %s/%s: %w", name, pod.Namespace, pod.Name, err)
				}
				err = core.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
			}
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsTooManyRequests(err) {
				return fmt.Errorf("drain node %s: %w", name, err)
			}
		}
	}
	if err := c.options.ControlPlane.RemoveNode(ctx, name); err != nil {
		return err
	}
	// The pods of DaemonSets end with the machine. Nothing reports that, and the cluster would wait most of a minute before
	// it assumes so.
	pods, err := core.Pods("").List(ctx, onNode)
	if err != nil {
		return fmt.Errorf("drain node %s: %w", name, err)
	}
	now := int64(0)
	for _, pod := range pods.Items {
		if err := core.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("drain node %s: %w", name, err)
		}
	}
	return nil
}

// evict asks the API server to evict a pod, which honors PodDisruptionBudgets.
func (c *Cloud) evict(ctx context.Context, pod *corev1.Pod) error {
	return c.options.ControlPlane.Client().PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
	})
}

// advertise sets the allocatable GPUs of a node by the number of its running device plugins.
func (c *Cloud) advertise(ctx context.Context, p *pool, node *corev1.Node, plugins int) error {
	if p.gpuCount == 0 {
		return nil
	}
	if p.gpus == gpusAtOnce && plugins > 0 || plugins > 1 {
		c.incident("%d device plugins run on node %s, whose image brings %d", plugins, node.Name, map[bool]int{true: 1}[p.gpus == gpusAtOnce])
	}
	if p.gpus != gpusByPlugin {
		return nil
	}
	wanted := 0
	if plugins > 0 {
		wanted = p.gpuCount
	}
	have, known := node.Status.Allocatable[controlplane.GPUResource]
	if have.Value() == int64(wanted) && (known || wanted == 0) {
		return nil
	}
	patch := fmt.Sprintf(`{"status":{"capacity":{%q:"%d"},"allocatable":{%q:"%d"}}}`, controlplane.GPUResource, wanted, controlplane.GPUResource, wanted)
	_, err := c.options.ControlPlane.Client().CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
