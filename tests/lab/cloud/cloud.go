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
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/tests/lab/cloud/schema"
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
	kinds   map[string]*kind
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
	// ebsRoles are the ARNs of the EBS drivers' roles by cluster.
	ebsRoles map[string]string
	// incidents are what should not have happened.
	incidents []string
	// operations counts what the clouds were asked to do.
	operations int
	// idleSince is when a node was first seen without a pod.
	idleSince map[string]time.Time
	// stuckSince is when a pod was first seen unschedulable, by UID.
	stuckSince map[string]time.Time
}

// Resource is something in a cloud.
type Resource struct {
	// Token is its Pulumi type, ID the cloud's name of it.
	Token, ID string
	// Inputs are what was asked for.
	Inputs map[string]any
	// Outputs are the inputs and what the cloud added.
	Outputs map[string]any
	// Region or location; "" for global ones.
	Region string
	// URN of the Pulumi resource that it was made for; "" for what was made otherwise. No cloud knows it: it stands for
	// the names and tags by which people would find the resource.
	URN string
	// busy says that an operation on it is under way.
	busy bool
}

func (r *Resource) String() string { return r.Token + " " + r.ID }

// Start starts the clouds, empty. End them with Stop.
func Start(o Options) (*Cloud, error) {
	setDefault(&o.OperationTime, 200*time.Millisecond)
	setDefault(&o.NodeStartTime, time.Second)
	setDefault(&o.ScaleUpDelay, 2*time.Second)
	setDefault(&o.IdleTime, 10*time.Second)
	if o.Log == nil {
		o.Log = io.Discard
	}
	kinds, err := allKinds()
	if err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cloud{
		options: o, kinds: kinds, ctx: ctx, cancel: cancel,
		gates: map[string]*gate{}, pools: map[string]*pool{}, ebsRoles: map[string]string{},
		idleSince: map[string]time.Time{}, stuckSince: map[string]time.Time{},
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

// Resources are what is in the clouds, oldest first.
func (c *Cloud) Resources() []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Resource, len(c.resources))
	for i, r := range c.resources {
		all[i] = *r
	}
	return all
}

// Settled waits until the clouds have done what they were asked for and returns what is in them then.
func (c *Cloud) Settled(ctx context.Context) []Resource {
	for {
		c.mu.Lock()
		busy := slices.ContainsFunc(c.resources, func(r *Resource) bool { return r.busy })
		c.mu.Unlock()
		if !busy || ctx.Err() != nil {
			return c.Resources()
		}
		c.pause(20 * time.Millisecond)
	}
}

// Find is the resource of a type whose property has a value, such as its name; nil for none.
func (c *Cloud) Find(token, property, value string) *Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.find(token, property, value); r != nil {
		found := *r
		return &found
	}
	return nil
}

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

// Make creates a resource as someone outside of Pulumi would, for a stack to find it there. The inputs are those of
// the Pulumi type.
func (c *Cloud) Make(token string, settings Settings, inputs map[string]any) (*Resource, error) {
	k, ok := c.kinds[token]
	if !ok {
		return nil, fmt.Errorf("cloud: no resource type %q", token)
	}
	if problems := k.check(inputs); len(problems) > 0 {
		return nil, fmt.Errorf("cloud: %s: %s", token, problems[0].Reason)
	}
	return c.create(k, settings, inputs, "")
}

// Remove deletes a resource as someone outside of Pulumi would.
func (c *Cloud) Remove(token, id string) error {
	if token == Disk {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deleteDisks(func(disk *Resource) bool { return disk.ID == id })
		return nil
	}
	k, ok := c.kinds[token]
	if !ok {
		return fmt.Errorf("cloud: no resource type %q", token)
	}
	return c.remove(k, id)
}

// Unprotect takes the deletion protection of a GKE cluster away.
func (c *Cloud) Unprotect(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.find(GKECluster, "", id)
	if r == nil {
		return fmt.Errorf("cloud: no cluster %s", id)
	}
	r.Inputs = maps.Clone(r.Inputs)
	r.Inputs["deletionProtection"] = false
	return nil
}

// Settings are the provider's configuration that a resource is created with.
type Settings map[string]string

// kind is a type of resource and the rules of its cloud.
type kind struct {
	token  string
	schema *schema.Type
	// needs are inputs that the schema cannot mark as required.
	needs []string
	// name is the input that is made up when it is missing; "" for none.
	name string
	// replace are the inputs, with all below them, that cannot be changed in place.
	replace []string
	// fixed are the inputs that the cloud refuses to change although its provider tries.
	fixed []string
	// drifts are inputs that the server fills in and that this version of the provider reports as a difference.
	drifts []string
	// computed are outputs beside the inputs, volatile those of them that an update changes.
	computed, volatile []string
	// validate finds what is wrong with the values as far as the provider can see.
	validate func(in object) []string
	// references are the inputs that name other resources.
	references []reference
	// create works out id and outputs, or refuses. It is called with the lock.
	create func(c *Cloud, r *Resource, s Settings) error
	// settle makes it happen outside the lock; nil for nothing.
	settle func(ctx context.Context, c *Cloud, r *Resource) error
	// update refuses or takes over the new inputs into the outputs. It is called with the lock.
	update func(c *Cloud, r *Resource, old object) error
	// refuseDelete says why it cannot be deleted now. It is called with the lock.
	refuseDelete func(c *Cloud, r *Resource) error
	// vanish ends what settle made, outside the lock.
	vanish func(ctx context.Context, c *Cloud, r *Resource) error
	// slow says that the cloud takes OperationTime for it.
	slow bool
}

// reference is an input that names another resource.
type reference struct {
	// path of the input; a list is followed into its elements.
	path string
	// token and by are the type referred to and the outputs that it is named by.
	token string
	by    []string
	// besides says which values name something else, with rules in create; nil for none.
	besides func(value string) bool
	// then is what becomes of the resource when the one that it refers to is deleted.
	then deletion
}

type deletion int

const (
	// blocks: what is referred to cannot be deleted.
	blocks deletion = iota
	// follows: it is deleted with what it refers to.
	follows
	// stays: it stays, and does not work any more.
	stays
)

// create makes a resource. It is not given the caller's context: a cloud completes what it has begun.
func (c *Cloud) create(k *kind, s Settings, inputs map[string]any, urn string) (*Resource, error) {
	r := &Resource{Token: k.token, Inputs: inputs, Outputs: maps.Clone(inputs), URN: urn, busy: true}
	if err := c.enter(k, r, s); err != nil {
		return nil, err
	}
	var err error
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	if k.settle != nil {
		err = k.settle(c.ctx, c, r)
	}
	c.mu.Lock()
	r.busy = false
	c.mu.Unlock()
	if err != nil {
		return r, err
	}
	fmt.Fprintf(c.options.Log, "cloud: created %s\n", r)
	return r, nil
}

// enter makes the resource known.
func (c *Cloud) enter(k *kind, r *Resource, s Settings) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return errors.New("the cloud has ended")
	}
	c.operations++
	for _, ref := range k.references {
		for _, value := range object(r.Inputs).texts(ref.path) {
			if (ref.besides == nil || !ref.besides(value)) && c.findBy(ref.token, ref.by, value) == nil {
				return fmt.Errorf("%s: %s %q not found", k.token, ref.path, value)
			}
		}
	}
	if err := k.create(c, r, s); err != nil {
		return err
	}
	if c.find(k.token, "", r.ID) != nil {
		return fmt.Errorf("%s %s already exists", k.token, r.ID)
	}
	c.resources = append(c.resources, r)
	return nil
}

// change updates a resource in place.
func (c *Cloud) change(k *kind, id string, inputs map[string]any) (*Resource, error) {
	c.mu.Lock()
	c.operations++
	r := c.find(k.token, "", id)
	if r == nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("%s %s not found", k.token, id)
	}
	old := object(r.Inputs)
	for _, path := range k.fixed {
		if !equal(old.at(path), object(inputs).at(path)) {
			c.mu.Unlock()
			return nil, fmt.Errorf("code=%q message=\"Changing property '%s' is not allowed.\"", "PropertyChangeNotAllowed", path)
		}
	}
	before := *r
	computed := maps.Clone(r.Outputs)
	for key := range r.Inputs {
		if !slices.Contains(k.computed, key) {
			delete(computed, key)
		}
	}
	maps.Copy(computed, inputs)
	r.Inputs, r.Outputs = inputs, computed
	if k.update != nil {
		if err := k.update(c, r, old); err != nil {
			r.Inputs, r.Outputs = before.Inputs, before.Outputs
			c.mu.Unlock()
			return nil, err
		}
	}
	c.mu.Unlock()
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	fmt.Fprintf(c.options.Log, "cloud: changed %s\n", r)
	return r, nil
}

// remove deletes a resource and what goes with it. One that is gone is no error, as with the real providers.
func (c *Cloud) remove(k *kind, id string) error {
	c.mu.Lock()
	c.operations++
	r := c.find(k.token, "", id)
	if r == nil {
		c.mu.Unlock()
		return nil
	}
	err := c.refuse(k, r)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("deleting %s: %w", r, err)
	}
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	for _, follower := range c.followers(r) {
		if err := c.remove(c.kinds[follower.Token], follower.ID); err != nil {
			return err
		}
	}
	if k.vanish != nil {
		if err := k.vanish(c.ctx, c, r); err != nil {
			return fmt.Errorf("deleting %s: %w", r, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resources = slices.DeleteFunc(c.resources, func(other *Resource) bool { return other == r })
	fmt.Fprintf(c.options.Log, "cloud: deleted %s\n", r)
	return nil
}

// refuse says why a resource cannot be deleted.
func (c *Cloud) refuse(k *kind, r *Resource) error {
	if r.busy {
		return fmt.Errorf("an operation on it is under way: try again later")
	}
	if k.refuseDelete != nil {
		if err := k.refuseDelete(c, r); err != nil {
			return err
		}
	}
	for _, other := range c.resources {
		if ref := c.refersTo(other, r); ref != nil && ref.then == blocks {
			return fmt.Errorf("it is in use by %s (%s)", other, ref.path)
		}
	}
	return nil
}

// followers are deleted with the resource.
func (c *Cloud) followers(r *Resource) []*Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*Resource
	for _, other := range c.resources {
		if ref := c.refersTo(other, r); ref != nil && ref.then == follows {
			found = append(found, other)
		}
	}
	return found
}

// refersTo is the strongest reference from one resource to another; nil for none.
func (c *Cloud) refersTo(from, to *Resource) *reference {
	var strongest *reference
	k := c.kinds[from.Token]
	if k == nil {
		return nil // a disk
	}
	for i, ref := range k.references {
		if ref.token != to.Token || from == to {
			continue
		}
		for _, value := range object(from.Inputs).texts(ref.path) {
			if slices.ContainsFunc(ref.by, func(by string) bool { return named(to, by) == value }) &&
				(strongest == nil || ref.then < strongest.then) {
				strongest = &k.references[i]
			}
		}
	}
	return strongest
}

// find is the resource of a type with an output; "" means its id. The caller has the lock.
func (c *Cloud) find(token, property, value string) *Resource {
	for _, r := range c.resources {
		if r.Token == token && named(r, property) == value {
			return r
		}
	}
	return nil
}

func (c *Cloud) findBy(token string, by []string, value string) *Resource {
	for _, property := range by {
		if r := c.find(token, property, value); r != nil {
			return r
		}
	}
	return nil
}

// all are the resources of a type that satisfy a condition.
func (c *Cloud) all(token string, condition func(*Resource) bool) []*Resource {
	var found []*Resource
	for _, r := range c.resources {
		if r.Token == token && condition(r) {
			found = append(found, r)
		}
	}
	return found
}

func named(r *Resource, property string) string {
	if property == "" || property == "id" {
		return r.ID
	}
	return object(r.Outputs).text(property)
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

// allKinds are the types of all clouds with what the SDKs say about their inputs.
func allKinds() (map[string]*kind, error) {
	generated, err := schema.All()
	if err != nil {
		return nil, err
	}
	kinds := map[string]*kind{}
	for _, k := range slices.Concat(gcpKinds(), awsKinds(), azureKinds()) {
		if k.schema == nil {
			if k.schema = generated[k.token]; k.schema == nil {
				return nil, fmt.Errorf("no schema for %s: add it to schema/generate", k.token)
			}
		}
		kinds[k.token] = k
	}
	return kinds, nil
}

// randomHex is made of n random hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, (n+1)/2)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)[:n]
}

// cloudOf is the provider's package in a token.
func cloudOf(token string) string {
	name, _, _ := strings.Cut(token, ":")
	return name
}
