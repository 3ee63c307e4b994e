package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	pulumiresource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"vllm-autoscaling/components"
	access "vllm-autoscaling/ops/gateway"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/outputs"
	"vllm-autoscaling/tests/lab/controlplane"
	"vllm-autoscaling/tests/lab/router"
	"vllm-autoscaling/tests/lab/tools"
)

const (
	namespace = "vllm"
	host      = "llm.example.com"
	podIP     = "10.77.0.5"
)

// onePod resolves the address of one pod.
type onePod struct{ router.Backend }

func (p onePod) Cluster(address, port string) ([]router.Backend, error) {
	if address != podIP || port != "8000" {
		return nil, fmt.Errorf("%s:%s: %w", address, port, router.ErrNotFound)
	}
	return []router.Backend{p.Backend}, nil
}

func (onePod) Pod(string, string, string) (router.Backend, error) {
	return router.Backend{}, errors.ErrUnsupported
}

func (onePod) Service(string, string, string) ([]router.Backend, error) {
	return nil, errors.ErrUnsupported
}

// registered collects the custom objects that a component registers.
type registered struct {
	mu      sync.Mutex
	objects []*unstructured.Unstructured
}

func (r *registered) NewResource(args pulumi.MockResourceArgs) (string, pulumiresource.PropertyMap, error) {
	if strings.HasPrefix(args.TypeToken, "kubernetes:gateway.networking.k8s.io") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.objects = append(r.objects, &unstructured.Unstructured{Object: args.Inputs.Mappable()})
	}
	return args.Name + "-id", args.Inputs, nil
}

func (r *registered) Call(pulumi.MockCallArgs) (pulumiresource.PropertyMap, error) {
	return pulumiresource.PropertyMap{}, nil
}

// objectsOf returns the objects of the Gateway API that the component registers, in the order of creation.
func objectsOf(t *testing.T, args *components.ExposeArgs) []*unstructured.Unstructured {
	t.Helper()
	args.Server, args.Namespace, args.Service, args.Port, args.Hostname = "vllm", namespace, "vllm", 8000, host
	args.Timeout, args.Drain = 10*time.Minute, time.Minute
	r := &registered{}
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		provider, err := kubernetes.NewProvider(ctx, "cluster", &kubernetes.ProviderArgs{})
		if err != nil {
			return err
		}
		_, err = components.NewExpose(ctx, "expose", args, pulumi.Provider(provider))
		return err
	}, pulumi.WithMocks("project", "stack", r)))
	require.NotEmpty(t, r.objects)
	return r.objects
}

// cluster is a control plane with the Gateway API.
type cluster struct {
	*controlplane.ControlPlane
	client  dynamic.Interface
	gateway *Gateway
}

func newCluster(t *testing.T, backend router.Backend) *cluster {
	t.Helper()
	programs, err := tools.Build(t.Context(), os.Stderr,
		tools.Etcd, tools.KubeAPIServer, tools.KubeControllerManager, tools.KubeScheduler, tools.Kwok, tools.Traefik)
	require.NoError(t, err)
	// Not t.TempDir: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "lab-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	c := &cluster{}
	c.ControlPlane, err = controlplane.Start(t.Context(), controlplane.Options{
		Dir: dir, Tools: programs, Log: os.Stderr, EgressSocket: filepath.Join(dir, "egress.sock"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	c.client, err = dynamic.NewForConfig(c.Config())
	require.NoError(t, err)
	c.gateway, err = Start(t.Context(), Options{
		Config: c.Config(), Kubeconfig: c.Kubeconfig(), Program: programs.Path(tools.Traefik), Resolver: onePod{backend},
		Dir: filepath.Join(dir, "gateway"), Log: os.Stderr,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "gateway", "traefik.log"))
			t.Logf("%s", text)
		}
		assert.NoError(t, c.gateway.Stop())
	})
	return c
}

// create creates an object with every field checked.
func (c *cluster) create(ctx context.Context, object *unstructured.Unstructured, dryRun ...string) error {
	resource := schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: strings.ToLower(object.GetKind()) + "s"}
	_, err := c.client.Resource(resource).Namespace(object.GetNamespace()).Create(ctx, object,
		metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun})
	return err
}

// serve creates the namespace, and a Service with one pod that does not exist.
func (c *cluster) serve(t *testing.T) {
	t.Helper()
	ctx, port, name, ready := t.Context(), int32(8000), "http", true
	_, err := c.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.Client().CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "vllm"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: name, Port: port}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.Client().DiscoveryV1().EndpointSlices(namespace).Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "vllm", Labels: map[string]string{discoveryv1.LabelServiceName: "vllm"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{podIP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// TestGateway checks the objects of the component against the CRDs of the Gateway API, and serves one of them.
func TestGateway(t *testing.T) {
	next := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: {\"key\": \""+r.Header.Get("Authorization")+"\"}\n\n")
			w.(http.Flusher).Flush()
			<-next // the client has the event
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(backend.Close)
	c := newCluster(t, router.Backend{Address: strings.TrimPrefix(backend.URL, "http://")})
	c.serve(t)

	for name, args := range map[string]*components.ExposeArgs{
		"an existing Gateway": {DataPlane: providers.GatewayPods, Gateway: &components.GatewayRef{Namespace: "infra", Name: "shared", SectionName: "https"}},
		"a Secret":            {DataPlane: providers.GatewayPods, Listener: components.Listener{Class: "x", Port: 443, TLS: true, CertificateSecret: "s"}},
		"internal": {DataPlane: providers.GatewayPods, Listener: components.Listener{Class: "x", Port: 80, Internal: true,
			InfrastructureAnnotations: map[string]string{"example.com/internal": "true"}, Annotations: map[string]string{"example.com/a": "b"}}},
		"a certificate of Google": {DataPlane: providers.GoogleLoadBalancer, Listener: components.Listener{Class: "x", Port: 443, TLS: true, Certificate: "c"}},
		"a certificate map":       {DataPlane: providers.GoogleLoadBalancer, Listener: components.Listener{Class: "x", Port: 443, TLS: true, CertificateMap: "m"}},
		"a certificate of ACM": {DataPlane: providers.AWSLoadBalancer, Listener: components.Listener{Class: "x", Port: 443, TLS: true,
			Certificate: "arn:aws:acm:us-east-1:111122223333:certificate/x"}},
	} {
		t.Run("the API server accepts "+name, func(t *testing.T) {
			for _, object := range objectsOf(t, args) {
				require.NoError(t, c.create(t.Context(), object, metav1.DryRunAll), object.GetKind())
			}
		})
	}

	plain := &components.ExposeArgs{DataPlane: providers.GatewayPods, Listener: components.Listener{Class: Class, Port: c.gateway.Port}}
	for _, object := range objectsOf(t, plain) {
		require.NoError(t, c.create(t.Context(), object), object.GetKind())
	}
	client := &http.Client{Transport: access.Transport(c.gateway.Address(), 1), Timeout: time.Minute}
	defer client.CloseIdleConnections()
	get := func(host, path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d%s", host, c.gateway.Port, path), nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer k")
		response, err := client.Do(request)
		require.NoError(t, err)
		return response
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var response *http.Response
	require.NoError(t, poll(ctx, "the route", func() error {
		response = get(host, "/v1/completions") //nolint:bodyclose // the first subtest reads the answer and closes it
		if response.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			return fmt.Errorf("status %d: %s", response.StatusCode, text)
		}
		return nil
	}))
	t.Run("each event arrives before the next is written", func(t *testing.T) {
		defer func() { _ = response.Body.Close() }()
		buffer := make([]byte, 1024)
		for range 3 {
			n, err := response.Body.Read(buffer)
			require.NoError(t, err)
			assert.Contains(t, string(buffer[:n]), "Bearer k", "the key of the client reaches the server")
			next <- struct{}{}
		}
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Contains(t, string(rest), "[DONE]")
	})
	t.Run("nothing else is routed", func(t *testing.T) {
		for _, other := range []struct{ host, path string }{{host, "/metrics"}, {host, "/health"}, {"other.example.com", "/v1/models"}} {
			refused := get(other.host, other.path)
			_ = refused.Body.Close()
			assert.Equal(t, http.StatusNotFound, refused.StatusCode, other)
		}
	})
	t.Run("the Gateway has its address", func(t *testing.T) {
		served, err := access.Get(t.Context(), c.Client(), outputs.Gateway{Namespace: namespace, Name: "vllm"})
		require.NoError(t, err)
		address, err := access.Address(served, fmt.Sprintf("http://%s:%d", host, c.gateway.Port))
		require.NoError(t, err)
		assert.Equal(t, c.gateway.Address(), address)
	})
}
