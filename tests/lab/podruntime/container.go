package podruntime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/process"
)

const (
	// startTimeout is how long a program without a start-up probe may take until it listens.
	startTimeout = 2 * time.Minute
	// firstRetry and lastRetry are the shortest and the longest wait before a container that could not be started is tried again.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	// unmountedFor is how long a mounted object may be missing before that is reported.
	unmountedFor = 3 * time.Second
	// reloadAgain is the wait after a failed reload.
	reloadAgain = 5 * time.Second
	// hurriedStop is how long a program may take to end when the whole lab stops.
	hurriedStop = 3 * time.Second
	// leastGrace is the kubelet's shortest time between SIGTERM and SIGKILL.
	leastGrace = 2 * time.Second
)

// containerEnd is how a container ended that had been started.
type containerEnd struct {
	// status is the exit status as a shell has it: 128 and the number of the signal that ended the program.
	status int
	// output is the end of the log.
	output string
	// cause is the reason for messages.
	cause error
}

func (e *containerEnd) Error() string { return e.cause.Error() }

func (e *containerEnd) Unwrap() error { return e.cause }

// container keeps one container's program running.
func (w *worker) container(ctx context.Context, container *corev1.Container, changed chan struct{}) {
	l := &launcher{runtime: w.runtime, pod: w.pod, container: container, dir: w.dir}
	if w.pull(ctx, container) != nil {
		return
	}
	var crashes backOff
	retry, born := firstRetry, time.Now()
	for {
		err := w.once(ctx, l, changed)
		w.forget(container.Name)
		if w.ending(ctx) {
			return
		}
		var end *containerEnd
		if errors.As(err, &end) {
			w.terminated(container, end)
			if endsOnce(w.pod) {
				w.untilGone(ctx)
				return
			}
			w.fail(ctx, container.Name, err)
			if !w.backOff(ctx, container, crashes.after(time.Now())) {
				return
			}
			retry = firstRetry
			continue
		}
		w.waiting(container.Name, waitingReason(err), err.Error())
		// A pod may be seen a moment before the objects that it mounts.
		if errors.Is(err, errWaiting) {
			retry = firstRetry
		}
		if !errors.Is(err, errWaiting) || time.Since(born) > unmountedFor {
			w.fail(ctx, container.Name, err)
		}
		if !w.pause(ctx, retry, changed) {
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// waitingReason returns the reason for which a container that could not be started waits.
func waitingReason(err error) string {
	var start *startError
	if errors.As(err, &start) {
		return start.reason
	}
	return reasonCreating
}

// backOff waits before a container is started again. It reports whether that is to happen.
func (w *worker) backOff(ctx context.Context, container *corev1.Container, wait time.Duration) bool {
	if wait > 0 {
		of := fmt.Sprintf("%s(%s)", w.pod.Name+"_"+w.pod.Namespace, w.pod.UID)
		w.waiting(container.Name, reasonCrashLoop, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", wait, container.Name, of))
		w.warn(ctx, reasonBackingOff, fmt.Sprintf("Back-off restarting failed container %s in pod %s", container.Name, of))
	}
	return w.pause(ctx, wait, nil)
}

// pause waits for the time or an element of woken. It reports false when the pod is to end.
func (w *worker) pause(ctx context.Context, wait time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-w.deleted:
	case <-w.vanished:
	case <-ctx.Done():
	}
	return !w.ending(ctx)
}

// untilEnd returns a context that ends with the pod too, to interrupt every wait.
func (w *worker) untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-w.deleted:
			cancel()
		case <-w.vanished:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// once starts the program and returns when it has ended: with a *containerEnd, or another error when it could not be started.
func (w *worker) once(ctx context.Context, l *launcher, changed chan struct{}) error {
	alive, cancel := w.untilEnd(ctx)
	var probing sync.WaitGroup
	defer func() {
		cancel()
		// No probe may change the status of the next run.
		probing.Wait()
	}()
	if err := errors.Join(checkStart(l.container), checkProbes(l.container)); err != nil {
		return err
	}
	if _, err := l.volumes(); err != nil {
		return err
	}
	plan, err := l.launch(alive)
	if err != nil {
		return err
	}
	tool, err := w.tool(plan)
	if err != nil {
		return err
	}
	data, err := l.data()
	if err != nil {
		return err
	}
	w.running(l.container)
	if plan.exit != nil {
		return w.exited(l, plan.exit)
	}
	listening, unhealthy := make(chan struct{}), make(chan *probeFailure, 2)
	probes := &prober{worker: w, container: l.container, listening: listening, unhealthy: unhealthy}
	probing.Go(func() { probes.run(alive) })
	if plan.inProcess != nil {
		return w.serve(alive, l, plan, listening, unhealthy)
	}
	if err := w.start(alive, l, plan.start, unhealthy); err != nil {
		var failure *probeFailure
		if !errors.As(err, &failure) {
			return err
		}
		w.killing(ctx, l.container, failure)
		return &containerEnd{status: 128 + 9, cause: failure}
	}
	if plan.started != nil {
		if err := plan.started(); err != nil {
			return err
		}
	}
	p, err := process.Start(alive, process.Spec{
		Name: fmt.Sprintf("%s of pod %s", plan.program, w.name()),
		Path: tool, Args: plan.args, Env: processEnv(data, plan.env), Dir: data,
		LogFile: w.logFile(l.container.Name), Ready: plan.ready,
		StopTimeout: plan.stopTimeout,
	})
	if err != nil {
		return &containerEnd{status: 128, cause: err}
	}
	w.launch(l.container.Name, plan, p)
	return w.attend(ctx, alive, &run{launcher: l, plan: plan, process: p, listening: listening, unhealthy: unhealthy, changed: changed})
}

// tool returns the file of a launch's program, "" where it runs within the lab.
func (w *worker) tool(plan *launch) (string, error) {
	if plan.inProcess != nil || plan.exit != nil {
		return "", nil
	}
	if plan.path != "" {
		return plan.path, nil
	}
	tool, ok := w.runtime.config.Tools[string(plan.program)]
	if !ok {
		return "", fmt.Errorf("the lab was given no file for %s", plan.program)
	}
	return tool, nil
}

// run is one run of a container's process.
type run struct {
	*launcher
	plan      *launch
	process   *process.Process
	listening chan<- struct{}
	unhealthy <-chan *probeFailure
	changed   <-chan struct{}
}

// attend looks after a process until it has ended. alive ends with the pod, ctx with the lab.
func (w *worker) attend(ctx, alive context.Context, r *run) error {
	limit := startTimeout
	if r.container.StartupProbe != nil {
		limit = 24 * time.Hour // the probe's own limit ends it
	}
	ready := make(chan error, 1)
	go func() { ready <- r.process.WaitReady(alive, limit) }()
	var retry <-chan time.Time
	stale := false
	for {
		select {
		case err := <-ready:
			switch {
			case err == nil:
				w.runtime.logf("%s: %s serves", w.name(), r.plan.program)
				close(r.listening)
			case errors.Is(err, process.ErrNotReady):
				return &containerEnd{status: 128 + 9, cause: errors.Join(err, w.stop(ctx, r.process)), output: r.process.Tail()}
			}
			continue
		case <-r.process.Done():
			return &containerEnd{status: r.process.Status(), output: r.process.Tail(), cause: r.process.Err()}
		case failure := <-r.unhealthy:
			return w.restart(ctx, r, failure)
		case <-w.vanished:
			return r.process.Kill()
		case <-w.deleted:
			w.preStop(ctx, r.container, r.process, gracePeriod(w.pod))
			return w.stop(ctx, r.process)
		case <-ctx.Done():
			return w.stop(ctx, r.process)
		case <-r.changed:
		case <-retry:
		}
		if retry, stale = nil, w.reload(alive, r.launcher, r.plan, stale); stale {
			retry = time.After(reloadAgain)
		}
	}
}

// restart ends a container whose probe failed, as a kubelet does: its preStop hook, SIGTERM, and SIGKILL after its grace period.
func (w *worker) restart(ctx context.Context, r *run, failure *probeFailure) error {
	w.killing(ctx, r.container, failure)
	grace, began := gracePeriod(w.pod), time.Now()
	if own := failure.probe.TerminationGracePeriodSeconds; own != nil {
		grace = time.Duration(*own) * time.Second
	}
	w.preStop(ctx, r.container, r.process, grace)
	if err := w.stopWithin(ctx, r.process, max(grace-time.Since(began), leastGrace)); err != nil {
		w.runtime.logf("%s: %v", w.name(), err)
	}
	return &containerEnd{status: r.process.Status(), output: r.process.Tail(), cause: failure}
}

// killing reports that a probe ends a container.
func (w *worker) killing(ctx context.Context, container *corev1.Container, failure *probeFailure) {
	w.runtime.logf("%s: container %q is %v", w.name(), container.Name, failure)
	w.event(ctx, corev1.EventTypeNormal, "Killing", fmt.Sprintf("Container %s failed %s probe, will be restarted", container.Name, failure.kind))
}

// exited writes what a program would have written to the container's log and returns its end.
func (w *worker) exited(l *launcher, end *programExit) error {
	if err := w.writeLog(l.container.Name, end.output+"\n"); err != nil {
		return err
	}
	return &containerEnd{status: end.code, output: end.output, cause: &process.ExitError{
		Name: fmt.Sprintf("%s of pod %s", end.name, w.name()), Code: end.code, Err: fmt.Errorf("exit status %d", end.code), Log: w.logFile(l.container.Name), Tail: end.output,
	}}
}

// serve runs a container within the lab.
func (w *worker) serve(ctx context.Context, l *launcher, plan *launch, listening chan<- struct{}, unhealthy <-chan *probeFailure) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- plan.inProcess(serving) }()
	w.launch(l.container.Name, plan, nil)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	poll := tick.C
	for {
		select {
		case err := <-served:
			if err == nil {
				err = errors.New("ended without an error")
			}
			return &containerEnd{status: 1, cause: err, output: err.Error()}
		case failure := <-unhealthy:
			w.killing(ctx, l.container, failure)
			stop()
			<-served
			return &containerEnd{status: 128 + 9, cause: failure}
		case <-poll:
			if plan.ready(serving) == nil {
				close(listening)
				poll = nil
			}
		}
	}
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

// preStop waits as long as the container's preStop hook sleeps, up to the grace period. The program still serves, because a
// Service needs that time to stop sending requests to it.
func (w *worker) preStop(ctx context.Context, container *corev1.Container, p *process.Process, grace time.Duration) {
	pause := time.NewTimer(min(preStopSleep(container), grace))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-p.Done():
	case <-w.vanished:
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
	return w.stopWithin(ctx, p, p.StopTimeout())
}

// stopWithin ends the program, and kills it after the grace period, soon after the lab's end, or at once when its node is gone.
func (w *worker) stopWithin(ctx context.Context, p *process.Process, grace time.Duration) error {
	stopped := make(chan error, 1)
	go func() { stopped <- p.StopWithin(grace) }()
	select {
	case err := <-stopped:
		return err
	case <-w.vanished:
		return errors.Join(p.Kill(), <-stopped)
	case <-ctx.Done():
	}
	select {
	case err := <-stopped:
		return err
	case <-time.After(hurriedStop):
		return errors.Join(p.Kill(), <-stopped)
	}
}
