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

// ControlPlane is the lab's cluster, as far as the clouds use it.
type ControlPlane interface {
	// Config returns the administrator's client configuration.
	Config() *rest.Config
	// Client returns a client of the administrator.
	Client() kubernetes.Interface
	// AddNode adds a node and returns when it is ready.
	AddNode(ctx context.Context, n controlplane.Node) error
	// RemoveNode removes a node and its pods.
	RemoveNode(ctx context.Context, name string) error
	// AdminCertificate returns a client certificate of an administrator and its key, in PEM.
	AdminCertificate() (certificate, key []byte, err error)
}

// Options configure the clouds. A zero value means the stated default.
type Options struct {
	// ControlPlane is the cluster behind every simulated cluster. Required.
	ControlPlane ControlPlane
	// OperationTime is how long an operation on a cluster or node pool takes. Default 200 ms; minutes in a real cloud.
	OperationTime time.Duration
	// NodeStartTime is how long a machine takes to join. Default 1 s; 1 to 20 minutes in a real cloud.
	NodeStartTime time.Duration
	// ScaleUpDelay is how long a pod stays unschedulable before a node autoscaler adds a node for it. Default 2 s;
	// 30 s in a real cloud for pods with GPUs.
	ScaleUpDelay time.Duration
	// IdleTime is how long a node without pods is kept. Default 10 s; 10 minutes in a real cloud.
	IdleTime time.Duration
	// DrainPatience is how long the deletion of a pool, or of a node, tries to evict pods that a PodDisruptionBudget keeps.
	// Default 60 s; an hour on GKE, 15 minutes on EKS.
	DrainPatience time.Duration
	// Wipe removes everything from the cluster that was not there at the lab's start. It is called when the last simulated
	// cluster is deleted. Nil keeps everything.
	Wipe func(ctx context.Context) error
	// Collected evaluates a PromQL expression at a time on what the managed collection's collector has stored. Nil leaves
	// Cloud Monitoring and the managed collection out.
	Collected func(ctx context.Context, promql string, at time.Time) (model.Vector, error)
	// ObjectStores is the folder with the buckets of the clouds; see Stores. "" leaves the object stores out, and takes any name of a bucket.
	ObjectStores string
	// Log receives a line for each action of a cloud; nil for none.
	Log io.Writer
}

// Cloud holds the simulated clouds of one lab.
type Cloud struct {
	options Options
	doubles map[string]*double // by name
	kinds   map[string]*kind   // by token
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup
	server  *http.Server
	address string
	// stores is nil without Options.ObjectStores.
	stores *Stores
	// monitoring is nil without Options.Collected.
	monitoring *Monitoring

	mu        sync.Mutex
	resources []*Resource
	// gates are the clusters' addresses by cluster id, pools the node pools by id.
	gates map[string]*gate
	pools map[string]*pool
	// driverRoles are the roles of the CSI drivers that need one, by cluster.
	driverRoles map[string]string
	gkeCapacity GKECapacity
	// quotas are the numbers of vCPUs that AWS allows, by the families of instance types; see LimitVCPUs.
	quotas map[string]int
	// reservations are those of the account; see Reserve.
	reservations map[string]Reservation
	// lateLogs are the log groups of deleted clusters to which EKS has not written its last lines yet.
	lateLogs map[string]bool
	// incidents are errors that no cloud would report; see Incidents.
	incidents []string
	// operations counts the requests to create, change or delete a resource.
	operations int
	// idleSince is when a node was first seen without a pod.
	idleSince map[string]time.Time
	// stuckSince is when a pod was first seen unschedulable, by UID.
	stuckSince map[string]time.Time
	// withoutStock are the machine types of which the cloud has no more; see SetStock.
	withoutStock map[string]bool
	// told are the last events of the pods that the autoscaler considered, by UID, and untold are those to create.
	told   map[string]autoscalerEvent
	untold []autoscalerEvent
}

// Start starts the clouds, without any resource. Stop ends them.
func Start(o Options) (*Cloud, error) {
	setDefault(&o.OperationTime, 200*time.Millisecond)
	setDefault(&o.NodeStartTime, time.Second)
	setDefault(&o.ScaleUpDelay, 2*time.Second)
	setDefault(&o.IdleTime, 10*time.Second)
	setDefault(&o.DrainPatience, time.Minute)
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
		quotas: map[string]int{}, lateLogs: map[string]bool{},
		idleSince: map[string]time.Time{}, stuckSince: map[string]time.Time{},
		withoutStock: map[string]bool{}, told: map[string]autoscalerEvent{},
	}
	for _, d := range clouds {
		c.doubles[d.name] = d
	}
	if o.ObjectStores != "" {
		c.stores = &Stores{cloud: c, dir: o.ObjectStores}
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
	// After a successful listen the only error is that of closing.
	go func() { _ = c.server.Serve(listener) }()
	c.working.Go(c.runMachines)
	return c, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Stop ends all operations of the clouds. Nodes stay, because they end with the lab.
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

// Environment returns the environment variables with which the plugins and the authentication programs find the clouds.
func (c *Cloud) Environment() []string { return []string{AddressVariable + "=" + c.address} }

// AddressVariable is the name of the environment variable with the clouds' address.
const AddressVariable = "VLLM_LAB_CLOUD"

// Incidents returns errors that no cloud would report, such as two device plugins on one node.
func (c *Cloud) Incidents() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.incidents)
}

// Operations returns the number of requests to create, change or delete a resource.
func (c *Cloud) Operations() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operations
}

// incident records an error that no cloud would report.
func (c *Cloud) incident(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(format, args...)
}

// record is incident for callers that hold the lock.
func (c *Cloud) record(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(c.incidents, text) {
		c.incidents = append(c.incidents, text)
		fmt.Fprintf(c.options.Log, "cloud: incident: %s\n", text)
	}
}

// pause waits for d, or until the clouds end.
func (c *Cloud) pause(d time.Duration) {
	select {
	case <-c.ctx.Done():
	case <-time.After(d):
	}
}
