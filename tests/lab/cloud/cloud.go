// Package cloud simulates the parts of Google Cloud, AWS and Azure that the stacks use, on the lab's control
// plane: creating a cluster hands out the lab's API server, a node pool is simulated nodes with the labels, taints
// and GPUs that the cloud gives them, and the cloud's node autoscaler adds and removes them.
//
// The state is kept in the lab's process, because a cloud goes on when the program that called it is killed: an
// operation that was begun is completed, and what it made is there whether or not anyone was told. Three providers
// (see Provider) let the Pulumi engine act on it, and three stand-ins for the clouds' authentication plugins hand
// out the lab's credentials.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/tests/lab/controlplane"
)

// ControlPlane is what the clouds need of the lab's cluster.
type ControlPlane interface {
	// Config is the administrator's client configuration.
	Config() *rest.Config
	// Client acts as the administrator.
	Client() kubernetes.Interface
	// AddNode adds a node and returns when it is ready.
	AddNode(ctx context.Context, n controlplane.Node) error
	// RemoveNode removes a node and its pods.
	RemoveNode(ctx context.Context, name string) error
	// AdminCertificate is a client certificate of an administrator with its key, in PEM.
	AdminCertificate() (certificate, key []byte, err error)
}

// Options for the clouds. Zero values mean the defaults that are named.
type Options struct {
	// ControlPlane is the cluster that every simulated cluster is made of. Required.
	ControlPlane ControlPlane
	// OperationTime is how long a cloud works on a cluster or node pool. Default 200 ms; minutes in reality.
	OperationTime time.Duration
	// NodeStartTime is how long a machine takes to join. Default 1 s; 1 to 20 minutes in reality.
	NodeStartTime time.Duration
	// ScaleUpDelay is how long a pod stays unschedulable before a node autoscaler adds a node for it. Default 2 s;
	// 30 s in reality for pods with GPUs.
	ScaleUpDelay time.Duration
	// IdleTime is how long a node without pods is kept. Default 10 s; 10 minutes in reality.
	IdleTime time.Duration
	// Wipe removes everything from the cluster that was not there at the lab's start: it goes with a cluster that
	// is deleted. Nil keeps it.
	Wipe func(ctx context.Context) error
	// Collected asks what the managed collection's collector has stored for the value of a PromQL expression at a
	// time. Nil leaves Cloud Monitoring and the managed collection out.
	Collected func(ctx context.Context, promql string, at time.Time) (model.Vector, error)
	// Log gets a line for each thing that a cloud does; nil for none.
	Log io.Writer
}

// Cloud is the simulated clouds of one lab.
type Cloud struct {
	options Options
	doubles map[string]*double // by name
	kinds   map[string]*kind   // by token
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	server  *http.Server
	address string
	// monitoring is nil without Options.Collected.
	monitoring *Monitoring

	mu        sync.Mutex
	resources []*Resource
	// gates are the API servers' addresses by the id of the cluster.
	gates map[string]*gate
	pools map[string]*pool
	// driverRoles are the roles of the CSI drivers that need one, by cluster.
	driverRoles map[string]string
	// incidents are what should not have happened.
	incidents []string
	// operations counts what the clouds were asked to do.
	operations int
	// idleSince is when a node was first seen without a pod.
	idleSince map[string]time.Time
	// stuckSince is when a pod was first seen unschedulable, by UID.
	stuckSince map[string]time.Time
}

// Start starts the clouds, empty. End them with Stop.
func Start(o Options) (*Cloud, error) {
	setDefault(&o.OperationTime, 200*time.Millisecond)
	setDefault(&o.NodeStartTime, time.Second)
	setDefault(&o.ScaleUpDelay, 2*time.Second)
	setDefault(&o.IdleTime, 10*time.Second)
	if o.Log == nil {
		o.Log = io.Discard
	}
	clouds := doubles()
	kinds, err := allKinds(clouds)
	if err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cloud{
		options: o, doubles: map[string]*double{}, kinds: kinds, ctx: ctx, cancel: cancel,
		gates: map[string]*gate{}, pools: map[string]*pool{}, driverRoles: map[string]string{},
		idleSince: map[string]time.Time{}, stuckSince: map[string]time.Time{},
	}
	for _, d := range clouds {
		c.doubles[d.name] = d
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cloud: %w", err)
	}
	if o.Collected != nil {
		if c.monitoring, err = c.startMonitoring(o.Collected); err != nil {
			cancel()
			return nil, errors.Join(fmt.Errorf("cloud: %w", err), listener.Close())
		}
	}
	c.address = listener.Addr().String()
	c.server = &http.Server{Handler: c.handler(), ReadHeaderTimeout: 10 * time.Second}
	// The only error after a successful listen is the one that closing gives.
	go func() { _ = c.server.Serve(listener) }()
	c.working.Go(c.runMachines)
	return c, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Stop ends everything that the clouds do. Nodes stay: they go with the lab.
func (c *Cloud) Stop() error {
	c.cancel()
	err := c.server.Close()
	if c.monitoring != nil {
		err = errors.Join(err, c.monitoring.stop())
	}
	c.mu.Lock()
	gates := slices.Collect(maps.Values(c.gates))
	c.mu.Unlock()
	for _, g := range gates {
		g.close()
	}
	c.working.Wait()
	return err
}

// Environment is what the plugins and the authentication stand-ins need to find the clouds, as NAME=value.
func (c *Cloud) Environment() []string { return []string{AddressVariable + "=" + c.address} }

// AddressVariable names the environment variable with the clouds' address.
const AddressVariable = "VLLM_LAB_CLOUD"

// Incidents are what went wrong in ways that the cloud does not report, such as two device plugins on one node.
func (c *Cloud) Incidents() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.incidents)
}

// Operations counts what the clouds were asked to create, change or delete.
func (c *Cloud) Operations() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operations
}

// incident notes what a cloud would not report.
func (c *Cloud) incident(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.incidents, text) {
		c.incidents = append(c.incidents, text)
		fmt.Fprintf(c.options.Log, "cloud: incident: %s\n", text)
	}
}

// pause lets time pass, less when the clouds end.
func (c *Cloud) pause(d time.Duration) {
	select {
	case <-c.ctx.Done():
	case <-time.After(d):
	}
}
