package podruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/process"
)

const (
	// startTimeout is how long a program may take until it is ready.
	startTimeout = 2 * time.Minute
	// firstBackoff and lastBackoff are the shortest and the longest wait before a program is restarted.
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
	// healthyAfter is how long a program must have run for its next failure to count as the first one.
	healthyAfter = time.Minute
	// unmountedFor is how long a mounted object may be missing before that is reported.
	unmountedFor = 3 * time.Second
	// reloadAgain is the wait after a failed reload.
	reloadAgain = 5 * time.Second
	// hurriedStop is how long a program may take to end when the whole lab stops.
	hurriedStop = 3 * time.Second
)

// worker runs the containers of one pod, from its binding to a node until its deletion.
type worker struct {
	runtime *Runtime
	pod     *corev1.Pod
	dir     string
	// deleted is closed when the pod is to end.
	deleted    chan struct{}
	deleteOnce sync.Once
	// done is closed when every program has ended.
	done chan struct{}
	// changed has an element when a ConfigMap or Secret of the namespace has changed, one for each container.
	changed map[string]chan struct{}

	mu       sync.Mutex
	launched map[string]*launch
	ready    map[string]bool
	failures map[string]error
	reported string
	// announced is the readiness that was last written to the API server, nil for none yet.
	announced *bool
}

func newWorker(r *Runtime, pod *corev1.Pod) *worker {
	w := &worker{
		runtime: r, pod: pod,
		dir:     filepath.Join(r.config.Dir, "pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID)[:min(8, len(pod.UID))]),
		deleted: make(chan struct{}), done: make(chan struct{}),
		changed:  map[string]chan struct{}{},
		launched: map[string]*launch{}, ready: map[string]bool{}, failures: map[string]error{},
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; programFor(pod, c) != "" || checkStart(c) != nil {
			w.changed[c.Name] = make(chan struct{}, 1)
		}
	}
	return w
}

// run returns when the pod is deleted, or the lab stops, and every program has ended.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	var containers sync.WaitGroup
	for i := range w.pod.Spec.Containers {
		container := &w.pod.Spec.Containers[i]
		if changed, ok := w.changed[container.Name]; ok {
			containers.Go(func() { w.container(ctx, container, changed) })
		}
	}
	if len(w.changed) == 0 {
		w.announce(ctx)
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

// end makes run return.
func (w *worker) end() { w.deleteOnce.Do(func() { close(w.deleted) }) }

// notify reports to every container that mounted files may have changed.
func (w *worker) notify() {
	for _, c := range w.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// container keeps one container's program running.
func (w *worker) container(ctx context.Context, container *corev1.Container, changed chan struct{}) {
	l := &launcher{runtime: w.runtime, pod: w.pod, container: container, dir: w.dir}
	if w.pull(ctx, container) != nil {
		return
	}
	wait, born := firstBackoff, time.Now()
	for {
		started := time.Now()
		err := w.once(ctx, l, changed)
		w.set(container.Name, nil, false)
		if w.ending(ctx) {
			return
		}
		w.announce(ctx)
		if time.Since(started) > healthyAfter || errors.Is(err, errWaiting) {
			wait = firstBackoff
		}
		// A pod may be seen a moment before the objects that it mounts.
		if !errors.Is(err, errWaiting) || time.Since(born) > unmountedFor {
			w.fail(ctx, container.Name, err)
		}
		select {
		case <-time.After(wait):
		case <-changed:
		case <-w.deleted:
			return
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, lastBackoff)
	}
}

func (w *worker) ending(ctx context.Context) bool {
	select {
	case <-w.deleted:
		return true
	default:
		return ctx.Err() != nil
	}
}

// once starts the program and returns when it has ended.
func (w *worker) once(ctx context.Context, l *launcher, changed chan struct{}) error {
	// The pod's end must interrupt every wait before the program is ready.
	startCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.deleted:
			cancel()
		case <-startCtx.Done():
		}
	}()
	if err := checkStart(l.container); err != nil {
		return err
	}
	if _, err := l.volumes(); err != nil {
		return err
	}
	plan, err := l.launch(startCtx)
	if err != nil {
		return err
	}
	if plan.exit != nil {
		return w.exited(l, plan.exit)
	}
	if plan.inProcess != nil {
		return w.serve(ctx, startCtx, l, plan)
	}
	tool, ok := w.runtime.config.Tools[string(plan.program)]
	if !ok {
		return fmt.Errorf("the lab was given no file for %s", plan.program)
	}
	data, err := l.data()
	if err != nil {
		return err
	}
	if plan.delay > 0 && l.container.StartupProbe != nil {
		w.runtime.warn(ctx, w.pod, "Unhealthy", "Startup probe failed: connect: connection refused")
	}
	if err := sleep(startCtx, plan.delay); err != nil {
		return err
	}
	p, err := process.Start(startCtx, process.Spec{
		Name: fmt.Sprintf("%s of pod %s", plan.program, w.name()),
		Path: tool, Args: plan.args, Env: processEnv(data, plan.env), Dir: data,
		LogFile: filepath.Join(w.dir, l.container.Name+".log"), Ready: plan.ready,
		StopTimeout: plan.stopTimeout,
	})
	if err != nil {
		return err
	}
	w.set(l.container.Name, plan, false)
	if err := p.WaitReady(startCtx, startTimeout); err != nil {
		stopErr := w.stop(ctx, p)
		if errors.Is(err, stopErr) {
			return err
		}
		return errors.Join(err, stopErr)
	}
	w.set(l.container.Name, plan, true)
	w.runtime.logf("%s: %s serves", w.name(), plan.program)
	w.announce(ctx)
	var retry <-chan time.Time
	stale := false
	for {
		select {
		case <-p.Done():
			return p.Err()
		case <-w.deleted:
			w.preStop(ctx, l.container, p)
			return w.stop(ctx, p)
		case <-ctx.Done():
			return w.stop(ctx, p)
		case <-changed:
		case <-retry:
		}
		if retry, stale = nil, w.reload(startCtx, l, plan, stale); stale {
			retry = time.After(reloadAgain)
		}
	}
}

// exited writes what a program would have written to the container's log and returns the error of its end.
func (w *worker) exited(l *launcher, end *programExit) error {
	file := filepath.Join(w.dir, l.container.Name+".log")
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = log.WriteString(end.output + "\n")
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	return &process.ExitError{
		Name: fmt.Sprintf("%s of pod %s", end.name, w.name()), Code: end.code, Err: fmt.Errorf("exit status %d", end.code), Log: file, Tail: end.output,
	}
}

// serve runs a container within the lab.
func (w *worker) serve(ctx, startCtx context.Context, l *launcher, plan *launch) error {
	served := make(chan error, 1)
	go func() { served <- plan.inProcess(startCtx) }()
	for {
		err := plan.ready(startCtx)
		if err == nil {
			break
		}
		select {
		case err := <-served:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.set(l.container.Name, plan, true)
	w.announce(ctx)
	return <-served
}

// reload rewrites the mounted files. When one has changed, or the last attempt failed, it makes the program reload them, if
// it can. It reports whether the program still uses old files.
func (w *worker) reload(ctx context.Context, l *launcher, plan *launch, stale bool) bool {
	changed, err := l.volumes()
	if errors.Is(err, errWaiting) {
		// The files of a deleted object stay, as on a node.
		err = nil
	}
	if err == nil && !changed && !stale {
		return false
	}
	if err == nil && plan.reload != nil {
		err = plan.reload(ctx)
	}
	if err != nil && ctx.Err() == nil {
		w.fail(ctx, l.container.Name, fmt.Errorf("reload: %w", err))
		return true
	}
	w.clear(l.container.Name)
	return false
}

// preStop waits as long as the container's preStop hook sleeps. The program still serves, because a Service needs that time
// to stop sending requests to it.
func (w *worker) preStop(ctx context.Context, container *corev1.Container, p *process.Process) {
	pause := time.NewTimer(min(preStopSleep(container), gracePeriod(w.pod)))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-p.Done():
	case <-ctx.Done():
	}
}

// preStopSleep returns how long the preStop hook sleeps, as a sleep action or a command such as `sleep 15` or
// `sh -c "sleep 15"`. Other hooks are not run.
func preStopSleep(container *corev1.Container) time.Duration {
	if container.Lifecycle == nil || container.Lifecycle.PreStop == nil {
		return 0
	}
	hook := container.Lifecycle.PreStop
	if hook.Sleep != nil {
		return time.Duration(hook.Sleep.Seconds) * time.Second
	}
	if hook.Exec == nil {
		return 0
	}
	words := strings.Fields(strings.Join(hook.Exec.Command, " "))
	for i := range len(words) - 1 {
		if words[i] == "sleep" || strings.HasSuffix(words[i], "/sleep") {
			if seconds, err := strconv.ParseFloat(words[i+1], 64); err == nil {
				return time.Duration(seconds * float64(time.Second))
			}
		}
	}
	return 0
}

func gracePeriod(pod *corev1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
}

// stop ends the program: gracefully when the pod ends, quickly when the whole lab does.
func (w *worker) stop(ctx context.Context, p *process.Process) error {
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-stopped:
		return err
	case <-time.After(hurriedStop):
		return errors.Join(p.Kill(), <-stopped)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set records a container's launch and whether it is ready. Becoming ready clears its last error.
func (w *worker) set(container string, plan *launch, ready bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if plan == nil {
		delete(w.launched, container)
	} else {
		w.launched[container] = plan
	}
	w.ready[container] = ready
	if ready {
		delete(w.failures, container)
		w.reported = ""
	}
}

func (w *worker) clear(container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failures, container)
	w.reported = ""
}

// endpoint returns the local endpoint of one of the pod's ports.
func (w *worker) endpoint(port int) (endpoint, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, plan := range w.launched {
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
	for i := range w.pod.Spec.Containers {
		name := w.pod.Spec.Containers[i].Name
		if err := w.failures[name]; err != nil {
			return fmt.Errorf("container %q: %s", name, brief(err))
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
	w.runtime.warn(ctx, w.pod, reasonFor(err), text)
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
		return "BackOff"
	case errors.Is(err, process.ErrNotReady):
		return "Unhealthy"
	}
	return "Failed"
}
