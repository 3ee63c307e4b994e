package cloud

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// hypothetical is a node in an autoscaler's simulation.
type hypothetical struct {
	node *corev1.Node
	free corev1.ResourceList
}

// occupied returns a node with the resources that its pods leave free.
func (v *view) occupied(node *corev1.Node) *hypothetical {
	h := newHypothetical(node)
	for _, pod := range v.pods[node.Name] {
		for name, used := range requests(pod) {
			left := h.free[name]
			left.Sub(used)
			h.free[name] = left
		}
	}
	return h
}

func newHypothetical(node *corev1.Node) *hypothetical {
	return &hypothetical{node: node, free: node.Status.Allocatable.DeepCopy()}
}

// take adds a pod to the node and reports whether it fits.
func (h *hypothetical) take(pod *corev1.Pod) bool {
	if !selects(&pod.Spec, h.node.Labels) || !tolerates(pod.Spec.Tolerations, h.node.Spec.Taints) {
		return false
	}
	left := h.free.DeepCopy()
	for name, wanted := range requests(pod) {
		if name == corev1.ResourceEphemeralStorage {
			continue // disks are not simulated
		}
		have := left[name]
		if have.Cmp(wanted) < 0 {
			return false
		}
		have.Sub(wanted)
		left[name] = have
	}
	h.free = left
	return true
}

func requests(pod *corev1.Pod) corev1.ResourceList {
	total := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}
	for _, container := range pod.Spec.Containers {
		for name, quantity := range container.Resources.Requests {
			sum := total[name]
			sum.Add(quantity)
			total[name] = sum
		}
	}
	return total
}

func tolerates(tolerations []corev1.Toleration, taints []corev1.Taint) bool {
	return !slices.ContainsFunc(taints, func(taint corev1.Taint) bool {
		return taint.Effect != corev1.TaintEffectPreferNoSchedule && !slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool {
			return (t.Key == "" || t.Key == taint.Key) && (t.Effect == "" || t.Effect == taint.Effect) &&
				(t.Operator == corev1.TolerationOpExists || t.Value == taint.Value)
		})
	})
}

// selects reports whether the node selector and the required node affinity match the labels.
func selects(spec *corev1.PodSpec, nodeLabels map[string]string) bool {
	if !labels.SelectorFromSet(spec.NodeSelector).Matches(labels.Set(nodeLabels)) {
		return false
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, func(e corev1.NodeSelectorRequirement) bool {
			operators := map[corev1.NodeSelectorOperator]selection.Operator{
				corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn, corev1.NodeSelectorOpExists: selection.Exists,
				corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist, corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
			}
			requirement, err := labels.NewRequirement(e.Key, operators[e.Operator], e.Values)
			return err != nil || !requirement.Matches(labels.Set(nodeLabels))
		})
	})
}
