package stagemodel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// ErrInterrupted is returned when the context has ended while the Job goes on.
var ErrInterrupted = errors.New("interrupted")

const (
	// pollInterval is how often the Job, its pod and the log are looked at.
	pollInterval = 2 * time.Second
	// goneTimeout is how long the deletion of an earlier Job may take.
	goneTimeout = time.Minute
	// cleanTimeout is how long the removal of a Job may take that cannot run.
	cleanTimeout = 15 * time.Second
	// StartTimeout is how long the pod may wait for a node, its volumes and the image: a node takes minutes, and the image has 10 GB.
	StartTimeout = 30 * time.Minute
)

// Options select what is filled, and how.
type Options struct {
	Client kubernetes.Interface
	Target Target
	// Again compares every file's content, and copies what differs, although the folder is marked as complete.
	Again bool
	// Timeout is how long the Job may run, with all its pods. At least a second.
	Timeout time.Duration
	// Print gets each line for people.
	Print func(format string, args ...any)
	// HTTP asks the hub.
	HTTP *http.Client
	// Kubectl is the user's command for the cluster, Command the one that follows the Job again.
	Kubectl, Command string

	// poll and start replace pollInterval and StartTimeout in tests, log the log of a pod.
	poll, start time.Duration
	log         func(pod string) ([]byte, error)
}

// Run creates the Job, or finds the one that runs, and follows it to its end. It returns ErrInterrupted if the context ends first, and
// otherwise why the folder is not complete.
func (o Options) Run(ctx context.Context) error {
	if o.poll == 0 {
		o.poll = pollInterval
	}
	if o.start == 0 {
		o.start = StartTimeout
	}
	job, err := o.running(ctx)
	if err != nil {
		return err
	}
	if job == nil {
		if job, err = o.create(ctx); err != nil {
			return err
		}
		o.Print("Job %s/%s copies %s", job.Namespace, job.Name, o.Target)
	}
	return o.follow(ctx, job)
}

// running returns the server's Job that has not ended, nil for none. One that has ended is removed.
func (o Options) running(ctx context.Context) (*batchv1.Job, error) {
	jobs := o.Client.BatchV1().Jobs(o.Target.Namespace)
	name := JobName(o.Target.Server)
	job, err := jobs.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("job %s/%s: %w", o.Target.Namespace, name, err)
	case ended(job) || job.DeletionTimestamp != nil:
		return nil, o.remove(ctx, job)
	}
	if target := job.Annotations[targetAnnotation]; target != o.Target.String() {
		return nil, fmt.Errorf("job %s/%s still copies %s: wait for its end, or stop it: %s -n %s delete job %s",
			job.Namespace, name, target, o.Kubectl, job.Namespace, name)
	}
	o.Print("Job %s/%s runs since %s and copies %s: following it", job.Namespace, name, job.CreationTimestamp.UTC().Format(time.RFC3339), o.Target)
	if o.Again {
		o.Print("-again is for the next run: the Job was started before")
	}
	// An interrupted command may have created the Job only.
	_, err = o.Client.CoreV1().ConfigMaps(job.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		err = o.addScripts(ctx, job)
	}
	return job, err
}

// remove deletes a Job with its pods and waits until it is gone.
func (o Options) remove(ctx context.Context, job *batchv1.Job) error {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	jobs := o.Client.BatchV1().Jobs(job.Namespace)
	err := jobs.Delete(ctx, job.Name, metav1.DeleteOptions{
		PropagationPolicy: ptr.To(metav1.DeletePropagationForeground), Preconditions: &metav1.Preconditions{UID: &job.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the earlier job %s/%s: %w", job.Namespace, job.Name, err)
	}
	for {
		if _, err := jobs.Get(ctx, job.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			return nil
		}
		if !o.pause(ctx) {
			return fmt.Errorf("the earlier job %s/%s is not gone after %s", job.Namespace, job.Name, goneTimeout)
		}
	}
}

// create creates the Job and its ConfigMap, or neither.
func (o Options) create(ctx context.Context) (*batchv1.Job, error) {
	p, err := o.place(ctx)
	if err != nil {
		return nil, err
	}
	job, err := o.Client.BatchV1().Jobs(o.Target.Namespace).Create(ctx, newJob(o.Target, p, o.Again, o.Timeout), metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create job %s/%s: %w", o.Target.Namespace, JobName(o.Target.Server), err)
	}
	if err := o.addScripts(ctx, job); err != nil {
		return nil, errors.Join(err, o.discard(ctx, job))
	}
	return job, nil
}

// addScripts creates the ConfigMap, for which the Job's pod waits: the Job has to be there first, to own it.
func (o Options) addScripts(ctx context.Context, job *batchv1.Job) error {
	maps, wanted := o.Client.CoreV1().ConfigMaps(job.Namespace), newConfigMap(o.Target, job)
	_, err := maps.Create(ctx, wanted, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		// That of an earlier Job, which Kubernetes has not removed yet.
		_, err = maps.Update(ctx, wanted, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("config map %s/%s: %w", job.Namespace, job.Name, err)
	}
	return nil
}

// discard removes a Job that cannot run, also after an interrupt.
func (o Options) discard(ctx context.Context, job *batchv1.Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return o.Client.BatchV1().Jobs(job.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
}

// pause waits for the next look. It reports false when the context has ended.
func (o Options) pause(ctx context.Context) bool {
	timer := time.NewTimer(o.poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func ended(job *batchv1.Job) bool {
	return condition(job, batchv1.JobComplete) != nil || condition(job, batchv1.JobFailed) != nil
}

// condition returns a condition of a Job that is true, nil for none.
func condition(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == kind && c.Status == "True" {
			return c
		}
	}
	return nil
}
