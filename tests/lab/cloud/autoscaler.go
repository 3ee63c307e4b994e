package cloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab/controlplane"
)

// look runs one round of the kubelets of GPU nodes, the CSI drivers and the node autoscalers.
func (c *Cloud) look(ctx context.Context) error {
	c.mu.Lock()
	idle := len(c.pools) == 0
	c.mu.Unlock()
	if idle {
		return nil
	}
	core := c.options.ControlPlane.Client().CoreV1()
	// From the API server's cache, because this happens every second.
	cached := metav1.ListOptions{ResourceVersion: "0"}
	pods, err := core.Pods("").List(ctx, cached)
	if err != nil {
		return err
	}
	nodes, err := core.Nodes().List(ctx, cached)
	if err != nil {
		return err
	}
	deployments, err := c.options.ControlPlane.Client().AppsV1().Deployments("").List(ctx, cached)
	if err != nil {
		return err
	}
	view := &view{nodes: map[string]*corev1.Node{}, pods: map[string][]*corev1.Pod{}, deployments: deployments.Items}
	for i := range nodes.Items {
		view.nodes[nodes.Items[i].Name] = &nodes.Items[i]
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			view.pods[pod.Spec.NodeName] = append(view.pods[pod.Spec.NodeName], pod)
		}
	}
	if err := c.kubelets(ctx, view); err != nil {
		return err
	}
	if err := c.provision(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.grow(view)
	c.shrink(view)
	c.rebalance(view)
	untold := c.untold
	c.untold = nil
	c.mu.Unlock()
	return c.tell(ctx, untold)
}

// view is the cluster at one moment.
type view struct {
	nodes map[string]*corev1.Node
	// pods by node; those of no node under "".
	pods        map[string][]*corev1.Pod
	deployments []appsv1.Deployment
}

// kubelets updates the GPUs of each node that has a driver.
func (c *Cloud) kubelets(ctx context.Context, v *view) error {
	c.mu.Lock()
	type machine struct {
		p    *pool
		node *corev1.Node
	}
	var machines []machine
	for _, p := range c.pools {
		for _, name := range p.nodes {
			if node := v.nodes[name]; node != nil {
				machines = append(machines, machine{p, node})
			}
		}
	}
	c.mu.Unlock()
	for _, m := range machines {
		plugins := 0
		for _, pod := range v.pods[m.node.Name] {
			if runsImage(pod.Spec.Containers, "k8s-device-plugin") && ready(pod) {
				plugins++
			}
		}
		if err := c.advertise(ctx, m.p, m.node, plugins); err != nil {
			return err
		}
	}
	return nil
}

func runsImage(containers []corev1.Container, name string) bool {
	return slices.ContainsFunc(containers, func(container corev1.Container) bool {
		image, _, _ := strings.Cut(container.Image[strings.LastIndex(container.Image, "/")+1:], ":")
		return image == name
	})
}

func ready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// grow adds nodes for pods that no node has room for.
func (c *Cloud) grow(v *view) {
	stuck := c.stuckPods(v)
	if len(stuck) == 0 {
		return
	}
	// Room on existing and starting nodes is used first: the scheduler needs a moment to find it.
	var coming []*hypothetical
	for _, p := range c.sortedPools() {
		upcoming := p.desired - len(p.nodes)
		for _, name := range p.nodes {
			switch node := v.nodes[name]; {
			case node == nil:
			case p.waitsForGPUs(node):
				upcoming++
			default:
				coming = append(coming, v.occupied(node))
			}
		}
		for range upcoming {
			coming = append(coming, newHypothetical(p.template(nil)))
		}
	}
	for _, pod := range stuck {
		if slices.ContainsFunc(coming, func(h *hypothetical) bool { return h.take(pod) }) {
			continue
		}
		if h := c.growFor(pod, v); h != nil {
			coming = append(coming, h)
		}
	}
}

// growFor adds a node to the first pool whose nodes have room for the pod, and returns that node; nil for none.
func (c *Cloud) growFor(pod *corev1.Pod, v *view) *hypothetical {
	refusals := map[string]int{}
	for _, p := range c.sortedPools() {
		if p.removed || !p.autoscaled {
			continue
		}
		template := c.autoscalerTemplate(p, v)
		if template == nil {
			continue
		}
		h := newHypothetical(template)
		switch {
		case !h.take(pod):
			refusals[otherNodes]++
		case p.desired >= p.max:
			refusals[poolAtMaximum]++
		case c.withoutStock[p.machineType]:
			c.tryWithoutStock(p, pod)
			return nil
		default:
			c.scaledUp(p, pod)
			p.desired++
			fmt.Fprintf(c.options.Log, "cloud: pod %s/%s fits on no node: pool %s grows to %d\n", pod.Namespace, pod.Name, p.name, p.desired)
			return h
		}
	}
	c.notScaledUp(pod, refusals)
	return nil
}

// sortedPools returns the pools in a fixed order, so that equal choices are always made the same way.
func (c *Cloud) sortedPools() []*pool {
	return slices.SortedFunc(maps.Values(c.pools), func(a, b *pool) int { return strings.Compare(a.id, b.id) })
}

// stuckPods returns the pods that have been unschedulable for Options.ScaleUpDelay.
func (c *Cloud) stuckPods(v *view) []*corev1.Pod {
	var stuck []*corev1.Pod
	seen := map[string]time.Time{}
	for _, pod := range v.pods[""] {
		// One with a nominated node waits for the end of the pods that it preempts.
		if pod.DeletionTimestamp != nil || expendable(pod) || pod.Status.NominatedNodeName != "" || !slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
			return condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable
		}) {
			continue
		}
		since, known := c.stuckSince[string(pod.UID)]
		if !known {
			since = time.Now()
		}
		seen[string(pod.UID)] = since
		if time.Since(since) >= c.options.ScaleUpDelay {
			stuck = append(stuck, pod)
		}
	}
	c.stuckSince = seen
	return stuck
}

// waitsForGPUs reports whether a node has no GPUs yet but is labeled as one that gets them.
func (p *pool) waitsForGPUs(node *corev1.Node) bool {
	gpus := node.Status.Allocatable[controlplane.GPUResource]
	return p.gpuCount > 0 && p.gpus != gpusNever && gpus.IsZero() && node.Labels[p.acceleratorLabel] != ""
}

// template returns the node that an autoscaler expects from the pool. tags, unless nil, replace the labels and taints of
// the pool, which the autoscaler then does not read.
func (p *pool) template(tags map[string]string) *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Labels: p.nodeLabels(0)},
		Spec:       corev1.NodeSpec{Taints: p.taints},
		Status:     corev1.NodeStatus{Allocatable: p.allocatable()},
	}
	if tags == nil {
		return node
	}
	node.Labels = map[string]string{corev1.LabelInstanceTypeStable: p.machineType, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}
	if len(p.zones) > 0 {
		node.Labels[corev1.LabelTopologyZone] = p.zones[0]
		node.Labels[corev1.LabelTopologyRegion] = regionOf(p.zones[0])
	}
	node.Spec.Taints = nil
	for key, value := range tags {
		rest, found := strings.CutPrefix(key, nodeTemplate)
		if !found {
			continue
		}
		kind, name, _ := strings.Cut(rest, "/")
		switch kind {
		case "label":
			node.Labels[name] = value
		case "taint":
			taintValue, effect, _ := strings.Cut(value, ":")
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: name, Value: taintValue, Effect: corev1.TaintEffect(effect)})
		case "resources":
			if quantity, err := resource.ParseQuantity(value); err == nil {
				node.Status.Allocatable[corev1.ResourceName(name)] = quantity
			}
		}
	}
	return node
}

// installedAutoscaler is a node autoscaler that runs in the cluster as cluster-autoscaler does. Its functions are called
// with the lock held.
type installedAutoscaler struct {
	// runs reports whether it is ready, manages the pool's cluster and is allowed to resize the pool.
	runs func(c *Cloud, p *pool, v *view) bool
	// tags are what the autoscaler finds in the cloud about the nodes of a pool that has none, such as their labels.
	tags func(c *Cloud, p *pool) map[string]string
}

const (
	// autoscalerTag is the prefix of the tags that cluster-autoscaler reads, nodeTemplate of those that describe nodes.
	autoscalerTag = "k8s.io/cluster-autoscaler/"
	nodeTemplate  = autoscalerTag + "node-template/"
)

// autoscalerTemplate returns the node that the pool's autoscaler expects to get, nil when no autoscaler manages the pool.
func (c *Cloud) autoscalerTemplate(p *pool, v *view) *corev1.Node {
	installed := p.double.autoscaler
	if installed == nil {
		return p.template(nil)
	}
	if !installed.runs(c, p, v) {
		return nil
	}
	for _, name := range p.nodes {
		if node := v.nodes[name]; node != nil && !p.waitsForGPUs(node) {
			// A further node is expected to be like an existing one.
			copied := node.DeepCopy()
			copied.Labels[corev1.LabelHostname] = ""
			return copied
		}
	}
	return p.template(installed.tags(c, p))
}

// shrink removes nodes that have been empty for long enough.
func (c *Cloud) shrink(v *view) {
	seen := map[string]time.Time{}
	for _, p := range c.sortedPools() {
		if installed := p.double.autoscaler; p.removed || !p.autoscaled || installed != nil && !installed.runs(c, p, v) {
			continue
		}
		for _, name := range slices.Clone(p.nodes) {
			if slices.ContainsFunc(v.pods[name], keepsNode) || v.nodes[name] == nil {
				continue
			}
			since, known := c.idleSince[name]
			if !known {
				since = time.Now()
			}
			seen[name] = since
			if time.Since(since) >= c.options.IdleTime && p.desired > p.min && len(p.starting) == 0 {
				p.desired--
				c.endMachine(p, name)
			}
		}
	}
	c.idleSince = seen
}

// expendableCutoff is cluster-autoscaler's --expendable-pods-priority-cutoff, by default.
const expendableCutoff = -10

// expendable reports whether a pod has such a low priority that no node is added for it, and none is kept.
func expendable(pod *corev1.Pod) bool {
	return pod.Spec.Priority != nil && *pod.Spec.Priority < expendableCutoff
}

// keepsNode reports whether a pod prevents the removal of its node: the pods of DaemonSets and expendable ones do not.
func keepsNode(pod *corev1.Pod) bool {
	return !expendable(pod) && !slices.ContainsFunc(pod.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.Kind == "DaemonSet" })
}
