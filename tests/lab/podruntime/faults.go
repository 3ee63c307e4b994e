package podruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"vllm-autoscaling/tests/lab/process"
)

// Fault is what a pod's server does wrong. It ends with the container: a restart repairs it.
type Fault struct {
	// Hang stops the process: connections are accepted and never answered, also those that are open.
	Hang bool
	// Crash kills the process, as a lack of memory does. The container is started again.
	Crash bool
	// Delay is the time before each answer.
	Delay time.Duration
	// Status is answered in place of the server's own answer; 0 leaves that.
	Status int
	// Paths limits Delay and Status to requests of paths that begin with one of them; empty means every request.
	Paths []string
}

func (f Fault) String() string {
	var words []string
	if f.Hang {
		words = append(words, "hangs")
	}
	if f.Crash {
		words = append(words, "is killed")
	}
	if f.Delay > 0 {
		words = append(words, "answers "+f.Delay.String()+" later")
	}
	if f.Status > 0 {
		words = append(words, fmt.Sprintf("answers %d", f.Status))
	}
	text := strings.Join(words, " and ")
	if len(f.Paths) > 0 {
		text += " to " + strings.Join(f.Paths, ", ")
	}
	return text
}

// Fault makes the server of a running pod misbehave, until end is called or its container is started again. Requests that
// are being answered are disturbed by Hang only.
func (r *Runtime) Fault(namespace, pod string, fault Fault) (end func() error, err error) {
	w := r.worker(namespace, pod)
	if w == nil {
		return nil, fmt.Errorf("fault of pod %s/%s: it is not running", namespace, pod)
	}
	if !fault.Hang && !fault.Crash && fault.Delay <= 0 && fault.Status == 0 {
		return nil, fmt.Errorf("fault of pod %s/%s: give Hang, Crash, Delay or Status", namespace, pod)
	}
	active, err := w.disturb(fault)
	if err != nil {
		return nil, fmt.Errorf("fault of pod %s/%s: %w", namespace, pod, err)
	}
	r.logf("%s: its server %s from now on", w.name(), fault)
	return func() error {
		if !w.undisturb(active) {
			return nil
		}
		r.logf("%s: its server is well again", w.name())
		return active.end()
	}, nil
}

// fault is a fault of a container's current run.
type fault struct {
	// stopped is the process that hangs, nil for none.
	stopped *process.Process
	// instead are the endpoints of a proxy, by the container's port.
	instead map[int]endpoint
	servers []*http.Server
}

// end ends the fault.
func (f *fault) end() error {
	var errs []error
	for _, server := range f.servers {
		errs = append(errs, server.Close())
	}
	if f.stopped != nil {
		errs = append(errs, f.stopped.Signal(syscall.SIGCONT))
	}
	return errors.Join(errs...)
}

// disturb starts a fault of the pod's first program that has a port and a process.
func (w *worker) disturb(f Fault) (*fault, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := w.programs()
	at := slices.IndexFunc(names, func(name string) bool {
		return w.launched[name] != nil && len(w.launched[name].ports) > 0 && w.processes[name] != nil
	})
	if at < 0 {
		return nil, errors.New("no process serves it")
	}
	name := names[at]
	if w.faults[name] != nil {
		return nil, errors.New("it has a fault already, which has to end first")
	}
	active := &fault{instead: map[int]endpoint{}}
	if f.Delay > 0 || f.Status > 0 {
		for port, real := range w.launched[name].ports {
			if err := active.serve(f, port, real); err != nil {
				return nil, errors.Join(err, active.end())
			}
		}
	}
	if f.Hang {
		if err := w.processes[name].Signal(syscall.SIGSTOP); err != nil {
			return nil, errors.Join(err, active.end())
		}
		active.stopped = w.processes[name]
	}
	if f.Crash {
		if err := w.processes[name].Signal(syscall.SIGKILL); err != nil {
			return nil, errors.Join(err, active.end())
		}
	}
	w.faults[name] = active
	return active, nil
}

// undisturb removes a fault and reports whether it was still active.
func (w *worker) undisturb(active *fault) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, f := range w.faults {
		if f == active {
			delete(w.faults, name)
			return true
		}
	}
	return false
}

// serve starts a proxy in front of an endpoint.
func (f *fault) serve(fault Fault, port int, behind endpoint) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	target := &url.URL{Scheme: "http", Host: behind.address()}
	if behind.tls {
		target.Scheme = "https"
	}
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     insecure.Transport,
		FlushInterval: -1, ErrorLog: quiet,
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault.disturbs(r.URL.Path) {
			if sleep(r.Context(), fault.Delay) != nil {
				return
			}
			if fault.Status > 0 {
				http.Error(w, "the lab's fault", fault.Status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	f.servers = append(f.servers, server)
	f.instead[port] = endpoint{port: listener.Addr().(*net.TCPAddr).Port}
	return nil
}

// disturbs reports whether the fault changes requests of a path.
func (f Fault) disturbs(path string) bool {
	return len(f.Paths) == 0 || slices.ContainsFunc(f.Paths, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// sleep returns when the time is over, or with the context's error.
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
