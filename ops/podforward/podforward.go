// Package podforward keeps a port-forward through the Kubernetes API open to every ready pod of a
// deployment, as pods come and go. A port-forward to a Service picks one pod and stays with it.
package podforward

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

	"vllm-autoscaling/ops/portforward"
)

// Options say which pods.
type Options struct {
	// Config reaches the API server as somebody who may list and watch pods and create pods/portforward.
	Config *rest.Config
	// Namespace of the pods.
	Namespace string
	// Selector of the pods, as in `kubectl get pods -l`.
	Selector string
	// Port of the pods.
	Port int
	// Log gets a line for each forward that opens, breaks or closes; nil for none.
	Log func(format string, args ...any)
}

// Pod is a ready pod with an open forward.
type Pod struct {
	Name string
	// URL is http://127.0.0.1:<port>, without a slash at the end.
	URL string
}

// Forwards follows the pods until Stop.
type Forwards struct {
	options  Options
	dial     dialer
	informer informers.SharedInformerFactory
	cancel   context.CancelFunc
	done     sync.WaitGroup
	changed  chan struct{}

	mu   sync.Mutex
	open map[types.UID]*forward
}

// connection is an open forward; portforward.Forward is one.
type connection interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Trouble is what the pod's side has reported.
	Trouble() string
	Close()
}

// forward is that to one pod.
type forward struct {
	name   string
	ready  bool
	url    string // empty while it is not open
	cancel context.CancelFunc
	gone   bool // the pod's object is: a forward that ends is not opened again
}

const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
	// openTimeout of one try.
	openTimeout = 15 * time.Second
	// defaultGrace is Kubernetes' own terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second
)

// Start watches the pods and returns when it knows them; forwards open on their own from then on.
func Start(ctx context.Context, o Options) (*Forwards, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	selector, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("port-forward: selector: %w", err)
	}
	if selector.Empty() {
		return nil, errors.New("port-forward: without a selector it would be every pod of the namespace")
	}
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("port-forward: %w", err)
	}
	// The informer would try again for ever without saying why it cannot.
	if _, err := client.CoreV1().Pods(o.Namespace).List(ctx, metav1.ListOptions{LabelSelector: o.Selector, Limit: 1}); err != nil {
		return nil, fmt.Errorf("port-forward: list the pods: %w", err)
	}
	return start(ctx, client, o, func(ctx context.Context, pod string) (connection, string, error) {
		forward, err := portforward.Open(ctx, o.Config, o.Namespace, pod, o.Port)
		if err != nil {
			return nil, "", err
		}
		return forward, forward.Address, nil
	})
}

// dialer opens a forward to a pod and returns the host:port on this machine.
type dialer func(ctx context.Context, pod string) (connection, string, error)

func start(ctx context.Context, client kubernetes.Interface, o Options, dial dialer) (*Forwards, error) {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &Forwards{options: o, dial: dial, cancel: cancel, changed: make(chan struct{}, 1), open: map[types.UID]*forward{}}
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

// Pods are the ready pods whose forward is open, ordered by name. A pod that is being deleted is not
// among them, while its forward lasts so that requests in flight can end: as long as the pod's process does, and at
// most for its grace period once its object is gone, as after `kubectl delete --force`.
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

// Changed says that Pods has something new.
func (f *Forwards) Changed() <-chan struct{} { return f.changed }

// Stop closes every forward and returns when they are closed.
func (f *Forwards) Stop() {
	f.cancel()
	f.informer.Shutdown()
	f.done.Wait()
}

// Wait blocks until at least n pods have an open forward. The error says how many have.
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

func serves(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

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
		known = &forward{name: pod.Name, cancel: cancel}
		f.open[pod.UID] = known
		f.done.Go(func() { f.keep(own, known) })
	}
	if known != nil && known.ready != ready {
		known.ready = ready
		if !ready {
			f.options.Log("pod %s is not ready any more: no new request goes there", pod.Name)
		}
		f.notify()
	}
}

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

// keep opens a pod's forward again whenever it breaks, until ctx ends or the pod is gone.
func (f *Forwards) keep(ctx context.Context, to *forward) {
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
		f.options.Log("port-forward to pod %s: %v; opened again in %s", to.name, err, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// forward lasts as long as the forward does; opened says whether it came that far.
func (f *Forwards) forward(ctx context.Context, to *forward) (opened bool, err error) {
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
	return true, fmt.Errorf("the connection has ended (%s)", cmp.Or(forward.Trouble(), "the pod reported nothing"))
}

func (f *Forwards) set(to *forward, url string) {
	f.mu.Lock()
	to.url = url
	f.mu.Unlock()
	f.notify()
}
