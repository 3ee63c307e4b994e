package podruntime

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/tests/lab/process"
)

// launch describes how one container runs on this machine.
type launch struct {
	program Program
	// path is the program's file, where it is not a tool of the lab.
	path string
	args []string
	// env are the program's variables beside those of every pod's process.
	env []string
	// start is the time before the program starts, without that of its image. Nothing listens during it.
	start StartTimes
	// started is called after it; nil for nothing to do.
	started func() error
	// ports are the local endpoints by the container's ports.
	ports map[int]endpoint
	// ready returns nil when the program listens. Its container is then ready, unless it has a readiness probe.
	ready func(ctx context.Context) error
	// reload is called when a mounted file has changed; nil for programs that read files only when they start.
	reload func(ctx context.Context) error
	// inProcess serves the container within the lab until the context ends, instead of a program.
	inProcess func(ctx context.Context) error
	// stopTimeout is how long the program may take to end; zero means 5 s.
	stopTimeout time.Duration
	// exit is set where the program that the lab's one stands in for would end at once.
	exit *programExit
}

// programExit is how a program ends that does not start to serve.
type programExit struct {
	name   string
	code   int
	output string
}

// endpoint is a port on 127.0.0.1.
type endpoint struct {
	port int
	tls  bool
}

// address returns the endpoint's host:port.
func (e endpoint) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(e.port)) }

// launcher creates the launch of one container.
type launcher struct {
	runtime   *Runtime
	pod       *corev1.Pod
	container *corev1.Container
	// dir is the pod's folder.
	dir string
}

// launch looks up the container's program and translates its command line.
func (l *launcher) launch(ctx context.Context) (*launch, error) {
	switch program := programFor(l.pod, l.container); program {
	case Simulator:
		return l.simulator()
	case Operator:
		return l.operator()
	case Prometheus:
		return l.prometheus()
	case Adapter:
		return l.adapter()
	case ManagedOperator:
		return l.managedOperator()
	case ManagedCollector:
		return l.managedCollector()
	case StackdriverAdapter:
		return l.stackdriverAdapter()
	case KubeStateMetrics:
		return l.kubeStateMetrics()
	case GPUExporter:
		return l.gpuExporter(ctx)
	case WebhookCertificate:
		return l.webhookCertificate()
	case Kubectl:
		return l.kubectl()
	case Python:
		return l.runPython()
	default:
		return nil, fmt.Errorf("no program for image %q", l.container.Image)
	}
}

// data creates a folder for the container's own files.
func (l *launcher) data() (string, error) {
	dir := filepath.Join(l.dir, l.container.Name)
	return dir, os.MkdirAll(dir, 0o755)
}

// kubeconfig returns the path of a kubeconfig with the permissions of the pod's ServiceAccount.
func (l *launcher) kubeconfig() (string, error) {
	user := l.user()
	file, err := l.runtime.config.KubeconfigFor(user)
	if err != nil {
		return "", fmt.Errorf("kubeconfig for %s: %w", user, err)
	}
	return file, nil
}

// user returns the user name of the pod's ServiceAccount.
func (l *launcher) user() string {
	return "system:serviceaccount:" + l.pod.Namespace + ":" + l.account()
}

// account returns the name of the pod's ServiceAccount.
func (l *launcher) account() string { return cmp.Or(l.pod.Spec.ServiceAccountName, "default") }

func (l *launcher) freePort() (int, error) { return process.FreePort() }

// insecure accepts the self-signed certificates of the lab's programs.
var insecure = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // loopback only
	DisableKeepAlives: true,
}}

// getOK returns a readiness check: GET returns status 200.
func getOK(url string, client *http.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		return do(client, req)
	}
}

// reloadPrometheus makes a Prometheus reload its configuration.
func reloadPrometheus(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/-/reload", nil)
	if err != nil {
		return err
	}
	return do(http.DefaultClient, req)
}

// do sends a request. Any status but 200 is an error with the beginning of the body.
func do(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
