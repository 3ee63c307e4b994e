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
	"vllm-autoscaling/tests/lab/gateway"
	"vllm-autoscaling/tests/lab/podruntime"
	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// Tools are the paths of the programs that the lab runs; see BuildTools.
type Tools = tools.Tools

// BuildTools builds the named programs that are missing, all without names, reports progress to log, and returns the
// paths. A pod whose program was not named fails.
func BuildTools(ctx context.Context, log io.Writer, names ...string) (Tools, error) {
	return tools.Build(ctx, log, names...)
}

// Options configure a lab.
type Options struct {
	// Dir is the lab's folder. Start creates it, Stop removes it; it must not exist, or be empty. "" creates one in the
	// system's folder for temporary files.
	Dir string
	// Tools are the programs; the zero value builds the missing ones.
	Tools Tools
	// Log receives a line for each action of the lab; nil for none.
	Log io.Writer
	// ImagePullTime is how long a pod that requests a GPU waits for its image, which has many gigabytes.
	ImagePullTime time.Duration
	// ModelLoadDelay is the time before a model server listens, for the download and loading of a real model.
	ModelLoadDelay time.Duration
	// WarmUp is that of vLLM's servers, which is shorter where they find what they would compile; the zero value is none.
	WarmUp podruntime.WarmUp
	// Latency is that of the model servers; the zero value means podruntime's defaults.
	Latency podruntime.Latency
	// Clouds simulates Google Cloud, AWS and Azure. Then only they create nodes, and there is none at the start. The lab
	// sets ControlPlane, Wipe, Collected and Log. Nil simulates no cloud.
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
	clouds       *cloud.Cloud     // nil for none
	gateway      *gateway.Gateway // nil for none
	initial      map[Object]bool  // what was in the cluster at the start

	mu       sync.Mutex
	gpuNodes int
	commands []*process.Process // of the CLI
	stopped  bool
	swept    []Object
}

// Start starts a cluster with one node without GPUs, the chart repository and the pod runtime. After an error nothing is
// left. The context limits only the start; Stop ends the lab.
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

// newFolder creates the lab's folder. It refuses one that is not empty, because Stop removes everything in it.
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
		Dir: filepath.Join(l.dir, "controlplane"), Tools: l.programs, EgressSocket: socket, ImagePullTime: o.ImagePullTime, Log: l.log,
	})
	if err != nil {
		return err
	}
	l.runtime, err = podruntime.New(podruntime.Config{
		REST:          l.controlPlane.Config(),
		KubeconfigFor: l.controlPlane.KubeconfigFor,
		Tools:         podPrograms(l.programs),
		Dir:           filepath.Join(l.dir, "pods"),
		EgressSocket:  socket,
		// Charts let programs start for up to 45 s before their first probe; nothing of that is worth waiting for.
		InitialDelayLimit: time.Second,

		ImagePullTime:  o.ImagePullTime,
		ModelLoadDelay: o.ModelLoadDelay,
		WarmUp:         o.WarmUp,
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
	if err := l.rememberInitial(ctx); err != nil {
		return err
	}
	fmt.Fprintf(l.log, "lab: ready, charts at %s, kubeconfig %s\n", l.charts, l.Kubeconfig())
	return nil
}

// rememberInitial makes the objects of the cluster those that no stack has left behind.
func (l *Lab) rememberInitial(ctx context.Context) error {
	objects, err := l.objects(ctx)
	if err != nil {
		return err
	}
	l.initial = make(map[Object]bool, len(objects))
	for _, object := range objects {
		l.initial[object] = true
	}
	return nil
}

// StartGateway makes the cluster serve the Gateway API: with its CRDs, the GatewayClass gateway.Class, and a data plane that listens on
// a port of 127.0.0.1. It is called before the first stack; Stop ends it.
func (l *Lab) StartGateway(ctx context.Context) (*gateway.Gateway, error) {
	started, err := gateway.Start(ctx, gateway.Options{
		Config: l.Config(), Kubeconfig: l.Kubeconfig(), Program: l.programs.Path(tools.Traefik), Resolver: l.runtime,
		Dir: filepath.Join(l.dir, "gateway"), Log: l.log,
	})
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l.gateway = started
	return started, l.rememberInitial(ctx)
}

// startClouds starts the simulated clouds on the control plane.
func (l *Lab) startClouds(o cloud.Options) error {
	o.ControlPlane, o.Log, o.Wipe, o.Collected = l.controlPlane, l.log, l.wipe, l.collected
	var err error
	l.clouds, err = cloud.Start(o)
	return err
}

// Clouds returns the simulated clouds, nil when the lab was started without.
func (l *Lab) Clouds() *cloud.Cloud { return l.clouds }

// podPrograms returns the paths of the programs that run in pods, by the pod runtime's names, as far as they were built.
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

// Stop ends every process that the lab has started and removes its folder. It continues after an error and returns all of
// them; a second call does nothing.
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
	if l.gateway != nil {
		errs = append(errs, l.gateway.Stop())
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

// remember stores a command of the CLI, so that Stop ends it.
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

// Dir returns the lab's folder, which contains the logs of all programs.
func (l *Lab) Dir() string { return l.dir }

// Tools returns the paths of the programs that the lab runs.
func (l *Lab) Tools() Tools { return l.programs }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (l *Lab) Kubeconfig() string { return l.controlPlane.Kubeconfig() }

// ContextName returns the name of the context in Kubeconfig.
func (l *Lab) ContextName() string { return controlplane.ContextName }

// Config returns the administrator's client configuration. Callers that change it must copy it.
func (l *Lab) Config() *rest.Config { return l.controlPlane.Config() }

// Client returns a client of the administrator.
func (l *Lab) Client() kubernetes.Interface { return l.controlPlane.Client() }

// Crashed returns a channel with the error of a part of the control plane that ended unexpectedly.
func (l *Lab) Crashed() <-chan error { return l.controlPlane.Crashed() }

// Failures returns the current failures of the programs in pods.
func (l *Lab) Failures() []podruntime.Failure { return l.runtime.Failures() }

// ChartRepository returns the URL of the lab's Helm repository.
func (l *Lab) ChartRepository() string { return l.charts }

// lines serializes the writes of many parts of the lab to one log.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lines) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
