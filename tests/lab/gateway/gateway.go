package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/router"
)

// Class is the GatewayClass whose Gateways the lab serves.
const Class = "lab"

// startTimeout limits how long the Gateway API and Traefik may take to start.
const startTimeout = time.Minute

// Options configure a Gateway API data plane.
type Options struct {
	// Config is the administrator's client configuration, Kubeconfig the path of the kubeconfig.
	Config     *rest.Config
	Kubeconfig string
	// Program is the path of Traefik.
	Program string
	// Resolver finds the processes behind the addresses of pods.
	Resolver router.Resolver
	// Dir is the folder of the log; it is created.
	Dir string
	// Log receives a line for each action.
	Log io.Writer
}

// Gateway is a running data plane.
type Gateway struct {
	// Port is where it listens on 127.0.0.1. The listeners of Gateways must have this port, or they are not served.
	Port int

	process *process.Process
	proxy   *router.Socks
}

// Start installs the CRDs and the GatewayClass, and starts the data plane.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("waited %s", startTimeout))
	defer cancel()
	client, err := dynamic.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if err := install(ctx, client); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{}
	if g.Port, err = process.FreePort(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.proxy, err = router.ListenSocks(o.Resolver); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if err := g.run(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), g.Stop())
	}
	fmt.Fprintf(o.Log, "lab: Gateways of class %s are served at %s\n", Class, g.Address())
	return g, nil
}

// run starts Traefik and waits until it listens.
func (g *Gateway) run(ctx context.Context, o Options) (err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	g.process, err = process.Start(ctx, process.Spec{
		Name: "traefik", Path: o.Program, Dir: o.Dir, LogFile: filepath.Join(o.Dir, "traefik.log"),
		Env: []string{"KUBECONFIG=" + o.Kubeconfig, "HTTP_PROXY=" + g.proxy.URL(), "HOME=" + o.Dir},
		Args: []string{
			"--entrypoints.web.address=" + g.Address(),
			"--providers.kubernetesgateway=true",
			"--providers.kubernetesgateway.statusaddress.ip=127.0.0.1",
			"--providers.providersthrottleduration=100ms",
			"--global.checknewversion=false", "--global.sendanonymoususage=false",
			"--log.level=INFO", "--log.nocolor=true",
		},
		Ready: func(ctx context.Context) error {
			connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", g.Address())
			if err != nil {
				return err
			}
			return connection.Close()
		},
	})
	if err != nil {
		return err
	}
	return g.process.WaitReady(ctx, startTimeout)
}

// Address returns the host:port that clients connect to.
func (g *Gateway) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(g.Port)) }

// Stop ends the data plane. The objects stay in the cluster.
func (g *Gateway) Stop() error {
	var errs []error
	if g.process != nil {
		errs = append(errs, g.process.Stop())
	}
	return errors.Join(append(errs, g.proxy.Close())...)
}

// poll repeats an action until it succeeds or the context ends.
func poll(ctx context.Context, what string, action func() error) error {
	for {
		err := action()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w for %s: %w", context.Cause(ctx), what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
