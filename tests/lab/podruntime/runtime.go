// Package podruntime runs what the lab's pods stand for.
//
// The lab's nodes are simulated: pods on them have a status but nothing runs. For every pod whose
// container image is known, the runtime starts the real program as a process of this machine, lets it
// act as the pod's ServiceAccount, and says by an annotation when it serves. What a chart or a
// Deployment says is taken as it is; only addresses, files and credentials are translated.
package podruntime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"vllm-autoscaling/tests/lab/kubelet"
	"vllm-autoscaling/tests/lab/router"
)

// Config is what the runtime needs.
type Config struct {
	// REST reaches the API server as an administrator.
	REST *rest.Config
	// KubeconfigFor is a kubeconfig file that acts as that user, such as system:serviceaccount:ns:name.
	KubeconfigFor func(user string) (string, error)
	// Tools is the file of each Program that is not part of the lab.
	Tools map[string]string
	// Dir gets a folder with files and logs for each pod.
	Dir string
	// EgressSocket is the unix socket on which the API server asks for cluster addresses; empty for none.
	EgressSocket string
	// ModelLoadDelay passes between a model server's start and its process: nothing listens while a
	// real one loads its model.
	ModelLoadDelay time.Duration
	// Latency is how fast model servers answer.
	Latency Latency
	// DrainTimeout is how long a model server may finish what it is answering after SIGTERM; zero means 30 s.
	DrainTimeout time.Duration
	// Google is Google Cloud as pods see it; nil where there is none.
	Google Google
	// Log gets one line for each pod that starts or fails; nil for none.
	Log io.Writer
}

// Google is Google Cloud as a cluster's pods see it.
type Google interface {
	// MetadataServer is the host:port of the metadata server that answers the pods of a ServiceAccount.
	MetadataServer(namespace, serviceAccount string) (string, error)
	// MonitoringURL is Cloud Monitoring's address, without a slash at the end.
	MonitoringURL() string
}

// Runtime runs the pods' programs and answers where they are.
type Runtime struct {
	config Config
	client kubernetes.Interface
	router *router.Router
	egress *router.Egress
	// kubelet is what every node answers the API server with.
	kubelet *kubelet.Server

	pods           corelisters.PodLister
	nodes          corelisters.NodeLister
	services       corelisters.ServiceLister
	endpointSlices discoverylisters.EndpointSliceLister
	configMaps     corelisters.ConfigMapLister
	secrets        corelisters.SecretLister

	cancel context.CancelFunc

	mu       sync.Mutex
	stopped  bool
	byUID    map[types.UID]*worker
	byName   map[types.NamespacedName]*worker
	busy     func(pod string, running int) float64
	informer informers.SharedInformerFactory

	logMu sync.Mutex
}

// New makes a runtime whose router listens already, so that RouterURL holds before Start.
func New(config Config) (*Runtime, error) {
	if config.Log == nil {
		config.Log = io.Discard
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 30 * time.Second
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("pod runtime: %w", err)
	}
	own := rest.CopyConfig(config.REST)
	// The runtime is many kubelets in one.
	own.QPS, own.Burst = 200, 400
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("pod runtime: %w", err)
	}
	r := newRuntime(config, client)
	if r.kubelet, err = kubelet.Listen(r); err != nil {
		return nil, err
	}
	if r.router, err = router.New(r, writerFunc(func(b []byte) (int, error) {
		r.logMu.Lock()
		defer r.logMu.Unlock()
		return config.Log.Write(b)
	})); err != nil {
		return nil, errors.Join(err, r.kubelet.Close())
	}
	return r, nil
}

func newRuntime(config Config, client kubernetes.Interface) *Runtime {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	return &Runtime{
		config: config, client: client, informer: factory,
		pods: core.Pods().Lister(), nodes: core.Nodes().Lister(), services: core.Services().Lister(),
		endpointSlices: factory.Discovery().V1().EndpointSlices().Lister(),
		configMaps:     core.ConfigMaps().Lister(), secrets: core.Secrets().Lister(),
		byUID: map[types.UID]*worker{}, byName: map[types.NamespacedName]*worker{},
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Start begins to watch and returns when it has seen what there is. Stop must be called after it, also
// when it fails. The context bounds the start only.
func (r *Runtime) Start(ctx context.Context) error {
	if r.config.EgressSocket != "" {
		egress, err := router.ListenEgress(r.config.EgressSocket, r)
		if err != nil {
			return err
		}
		r.egress = egress
	}
	running, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	core := r.informer.Core().V1()
	handlers := []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{core.Pods().Informer(), each(func(o any) { r.onPod(running, o) }, r.onPodGone)},
		{core.ConfigMaps().Informer(), each(r.onMounted, r.onMounted)},
		{core.Secrets().Informer(), each(r.onMounted, r.onMounted)},
	}
	for _, h := range handlers {
		if _, err := h.informer.AddEventHandler(h.handler); err != nil {
			return fmt.Errorf("pod runtime: %w", err)
		}
	}
	r.informer.Start(running.Done())
	for kind, synced := range r.informer.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("pod runtime: cannot list %v: %w", kind, cmp.Or(ctx.Err(), errors.New("stopped")))
		}
	}
	return nil
}

// Run starts the runtime, waits for the context to end, and stops it.
func (r *Runtime) Run(ctx context.Context) error {
	err := r.Start(ctx)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, r.Stop())
}

// Stop ends every process, and returns when all are gone. Calling it again does nothing.
func (r *Runtime) Stop() error {
	r.mu.Lock()
	again := r.stopped
	r.stopped = true
	workers := make([]*worker, 0, len(r.byUID))
	for _, w := range r.byUID {
		workers = append(workers, w)
	}
	r.mu.Unlock()
	if again {
		return nil
	}
	if r.cancel != nil {
		r.cancel()
	}
	for _, w := range workers {
		<-w.done
	}
	r.informer.Shutdown()
	var errs []error
	if r.egress != nil {
		errs = append(errs, r.egress.Close())
	}
	if r.kubelet != nil {
		errs = append(errs, r.kubelet.Close())
	}
	return errors.Join(append(errs, r.router.Close())...)
}

// each calls seen for every object that is new or differs, and gone for every one that was deleted.
func each(seen, gone func(object any)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, now any) { seen(now) },
		DeleteFunc: func(object any) {
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			gone(object)
		},
	}
}

// finished says that a pod's containers have ended for good.
func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (r *Runtime) onPod(running context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.DeletionTimestamp != nil || finished(pod) {
		r.onPodGone(pod)
		return
	}
	if pod.Spec.NodeName == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.byUID[pod.UID] != nil {
		return
	}
	w := newWorker(r, pod)
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	r.byUID[pod.UID], r.byName[name] = w, w
	go func() {
		w.run(running)
		// A pod without a program has nothing to end; it is kept until it is deleted.
		select {
		case <-w.deleted:
		case <-running.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.byUID, pod.UID)
		if r.byName[name] == w {
			delete(r.byName, name)
		}
	}()
}

func (r *Runtime) onPodGone(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	r.mu.Lock()
	w := r.byUID[pod.UID]
	r.mu.Unlock()
	if w != nil {
		w.end()
	}
}

// onMounted tells the pods of a namespace that a ConfigMap or Secret there has changed; each finds out
// for itself whether that concerns it.
func (r *Runtime) onMounted(object any) {
	meta, ok := object.(interface{ GetNamespace() string })
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.byUID {
		if w.pod.Namespace == meta.GetNamespace() {
			w.notify()
		}
	}
}

func (r *Runtime) worker(namespace, pod string) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[types.NamespacedName{Namespace: namespace, Name: pod}]
}

// RouterURL is the router's address, without a slash at the end.
func (r *Runtime) RouterURL() string { return r.router.URL() }

// PodURL is where a pod's port is reached from this machine, without a slash at the end.
func (r *Runtime) PodURL(namespace, pod string, port int) string {
	return r.router.PodURL(namespace, pod, port)
}

// ServiceURL is where a Service's port is reached from this machine, without a slash at the end.
func (r *Runtime) ServiceURL(namespace, service string, port int) string {
	return r.router.ServiceURL(namespace, service, port)
}

// Endpoint is the host:port of the process behind a pod's port; ok is false while none serves it.
func (r *Runtime) Endpoint(namespace, pod string, port int) (hostport string, ok bool) {
	backend, err := r.Pod(namespace, pod, strconv.Itoa(port))
	return backend.Address, err == nil
}

// Failures is what is wrong now, ordered by pod; empty when every known container runs.
func (r *Runtime) Failures() []Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Failure
	for _, w := range r.byUID {
		if err := w.lastError(); err != nil {
			all = append(all, Failure{Namespace: w.pod.Namespace, Pod: w.pod.Name, Err: err})
		}
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// SetGPUUtilization replaces how busy GPUs are: f gets a pod that holds GPUs and how many requests its
// model server is answering, and returns percent. Nil goes back to the default: 0 when idle, else 92 to
// 99. It is asked at each collection of a GPU exporter.
func (r *Runtime) SetGPUUtilization(f func(pod string, running int) float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = f
}

func (r *Runtime) utilization() func(string, int) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy != nil {
		return r.busy
	}
	return busyUtilization
}

// logf writes one line about a pod, whose name the text begins with.
func (r *Runtime) logf(format string, args ...any) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	_, _ = fmt.Fprintf(r.config.Log, "lab: pod "+format+"\n", args...)
}
