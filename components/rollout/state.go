package rollout

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Phase is what the rollout waits for.
type Phase string

// The phases of a new pod, in their order.
const (
	// Pods means that the controllers have not created a pod of the current version.
	Pods Phase = "a pod"
	// Node means that no node has room for the pod.
	Node Phase = "a node"
	// Image means that the pod has a node, and the container has not started.
	Image Phase = "the image"
	// Weights means that the container runs, and the server loads the model.
	Weights Phase = "the weights"
	// WarmUp means that the server has loaded the model, and prepares to serve.
	WarmUp Phase = "the warm-up"
	// Earlier means that a pod of the current version is ready, and pods of an earlier version are left.
	Earlier Phase = "the earlier replicas"
	// Done means that a pod of the current version is ready, and none of an earlier version is left.
	Done Phase = "nothing"
)

// order is the order of the phases.
var order = []Phase{Pods, Node, Image, Weights, WarmUp, Earlier, Done}

// The annotation with the revision of a Deployment and of its ReplicaSets, and the label with the ReplicaSet of a pod.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	hashLabel          = appsv1.DefaultDeploymentUniqueLabelKey
)

// State is what the cluster has of a Deployment.
type State struct {
	// Deployment is nil when it does not exist.
	Deployment *appsv1.Deployment
	// ReplicaSets and Pods are those that the Deployment's selector selects.
	ReplicaSets []appsv1.ReplicaSet
	Pods        []corev1.Pod
	// Events are those of the pods.
	Events []corev1.Event
	// Container is the name of the server's container.
	Container string
	// Log is the end of the server's log in the pod that is nearest to ready, of its last run if it does not run; "" if it could
	// not be read.
	Log string
}

// Progress is how far a rollout is.
type Progress struct {
	Phase Phase
	// Pod is the name of the pod of the current version that is nearest to ready; "" for none.
	Pod string
	// Detail is the reason for the phase, as the cluster gives it; one line.
	Detail string
	// Hopeless reports that the pod cannot become ready unless somebody changes something.
	Hopeless bool
	// Lines are the last lines of the server in that pod, at most endLines.
	Lines []string
	// Ready is the number of ready pods of any version, Left that of the pods of an earlier version.
	Ready, Left int
}

// Progress returns how far the rollout is.
func (s State) Progress() Progress {
	if s.Deployment == nil {
		return Progress{Phase: Pods, Detail: "the Deployment does not exist", Hopeless: true}
	}
	status := s.Deployment.Status
	p := Progress{Phase: Pods, Ready: int(status.ReadyReplicas), Left: int(status.Replicas - status.UpdatedReplicas)}
	switch {
	case status.ObservedGeneration < s.Deployment.Generation:
		p.Detail = "the controller has not seen the change of the Deployment"
		return p
	case s.Deployment.Spec.Replicas != nil && *s.Deployment.Spec.Replicas == 0:
		p.Phase, p.Detail = Done, "the Deployment is scaled to 0 replicas"
		return p
	case p.Left == 0 && p.Ready > 0:
		p.Phase = Done
		return p
	case s.Deployment.Spec.Paused:
		p.Detail, p.Hopeless = "the rollout is paused (kubectl rollout resume)", true
		return p
	}
	pods := s.current()
	if len(pods) == 0 {
		p.Detail = s.whyNoPods()
		return p
	}
	best := slices.MaxFunc(pods, nearer)
	p.Phase, p.Pod, p.Detail, p.Hopeless, p.Lines = best.phase, best.name, best.detail, best.hopeless, s.lastLines(best)
	if p.Phase == Earlier {
		p.Detail = fmt.Sprintf("%d left, which are replaced one after the other", p.Left)
	}
	return p
}

// pod is how far one pod is.
type pod struct {
	name     string
	phase    Phase
	detail   string
	hopeless bool
	restarts int32
	// message is the end of the last run's log, as the kubelet keeps it in the status.
	message string
}

// nearer compares two pods by how near they are to ready.
func nearer(a, b pod) int {
	if d := slices.Index(order, a.phase) - slices.Index(order, b.phase); d != 0 {
		return d
	}
	if a.hopeless != b.hopeless {
		if b.hopeless {
			return 1
		}
		return -1
	}
	if a.restarts != b.restarts {
		return int(b.restarts - a.restarts)
	}
	return strings.Compare(b.name, a.name)
}

// current lists the pods of the current version that have not ended.
func (s State) current() []pod {
	var hash string
	for _, set := range s.ReplicaSets {
		if set.Annotations[revisionAnnotation] == s.Deployment.Annotations[revisionAnnotation] {
			hash = set.Labels[hashLabel]
		}
	}
	if hash == "" {
		return nil
	}
	var pods []pod
	for _, p := range s.Pods {
		if p.Labels[hashLabel] != hash || ended(p) {
			continue
		}
		pods = append(pods, s.look(p))
	}
	return pods
}

// ended reports whether a pod is being deleted or has ended, as a pod that its node has evicted.
func ended(p corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
}

// whyNoPods returns why the Deployment has no pods of the current version.
func (s State) whyNoPods() string {
	for _, c := range s.Deployment.Status.Conditions {
		// A quota, a policy or a webhook refuses them.
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return oneLine(c.Reason + ": " + c.Message)
		}
	}
	for _, p := range s.Pods {
		if p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" {
			return oneLine(fmt.Sprintf("pod %s ended: %s: %s", p.Name, p.Status.Reason, p.Status.Message))
		}
	}
	return "the controllers have not created it yet"
}

// look returns how far a pod is.
func (s State) look(p corev1.Pod) pod {
	found := pod{name: p.Name}
	if condition(p, corev1.PodReady) == corev1.ConditionTrue {
		found.phase = Earlier
		return found
	}
	if p.Spec.NodeName == "" {
		found.phase, found.detail = Node, s.whyUnscheduled(p)
		return found
	}
	status := s.server(p)
	found.restarts = status.RestartCount
	if last := lastEnd(status); last != nil {
		found.message = last.Message
	}
	switch {
	case status.State.Running != nil:
		found.phase = Weights
		if warmsUp(s.Log) {
			found.phase = WarmUp
		}
		found.detail = s.whyStarting(p, status)
	case status.State.Terminated != nil, status.RestartCount > 0, status.LastTerminationState.Terminated != nil:
		found.phase = Weights
		found.detail, found.hopeless = whyRestarted(status)
	default:
		found.phase = Image
		found.detail, found.hopeless = s.whyNotStarted(p, status)
	}
	return found
}

// server returns the status of the server's container, the zero value before the kubelet has reported one.
func (s State) server(p corev1.Pod) corev1.ContainerStatus {
	for _, status := range p.Status.ContainerStatuses {
		if status.Name == s.Container {
			return status
		}
	}
	return corev1.ContainerStatus{}
}

func condition(p corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// detailLimit is the longest detail in bytes. A scheduler's message on a large cluster is longer.
const detailLimit = 500

// oneLine returns a text in one line of limited length.
func oneLine(text string) string {
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ":")
	if len(text) > detailLimit {
		text = strings.ToValidUTF8(text[:detailLimit], "") + " ..."
	}
	return text
}
