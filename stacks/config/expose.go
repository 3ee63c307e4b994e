package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/providers"
)

// Values of expose.auth.
const (
	// AuthAPIKey is authentication by the server's API key.
	AuthAPIKey = "apiKey"
	// AuthGateway is authentication by the gateway.
	AuthGateway = "gateway"
)

// Values of expose.protocol.
const (
	// ProtocolHTTPS is a listener that terminates TLS.
	ProtocolHTTPS = "HTTPS"
	// ProtocolHTTP is a listener without encryption.
	ProtocolHTTP = "HTTP"
)

// Expose configures the way in for clients outside the cluster: an HTTPRoute of the Gateway API (docs/expose.md). Every other key
// of it needs expose.hostname.
type Expose struct {
	// Hostname is the name by which clients reach the API. With it the stack creates an HTTPRoute for the paths below /v1.
	Hostname string `key:"hostname" unset:"the server is not exposed" example:"llm.example.com" format:"host"`
	// Gateway is an existing Gateway to attach the route to.
	Gateway ExistingGateway `key:"gateway"`
	// GatewayClass is the class of the Gateway: of the one that the stack creates in namespaces.serving, or of expose.gateway. On
	// local a Gateway to create needs one.
	GatewayClass string `key:"gatewayClass" unset:"on gke gke-l7-global-external-managed, or gke-l7-rilb with expose.internal; on eks aws-alb; on aks approuting-istio" example:"eg" format:"subdomain"`
	// DataPlane is what carries the requests to the pods: proxies in the cluster, or the load balancer of GKE's or AWS' controller,
	// for which the stack also sets timeout and health check.
	DataPlane string `key:"dataPlane" values:"pods google-load-balancer aws-load-balancer" unset:"google-load-balancer on gke, aws-load-balancer on eks, pods elsewhere" example:"pods"`
	// Internal keeps the load balancer in the cloud's network.
	Internal bool `key:"internal" clouds:"$nodes"`
	// Protocol is how clients reach the Gateway. With HTTP, prompts, answers and API keys are not encrypted.
	Protocol string `key:"protocol" values:"HTTPS HTTP" default:"HTTPS" hint:"HTTPS, unless the network of the clients is trusted"`
	// Port is the port of the Gateway's listener.
	Port int `key:"port" min:"1" max:"65535" unset:"443 with HTTPS, 80 with HTTP" example:"8443"`
	// TLS is the certificate of a Gateway that the stack creates; one of its keys.
	TLS ExposeTLS `key:"tls"`
	// Timeout is how long a request may take, its streamed answer included; the load balancer of the AWS controller counts the
	// time without a token.
	Timeout time.Duration `key:"timeout" min:"1m" max:"1h" default:"10m" hint:"longer than the longest answer takes"`
	// Auth is who authenticates the clients: the server by apiKey, or the gateway by means of its own.
	Auth string `key:"auth" values:"apiKey gateway" default:"apiKey" hint:"gateway only where the gateway refuses clients that it does not know"`
	// Annotations are those of the Gateway that the stack creates, such as those of cert-manager.
	Annotations map[string]string `key:"annotations" unset:"only those of annotations" example:"{cert-manager.io/cluster-issuer: letsencrypt}" format:"annotations"`
}

// ExistingGateway names a Gateway of the cluster, which has to allow routes from namespaces.serving.
type ExistingGateway struct {
	// Name is the name of the Gateway.
	Name string `key:"name" unset:"the stack creates one" example:"shared" format:"subdomain"`
	// Namespace is its namespace; required with expose.gateway.name.
	Namespace string `key:"namespace" unset:"none" example:"infra" format:"label"`
	// SectionName is the listener to attach to.
	SectionName string `key:"sectionName" unset:"all that allow it" example:"https" format:"subdomain"`
}

// ExposeTLS names the certificate of a Gateway.
type ExposeTLS struct {
	// Secret is a Secret of type kubernetes.io/tls in namespaces.serving, created after the stack or by cert-manager.
	Secret string `key:"secret" unset:"none" example:"llm-tls" format:"subdomain"`
	// Certificate is a certificate of the cloud: with google-load-balancer the name of an SSL certificate of Compute Engine, with
	// aws-load-balancer the ARN of one of ACM.
	Certificate string `key:"certificate" clouds:"gke eks" unset:"none" pattern:"^[A-Za-z0-9:/_-]+$" example:"gke=llm-cert eks=arn:aws:acm:us-east-1:111122223333:certificate/abc" allowed:"the name of a certificate, or an ARN"`
	// CertificateMap is a certificate map of Google's Certificate Manager.
	CertificateMap string `key:"certificateMap" clouds:"gke" unset:"none" pattern:"^[a-z]([a-z0-9-]*[a-z0-9])?$" example:"llm-map" allowed:"the name of a certificate map"`
}

// given lists the keys of a certificate that are set.
func (t ExposeTLS) given() []string {
	var keys []string
	for _, one := range []struct{ key, value string }{
		{"expose.tls.secret", t.Secret}, {"expose.tls.certificate", t.Certificate}, {"expose.tls.certificateMap", t.CertificateMap},
	} {
		if one.value != "" {
			keys = append(keys, one.key)
		}
	}
	return keys
}

// Exposed reports whether clients outside the cluster have a way in.
func (c *Config) Exposed() bool { return c.Expose.Hostname != "" }

// createsGateway reports whether the stack creates the Gateway of the route.
func (c *Config) createsGateway() bool { return c.Exposed() && c.Expose.Gateway.Name == "" }

// applyExposeDefaults sets the defaults that depend on the cloud and on each other.
func (c *Config) applyExposeDefaults(given keySet) {
	if !c.Exposed() {
		return
	}
	e, gateways := &c.Expose, c.cloud().Gateways
	orDefault(given, "expose.dataPlane", &e.DataPlane, string(choose(gateways.DataPlane == "", providers.GatewayPods, gateways.DataPlane)))
	// The class of the cloud belongs to its data plane.
	if e.DataPlane == string(gateways.DataPlane) || gateways.DataPlane == "" {
		orDefault(given, "expose.gatewayClass", &e.GatewayClass, choose(e.Internal, gateways.InternalClass, gateways.Class))
	}
	orDefault(given, "expose.port", &e.Port, choose(e.Protocol == ProtocolHTTP, 80, 443))
}

// GatewayURL returns the address by which clients reach the server; "" where it is not exposed.
func (c *Config) GatewayURL() string {
	if !c.Exposed() {
		return ""
	}
	e := c.Expose
	scheme, usual := "https", 443
	if e.Protocol == ProtocolHTTP {
		scheme, usual = "http", 80
	}
	return fmt.Sprintf("%s://%s%s", scheme, e.Hostname, choose(e.Port == usual, "", fmt.Sprintf(":%d", e.Port)))
}

// InternalGatewayAnnotations returns what keeps the load balancer of a Gateway in the cloud's network, where its class does not.
func (c *Config) InternalGatewayAnnotations() map[string]string {
	return c.cloud().Gateways.InternalAnnotations
}

// gatewaySources returns where the requests of the Gateway come from: the namespaces of its proxies, or the networks of its load
// balancer. Unknown describes what cannot be known.
func (c *Config) gatewaySources() (namespaces, cidrs []string, unknown string) {
	e := c.Expose
	switch sources := c.cloud().Gateways.Sources; {
	case !c.Exposed():
		return nil, nil, ""
	case e.DataPlane != string(providers.GatewayPods) && sources != nil:
		cidrs, unknown = sources(c.request(nil), e.GatewayClass)
		return nil, cidrs, unknown
	case !providers.ProxiesBesideGateway(e.GatewayClass):
		return nil, nil, "the pods of the gateway"
	case c.createsGateway():
		return []string{c.Namespaces.Serving}, nil, ""
	}
	return []string{e.Gateway.Namespace}, nil, ""
}

// ServerClients returns who may call the API: the clients of the configuration, and the data plane of the Gateway.
func (c *Config) ServerClients() (namespaces, cidrs []string) {
	namespaces, cidrs = slices.Clone(c.VLLM.ClientNamespaces), slices.Clone(c.VLLM.ClientCIDRs)
	more, networks, _ := c.gatewaySources()
	for _, namespace := range more {
		if !slices.Contains(namespaces, namespace) {
			namespaces = append(namespaces, namespace)
		}
	}
	for _, cidr := range networks {
		if !slices.Contains(cidrs, cidr) {
			cidrs = append(cidrs, cidr)
		}
	}
	return namespaces, cidrs
}

// checkExpose checks the way in for clients.
func (c *Config) checkExpose(r *report) {
	if r.anyRefused("expose.hostname") {
		return
	}
	if !c.Exposed() {
		if r.given.hasBelow("expose", "expose.hostname") {
			r.bad("expose.hostname", "", "the name by which clients reach the API; without it no other key of expose has an effect",
				r.set("expose.hostname", "llm.example.com")+", or remove expose")
		}
		return
	}
	c.checkGateway(r)
	c.checkDataPlane(r)
	c.checkCertificate(r)
	if c.Expose.Auth == AuthAPIKey && !c.APIKey.Given() && !r.anyRefused("apiKey", "expose.auth") {
		r.bad("expose.auth", c.Expose.Auth, "clients that present an API key, or a gateway that authenticates them: everybody who reaches the "+
			"gateway could use the GPUs",
			"pulumi config set --secret "+r.full("apiKey")+", or, where the gateway authenticates: "+r.set("expose.auth", AuthGateway))
	}
}

// checkGateway checks which Gateway the route is attached to.
func (c *Config) checkGateway(r *report) {
	e := c.Expose
	if !c.createsGateway() {
		if e.Gateway.Namespace == "" && !r.anyRefused("expose.gateway.namespace") {
			r.bad("expose.gateway.namespace", "", "the namespace of Gateway "+e.Gateway.Name, r.set("expose.gateway.namespace", "infra"))
		}
		for _, key := range append(e.TLS.given(), ownedByGateway(r.given)...) {
			r.bad(key, "", "no setting of the existing Gateway, which stays its owner's", "remove the key, or expose.gateway")
		}
		return
	}
	if r.given.hasBelow("expose.gateway", "expose.gateway.name") && !r.anyRefused("expose.gateway.name") {
		r.bad("expose.gateway.name", "", "the name of the existing Gateway", r.set("expose.gateway.name", "shared")+", or remove expose.gateway")
	}
	if e.GatewayClass == "" && !r.anyRefused("expose.gatewayClass", "expose.dataPlane") {
		r.bad("expose.gatewayClass", "", "a GatewayClass of the cluster (kubectl get gatewayclasses)",
			r.set("expose.gatewayClass", "eg")+", or name an existing Gateway in expose.gateway")
	}
}

// ownedByGateway lists the keys given that belong to the owner of an existing Gateway.
func ownedByGateway(given keySet) []string {
	var keys []string
	for _, key := range []string{"expose.annotations", "expose.internal"} {
		if given.has(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// checkDataPlane checks that the data plane exists on the cloud, and that the NetworkPolicy of the server lets it in.
func (c *Config) checkDataPlane(r *report) {
	e, own := c.Expose, c.cloud().Gateways.DataPlane
	if r.anyRefused("expose.dataPlane", "expose.gatewayClass") {
		return
	}
	if e.DataPlane != string(providers.GatewayPods) && e.DataPlane != string(own) {
		allowed := []string{string(providers.GatewayPods)}
		if own != "" {
			allowed = append(allowed, string(own))
		}
		r.bad("expose.dataPlane", e.DataPlane, oneOf(allowed), "remove the key")
		return
	}
	_, _, unknown := c.gatewaySources()
	if unknown == "" || len(c.VLLM.ClientCIDRs) > 0 || r.anyRefused("vllm.clientCidrs", "vllm.clientNamespaces") {
		return
	}
	if e.DataPlane != string(providers.GatewayPods) {
		r.bad("vllm.clientCidrs", "", "with expose.hostname: "+unknown+", or the server's NetworkPolicy refuses its requests",
			r.set("vllm.clientCidrs[0]", "10.0.0.0/16")+" with that network")
	} else if len(c.VLLM.ClientNamespaces) == 0 {
		r.bad("vllm.clientNamespaces", "", "with expose.hostname: the namespace of "+unknown+", or the server's NetworkPolicy refuses its requests",
			r.set("vllm.clientNamespaces[0]", "envoy-gateway-system")+" with that namespace; where the gateway's pods use the network of "+
				"their nodes, name that network in vllm.clientCidrs")
	}
}

// checkCertificate checks that a Gateway to create has the one certificate that its protocol and its data plane need.
func (c *Config) checkCertificate(r *report) {
	e, given := c.Expose, c.Expose.TLS.given()
	refused := r.anyRefused("expose.protocol", "expose.dataPlane", "expose.tls.secret", "expose.tls.certificate", "expose.tls.certificateMap")
	if !c.createsGateway() || refused || slices.ContainsFunc(given, r.has) {
		return
	}
	switch {
	case e.Protocol == ProtocolHTTP && len(given) > 0:
		r.bad(given[0], "", "no certificate with expose.protocol HTTP", "remove the key, or expose.protocol")
	case e.Protocol == ProtocolHTTPS && len(given) == 0:
		key := choose(e.DataPlane == string(providers.AWSLoadBalancer), "expose.tls.certificate", "expose.tls.secret")
		r.bad(key, "", "a certificate: the Gateway serves HTTPS", r.set(key, "llm-tls")+", or, on a trusted network: "+r.set("expose.protocol", ProtocolHTTP))
	case len(given) > 1:
		r.bad(given[1], "", "one certificate; there is "+given[0]+" as well", "remove one of the two keys")
	case len(given) == 1:
		c.checkCertificateKind(r, given[0])
	}
}

// checkCertificateKind checks that the data plane accepts a kind of certificate.
func (c *Config) checkCertificateKind(r *report, key string) {
	e := c.Expose
	switch plane := providers.DataPlane(e.DataPlane); {
	case plane == providers.GatewayPods && key != "expose.tls.secret":
		r.bad(key, "", "a Secret for proxies in the cluster, which read no certificate of the cloud", "use expose.tls.secret")
	case plane == providers.AWSLoadBalancer && key != "expose.tls.certificate":
		r.bad(key, "", "a certificate of ACM: AWS' load balancers read no Secret", "use expose.tls.certificate")
	case plane == providers.AWSLoadBalancer && !strings.HasPrefix(e.TLS.Certificate, "arn:"):
		r.bad(key, e.TLS.Certificate, "the ARN of a certificate of ACM, arn:aws:acm:...", "aws acm list-certificates")
	case plane == providers.GoogleLoadBalancer && strings.HasPrefix(e.TLS.Certificate, "arn:"):
		r.bad(key, e.TLS.Certificate, "the name of an SSL certificate of Compute Engine", "gcloud compute ssl-certificates list")
	}
}

// warnOfExpose warns of a way in that is not encrypted.
func (c *Config) warnOfExpose(r *report) {
	if c.Exposed() && c.Expose.Protocol == ProtocolHTTP {
		r.warn("expose.protocol", c.Expose.Protocol, "prompts, answers and the API keys of clients are not encrypted on their way to the gateway",
			"use HTTPS, unless the network of the clients is trusted")
	}
}
