package components

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"vllm-autoscaling/providers"
)

const (
	exposeType  = "vllm-autoscaling:components:Expose"
	gatewayType = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
	routeType   = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
)

// exposeArgsOf returns the way in to a server through a Gateway of its own, with proxies in the cluster.
func exposeArgsOf(change func(*ExposeArgs)) *ExposeArgs {
	args := &ExposeArgs{
		Server: "chat", Namespace: "llm", Service: "chat-api", Port: 8000, Hostname: "llm.example.com", DataPlane: providers.GatewayPods,
		Listener: Listener{Class: "eg", Port: 443, TLS: true, CertificateSecret: "llm-tls"},
		Timeout:  10 * time.Minute, Drain: 70 * time.Second,
	}
	if change != nil {
		change(args)
	}
	return args
}

func runExpose(t *testing.T, args *ExposeArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		service, err := anchor(ctx, "service", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{service}
		_, err = NewExpose(ctx, "expose", args, provider)
		return err
	})
}

// gatewayOf and routeOf decode the objects strictly as the Gateway API's own types.
func gatewayOf(t *testing.T, r *record) gatewayv1.Gateway {
	t.Helper()
	return decode[gatewayv1.Gateway](t, r.get(t, gatewayType, "chat"))
}

func routeOf(t *testing.T, r *record) gatewayv1.HTTPRoute {
	t.Helper()
	return decode[gatewayv1.HTTPRoute](t, r.get(t, routeType, "chat"))
}

func TestExposeWithAGatewayOfItsOwn(t *testing.T) {
	r := runExpose(t, exposeArgsOf(nil))
	r.assertChildrenOf(t, exposeType)
	assert.Len(t, r.children(exposeType), 2, "proxies in the cluster need no policy")

	gateway := gatewayOf(t, r)
	assert.Equal(t, "llm", gateway.Namespace)
	assert.EqualValues(t, "eg", gateway.Spec.GatewayClassName)
	assert.Nil(t, gateway.Spec.Infrastructure)
	require.Len(t, gateway.Spec.Listeners, 1)
	listener := gateway.Spec.Listeners[0]
	assert.Equal(t, gatewayv1.HTTPSProtocolType, listener.Protocol)
	assert.EqualValues(t, 443, listener.Port)
	assert.EqualValues(t, "llm.example.com", *listener.Hostname)
	assert.EqualValues(t, "llm-tls", listener.TLS.CertificateRefs[0].Name)
	assert.Nil(t, listener.AllowedRoutes, "only routes of its own namespace, the default")

	route := routeOf(t, r)
	assert.Equal(t, "llm", route.Namespace)
	assert.Equal(t, []gatewayv1.Hostname{"llm.example.com"}, route.Spec.Hostnames)
	assert.Equal(t, []gatewayv1.ParentReference{{Name: "chat"}}, route.Spec.ParentRefs)
	require.Len(t, route.Spec.Rules, 1)
	rule := route.Spec.Rules[0]
	require.Len(t, rule.Matches, 1)
	assert.Equal(t, "/v1", *rule.Matches[0].Path.Value, "/metrics is not for clients")
	assert.Equal(t, gatewayv1.PathMatchPathPrefix, *rule.Matches[0].Path.Type)
	assert.EqualValues(t, "chat-api", rule.BackendRefs[0].Name)
	assert.EqualValues(t, 8000, *rule.BackendRefs[0].Port)
	assert.EqualValues(t, "10m0s", *rule.Timeouts.Request)
	assert.EqualValues(t, "10m0s", *rule.Timeouts.BackendRequest)

	assert.True(t, r.get(t, routeType, "chat").dependsOn(gatewayType, "chat"), "deleted before the Gateway")
	assert.True(t, r.get(t, gatewayType, "chat").dependsOn("kubernetes:core/v1:ConfigMap", "service"), "deleted before the Service")
}

func TestExposeOnAnExistingGateway(t *testing.T) {
	r := runExpose(t, exposeArgsOf(func(a *ExposeArgs) {
		a.Gateway = &GatewayRef{Namespace: "infra", Name: "shared", SectionName: "https"}
	}))
	assert.Equal(t, []string{routeType + "::chat"}, r.children(exposeType))
	namespace, section := gatewayv1.Namespace("infra"), gatewayv1.SectionName("https")
	assert.Equal(t, []gatewayv1.ParentReference{{Namespace: &namespace, Name: "shared", SectionName: &section}}, routeOf(t, r).Spec.ParentRefs)
}

func TestExposeListeners(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ExposeArgs)
		check  func(*testing.T, gatewayv1.Gateway)
	}{
		"plain HTTP": {func(a *ExposeArgs) { a.Listener = Listener{Class: "eg", Port: 8080} }, func(t *testing.T, g gatewayv1.Gateway) {
			assert.Equal(t, gatewayv1.HTTPProtocolType, g.Spec.Listeners[0].Protocol)
			assert.Nil(t, g.Spec.Listeners[0].TLS)
		}},
		"annotations": {func(a *ExposeArgs) { a.Listener.Annotations = map[string]string{"cert-manager.io/issuer": "x"} }, func(t *testing.T, g gatewayv1.Gateway) {
			assert.Equal(t, map[string]string{"cert-manager.io/issuer": "x"}, g.Annotations)
		}},
		"internal by annotation": {func(a *ExposeArgs) {
			a.Listener.Internal, a.Listener.InfrastructureAnnotations = true, map[string]string{"internal": "true"}
		}, func(t *testing.T, g gatewayv1.Gateway) {
			assert.EqualValues(t, "true", g.Spec.Infrastructure.Annotations["internal"])
		}},
		"not internal": {func(a *ExposeArgs) {
			a.Listener.InfrastructureAnnotations = map[string]string{"internal": "true"}
		}, func(t *testing.T, g gatewayv1.Gateway) {
			assert.Nil(t, g.Spec.Infrastructure)
		}},
		"Google's certificate": {func(a *ExposeArgs) {
			a.DataPlane = providers.GoogleLoadBalancer
			a.Listener.CertificateSecret, a.Listener.Certificate = "", "llm-cert"
		}, func(t *testing.T, g gatewayv1.Gateway) {
			assert.EqualValues(t, "llm-cert", g.Spec.Listeners[0].TLS.Options[googlePreSharedCertificates])
		}},
		"Google's certificate map": {func(a *ExposeArgs) {
			a.DataPlane = providers.GoogleLoadBalancer
			a.Listener.CertificateSecret, a.Listener.CertificateMap = "", "llm-map"
		}, func(t *testing.T, g gatewayv1.Gateway) {
			assert.Equal(t, "llm-map", g.Annotations[googleCertificateMap])
			assert.Equal(t, gatewayv1.HTTPSProtocolType, g.Spec.Listeners[0].Protocol)
			assert.Nil(t, g.Spec.Listeners[0].TLS, "with a map, no certificate stands in the listener")
		}},
	} {
		t.Run(name, func(t *testing.T) { test.check(t, gatewayOf(t, runExpose(t, exposeArgsOf(test.change)))) })
	}
}

func TestExposeWithGooglesLoadBalancer(t *testing.T) {
	r := runExpose(t, exposeArgsOf(func(a *ExposeArgs) { a.DataPlane = providers.GoogleLoadBalancer }))
	backend := plain(r.get(t, "kubernetes:networking.gke.io/v1:GCPBackendPolicy", "chat"))
	assert.Equal(t, map[string]any{"group": "", "kind": "Service", "name": "chat-api"}, path(t, backend, "spec", "targetRef"))
	assert.EqualValues(t, 600, path(t, backend, "spec", "default", "timeoutSec"))
	assert.EqualValues(t, 70, path(t, backend, "spec", "default", "connectionDraining", "drainingTimeoutSec"))
	health := plain(r.get(t, "kubernetes:networking.gke.io/v1:HealthCheckPolicy", "chat"))
	assert.Equal(t, "HTTP", path(t, health, "spec", "default", "config", "type"))
	assert.Equal(t, "/health", path(t, health, "spec", "default", "config", "httpHealthCheck", "requestPath"))
	assert.Nil(t, routeOf(t, r).Spec.Rules[0].Timeouts, "the timeout is that of the policy")
	for _, kind := range []string{"GCPBackendPolicy", "HealthCheckPolicy"} {
		assert.True(t, r.get(t, routeType, "chat").dependsOn("kubernetes:networking.gke.io/v1:"+kind, "chat"), kind)
	}
}

func TestExposeWithAWSLoadBalancer(t *testing.T) {
	const arn = "arn:aws:acm:us-east-1:111122223333:certificate/x"
	r := runExpose(t, exposeArgsOf(func(a *ExposeArgs) {
		a.DataPlane = providers.AWSLoadBalancer
		a.Listener = Listener{Class: "aws-alb", Port: 443, TLS: true, Certificate: arn, Internal: true}
	}))
	balancer := plain(r.get(t, "kubernetes:gateway.k8s.aws/v1beta1:LoadBalancerConfiguration", "chat"))
	assert.Equal(t, "internal", path(t, balancer, "spec", "scheme"))
	assert.Equal(t, []any{map[string]any{"protocolPort": "HTTPS:443", "defaultCertificate": arn}}, path(t, balancer, "spec", "listenerConfigurations"))
	assert.Equal(t, []any{map[string]any{"key": "idle_timeout.timeout_seconds", "value": "600"}}, path(t, balancer, "spec", "loadBalancerAttributes"))
	group := plain(r.get(t, "kubernetes:gateway.k8s.aws/v1beta1:TargetGroupConfiguration", "chat"))
	assert.Equal(t, "chat-api", path(t, group, "spec", "targetReference", "name"))
	assert.Equal(t, "ip", path(t, group, "spec", "defaultConfiguration", "targetType"))
	assert.Equal(t, "/health", path(t, group, "spec", "defaultConfiguration", "healthCheckConfig", "healthCheckPath"))
	gateway := gatewayOf(t, r)
	assert.Equal(t, &gatewayv1.LocalParametersReference{Group: "gateway.k8s.aws", Kind: "LoadBalancerConfiguration", Name: "chat"},
		gateway.Spec.Infrastructure.ParametersRef)
	assert.Nil(t, gateway.Spec.Listeners[0].TLS, "the certificate stands in the configuration of the load balancer")
	assert.True(t, r.get(t, gatewayType, "chat").dependsOn("kubernetes:gateway.k8s.aws/v1beta1:LoadBalancerConfiguration", "chat"), "deleted before it")
}
