package podruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/process"
)

// worker runs the containers of one pod, from its binding to a node until its deletion.
type worker struct {
	runtime *Runtime
	pod     *corev1.Pod
	dir     string
	// deleted is closed when the pod is to end, and vanished when its node is gone with everything on it.
	deleted, vanished      chan struct{}
	deleteOnce, vanishOnce sync.Once
	// done is closed when every program has ended.
	done chan struct{}
	// changed has an element when a ConfigMap or Secret of the namespace has changed, one for each container that the lab runs.
	changed map[string]chan struct{}
	// unpublished has an element when the status may have to be written.
	unpublished chan struct{}
	events      events

	mu        sync.Mutex
	podIP     string
	launched  map[string]*launch
	processes map[string]*process.Process
	faults    map[string]*fault
	failures  map[string]error
	reported  string
	// runs are the sizes of a container's log at each of its starts.
	runs map[string][]int64
	// statuses are those of the containers, and isChanged reports whether they differ from what was written.
	statuses  map[string]*corev1.ContainerStatus
	isChanged bool
	// isRunning reports whether the pod's phase is Running.
	isRunning bool
	// isReady is the condition Ready that was last written, and since when it has that value; zero before the first.
	isReady bool
	since   time.Time
}

func newWorker(r *Runtime, pod *corev1.Pod) *worker {
	w := &worker{
		runtime: r, pod: pod,
		dir:     filepath.Join(r.config.Dir, "pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID)[:min(8, len(pod.UID))]),
		deleted: make(chan struct{}), vanished: make(chan struct{}), done: make(chan struct{}),
		changed: map[string]chan struct{}{}, unpublished: make(chan struct{}, 1),
		events:   events{recorded: map[[2]string]*corev1.Event{}},
		podIP:    pod.Status.PodIP,
		launched: map[string]*launch{}, processes: map[string]*process.Process{}, faults: map[string]*fault{},
		failures: map[string]error{}, runs: map[string][]int64{}, isRunning: pod.Status.Phase == corev1.PodRunning,
	}
	for _, c := range w.all() {
		if programFor(pod, c) != "" || checkStart(c) != nil {
			w.changed[c.Name] = make(chan struct{}, 1)
		}
	}
	w.statuses = w.initialStatuses()
	return w
}

// run returns when the pod is deleted, or the lab stops, and every program has ended.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	go w.keepStatus(ctx)
	var containers sync.WaitGroup
	initialized := w.initialize(ctx, &containers)
	for i := range w.pod.Spec.Containers {
		container := &w.pod.Spec.Containers[i]
		if changed, ok := w.changed[container.Name]; ok && initialized {
			containers.Go(func() { w.container(ctx, container, changed) })
		}
	}
	if len(w.changed) == 0 {
		w.change(w.pod.Spec.Containers[0].Name, func(*corev1.ContainerStatus) {})
	}
	containers.Wait()
	if len(w.changed) > 0 && ctx.Err() == nil {
		// The files of a pod are deleted with it, as on a node. Its logs stay as long as the lab's folder.
		folders := []string{"volumes"}
		for name := range w.changed {
			folders = append(folders, name)
		}
		for _, folder := range folders {
			if err := os.RemoveAll(filepath.Join(w.dir, folder)); err != nil {
				w.runtime.logf("%s: %v", w.name(), err)
			}
		}
	}
}

func (w *worker) name() string { return w.pod.Namespace + "/" + w.pod.Name }

// end makes run return when every program has ended by itself.
func (w *worker) end() { w.deleteOnce.Do(func() { close(w.deleted) }) }

// vanish kills every program, as the end of its machine does, and makes run return. A pod that is deleted ends as usual: a
// machine is removed after its pods.
func (w *worker) vanish() {
	select {
	case <-w.deleted:
	default:
		w.vanishOnce.Do(func() { close(w.vanished) })
	}
}

// ending reports whether nothing is to be started again.
func (w *worker) ending(ctx context.Context) bool {
	select {
	case <-w.deleted:
		return true
	case <-w.vanished:
		return true
	default:
		return ctx.Err() != nil
	}
}

// programs returns the names of the containers that the lab runs, in their order.
func (w *worker) programs() []string {
	var names []string
	for _, container := range w.all() {
		if w.changed[container.Name] != nil {
			names = append(names, container.Name)
		}
	}
	return names
}

// address returns the pod's IP address.
func (w *worker) address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.podIP
}

// notify reports to every container that mounted files may have changed.
func (w *worker) notify() {
	for _, c := range w.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// launch records what runs for a container, with its process if it is one.
func (w *worker) launch(container string, plan *launch, p *process.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.launched[container] = plan
	if p != nil {
		w.processes[container] = p
	}
}

// forget removes what ran for a container, with its fault.
func (w *worker) forget(container string) {
	w.mu.Lock()
	active := w.faults[container]
	delete(w.launched, container)
	delete(w.processes, container)
	delete(w.faults, container)
	w.mu.Unlock()
	if active != nil {
		if err := active.end(); err != nil {
			w.runtime.logf("%s: end of its fault: %v", w.name(), err)
		}
	}
}

func (w *worker) clear(container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failures, container)
	w.reported = ""
}

// endpoint returns the local endpoint of one of the pod's ports, in front of which a fault may have put another.
func (w *worker) endpoint(port int) (endpoint, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, plan := range w.launched {
		if active := w.faults[name]; active != nil {
			if at, ok := active.instead[port]; ok {
				return at, true
			}
		}
		if at, ok := plan.ports[port]; ok {
			return at, true
		}
	}
	return endpoint{}, false
}

// endpointOf returns the local endpoint of the pod's container with that program.
func (w *worker) endpointOf(program Program) (endpoint, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, plan := range w.launched {
		for _, at := range plan.ports {
			if plan.program == program {
				return at, true
			}
		}
	}
	return endpoint{}, false
}

// lastError returns the current error of the pod, nil for none.
func (w *worker) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, container := range w.all() {
		if err := w.failures[container.Name]; err != nil {
			return fmt.Errorf("container %q: %s", container.Name, brief(err))
		}
	}
	return nil
}

// fail records an error, and reports it once in the log and as an Event of the pod.
func (w *worker) fail(ctx context.Context, container string, err error) {
	if err == nil {
		err = errors.New("ended without an error")
	}
	w.mu.Lock()
	w.failures[container] = err
	text := fmt.Sprintf("container %q: %s", container, brief(err))
	known := w.reported == text
	w.reported = text
	w.mu.Unlock()
	if known {
		return
	}
	w.runtime.logf("%s: %s", w.name(), text)
	var unhealthy *probeFailure
	if errors.As(err, &unhealthy) {
		return // the probe's own Events have it
	}
	w.warn(ctx, reasonFor(err), text)
}

// briefLines is the number of a program's last log lines in a message; they contain the reason for its end.
const briefLines = 3

// brief returns an error's text with few lines of the log and the path of the whole log.
func brief(err error) string {
	var exit *process.ExitError
	if !errors.As(err, &exit) {
		return err.Error()
	}
	lines := strings.Split(exit.Tail, "\n")
	return fmt.Sprintf("%s ended: %v (log: %s); last lines:\n%s", exit.Name, exit.Err, exit.Log, strings.Join(lines[max(0, len(lines)-briefLines):], "\n"))
}

// reasonFor returns the Event's reason, that of a kubelet where it has one.
func reasonFor(err error) string {
	var exit *process.ExitError
	switch {
	case errors.Is(err, errWaiting):
		return "FailedMount"
	case errors.As(err, &exit):
		return reasonBackingOff
	case errors.Is(err, process.ErrNotReady):
		return "Unhealthy"
	}
	return "Failed"
}
