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
	"sync"
	"time"

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

// BuildTools builds the programs that are missing, with progress to log, and returns where all are.
func BuildTools(ctx context.Context, log io.Writer) (Tools, error) { return tools.Build(ctx, log) }

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

// podPrograms are the programs that pods stand for, by the pod runtime's names.
func podPrograms(t Tools) map[string]string {
	return map[string]string{
		string(podruntime.Simulator):        t.Path(tools.InferenceSim),
		string(podruntime.Operator):         t.Path(tools.PrometheusOperator),
		string(podruntime.Prometheus):       t.Path(tools.Prometheus),
		string(podruntime.Adapter):          t.Path(tools.PrometheusAdapter),
		string(podruntime.KubeStateMetrics): t.Path(tools.KubeStateMetrics),

		string(podruntime.ManagedOperator):    t.Path(tools.ManagedOperator),
		string(podruntime.ManagedCollector):   t.Path(tools.Prometheus),
		string(podruntime.StackdriverAdapter): t.Path(tools.StackdriverAdapter),
	}
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
