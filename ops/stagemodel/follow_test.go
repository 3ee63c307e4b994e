package stagemodel

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"
)

func ptrTo(quantity string) *resource.Quantity { return ptr.To(resource.MustParse(quantity)) }

func refuse(what string) kubetesting.ReactionFunc {
	return func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: what}, "", errors.New("not allowed"))
	}
}

// course is a Job that runs: the follower looks at it step by step.
type course struct {
	*follower
	t       *testing.T
	cluster *cluster
	client  *fake.Clientset
	job     *batchv1.Job
	logs    map[string]string
}

func newCourse(t *testing.T) *course {
	t.Helper()
	c := newCluster().inClaim()
	o, client := c.start(t)
	job, err := o.create(t.Context())
	require.NoError(t, err)
	at := &course{t: t, cluster: c, client: client, job: job, logs: map[string]string{}}
	o.log = func(pod string) ([]byte, error) { return []byte(at.logs[pod]), nil }
	at.follower = &follower{Options: o, job: job, began: time.Now()}
	return at
}

func (c *course) pod(name string, age time.Duration, status corev1.PodStatus) {
	c.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "vllm", Name: name, Labels: map[string]string{batchv1.JobNameLabel: c.job.Name}, CreationTimestamp: metav1.NewTime(time.Now().Add(-age)),
		},
		Status: status,
	}
	if err := c.client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, "vllm"); err != nil {
		require.NoError(c.t, c.client.Tracker().Add(pod))
	}
}

func (c *course) ends(kind batchv1.JobConditionType, reason, message string) {
	c.t.Helper()
	c.job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message}}
	_, err := c.client.BatchV1().Jobs("vllm").UpdateStatus(c.t.Context(), c.job, metav1.UpdateOptions{})
	require.NoError(c.t, err)
}

func (c *course) goesOn() {
	c.t.Helper()
	done, err := c.look(c.t.Context())
	require.NoError(c.t, err)
	require.False(c.t, done)
}

func (c *course) isDone() error {
	c.t.Helper()
	done, err := c.look(c.t.Context())
	require.True(c.t, done)
	return err
}

func contained(state corev1.ContainerState) corev1.PodStatus {
	return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: container, State: state}}}
}

var running = contained(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})

func TestFollowToTheEnd(t *testing.T) {
	c := newCourse(t)
	c.goesOn()
	c.pod("one", time.Minute, corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are available: 2 Insufficient memory."},
	}})
	c.goesOn()
	c.goesOn()
	c.pod("one", time.Minute, contained(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}))
	c.goesOn()
	c.pod("one", time.Minute, running)
	c.logs["one"] = "example/model at abc: 2 files\ncopied 1 of"
	c.goesOn()
	c.logs["one"] += " 2 files\n"
	c.goesOn()
	c.logs["one"] += "complete: example/model\n"
	c.ends(batchv1.JobComplete, "", "")
	require.NoError(t, c.isDone())
	assert.Equal(t, []string{
		"waiting: 0/2 nodes are available: 2 Insufficient memory.", "example/model at abc: 2 files", "copied 1 of 2 files", "complete: example/model",
	}, c.cluster.printed, "each line once, and whole")
}

func TestFollowAnotherPod(t *testing.T) {
	c := newCourse(t)
	c.pod("one", time.Minute, running)
	c.logs["one"] = "copied 1 of 2 files\nerror: the hub does not answer\n"
	c.goesOn()
	c.pod("two", time.Second, running)
	c.logs["two"] = "1 of 2 files are there already\n"
	c.goesOn()
	c.ends(batchv1.JobComplete, "", "")
	require.NoError(t, c.isDone(), "the first pod's error has passed")
	assert.Equal(t, []string{
		"copied 1 of 2 files", "pod one has ended: the hub does not answer; pod two goes on", "1 of 2 files are there already",
	}, c.cluster.printed)
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		log            string
		status         corev1.PodStatus
		reason, detail string
		want           string
	}{
		"of the script": {
			log: "error: example/model is gated and the server has no Hugging Face token\n", status: running,
			reason: batchv1.JobReasonPodFailurePolicy, want: "example/model is gated and the server has no Hugging Face token",
		},
		"in the status": {
			status: contained(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 3, Reason: "Error", Message: "copied 1 of 2 files\nerror: the volume of /weights is full\n",
			}}),
			reason: batchv1.JobReasonPodFailurePolicy, want: "the volume of /weights is full",
		},
		"memory": {
			status: contained(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}}),
			reason: batchv1.JobReasonBackoffLimitExceeded, want: "OOMKilled",
		},
		"no Python": {
			status: contained(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 128, Reason: "StartError", Message: `exec: "python3": executable file not found in $PATH`,
			}}),
			reason: batchv1.JobReasonBackoffLimitExceeded, want: `pod one ended with status 128: StartError exec: "python3": executable file not found`,
		},
		"evicted": {
			status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: ephemeral-storage."},
			reason: batchv1.JobReasonBackoffLimitExceeded, want: "pod one has failed: Evicted: The node was low on resource",
		},
		"time": {
			log: "error: the pod was told to end\n", status: running, reason: batchv1.JobReasonDeadlineExceeded, detail: "Job was active longer than specified deadline",
			want: "not complete within the Job's limit. A further run copies what is missing: make stage-model STACK=gke",
		},
		"something else": {reason: "Unknown", detail: "whatever", status: corev1.PodStatus{}, want: "the Job has failed: Unknown: whatever"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCourse(t)
			c.pod("one", time.Minute, test.status)
			c.logs["one"] = test.log
			c.ends(batchv1.JobFailed, test.reason, test.detail)
			require.ErrorContains(t, c.isDone(), test.want)
		})
	}
}

// A Job whose pod cannot start is removed, with the reason.
func TestNeverStarted(t *testing.T) {
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "vllm", Name: "one.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "one"}, Type: corev1.EventTypeWarning,
		Reason: "FailedAttachVolume", Message: `Multi-Attach error for volume "pv-1": volume is already used by pod(s) chat-abc`,
	}
	unscheduled := func(message string) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: message}}}
	}
	for name, test := range map[string]struct {
		status corev1.PodStatus
		event  *corev1.Event
		want   []string
	}{
		"another zone": {
			status: unscheduled("0/3 nodes are available: 3 node(s) had volume node affinity conflict."),
			want:   []string{"had volume node affinity conflict", "in a zone without a node for the Job"},
		},
		"used elsewhere": {
			status: contained(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}), event: event,
			want: []string{"FailedAttachVolume: Multi-Attach error", "is in use on another node"},
		},
		"no image": {
			status: contained(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image"}}),
			want:   []string{"ImagePullBackOff: Back-off pulling image", "check vllm.image"},
		},
		"no room": {status: unscheduled("0/1 nodes are available: 1 Insufficient cpu."), want: []string{"Insufficient cpu", "add a CPU node"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCourse(t)
			if test.event != nil {
				require.NoError(t, c.client.Tracker().Add(test.event))
			}
			c.pod("one", time.Minute, test.status)
			c.goesOn()
			c.start = time.Nanosecond
			err := c.isDone()
			for _, part := range append(test.want, "was removed") {
				require.ErrorContains(t, err, part)
			}
			_, err = c.client.BatchV1().Jobs("vllm").Get(t.Context(), c.job.Name, metav1.GetOptions{})
			assert.True(t, apierrors.IsNotFound(err))
		})
	}
}

func TestNoPodIsAdmitted(t *testing.T) {
	c := newCourse(t)
	require.NoError(t, c.client.Tracker().Add(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "job.1"}, InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: c.job.Name},
		Type: corev1.EventTypeWarning, Reason: "FailedCreate", Message: "exceeded quota: team, requested: requests.memory=1Gi",
	}))
	c.goesOn()
	assert.Equal(t, []string{"waiting: FailedCreate: exceeded quota: team, requested: requests.memory=1Gi"}, c.cluster.printed)
}

func TestDeletedJob(t *testing.T) {
	c := newCourse(t)
	require.NoError(t, c.client.BatchV1().Jobs("vllm").Delete(t.Context(), c.job.Name, metav1.DeleteOptions{}))
	require.ErrorContains(t, c.isDone(), "was deleted before its end")
}

func TestInterruptLeavesTheJob(t *testing.T) {
	c := newCluster().inClaim()
	o, client := c.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	client.PrependReactor("list", "pods", func(kubetesting.Action) (bool, runtime.Object, error) { cancel(); return false, nil, nil })
	require.ErrorIs(t, o.Run(ctx), ErrInterrupted)
	assert.Contains(t, c.text(), "Follow it again with: make stage-model STACK=gke")
	assert.Contains(t, c.text(), "kubectl --context c -n vllm delete job vllm-autoscaling-stage-chat")
	_, err := client.BatchV1().Jobs("vllm").Get(t.Context(), JobName("chat"), metav1.GetOptions{})
	require.NoError(t, err)
}

func TestAPIServerThatDoesNotAnswer(t *testing.T) {
	c := newCluster().inClaim()
	o, client := c.start(t)
	client.PrependReactor("list", "pods", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	require.ErrorContains(t, o.Run(t.Context()), "connection refused. The Job goes on; follow it with: make stage-model STACK=gke")
}

// earlier returns a Job of the server's that is there before the command.
func earlier(t *testing.T, c *cluster, conditions ...batchv1.JobCondition) *batchv1.Job {
	t.Helper()
	job := newJob(c.target, place{image: "earlier:v1"}, false, time.Hour)
	job.UID = types.UID("earlier")
	job.Status.Conditions = conditions
	c.others = append(c.others, job)
	return job
}

// completeAtTheNextLook lets the Job end once the command looks for pods.
func completeAtTheNextLook(t *testing.T, client *fake.Clientset) {
	t.Helper()
	client.PrependReactor("list", "pods", func(kubetesting.Action) (bool, runtime.Object, error) {
		object, err := client.Tracker().Get(batchv1.SchemeGroupVersion.WithResource("jobs"), "vllm", JobName("chat"))
		if err != nil {
			return true, nil, err
		}
		job := object.(*batchv1.Job).DeepCopy()
		job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		return false, nil, client.Tracker().Update(batchv1.SchemeGroupVersion.WithResource("jobs"), job, "vllm")
	})
}

func image(t *testing.T, client *fake.Clientset) string {
	t.Helper()
	job, err := client.BatchV1().Jobs("vllm").Get(t.Context(), JobName("chat"), metav1.GetOptions{})
	require.NoError(t, err)
	return job.Spec.Template.Spec.Containers[0].Image
}

func TestAttachToTheJobThatRuns(t *testing.T) {
	c := newCluster().inClaim()
	earlier(t, c)
	o, client := c.start(t)
	o.Again = true
	completeAtTheNextLook(t, client)
	require.NoError(t, o.Run(t.Context()))
	assert.Equal(t, "earlier:v1", image(t, client))
	assert.Contains(t, c.text(), "following it")
	assert.Contains(t, c.text(), "-again is for the next run")
	_, err := client.CoreV1().ConfigMaps("vllm").Get(t.Context(), JobName("chat"), metav1.GetOptions{})
	require.NoError(t, err, "an interrupted command had not created it")
}

func TestAJobThatCopiesSomethingElse(t *testing.T) {
	c := newCluster().inClaim()
	earlier(t, c)
	c.target.Revision = "v2"
	o, _ := c.start(t)
	err := o.Run(t.Context())
	require.ErrorContains(t, err, "still copies example/model, to PersistentVolumeClaim models, folder /example/model: wait for its end")
	require.ErrorContains(t, err, "kubectl --context c -n vllm delete job vllm-autoscaling-stage-chat")
}

func TestAJobThatHasEndedIsReplaced(t *testing.T) {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		c := newCluster().inClaim()
		earlier(t, c, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue})
		o, client := c.start(t)
		completeAtTheNextLook(t, client)
		require.NoError(t, o.Run(t.Context()))
		assert.Equal(t, "vllm/vllm-openai:v0.20.0", image(t, client))
	}
}
