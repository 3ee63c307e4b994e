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

// Config configures a runtime.
type Config struct {
	// REST is an administrator's client configuration.
	REST *rest.Config
	// KubeconfigFor returns the path of a kubeconfig of a user such as system:serviceaccount:ns:name.
	KubeconfigFor func(user string) (string, error)
	// Tools are the paths of the programs that are not part of the lab, by Program.
	Tools map[string]string
	// Dir is the folder in which each pod gets a folder with files and logs.
	Dir string
	// EgressSocket is the unix socket through which the API server connects to cluster addresses; "" for none.
	EgressSocket string
	// InitialDelayLimit is the longest initial delay of a probe; zero means none but the probe's own.
	InitialDelayLimit time.Duration
	// Start is how long the start of a model server takes.
	Start StartTimes
	// Latency is that of the model servers.
	Latency Latency
	// DrainTimeout is how long a model server may complete running requests after SIGTERM; zero means 30 s.
	DrainTimeout time.Duration
	// ObjectStores returns the address of the object stores of the simulated clouds, "" for none; nil for none.
	ObjectStores func() string
	// Google provides Google Cloud's endpoints; nil for none.
	Google Google
	// Log receives a line for each pod that starts or fails; nil for none.
	Log io.Writer
}

// Google provides the endpoints of Google Cloud that pods use.
type Google interface {
	// MetadataServer returns the host:port of the metadata server for the pods of a ServiceAccount.
	MetadataServer(namespace, serviceAccount string) (string, error)
	// MonitoringURL returns Cloud Monitoring's address, without a slash at the end.
	MonitoringURL() string
}

// Runtime runs the programs of pods and resolves the pods' addresses.
type Runtime struct {
	config Config
	client kubernetes.Interface
	router *router.Router
	egress *router.Egress
	// kubelet serves the kubelet API of every node.
	kubelet *kubelet.Server

	pods           corelisters.PodLister
	nodes          corelisters.NodeLister
	services       corelisters.ServiceLister
	endpointSlices discoverylisters.EndpointSliceLister
	configMaps     corelisters.ConfigMapLister
	secrets        corelisters.SecretLister
	claims         corelisters.PersistentVolumeClaimLister

	persistentVolumes corelisters.PersistentVolumeLister

	cancel context.CancelFunc

	mu       sync.Mutex
	stopped  bool
	byUID    map[types.UID]*worker
	byName   map[types.NamespacedName]*worker
	busy     func(pod string, running int) float64
	informer informers.SharedInformerFactory

	logMu sync.Mutex
}

// New returns a runtime whose router already listens, so that RouterURL is valid before Start.
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
	// The runtime makes the requests of many kubelets.
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
		claims: core.PersistentVolumeClaims().Lister(), persistentVolumes: core.PersistentVolumes().Lister(),
		byUID: map[types.UID]*worker{}, byName: map[types.NamespacedName]*worker{},
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Start starts watching the API server and returns when the existing objects are processed. Stop must be called after it,
// also when it fails. The context limits only the start.
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
		{core.Nodes().Informer(), each(func(any) {}, func(o any) { r.onNodeGone(running, o) })},
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

// Stop ends every process and returns when all have ended. A second call does nothing.
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

// each calls seen for every object that is new or changed, and gone for every deleted one.
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

// finished reports whether a pod's containers have ended for good.
func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (r *Runtime) onPod(running context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.DeletionTimestamp != nil || finished(pod) && !endsOnce(pod) {
		r.onPodGone(pod)
		return
	}
	if pod.Spec.NodeName == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.byUID[pod.UID]; r.stopped || w != nil {
		if w != nil {
			w.observe(pod)
		}
		return
	}
	w := newWorker(r, pod)
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	r.byUID[pod.UID], r.byName[name] = w, w
	go func() {
		w.run(running)
		// A pod without a program has nothing to end and is kept until it is deleted.
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

// drainedWithin is how much later than its node's deletion that of a pod may be seen, when a node was drained.
const drainedWithin = time.Second

// onNodeGone ends the programs of a deleted node's pods at once, as the end of its machine does. The pods' objects stay until
// the controllers collect them. Pods that were deleted with the node, or before, end as usual.
func (r *Runtime) onNodeGone(running context.Context, object any) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	r.mu.Lock()
	var on []*worker
	for _, w := range r.byUID {
		if w.pod.Spec.NodeName == node.Name {
			on = append(on, w)
		}
	}
	r.mu.Unlock()
	go func() {
		if len(on) == 0 || sleep(running, drainedWithin) != nil {
			return
		}
		for _, w := range on {
			w.vanish()
		}
	}()
}

// onMounted notifies the pods of a namespace that a ConfigMap or Secret there has changed. Each checks whether it mounts
// the object.
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

// RouterURL returns the router's URL, without a slash at the end.
func (r *Runtime) RouterURL() string { return r.router.URL() }

// PodURL returns the URL of a pod's port on this machine, without a slash at the end.
func (r *Runtime) PodURL(namespace, pod string, port int) string {
	return r.router.PodURL(namespace, pod, port)
}

// ServiceURL returns the URL of a Service's port on this machine, without a slash at the end.
func (r *Runtime) ServiceURL(namespace, service string, port int) string {
	return r.router.ServiceURL(namespace, service, port)
}

// Endpoint returns the host:port of the process behind a pod's port; ok is false while there is none.
func (r *Runtime) Endpoint(namespace, pod string, port int) (hostport string, ok bool) {
	backend, err := r.Pod(namespace, pod, strconv.Itoa(port))
	return backend.Address, err == nil
}

// Failures returns the current errors, ordered by pod; none when every known container runs.
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

// SetGPUUtilization sets the utilization of GPUs. f returns it in percent for a pod with GPUs and the number of running
// requests of its model server, and is called at each collection of a GPU exporter. Nil restores the default: 0 without
// requests, otherwise 92 to 99.
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

// logf logs a line about a pod. The text begins with the pod's name.
func (r *Runtime) logf(format string, args ...any) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	_, _ = fmt.Fprintf(r.config.Log, "lab: pod "+format+"\n", args...)
}
