package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab/controlplane"
)

// gpuAdvertising says when a node tells the API server of its GPUs.
type gpuAdvertising int

const (
	// gpusNever: it has no driver.
	gpusNever gpuAdvertising = iota
	// gpusAtOnce: its image brings driver and device plugin.
	gpusAtOnce
	// gpusByPlugin: its image brings the driver; a pod of the device plugin has to run on it.
	gpusByPlugin
)

// poolLabel is on every node that a cloud made, with the hash of its pool's id.
const poolLabel = "lab.vllm-autoscaling/pool"

// pool is a group of equal machines.
type pool struct {
	id, cluster, cloud, name string
	machineType              string
	// machine is everything that a node is made from and that can change while the pool stays.
	machine  string
	zones    []string
	labels   map[string]string
	taints   []corev1.Taint
	gpuCount int
	gpus     gpuAdvertising
	// acceleratorLabel tells an autoscaler that a node without GPUs is about to get some.
	acceleratorLabel       string
	namePrefix, nodeSuffix string
	asg                    string
	min, max, desired      int
	// autoscaled says that a node autoscaler looks after it; needsAutoscaler that the cloud runs none.
	autoscaled, needsAutoscaler bool

	made  int
	nodes []string
	// outdated are those of the nodes that were made from another machine, and are to be replaced.
	outdated  []string
	starting  map[string]bool
	removed   bool
	lastError error
}

func (p *pool) zoneCount() int { return max(1, len(p.zones)) }

func (p *pool) tainted(key string) bool {
	return slices.ContainsFunc(p.taints, func(t corev1.Taint) bool { return t.Key == key })
}

func (p *pool) taint(key, value, effect string) error {
	if key == "" || effect == "" {
		return fmt.Errorf("taint %q lacks its key or effect", key)
	}
	if slices.ContainsFunc(p.taints, func(t corev1.Taint) bool { return t.Key == key && string(t.Effect) == effect }) {
		return fmt.Errorf("duplicate taint %s with effect %s", key, effect)
	}
	p.taints = append(p.taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	return nil
}

// size is CPU and memory that a node leaves to pods, of the machine type.
func (p *pool) size() (cpus int, memoryGiB int) {
	cpus, memoryGiB = 4, 16
	switch p.cloud {
	case "gcp":
		// The number at the end counts the vCPUs, each with 4 GiB; sizes such as a2-highgpu-1g count GPUs.
		if m := regexp.MustCompile(`-(\d+)$`).FindStringSubmatch(p.machineType); m != nil {
			cpus, _ = strconv.Atoi(m[1])
			memoryGiB = 4 * cpus
		} else if m := regexp.MustCompile(`-(\d+)g$`).FindStringSubmatch(p.machineType); m != nil {
			n, _ := strconv.Atoi(m[1])
			cpus, memoryGiB = 12*n, 85*n
		}
	case "aws":
		_, size, _ := strings.Cut(p.machineType, ".")
		switch size {
		case "large":
			cpus, memoryGiB = 2, 8
		case "xlarge":
		default:
			if n, err := strconv.Atoi(strings.TrimSuffix(size, "xlarge")); err == nil {
				cpus, memoryGiB = 4*n, 16*n
			}
		}
	case "azure":
		if m := regexp.MustCompile(`^Standard_[A-Z]+(\d+)`).FindStringSubmatch(p.machineType); m != nil {
			cpus, _ = strconv.Atoi(m[1])
			memoryGiB = 4 * cpus
		}
	}
	return cpus, memoryGiB
}

// allocatable is what pods can use. The kubelet and the system keep about 100m and a tenth of the memory.
func (p *pool) allocatable() corev1.ResourceList {
	cpus, memory := p.size()
	list := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(cpus)*1000-100, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(int64(memory)*(1<<30)/10*9, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(110, resource.DecimalSI),
	}
	if p.gpuCount > 0 && p.gpus != gpusNever {
		list[controlplane.GPUResource] = *resource.NewQuantity(int64(p.gpuCount), resource.DecimalSI)
	}
	return list
}

// nodeLabels are all labels of a node in one of the pool's zones.
func (p *pool) nodeLabels(index int) map[string]string {
	labels := maps.Clone(p.labels)
	labels[corev1.LabelInstanceTypeStable] = p.machineType
	if len(p.zones) > 0 {
		zone := p.zones[index%len(p.zones)]
		labels[corev1.LabelTopologyZone] = zone
		labels[corev1.LabelTopologyRegion] = regionOf(zone)
	}
	return labels
}

// regionOf a zone: us-central1-a, eu-central-1a or eastus-1.
func regionOf(zone string) string {
	return regexp.MustCompile(`(-[a-z]|-\d+|[a-z])$`).ReplaceAllString(zone, "")
}

// changePool takes a pool's new settings over. The caller has the lock.
func (c *Cloud) changePool(p *pool) error {
	old := c.pools[p.id]
	if old == nil {
		return fmt.Errorf("pool %s does not exist", p.id)
	}
	if p.desired == 0 {
		p.desired = old.desired
	}
	p.desired = min(max(p.desired, p.min), p.max)
	p.made, p.nodes, p.starting, p.namePrefix, p.outdated = old.made, old.nodes, old.starting, old.namePrefix, old.outdated
	if p.machine != old.machine {
		p.outdated = slices.Clone(p.nodes)
	}
	c.pools[p.id] = p
	return nil
}

// waitForPool returns when a new pool has its nodes.
func (c *Cloud) waitForPool(ctx context.Context, id string) error {
	for {
		c.mu.Lock()
		p := c.pools[id]
		done := p == nil || p.removed || len(p.nodes) >= p.desired && len(p.starting) == 0
		var failed error
		if p != nil {
			failed = p.lastError
		}
		c.mu.Unlock()
		if done {
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removePool drains and removes the nodes of a pool.
func (c *Cloud) removePool(ctx context.Context, id string) error {
	c.mu.Lock()
	p := c.pools[id]
	if p == nil {
		c.mu.Unlock()
		return nil
	}
	p.removed, p.desired = true, 0
	c.mu.Unlock()
	for {
		c.mu.Lock()
		starting, nodes := len(p.starting), slices.Clone(p.nodes)
		c.mu.Unlock()
		if starting == 0 {
			errs := make([]error, len(nodes))
			var draining sync.WaitGroup
			for i, node := range nodes {
				draining.Go(func() { errs[i] = c.drain(ctx, node) })
			}
			draining.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.pause(20 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pools, id)
	return nil
}

// runMachines keeps every pool at its size, until the clouds end.
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
			fmt.Fprintf(c.options.Log, "cloud: looking at the cluster: %v\n", err)
		}
	}
}

// resize starts the machines that pools lack and ends those that they have too many of.
func (c *Cloud) resize() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		for !p.removed && len(p.nodes)+len(p.starting) < p.desired {
			c.startMachine(p)
		}
		for !p.removed && len(p.nodes) > p.desired && len(p.starting) == 0 {
			c.endMachine(p, p.nodes[len(p.nodes)-1])
		}
		// One at a time goes out of service, without a spare one, as the program asks for.
		if !p.removed && len(p.outdated) > 0 && len(p.nodes) == p.desired && len(p.starting) == 0 {
			c.endMachine(p, p.outdated[0])
		}
	}
}

// startMachine adds a node to a pool. The caller has the lock.
func (c *Cloud) startMachine(p *pool) {
	index := p.made
	p.made++
	name := fmt.Sprintf("%s%06x", p.namePrefix, index)
	if p.cloud == "aws" {
		name = fmt.Sprintf("%s%d%s", p.namePrefix, 10+index, p.nodeSuffix)
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

// poolHash fits into a label.
func poolHash(id string) string {
	var sum uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(id) {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return strconv.FormatUint(sum, 16)
}

// endMachine removes a node from a pool. The caller has the lock.
func (c *Cloud) endMachine(p *pool, name string) {
	p.nodes = slices.DeleteFunc(p.nodes, func(n string) bool { return n == name })
	p.outdated = slices.DeleteFunc(p.outdated, func(n string) bool { return n == name })
	fmt.Fprintf(c.options.Log, "cloud: node %s of pool %s removed (%d left)\n", name, p.name, len(p.nodes))
	c.working.Go(func() {
		if err := c.drain(c.ctx, name); err != nil && c.ctx.Err() == nil {
			c.incident("removing node %s: %v", name, err)
		}
	})
}

// drainTime is how long the pods of a node may take to end; GKE and EKS give them an hour and 15 minutes.
const drainTime = 90 * time.Second

// drain ends the pods of a node, waits for them and removes the node.
func (c *Cloud) drain(ctx context.Context, name string) error {
	core := c.options.ControlPlane.Client().CoreV1()
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	if _, err := core.Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("cordon node %s: %w", name, err)
	}
	onNode := metav1.ListOptions{FieldSelector: "spec.nodeName=" + name}
	for deadline := time.Now().Add(drainTime); time.Now().Before(deadline) && ctx.Err() == nil; c.pause(100 * time.Millisecond) {
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
			if err := core.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("drain node %s: %w", name, err)
			}
		}
	}
	if err := c.options.ControlPlane.RemoveNode(ctx, name); err != nil {
		return err
	}
	// The pods of DaemonSets go with the machine. Nobody would say that they have ended, and the cluster would wait
	// most of a minute before it takes that for granted.
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

// untaintedNodes counts the nodes of a cluster on which any pod can run.
func (c *Cloud) untaintedNodes(_ context.Context, cluster string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.pools {
		if p.cluster == cluster && len(p.taints) == 0 {
			n += len(p.nodes)
		}
	}
	return n
}

// Nodes are the names of a pool's nodes, by the pool's name in the cloud.
func (c *Cloud) Nodes(pool string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		if p.name == pool {
			return slices.Clone(p.nodes)
		}
	}
	return nil
}

// Pools are the names of all pools.
func (c *Cloud) Pools() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, p := range c.pools {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// advertise makes the node's GPUs follow the device plugin's pods.
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
