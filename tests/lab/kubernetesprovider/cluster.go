package kubernetesprovider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// connectTimeout is how long an API server may take to respond before it counts as unreachable.
const connectTimeout = 10 * time.Second

// mappingTimeout is how long a kind may take to appear after its CustomResourceDefinition was created.
const mappingTimeout = 60 * time.Second

// cluster is a connection to one API server, opened when first needed.
type cluster struct {
	settings settings

	mu        sync.Mutex
	connected bool
	config    *rest.Config
	dynamic   dynamic.Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func newCluster(s settings) *cluster { return &cluster{settings: s} }

// unreachableError is the failure to reach the API server at all.
type unreachableError struct{ cause error }

func (e *unreachableError) Error() string {
	return fmt.Sprintf("configured Kubernetes cluster is unreachable: %v", e.cause)
}

func (e *unreachableError) Unwrap() error { return e.cause }

// connect creates the clients and checks that the API server responds. Only success is stored, so that a cluster which
// starts later is reached.
func (c *cluster) connect(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connected {
		return nil
	}
	loader, err := c.settings.clientConfig("")
	if err != nil {
		return &unreachableError{err}
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return &unreachableError{err}
	}
	// The client's own defaults (5 requests a second) would dominate the time of an update.
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "pulumi-resource-kubernetes/" + Version + " (lab)"
	config.WarningHandler = rest.NoWarnings{}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return &unreachableError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err = client.RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	var answered *apierrors.StatusError
	if err != nil && !errors.As(err, &answered) {
		return &unreachableError{err}
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return &unreachableError{err}
	}
	c.config, c.dynamic = config, dyn
	c.discovery = memory.NewMemCacheClient(client)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	c.connected = true
	return nil
}

// explain returns a connection error with its cause in the text, and other errors unchanged.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var address *url.Error
	if errors.As(err, &address) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return &unreachableError{err}
	}
	return err
}

// mapping returns the REST resource of a kind. An unknown kind resets the mapper, so that a CRD which a chart has just
// installed is found.
func (c *cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, explain(err)
	}
	return m, nil
}

// awaitMapping is like mapping, and waits for a kind whose CRD is not served yet.
func (c *cluster) awaitMapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	ctx, cancel := context.WithTimeout(ctx, mappingTimeout)
	defer cancel()
	for {
		m, err := c.mapping(gvk)
		if err == nil || !isUnknownKind(err) {
			return m, err
		}
		if sleep(ctx, time.Second) != nil {
			return nil, fmt.Errorf("kind %s of %s is not known to the cluster after %s, is its CustomResourceDefinition installed: %w",
				gvk.Kind, gvk.GroupVersion(), mappingTimeout, err)
		}
		c.mapper.Reset()
	}
}

// isUnknownKind reports whether an error means that a kind does not exist (yet). Discovery of a group whose aggregated
// server is down fails for that group only.
func isUnknownKind(err error) bool {
	var noGroup *discovery.ErrGroupDiscoveryFailed
	return meta.IsNoMatchError(err) || errors.As(err, &noGroup)
}

// resource returns the client for a kind, in a namespace if the kind is namespaced, and that namespace.
func (c *cluster) resource(m *meta.RESTMapping, namespace string) (dynamic.ResourceInterface, string) {
	all := c.dynamic.Resource(m.Resource)
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		return all, ""
	}
	if namespace == "" {
		namespace = c.defaultNamespace()
	}
	return all.Namespace(namespace), namespace
}

func (c *cluster) defaultNamespace() string {
	if c.settings.namespace != "" {
		return c.settings.namespace
	}
	return "default"
}

// identify joins namespace and name to the id of an object.
func identify(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// splitID splits an id; the namespace is "" for cluster-scoped objects.
func splitID(id string) (namespace, name string) {
	if ns, n, ok := strings.Cut(id, "/"); ok {
		return ns, n
	}
	return "", id
}

// sleep waits, or returns the context's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
