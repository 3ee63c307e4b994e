package components

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"vllm-autoscaling/providers"
)

// gatewayAPIVersion is the API group and version of the Gateway API's objects.
const gatewayAPIVersion = "gateway.networking.k8s.io/v1"

// exposedPath is the prefix of the paths that clients reach: the OpenAI-compatible API. /metrics and what else the server has stay
// inside the cluster.
const exposedPath = "/v1"

// GatewayRef names a Gateway of the cluster.
type GatewayRef struct {
	Namespace, Name string
	// SectionName is the listener to attach to; "" means all that allow it.
	SectionName string
}

// Listener is the listener of a Gateway that the component creates.
type Listener struct {
	// Class is the GatewayClass. Required.
	Class string
	// Port of the listener, 1 to 65535.
	Port int
	// TLS reports whether the listener terminates TLS. Without it the listener serves plain HTTP.
	TLS bool
	// CertificateSecret is a Secret of type kubernetes.io/tls in the namespace of the Gateway, Certificate a certificate of the cloud,
	// CertificateMap a certificate map of Google; at most one of them, and none without TLS.
	CertificateSecret, Certificate, CertificateMap string
	// Internal keeps the load balancer in the cloud's network, as far as its class does not decide that. InfrastructureAnnotations
	// do so where the proxies run in the cluster.
	Internal                  bool
	InfrastructureAnnotations map[string]string
	// Annotations of the Gateway.
	Annotations map[string]string
}

// ExposeArgs are the inputs of Expose.
type ExposeArgs struct {
	// Server is the name of the server, which the objects have too. Required.
	Server string
	// Namespace, Service and Port are those of the server's Service. Required.
	Namespace, Service string
	Port               int
	// Hostname by which clients reach the API. Required.
	Hostname string
	// Gateway is an existing Gateway; nil creates one with Listener.
	Gateway *GatewayRef
	// Listener of the Gateway to create; ignored with Gateway.
	Listener Listener
	// DataPlane is what carries the requests to the pods.
	DataPlane providers.DataPlane
	// Timeout of a request, its streamed answer included; whole seconds.
	Timeout time.Duration
	// Drain is how long a pod that ends still answers requests in flight; whole seconds.
	Drain time.Duration
	// DependsOn lists what must exist first: the Service.
	DependsOn []pulumi.Resource
}

// Expose is the way in for clients outside the cluster: an HTTPRoute, its Gateway unless there is one, and what the controllers of
// load balancers need for timeouts and health checks. It is deleted before the Service and the namespace, so that the controller,
// which is then still there, removes the load balancer.
type Expose struct {
	pulumi.ResourceState

	// Route is for others to depend on.
	Route *apiextensions.CustomResource
}

// NewExpose registers the objects.
func NewExpose(ctx *pulumi.Context, name string, args *ExposeArgs, opts ...pulumi.ResourceOption) (*Expose, error) {
	c := &Expose{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Expose", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering %s: %w", name, err)
	}
	// Load balancers read the policies of a Service when they see its first route.
	needs := slices.Clone(args.DependsOn)
	policies, err := args.newServicePolicies(ctx, c)
	if err != nil {
		return nil, err
	}
	needs = append(needs, policies...)
	if args.Gateway == nil {
		gateway, err := args.newGateway(ctx, c)
		if err != nil {
			return nil, err
		}
		needs = append(needs, gateway)
	}
	if c.Route, err = newCustomObject(ctx, gatewayAPIVersion, "HTTPRoute", args.Namespace, args.Server, args.route(), childOptions(c, needs)); err != nil {
		return nil, err
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{}); err != nil {
		return nil, fmt.Errorf("registering the outputs of %s: %w", name, err)
	}
	return c, nil
}

// newGateway registers the Gateway, and its load balancer's configuration where the controller reads one.
func (a *ExposeArgs) newGateway(ctx *pulumi.Context, c *Expose) (*apiextensions.CustomResource, error) {
	needs := slices.Clone(a.DependsOn)
	if a.DataPlane == providers.AWSLoadBalancer {
		configuration, err := newCustomObject(ctx, awsGatewayAPIVersion, loadBalancerConfigurationKind, a.Namespace, a.Server,
			a.loadBalancerConfiguration(), childOptions(c, needs))
		if err != nil {
			return nil, err
		}
		needs = append(needs, configuration)
	}
	annotations := maps.Clone(a.Listener.Annotations)
	if a.Listener.CertificateMap != "" {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[googleCertificateMap] = a.Listener.CertificateMap
	}
	return newAnnotatedObject(ctx, gatewayAPIVersion, "Gateway", a.Namespace, a.Server, annotations, a.gateway(), childOptions(c, needs))
}

// gateway returns the spec of the Gateway. Its listener allows routes of its own namespace, which is the default.
func (a *ExposeArgs) gateway() gatewayv1.GatewaySpec {
	hostname := gatewayv1.Hostname(a.Hostname)
	listener := gatewayv1.Listener{
		Name: "http", Hostname: &hostname, Port: gatewayv1.PortNumber(a.Listener.Port), Protocol: gatewayv1.HTTPProtocolType,
	}
	if a.Listener.TLS {
		listener.Name, listener.Protocol, listener.TLS = "https", gatewayv1.HTTPSProtocolType, a.listenerTLS()
	}
	return gatewayv1.GatewaySpec{
		GatewayClassName: gatewayv1.ObjectName(a.Listener.Class), Listeners: []gatewayv1.Listener{listener}, Infrastructure: a.infrastructure(),
	}
}

// listenerTLS returns the certificate of the listener; nil where it stands elsewhere: in the annotation of a certificate map, or in the
// configuration of the load balancer.
func (a *ExposeArgs) listenerTLS() *gatewayv1.ListenerTLSConfig {
	mode, l := gatewayv1.TLSModeTerminate, a.Listener
	switch {
	case l.CertificateSecret != "":
		return &gatewayv1.ListenerTLSConfig{Mode: &mode, CertificateRefs: []gatewayv1.SecretObjectReference{{Name: gatewayv1.ObjectName(l.CertificateSecret)}}}
	case l.Certificate != "" && a.DataPlane == providers.GoogleLoadBalancer:
		return &gatewayv1.ListenerTLSConfig{Mode: &mode, Options: map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{
			googlePreSharedCertificates: gatewayv1.AnnotationValue(l.Certificate),
		}}
	}
	return nil
}

// infrastructure returns what the controller applies to the Gateway's load balancer.
func (a *ExposeArgs) infrastructure() *gatewayv1.GatewayInfrastructure {
	if a.DataPlane == providers.AWSLoadBalancer {
		return &gatewayv1.GatewayInfrastructure{ParametersRef: &gatewayv1.LocalParametersReference{
			Group: awsGatewayGroup, Kind: loadBalancerConfigurationKind, Name: a.Server,
		}}
	}
	if !a.Listener.Internal || len(a.Listener.InfrastructureAnnotations) == 0 {
		return nil
	}
	annotations := map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{}
	for key, value := range a.Listener.InfrastructureAnnotations {
		annotations[gatewayv1.AnnotationKey(key)] = gatewayv1.AnnotationValue(value)
	}
	return &gatewayv1.GatewayInfrastructure{Annotations: annotations}
}

// route returns the spec of the HTTPRoute.
func (a *ExposeArgs) route() gatewayv1.HTTPRouteSpec {
	prefix, path, port := gatewayv1.PathMatchPathPrefix, exposedPath, gatewayv1.PortNumber(a.Port)
	rule := gatewayv1.HTTPRouteRule{
		Matches: []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Type: &prefix, Value: &path}}},
		BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(a.Service), Port: &port},
		}}},
	}
	// The load balancers take their timeout from elsewhere, and refuse or ignore the field.
	if a.DataPlane == providers.GatewayPods {
		timeout := gatewayv1.Duration(a.Timeout.String())
		rule.Timeouts = &gatewayv1.HTTPRouteTimeouts{Request: &timeout, BackendRequest: &timeout}
	}
	return gatewayv1.HTTPRouteSpec{
		CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{a.parent()}},
		Hostnames:       []gatewayv1.Hostname{gatewayv1.Hostname(a.Hostname)},
		Rules:           []gatewayv1.HTTPRouteRule{rule},
	}
}

// parent returns the reference to the Gateway.
func (a *ExposeArgs) parent() gatewayv1.ParentReference {
	if a.Gateway == nil {
		return gatewayv1.ParentReference{Name: gatewayv1.ObjectName(a.Server)}
	}
	namespace := gatewayv1.Namespace(a.Gateway.Namespace)
	parent := gatewayv1.ParentReference{Namespace: &namespace, Name: gatewayv1.ObjectName(a.Gateway.Name)}
	if a.Gateway.SectionName != "" {
		section := gatewayv1.SectionName(a.Gateway.SectionName)
		parent.SectionName = &section
	}
	return parent
}
