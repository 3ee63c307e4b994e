// Package lab runs a Kubernetes cluster with simulated GPUs on this machine, and the real Pulumi CLI
// against it: control plane, metrics pipeline and autoscaler are the upstream programs, nodes and pods
// are simulated, and what pods stand for runs as local processes.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/tests/lab/chartrepository"
	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/controlplane"
	"vllm-autoscaling/tests/lab/podruntime"
	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// Tools says where the programs are that the lab runs; BuildTools returns it.
type Tools = tools.Tools

// BuildTools builds the named programs that are missing, all without names, with progress to log, and returns where they
// are. A pod whose program was not named fails.
func BuildTools(ctx context.Context, log io.Writer, names ...string) (Tools, error) {
	return tools.Build(ctx, log, names...)
}

// Options for a lab.
type Options struct {
	// Dir is the lab's folder: made by Start, removed by Stop. It must not exist or be empty. Empty makes
	// one in the system's folder for temporary files.
	Dir string
	// Tools are the programs; the zero value builds what is missing.
	Tools Tools
	// Log gets one line for each thing that the lab does; nil for none.
	Log io.Writer
	// ModelLoadDelay passes before a model server listens, as the real one's model download and load do.
	ModelLoadDelay time.Duration
	// Latency is how fast model servers answer; the zero value means podruntime's defaults.
	Latency podruntime.Latency
	// Clouds simulates Google Cloud, AWS and Azure; nodes are then made by them only, and none is there at the
	// start. ControlPlane, Wipe and Log are filled in by the lab. Nil simulates no cloud.
	Clouds *cloud.Options
}

// Lab is a running cluster.
type Lab struct {
	dir      string
	log      io.Writer
	programs Tools

	controlPlane *controlplane.ControlPlane
	runtime      *podruntime.Runtime
	charts       string
	stopCharts   context.CancelFunc
	clouds       *cloud.Cloud    // nil for none
	initial      map[Object]bool // what was in the cluster at the start

	mu       sync.Mutex
	gpuNodes int
	commands []*process.Process // of the CLI
	stopped  bool
	swept    []Object
}

// systemNode is the node without taints that every cluster has for what needs no GPU.
const systemNode = "system-1"

// Start starts a cluster with one node that has no GPU, the stand-in chart repository, and what runs
// the pods' programs. On an error nothing is left behind. The context bounds the start only: end the
// lab with Stop.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Tools.Empty() {
		built, err := BuildTools(ctx, o.Log)
		if err != nil {
			return nil, err
		}
		o.Tools = built
	}
	dir, err := newFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{dir: dir, log: &lines{to: o.Log}, programs: o.Tools}
	if err := l.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Stop())
	}
	return l, nil
}

// newFolder makes the lab's folder, and refuses one that holds something: Stop removes all of it.
func newFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "vllm-lab-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("folder %s is not empty: the lab would remove what is in it; name another one", dir)
	}
	return dir, nil
}

func (l *Lab) start(ctx context.Context, o Options) error {
	fmt.Fprintf(l.log, "lab: starting a control plane in %s\n", l.dir)
	socket := filepath.Join(l.dir, "egress.sock")
	var err error
	l.controlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Dir: filepath.Join(l.dir, "controlplane"), Tools: l.programs, EgressSocket: socket, Log: l.log,
	})
	if err != nil {
		return err
	}
	l.runtime, err = podruntime.New(podruntime.Config{
		REST:           l.controlPlane.Config(),
		KubeconfigFor:  l.controlPlane.KubeconfigFor,
		Tools:          podPrograms(l.programs),
		Dir:            filepath.Join(l.dir, "pods"),
		EgressSocket:   socket,
		ModelLoadDelay: o.ModelLoadDelay,
		Latency:        o.Latency,
		Google:         google{l},
		Log:            l.log,
	})
	if err != nil {
		return err
	}
	if err := l.runtime.Start(ctx); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.Background())
	l.stopCharts = stop
	if l.charts, err = chartrepository.Serve(serving); err != nil {
		return fmt.Errorf("chart repository: %w", err)
	}
	if o.Clouds == nil {
		err = l.controlPlane.AddNode(ctx, controlplane.Node{Name: systemNode})
	} else {
		err = l.startClouds(*o.Clouds)
	}
	if err != nil {
		return err
	}
	objects, err := l.objects(ctx)
	if err != nil {
		return err
	}
	l.initial = make(map[Object]bool, len(objects))
	for _, object := range objects {
		l.initial[object] = true
	}
	fmt.Fprintf(l.log, "lab: ready, charts at %s, kubeconfig %s\n", l.charts, l.Kubeconfig())
	return nil
}

// startClouds starts the simulated clouds on the control plane.
func (l *Lab) startClouds(o cloud.Options) error {
	o.ControlPlane, o.Log, o.Wipe, o.Collected = l.controlPlane, l.log, l.wipe, l.collected
	var err error
	l.clouds, err = cloud.Start(o)
	return err
}

// Clouds are the simulated clouds, nil when the lab was started without.
func (l *Lab) Clouds() *cloud.Cloud { return l.clouds }

// podPrograms are the programs that pods stand for, by the pod runtime's names, as far as they were built.
func podPrograms(t Tools) map[string]string {
	programs := map[string]string{}
	for program, name := range map[podruntime.Program]string{
		podruntime.Simulator:        tools.InferenceSim,
		podruntime.Operator:         tools.PrometheusOperator,
		podruntime.Prometheus:       tools.Prometheus,
		podruntime.Adapter:          tools.PrometheusAdapter,
		podruntime.KubeStateMetrics: tools.KubeStateMetrics,

		podruntime.ManagedOperator:    tools.ManagedOperator,
		podruntime.ManagedCollector:   tools.Prometheus,
		podruntime.StackdriverAdapter: tools.StackdriverAdapter,
	} {
		if path, ok := t.Lookup(name); ok {
			programs[string(program)] = path
		}
	}
	return programs
}

// Stop ends every process that the lab has started and removes its folder. It goes on after an error
// and returns all of them; calling it again does nothing.
func (l *Lab) Stop() error {
	l.mu.Lock()
	again := l.stopped
	l.stopped = true
	commands := l.commands
	l.mu.Unlock()
	if again {
		return nil
	}
	var errs []error
	for _, command := range commands {
		select {
		case <-command.Done(): // how it ended was reported to its caller
		default:
			errs = append(errs, command.Kill())
		}
	}
	if l.clouds != nil {
		errs = append(errs, l.clouds.Stop())
	}
	if l.runtime != nil {
		errs = append(errs, l.runtime.Stop())
	}
	if l.stopCharts != nil {
		l.stopCharts()
	}
	if l.controlPlane != nil {
		errs = append(errs, l.controlPlane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// remember keeps a command of the CLI to end it with the lab.
func (l *Lab) remember(p *process.Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = slices.DeleteFunc(l.commands, func(p *process.Process) bool {
		select {
		case <-p.Done():
			return true
		default:
			return false
		}
	})
	l.commands = append(l.commands, p)
}

// Dir is the lab's folder; logs of all programs are below it.
func (l *Lab) Dir() string { return l.dir }

// Tools are the programs that the lab runs.
func (l *Lab) Tools() Tools { return l.programs }

// Kubeconfig is the administrator's kubeconfig file.
func (l *Lab) Kubeconfig() string { return l.controlPlane.Kubeconfig() }

// ContextName is the context in Kubeconfig.
func (l *Lab) ContextName() string { return controlplane.ContextName }

// Config is the administrator's client configuration; copy it to change it.
func (l *Lab) Config() *rest.Config { return l.controlPlane.Config() }

// Client acts as the administrator.
func (l *Lab) Client() kubernetes.Interface { return l.controlPlane.Client() }

// Crashed delivers the error of a part of the control plane that ended without being asked to.
func (l *Lab) Crashed() <-chan error { return l.controlPlane.Crashed() }

// Failures is what is wrong now with the programs that pods stand for.
func (l *Lab) Failures() []podruntime.Failure { return l.runtime.Failures() }

// ChartRepository is the URL of the Helm repository with the stand-in charts.
func (l *Lab) ChartRepository() string { return l.charts }

// AddGPUNodes adds nodes labelled and tainted as clouds do for GPUs, named gpu-1, gpu-2 and so on.
func (l *Lab) AddGPUNodes(ctx context.Context, n, gpusPerNode int) error {
	for range n {
		l.mu.Lock()
		l.gpuNodes++
		name := fmt.Sprintf("gpu-%d", l.gpuNodes)
		l.mu.Unlock()
		err := l.controlPlane.AddNode(ctx, controlplane.Node{
			Name: name, GPUs: gpusPerNode,
			Labels: map[string]string{"nvidia.com/gpu.present": "true"},
			Taints: []corev1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// AddNode adds a node of any kind.
func (l *Lab) AddNode(ctx context.Context, n controlplane.Node) error {
	return l.controlPlane.AddNode(ctx, n)
}

// RemoveNode removes a node and its pods.
func (l *Lab) RemoveNode(ctx context.Context, name string) error {
	return l.controlPlane.RemoveNode(ctx, name)
}

// PodURL is where a pod's port is reached from this machine, without a slash at the end.
func (l *Lab) PodURL(namespace, pod string, port int) string {
	return l.runtime.PodURL(namespace, pod, port)
}

// ServiceURL is where a Service's port is reached from this machine, without a slash at the end;
// requests go to its ready pods in turn.
func (l *Lab) ServiceURL(namespace, service string, port int) string {
	return l.runtime.ServiceURL(namespace, service, port)
}

// ReadyPodURLs are the URLs of a port of all ready pods with the labels, ordered by pod name. No pod is
// no error.
func (l *Lab) ReadyPodURLs(ctx context.Context, namespace, labelSelector string, port int) ([]string, error) {
	pods, err := l.readyPods(ctx, namespace, labelSelector)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, pod := range pods {
		urls = append(urls, l.PodURL(pod.Namespace, pod.Name, port))
	}
	return urls, nil
}

func (l *Lab) readyPods(ctx context.Context, namespace, labelSelector string) ([]corev1.Pod, error) {
	list, err := l.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labelSelector})
	if err != nil {
		return nil, fmt.Errorf("list pods %s in %q: %w", labelSelector, namespace, err)
	}
	pods := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// SetGPUUtilization replaces how busy GPUs are, in percent, given a pod and the number of requests that
// it is answering. Nil goes back to the default: 0 when idle, else 92 to 99.
func (l *Lab) SetGPUUtilization(f func(pod string, running int) float64) {
	l.runtime.SetGPUUtilization(f)
}

// prometheusPods are the pods that the operator makes for a Prometheus object.
const (
	prometheusPods = "app.kubernetes.io/name=prometheus,operator.prometheus.io/name"
	prometheusPort = 9090
)

// google is Google Cloud to the pods: the simulated clouds, which start after what runs the pods.
type google struct{ lab *Lab }

func (g google) MetadataServer(namespace, serviceAccount string) (string, error) {
	if g.lab.clouds == nil {
		return "", errors.New("the lab simulates no cloud")
	}
	return g.lab.clouds.MetadataServer(namespace, serviceAccount)
}

func (g google) MonitoringURL() string {
	if g.lab.clouds == nil {
		return ""
	}
	return g.lab.clouds.MonitoringURL()
}

// collected asks the managed collection's collector.
func (l *Lab) collected(ctx context.Context, promql string, at time.Time) (model.Vector, error) {
	pods, err := l.readyPods(ctx, cloud.CollectionNamespace, labels.SelectorFromSet(cloud.CollectorLabels).String())
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("query %s: no ready collector in %s", promql, cloud.CollectionNamespace)
	}
	value, err := query(ctx, l.PodURL(pods[0].Namespace, pods[0].Name, cloud.CollectorPort), promql, at)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s: a %s, not a vector", promql, value.Type())
	}
	return vector, nil
}

// Metric asks the Prometheus in the cluster for the value of an expression now.
func (l *Lab) Metric(ctx context.Context, promql string) (model.Value, error) {
	pods, err := l.readyPods(ctx, metav1.NamespaceAll, prometheusPods)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("query %s: no ready Prometheus in the cluster (pods with labels %s)", promql, prometheusPods)
	}
	return query(ctx, l.PodURL(pods[0].Namespace, pods[0].Name, prometheusPort), promql, time.Time{})
}

// query asks a Prometheus; the zero time is now.
func query(ctx context.Context, address, promql string, at time.Time) (model.Value, error) {
	client, err := api.NewClient(api.Config{Address: address})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", promql, err)
	}
	value, _, err := prometheusv1.NewAPI(client).Query(ctx, promql, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", promql, err)
	}
	return value, nil
}

// lines passes on one write at a time: many parts of the lab write to one log.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lines) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
