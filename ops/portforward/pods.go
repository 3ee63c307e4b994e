package portforward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Options are the options of Follow. Log may be nil, everything else is required.
type Options struct {
	// Config reaches the API server with a role that allows list and watch on pods and create on pods/portforward.
	Config *rest.Config
	// Namespace is the pods' namespace.
	Namespace string
	// Selector is the pods' label selector, as in `kubectl get pods -l`.
	Selector string
	// Port is the port of each pod.
	Port int
	// Log is called when a forward opens or breaks; nil for no log.
	Log func(format string, args ...any)
}

// Pod is a ready pod with an open forward.
type Pod struct {
	Name string
	// URL is http://127.0.0.1:<port>, without a slash at the end.
	URL string
}

// Forwards are the forwards to the pods of a selector, until Stop.
type Forwards struct {
	options  Options
	dial     dialer
	informer informers.SharedInformerFactory
	cancel   context.CancelFunc
	done     sync.WaitGroup
	changed  chan struct{}

	mu   sync.Mutex
	open map[types.UID]*podForward
}

// connection is an open forward to one pod; a Forward implements it.
type connection interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// PodErrors returns the errors that the pod's side has reported.
	PodErrors() string
	Close()
}

// podForward is the forward to one pod.
type podForward struct {
	name   string
	ready  bool
	url    string // empty while it is not open
	cancel context.CancelFunc
	gone   bool // the pod was deleted: a forward that ends is not opened again
}

const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
	// openTimeout limits one attempt.
	openTimeout = 15 * time.Second
	// defaultGrace is Kubernetes' default terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
)

// Follow watches the pods and returns when their list is complete. The forwards open in the background.
func Follow(ctx context.Context, o Options) (*Forwards, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	selector, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("port-forward: selector: %w", err)
	}
	if selector.Empty() {
		return nil, errors.New("port-forward: the selector is empty and would match every pod of the namespace")
	}
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	// The informer would retry forever without reporting the reason.
	if _, err := client.CoreV1().Pods(o.Namespace).List(ctx, metav1.ListOptions{LabelSelector: o.Selector, Limit: 1}); err != nil {
		return nil, fmt.Errorf("port-forward: list the pods: %w", err)
	}
	return follow(ctx, client, o, func(ctx context.Context, pod string) (connection, string, error) {
		forward, err := Open(ctx, o.Config, o.Namespace, pod, o.Port)
		if err != nil {
			return nil, "", err
		}
		return forward, forward.Address, nil
	})
}

// dialer opens a forward to a pod and returns the host:port on this machine.
type dialer func(ctx context.Context, pod string) (connection, string, error)

func follow(ctx context.Context, client kubernetes.Interface, o Options, dial dialer) (*Forwards, error) {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &Forwards{options: o, dial: dial, cancel: cancel, changed: make(chan struct{}, 1), open: map[types.UID]*podForward{}}
	f.informer = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(o.Namespace),
		informers.WithTweakListOptions(func(l *metav1.ListOptions) { l.LabelSelector = o.Selector }))
	informer := f.informer.Core().V1().Pods()
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { f.seen(working, object) },
		UpdateFunc: func(_, object any) { f.seen(working, object) },
		DeleteFunc: f.gone,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	f.informer.Start(working.Done())
	for _, synced := range f.informer.WaitForCacheSync(ctx.Done()) {
		if !synced {
			f.Stop()
			return nil, fmt.Errorf("port-forward: list the pods: %w", context.Cause(ctx))
		}
	}
	return f, nil
}

// Pods returns the ready pods whose forward is open, ordered by name. A pod that is being deleted is not
// among them, but its forward stays open so that requests in flight can finish: until the pod's process ends, and at
// most for the grace period after the object is deleted, as after `kubectl delete --force`.
func (f *Forwards) Pods() []Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pods []Pod
	for _, forward := range f.open {
		if forward.ready && forward.url != "" {
			pods = append(pods, Pod{Name: forward.name, URL: forward.url})
		}
	}
	slices.SortFunc(pods, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// Changed receives a value after the result of Pods has changed.
func (f *Forwards) Changed() <-chan struct{} { return f.changed }

// Stop closes every forward and returns when they are closed.
func (f *Forwards) Stop() {
	f.cancel()
	f.informer.Shutdown()
	f.done.Wait()
}

// Wait blocks until at least n pods have an open forward. The error names how many have.
func (f *Forwards) Wait(ctx context.Context, n int) error {
	for {
		have := len(f.Pods())
		if have >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("port-forward: %d of %d pods with labels %s in namespace %s can be reached: %w",
				have, n, f.options.Selector, f.options.Namespace, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (f *Forwards) notify() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// serves reports whether a pod is ready and not being deleted.
func serves(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// seen opens a forward to a pod that has become ready, and notes whether a known one still is.
func (f *Forwards) seen(ctx context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	known := f.open[pod.UID]
	ready := serves(pod)
	if known == nil && ready {
		own, cancel := context.WithCancel(ctx)
		known = &podForward{name: pod.Name, cancel: cancel}
		f.open[pod.UID] = known
		f.done.Go(func() { f.keep(own, known) })
	}
	if known != nil && known.ready != ready {
		known.ready = ready
		if !ready {
			f.options.Log("pod %s is no longer ready: it gets no new requests", pod.Name)
		}
		f.notify()
	}
}

// gone forgets a deleted pod. Its forward closes after the pod's grace period, at once if it is not open.
func (f *Forwards) gone(object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.open[pod.UID]; known != nil {
		known.ready, known.gone = false, true
		if known.url == "" { // nothing is in flight
			known.cancel()
		} else {
			time.AfterFunc(gracePeriod(pod), known.cancel)
		}
		delete(f.open, pod.UID)
		f.notify()
	}
}

func gracePeriod(pod *corev1.Pod) time.Duration {
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return defaultGrace
	}
	return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
}

// keep reopens a pod's forward whenever it breaks, until ctx ends or the pod is deleted.
func (f *Forwards) keep(ctx context.Context, to *podForward) {
	defer to.cancel()
	wait := firstRetry
	for ctx.Err() == nil {
		opened, err := f.forward(ctx, to)
		f.mu.Lock()
		gone := to.gone
		f.mu.Unlock()
		if gone || ctx.Err() != nil {
			return
		}
		if opened {
			wait = firstRetry
		}
		f.options.Log("port-forward to pod %s: %v; retry in %s", to.name, err, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// forward opens a forward to a pod and returns when it has ended. opened reports whether it was open.
func (f *Forwards) forward(ctx context.Context, to *podForward) (opened bool, err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	forward, address, err := f.dial(opening, to.name)
	if err != nil {
		return false, err
	}
	f.set(to, "http://"+address)
	f.options.Log("port-forward to pod %s is open", to.name)
	select {
	case <-ctx.Done():
		forward.Close()
	case <-forward.Done():
	}
	f.set(to, "")
	<-forward.Done()
	return true, fmt.Errorf("the connection ended (%s)", cmp.Or(forward.PodErrors(), "the pod reported no error"))
}

func (f *Forwards) set(to *podForward, url string) {
	f.mu.Lock()
	to.url = url
	f.mu.Unlock()
	f.notify()
}
