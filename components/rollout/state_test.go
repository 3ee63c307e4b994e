package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const server = "vllm"

var began = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// deployment returns a Deployment whose controller has seen its second revision.
func deployment(replicas, updated, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: server, Generation: 2, Annotations: map[string]string{revisionAnnotation: "2"}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": server}}},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: replicas, UpdatedReplicas: updated, ReadyReplicas: ready},
	}
}

// sets are the ReplicaSets of two revisions, with pods of the hashes old and new.
func sets() []appsv1.ReplicaSet {
	set := func(revision, hash string) appsv1.ReplicaSet {
		return appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Annotations: map[string]string{revisionAnnotation: revision}, Labels: map[string]string{hashLabel: hash}}}
	}
	return []appsv1.ReplicaSet{set("1", "old"), set("2", "new")}
}

type change func(*corev1.Pod)

// made returns a pod without a node.
func made(name, hash string, changes ...change) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{hashLabel: hash}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: server, Image: "registry.example.com/vllm:v1"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func unschedulable(message string) change {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message})
	}
}

func onNode(p *corev1.Pod) { p.Spec.NodeName = "gpu-1" }

func waiting(reason, message string) change {
	return contained(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}})
}

func running(restarts int32, last *corev1.ContainerStateTerminated) change {
	return contained(corev1.ContainerStatus{RestartCount: restarts,
		State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}},
		LastTerminationState: corev1.ContainerState{Terminated: last}})
}

func crashed(restarts int32, last corev1.ContainerStateTerminated) change {
	return contained(corev1.ContainerStatus{RestartCount: restarts,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &last}})
}

// contained gives the pod a node and the server a status.
func contained(status corev1.ContainerStatus) change {
	return func(p *corev1.Pod) {
		onNode(p)
		status.Name = server
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar", Ready: true}, status}
	}
}

func ready(p *corev1.Pod) {
	running(0, nil)(p)
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
}

// event returns an event of the pod a, so many seconds after the beginning.
func event(seconds int, reason, message string) corev1.Event {
	return corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "a"}, Reason: reason, Message: message,
		LastTimestamp: metav1.NewTime(began.Add(time.Duration(seconds) * time.Second))}
}

func TestProgress(t *testing.T) {
	const noGPU = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
	for name, test := range map[string]struct {
		deployment *appsv1.Deployment
		pods       []corev1.Pod
		events     []corev1.Event
		log        string
		phase      Phase
		detail     string
		hopeless   bool
	}{
		"the scheduler has not looked": {pods: []corev1.Pod{made("a", "new")}, phase: Node, detail: "not scheduled yet"},
		"no node has room":             {pods: []corev1.Pod{made("a", "new", unschedulable(noGPU))}, phase: Node, detail: noGPU},
		"a node is coming": {
			pods:   []corev1.Pod{made("a", "new", unschedulable(noGPU))},
			events: []corev1.Event{event(1, "FailedScheduling", noGPU), event(2, "TriggeredScaleUp", "pod triggered scale-up: [{gpu 0->1 (max: 4)}]")},
			phase:  Node, detail: "TriggeredScaleUp: pod triggered scale-up: [{gpu 0->1 (max: 4)}]",
		},
		"events of another pod do not count": {
			pods:   []corev1.Pod{made("b", "new", unschedulable(noGPU))},
			events: []corev1.Event{event(2, "TriggeredScaleUp", "pod triggered scale-up")},
			phase:  Node, detail: noGPU,
		},
		"no quota": {
			pods: []corev1.Pod{made("a", "new", unschedulable(noGPU))},
			events: []corev1.Event{event(2, "TriggeredScaleUp", "pod triggered scale-up"), event(9, "FailedScaleUp",
				"Node scale up in zones us-central1-a associated with this pod failed: GCE quota exceeded. Pod is at risk of not being scheduled.")},
			phase: Node, detail: "FailedScaleUp: Node scale up in zones us-central1-a associated with this pod failed: GCE quota exceeded. " +
				"Pod is at risk of not being scheduled.",
		},
		"another try after a failure": {
			pods: []corev1.Pod{made("a", "new", unschedulable(noGPU))},
			events: []corev1.Event{event(9, "FailedScaleUp", "out of resources"),
				event(20, "TriggeredScaleUp", "pod triggered scale-up")},
			phase: Node, detail: "TriggeredScaleUp: pod triggered scale-up; before, FailedScaleUp: out of resources",
		},
		"no pool has such a node": {
			pods:   []corev1.Pod{made("a", "new", unschedulable(noGPU))},
			events: []corev1.Event{event(5, "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")},
			phase:  Node, detail: "NotTriggerScaleUp: pod didn't trigger scale-up: 1 max node group size reached; scheduler: " + noGPU,
		},
		"the node prepares the pod": {pods: []corev1.Pod{made("a", "new", waiting("ContainerCreating", ""))},
			phase: Image, detail: "preparing the pod on node gpu-1 (registry.example.com/vllm:v1)"},
		"no status from the kubelet yet": {pods: []corev1.Pod{made("a", "new", onNode)},
			phase: Image, detail: "preparing the pod on node gpu-1 (registry.example.com/vllm:v1)"},
		"a missing secret": {
			pods:   []corev1.Pod{made("a", "new", waiting("ContainerCreating", ""))},
			events: []corev1.Event{event(3, "FailedMount", `MountVolume.SetUp failed: secret "x" not found`)},
			phase:  Image, detail: `FailedMount: MountVolume.SetUp failed: secret "x" not found`,
		},
		"the image is pulled": {
			pods:   []corev1.Pod{made("a", "new", waiting("ContainerCreating", ""))},
			events: []corev1.Event{event(1, "FailedMount", "not yet"), event(3, "Pulling", `Pulling image "registry.example.com/vllm:v1"`)},
			phase:  Image, detail: "pulling registry.example.com/vllm:v1",
		},
		"the image is there": {
			pods:   []corev1.Pod{made("a", "new", waiting("ContainerCreating", ""))},
			events: []corev1.Event{event(3, "Pulling", "x"), event(90, "Pulled", "x")},
			phase:  Image, detail: "starting the container of registry.example.com/vllm:v1",
		},
		"the registry is busy": {pods: []corev1.Pod{made("a", "new", waiting("ErrImagePull", "429 Too Many Requests"))},
			phase: Image, detail: "ErrImagePull: 429 Too Many Requests"},
		"the registry does not know the caller": {pods: []corev1.Pod{made("a", "new", waiting("ImagePullBackOff", "401 Unauthorized"))},
			phase: Image, detail: "ImagePullBackOff: 401 Unauthorized"},
		"no such image": {pods: []corev1.Pod{made("a", "new", waiting("ImagePullBackOff", "rpc error: code = NotFound desc = vllm:v9: not found"))},
			phase: Image, detail: "ImagePullBackOff: rpc error: code = NotFound desc = vllm:v9: not found", hopeless: true},
		"no image name": {pods: []corev1.Pod{made("a", "new", waiting("InvalidImageName", "bad"))},
			phase: Image, detail: "InvalidImageName: bad", hopeless: true},
		"a missing key of a secret": {pods: []corev1.Pod{made("a", "new", waiting("CreateContainerConfigError", "couldn't find key"))},
			phase: Image, detail: "CreateContainerConfigError: couldn't find key"},
		"the server starts": {pods: []corev1.Pod{made("a", "new", running(0, nil))}, phase: Weights, detail: "the server starts"},
		"the server loads": {pods: []corev1.Pod{made("a", "new", running(0, nil))}, log: "INFO Starting to load model google/gemma-3-1b-it...",
			events: []corev1.Event{event(10, "Unhealthy", "Startup probe failed: connection refused")},
			phase:  Weights, detail: "the server does not answer yet"},
		"the server warms up": {pods: []corev1.Pod{made("a", "new", running(0, nil))},
			log:    "INFO Starting to load model\nINFO Model loading took 1.9 GiB and 2.1 seconds\nCapturing CUDA graphs: 10%",
			events: []corev1.Event{event(10, "Unhealthy", "Startup probe failed: connection refused")},
			phase:  WarmUp, detail: "the server does not answer yet"},
		"starts again after an error": {
			pods:  []corev1.Pod{made("a", "new", running(1, &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "Traceback:\nValueError: no\n"}))},
			phase: Weights, detail: "the server has been restarted once, the last time after: exit code 1: ValueError: no; the server starts",
		},
		"may heal": {pods: []corev1.Pod{made("a", "new", crashed(3, corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}))},
			phase: Weights, detail: "the server has been restarted 3 times, the last time after: exit code 1"},
		"fails for good": {pods: []corev1.Pod{made("a", "new", crashed(4, corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}))},
			phase: Weights, detail: "the server has been restarted 4 times, the last time after: exit code 1", hopeless: true},
		"too little memory": {pods: []corev1.Pod{made("a", "new", crashed(2, corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}))},
			phase: Weights, detail: "the server has been restarted 2 times, the last time after: OOMKilled, exit code 137", hopeless: true},
		"wrong arguments": {pods: []corev1.Pod{made("a", "new", crashed(2, corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}))},
			phase: Weights, detail: "the server has been restarted 2 times, the last time after: exit code 2", hopeless: true},
		"one that starts counts more than one that fails": {
			pods:  []corev1.Pod{made("a", "new", crashed(9, corev1.ContainerStateTerminated{ExitCode: 1})), made("b", "new", running(0, nil))},
			phase: Weights, detail: "the server starts",
		},
		"the pod nearest to ready": {pods: []corev1.Pod{made("b", "new", unschedulable(noGPU)), made("a", "new", waiting("ContainerCreating", ""))},
			phase: Image, detail: "preparing the pod on node gpu-1 (registry.example.com/vllm:v1)"},
		"pods of an earlier version do not count": {deployment: deployment(2, 1, 1),
			pods: []corev1.Pod{made("b", "old", ready), made("a", "new", unschedulable(noGPU))}, phase: Node, detail: noGPU},
		"nor do pods that end": {
			pods: []corev1.Pod{made("a", "new", func(p *corev1.Pod) { running(0, nil)(p); p.DeletionTimestamp = &metav1.Time{Time: began} }),
				made("b", "new", func(p *corev1.Pod) { onNode(p); p.Status.Phase = corev1.PodFailed; p.Status.Reason = "Evicted" })},
			phase: Pods, detail: "pod b ended: Evicted",
		},
		"the controller is slow": {deployment: func() *appsv1.Deployment { d := deployment(1, 1, 1); d.Generation = 3; return d }(),
			phase: Pods, detail: "the controller has not seen the change of the Deployment"},
		"pods are refused": {
			deployment: func() *appsv1.Deployment {
				d := deployment(0, 0, 0)
				d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue,
					Reason: "FailedCreate", Message: "exceeded quota"}}
				return d
			}(),
			phase: Pods, detail: "FailedCreate: exceeded quota",
		},
		"paused": {deployment: func() *appsv1.Deployment { d := deployment(1, 0, 1); d.Spec.Paused = true; return d }(),
			phase: Pods, detail: "the rollout is paused (kubectl rollout resume)", hopeless: true},
		"scaled to 0": {deployment: func() *appsv1.Deployment { d := deployment(0, 0, 0); d.Spec.Replicas = new(int32); return d }(),
			phase: Done, detail: "the Deployment is scaled to 0 replicas"},
		"earlier replicas are left": {deployment: deployment(2, 1, 2), pods: []corev1.Pod{made("b", "old", ready), made("a", "new", ready)},
			phase: Earlier, detail: "1 left, which are replaced one after the other"},
		"complete": {deployment: deployment(1, 1, 1), phase: Done},
		"complete, and the autoscaler asks for more": {deployment: deployment(4, 4, 1), phase: Done},
	} {
		t.Run(name, func(t *testing.T) {
			if test.deployment == nil {
				test.deployment = deployment(1, 1, 0)
			}
			p := State{Deployment: test.deployment, ReplicaSets: sets(), Pods: test.pods, Events: test.events, Container: server, Log: test.log}.Progress()
			assert.Equal(t, test.phase, p.Phase)
			assert.Equal(t, test.detail, p.Detail)
			assert.Equal(t, test.hopeless, p.Hopeless)
		})
	}
}

func TestAMissingDeployment(t *testing.T) {
	assert.True(t, State{}.Progress().Hopeless)
}

func TestOneLine(t *testing.T) {
	assert.Equal(t, "a b", oneLine(" a\n\tb: "))
	// The limit is within a character of two bytes.
	assert.Equal(t, strings.Repeat("x", detailLimit-1)+" ...", oneLine(strings.Repeat("x", detailLimit-1)+"éé"))
}
