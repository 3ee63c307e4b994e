package stagemodel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unanswered is how many looks in a row may fail before the Job is left to itself.
const unanswered = 30

// errorPrefix begins the script's last line where it has failed.
const errorPrefix = "error: "

// follower follows a Job.
type follower struct {
	Options
	job   *batchv1.Job
	began time.Time
	// pod is the one whose log is printed, of which printed bytes were; said is the last reason for which it waits.
	pod     string
	printed int
	said    string
	// reason is the last error of a script. started reports whether any has begun.
	reason  string
	started bool
}

// follow prints what the Job does, until it ends.
func (o Options) follow(ctx context.Context, job *batchv1.Job) error {
	f := &follower{Options: o, job: job, began: time.Now()}
	failures := 0
	for {
		done, err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return f.interrupted()
		case done:
			return err
		case err == nil:
			failures = 0
		default:
			if failures++; failures >= unanswered {
				return fmt.Errorf("%w. The Job goes on; follow it with: %s", err, o.Command)
			}
		}
		if !o.pause(ctx) {
			return f.interrupted()
		}
	}
}

func (f *follower) interrupted() error {
	f.Print("The Job goes on without this command. Follow it again with: %s", f.Command)
	f.Print("Stop it with: %s -n %s delete job %s (a later run copies what is missing)", f.Kubectl, f.job.Namespace, f.job.Name)
	return ErrInterrupted
}

// look prints what is new. done reports whether the Job has ended, or cannot start; other errors may pass.
func (f *follower) look(ctx context.Context) (done bool, err error) {
	job, err := f.Client.BatchV1().Jobs(f.job.Namespace).Get(ctx, f.job.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && job.UID != f.job.UID {
		return true, fmt.Errorf("job %s/%s was deleted before its end; a further run copies what is missing", f.job.Namespace, f.job.Name)
	}
	if err != nil {
		return false, err
	}
	pod, err := f.newest(ctx)
	if err != nil {
		return false, err
	}
	if pod != nil {
		f.show(ctx, pod)
	} else {
		f.wait(f.warning(ctx, f.job.Name)) // such as a quota that admits no pod
	}
	if complete := condition(job, batchv1.JobComplete); complete != nil {
		return true, nil
	}
	if failed := condition(job, batchv1.JobFailed); failed != nil {
		return true, f.failure(failed, pod)
	}
	if !f.started && time.Since(f.began) > f.start {
		reason := f.said
		if reason == "" {
			reason = "it has no pod"
		}
		return true, errors.Join(fmt.Errorf("the Job has not started within %s and was removed: %s%s", f.start, reason, wayOn(reason)), f.discard(ctx, job))
	}
	return false, nil
}

// newest returns the Job's newest pod, nil for none.
func (f *follower) newest(ctx context.Context) (*corev1.Pod, error) {
	list, err := f.Client.CoreV1().Pods(f.job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + f.job.Name})
	if err != nil || len(list.Items) == 0 {
		return nil, err
	}
	pod := slices.MaxFunc(list.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return &pod, nil
}

// show prints the new lines of a pod's log, or why it has none.
func (f *follower) show(ctx context.Context, pod *corev1.Pod) {
	if pod.Name != f.pod {
		if f.pod != "" {
			f.Print("pod %s has ended%s; pod %s goes on", f.pod, f.because(), pod.Name)
		}
		f.pod, f.printed, f.reason = pod.Name, 0, ""
	}
	if !begun(pod) {
		f.wait(f.waits(ctx, pod))
		return
	}
	f.started = true
	log, err := f.logOf(ctx, pod)
	if err != nil || len(log) < f.printed {
		return
	}
	fresh := string(log[f.printed:])
	whole := strings.LastIndexByte(fresh, '\n') + 1
	f.printed += whole
	for line := range strings.Lines(fresh[:whole]) {
		line = strings.TrimRight(line, "\r\n")
		if text, failed := strings.CutPrefix(line, errorPrefix); failed {
			f.reason = text
			continue
		}
		f.Print("%s", line)
	}
}

// wait prints why the Job has not started, once; "" where Kubernetes has no reason yet.
func (f *follower) wait(reason string) {
	if reason != "" && reason != f.said {
		f.Print("waiting: %s", reason)
		f.said = reason
	}
}

// because returns the last error of a script after a colon, "" for none.
func (f *follower) because() string {
	if f.reason == "" {
		return ""
	}
	return ": " + f.reason
}

// logOf returns a pod's log. It is short, and reading it again survives every broken connection.
func (f *follower) logOf(ctx context.Context, pod *corev1.Pod) ([]byte, error) {
	if f.log != nil {
		return f.log(pod.Name)
	}
	return f.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
}

// begun reports whether the pod's script has started.
func begun(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil || s.State.Terminated != nil {
			return true
		}
	}
	return false
}

// waits returns why a pod has not started, "" where Kubernetes has no reason yet.
func (f *follower) waits(ctx context.Context, pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
	}
	return f.warning(ctx, pod.Name)
}

// warning returns the last warning about an object, "" for none.
func (f *follower) warning(ctx context.Context, name string) string {
	events, err := f.Client.CoreV1().Events(f.job.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		return ""
	}
	last := ""
	for _, e := range events.Items {
		if e.Type == corev1.EventTypeWarning && e.InvolvedObject.Name == name {
			last = e.Reason + ": " + e.Message
		}
	}
	return last
}

// waysOn are what helps against reasons for which a pod waits, by a part of the reason.
var waysOn = []struct{ part, help string }{
	{"volume node affinity conflict", "The volume of the claim is in a zone without a node for the Job: add a node there, or use a volume that all zones reach"},
	{"Multi-Attach", "The volume of the claim is in use on another node: scale its users to 0 meanwhile, or use a ReadWriteMany claim"},
	{"unbound immediate", "The claim has no volume: see the events of the PersistentVolumeClaim"},
	{"untolerated taint", "No node without a taint has room: add a CPU node"},
	{"Insufficient", "No node has 500m CPU and 1 GiB of memory free: add a CPU node"},
	{"ErrImagePull", "The image cannot be pulled: check vllm.image and its pull secret"},
	{"ImagePullBackOff", "The image cannot be pulled: check vllm.image and its pull secret"},
}

// wayOn returns what helps against a reason, after a full stop; "" for an unknown one.
func wayOn(reason string) string {
	for _, way := range waysOn {
		if strings.Contains(reason, way.part) {
			return ". " + way.help
		}
	}
	return ""
}

// reasonIn returns the script's last error in the end of a log, which the kubelet keeps in the pod's status; "" for none.
func reasonIn(log string) string {
	found := ""
	for line := range strings.Lines(log) {
		if text, failed := strings.CutPrefix(strings.TrimSpace(line), errorPrefix); failed {
			found = text
		}
	}
	return found
}

// failure returns why the Job has failed.
func (f *follower) failure(failed *batchv1.JobCondition, pod *corev1.Pod) error {
	switch {
	case failed.Reason == batchv1.JobReasonDeadlineExceeded:
		return fmt.Errorf("not complete within the Job's limit. A further run copies what is missing: %s; -timeout sets the limit", f.Command)
	case f.reason != "":
		return errors.New(f.reason)
	}
	if pod != nil {
		for _, s := range pod.Status.ContainerStatuses {
			end := s.State.Terminated
			switch {
			case end == nil:
			case end.Reason == "OOMKilled":
				return fmt.Errorf("the copy was ended for its use of memory (OOMKilled). A further run copies what is missing: %s", f.Command)
			case reasonIn(end.Message) != "":
				return errors.New(reasonIn(end.Message))
			default:
				return fmt.Errorf("pod %s ended with status %d: %s", pod.Name, end.ExitCode, strings.TrimSpace(end.Reason+" "+end.Message))
			}
		}
		if pod.Status.Message != "" {
			return fmt.Errorf("pod %s has failed: %s: %s", pod.Name, pod.Status.Reason, pod.Status.Message)
		}
	}
	return fmt.Errorf("the Job has failed: %s: %s", failed.Reason, failed.Message)
}
