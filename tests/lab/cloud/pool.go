package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/tests/lab/controlplane"
)

// gpuAdvertising is when a node reports its GPUs to the API server.
type gpuAdvertising int

const (
	// gpusNever: the node has no driver.
	gpusNever gpuAdvertising = iota
	// gpusAtOnce: the node's image contains driver and device plugin.
	gpusAtOnce
	// gpusByPlugin: the node's image contains the driver; a pod of the device plugin has to run on the node.
	gpusByPlugin
)

// poolLabel is the label of a cloud's nodes with the hash of their pool's id.
const poolLabel = "lab.vllm-autoscaling/pool"

// pool is a group of equal machines.
type pool struct {
	double            *double
	id, cluster, name string
	machineType       string
	// machine identifies the machine properties that can change in place; a change replaces the nodes.
	machine  string
	zones    []string
	labels   map[string]string
	taints   []corev1.Taint
	gpuCount int
	gpus     gpuAdvertising
	// acceleratorLabel is the label of nodes that get GPUs, also before they report them.
	acceleratorLabel       string
	namePrefix, nodeSuffix string
	asg                    string
	min, max, desired      int
	// autoscaled reports whether a node autoscaler changes its size.
	autoscaled bool
	// sized reports that the request which made or changed it states its size, which then is taken literally.
	sized bool

	made  int
	nodes []string
	// outdated are the nodes that were created with another machine and are to be replaced.
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

// allocatable returns the resources for pods. The kubelet and the system reserve about 100m and a tenth of the memory.
func (p *pool) allocatable() corev1.ResourceList {
	cpus, memory := p.double.machineSize(p.machineType)
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

// nodeLabels returns the labels of the pool's node with that index, which selects its zone.
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

// regionOf returns the region of a zone such as us-central1-a, eu-central-1a or eastus-1.
func regionOf(zone string) string {
	return regexp.MustCompile(`(-[a-z]|-\d+|[a-z])$`).ReplaceAllString(zone, "")
}

// changePool applies new settings to a pool. The caller holds the lock.
func (c *Cloud) changePool(p *pool) error {
	old := c.pools[p.id]
	if old == nil {
		return fmt.Errorf("pool %s does not exist", p.id)
	}
	if p.desired == 0 && !p.sized {
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

// waitForPool waits until a new pool has its nodes.
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

// removePool drains and removes the nodes of a pool, and the pool. A node that a PodDisruptionBudget keeps from being
// drained fails the deletion where the double of the cloud is strict; the pool and the nodes that are left then stay.
// Pods that end with their cluster are not evicted.
func (c *Cloud) removePool(ctx context.Context, id string) error {
	c.mu.Lock()
	p := c.pools[id]
	if p == nil {
		c.mu.Unlock()
		return nil
	}
	p.removed, p.desired = true, 0
	patience, forced := c.options.DrainPatience, !p.double.drainStrictly
	if cluster := c.find(p.double.cluster, "", p.cluster); cluster == nil || c.ends(cluster) {
		patience, forced = 0, true
	}
	c.mu.Unlock()
	for {
		c.mu.Lock()
		starting, nodes := len(p.starting), slices.Clone(p.nodes)
		c.mu.Unlock()
		if starting == 0 {
			errs := make([]error, len(nodes))
			var draining sync.WaitGroup
			for i, node := range nodes {
				draining.Go(func() { errs[i] = c.drain(ctx, node, patience, forced) })
			}
			draining.Wait()
			if err := errors.Join(errs...); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				p.nodes = slices.DeleteFunc(p.nodes, func(node string) bool { return errs[slices.Index(nodes, node)] == nil })
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

// Nodes returns the names of a pool's nodes, by the pool's name in the cloud.
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

// Pools returns the names of all pools, sorted.
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

// defaultCPUs and defaultMemoryGiB are the size of a machine whose type does not contain one.
const (
	defaultCPUs      = 4
	defaultMemoryGiB = 16
)

// taintEffects are the effects of taints by their names in GKE's and EKS' API.
var taintEffects = map[string]string{"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
