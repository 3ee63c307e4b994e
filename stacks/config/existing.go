package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/components"
)

// Adapters of the custom metrics API.
const (
	// AdapterOwn is a prometheus-adapter that the stack registers.
	AdapterOwn = "own"
	// AdapterExisting is the adapter of the cluster's platform: the stack registers neither an adapter nor an APIService.
	AdapterExisting = "existing"
)

// Prometheus configures the Prometheus of the cluster's platform, for metrics existing (docs/existing-clusters.md). It is queried at
// a Service or at a URL.
type Prometheus struct {
	// Namespace is the namespace of the Prometheus that scrapes the server, and of monitoring.prometheus.service. Required with metrics
	// existing. Its pods may reach the server.
	Namespace string `key:"namespace" unset:"required with metrics existing" example:"observability" format:"label"`
	// Service is the Service that answers queries, over HTTP and without a login.
	Service string `key:"service" unset:"monitoring.prometheus.url is queried" example:"prometheus-operated" format:"label"`
	// Port is the port of that Service.
	Port int `key:"port" min:"1" max:"65535" default:"9090"`
	// URL is where queries are answered in the form of Prometheus' HTTP API, without /api/v1: of a Thanos querier, of Mimir, or of a
	// signing proxy. In place of monitoring.prometheus.service.
	URL string `key:"url" unset:"monitoring.prometheus.service is queried" example:"https://mimir.example.com/prometheus" format:"query-url"`
	// Headers are sent with each query, such as the tenant of Mimir. They are not secret.
	Headers map[string]string `key:"headers" example:"{X-Scope-OrgID: team-a}" format:"headers"`
	// Secret is a Secret in namespaces.monitoring with what authenticates the queries to monitoring.prometheus.url. The stack does
	// not create it.
	Secret string `key:"secret" unset:"queries have no login" example:"prometheus-login" format:"subdomain"`
	// SecretKeys are the keys of that Secret to use: ca.crt is the server's certificate authority, token a bearer token, and
	// kubeconfig alone a kubeconfig whose user has a token, a password or a client certificate.
	SecretKeys []string `key:"secretKeys" values:"ca.crt token kubeconfig" example:"[ca.crt, token]" hint:"ca.crt, token or both; or kubeconfig alone"`
}

// QueryURL returns the URL that is queried, without a slash at the end.
func (p Prometheus) QueryURL() string {
	if p.URL != "" {
		return strings.TrimSuffix(p.URL, "/")
	}
	return fmt.Sprintf("http://%s.%s.svc:%d", p.Service, p.Namespace, p.Port)
}

// Endpoint returns where and how Prometheus is queried.
func (p Prometheus) Endpoint() (*components.PrometheusEndpoint, error) {
	address, err := url.Parse(p.QueryURL())
	if err != nil {
		return nil, fmt.Errorf("monitoring.prometheus.url: %w", err)
	}
	return components.NewPrometheusEndpoint(address, components.PrometheusAccess{
		Path: address.EscapedPath(), Headers: p.Headers, Secret: p.Secret, SecretKeys: p.SecretKeys,
	})
}

// withoutEffect lists the keys of the stack's own Prometheus and Grafana, which have no effect with the platform's.
var withoutEffect = []string{
	"monitoring.evaluationInterval", "monitoring.retention", "monitoring.storage", "monitoring.storageClass", "monitoring.grafanaPassword",
	"monitoring.clientNamespaces", "monitoring.clientCidrs", "monitoring.queryNamespaces", "monitoring.watchNamespaces", "monitoring.upgradeCRDs",
	"monitoring.nodeExporter", "monitoring.kubeStateMetrics", "monitoring.operator",
}

// withoutAdapter lists the keys of the stack's own adapter, which have no effect with the platform's.
var withoutAdapter = []string{"autoscaling.adapterReplicas", "autoscaling.adapterPort", "autoscaling.relistInterval"}

// checkExistingMetrics checks the keys of the platform's Prometheus and adapter: they are given with metrics existing, and only then.
func (c *Config) checkExistingMetrics(r *report) {
	if r.anyRefused("metrics") {
		return
	}
	if !c.ExistingMetrics() {
		c.refuseExisting(r)
		return
	}
	c.checkQuery(r)
	c.checkLogin(r)
	refuse := func(reason string, keys ...string) {
		for _, key := range keys {
			if r.given.has(key) {
				r.add(Problem{Key: r.full(key), Allowed: reason, Fix: "remove the key"})
			}
		}
	}
	refuse("only where the stack runs a Prometheus of its own; with metrics existing it has no effect", withoutEffect...)
	if c.Monitoring.Grafana {
		r.bad("monitoring.grafana", true, "false with metrics existing: Grafana is part of the stack's own Prometheus",
			"remove the key; monitoring.dashboards gives the platform's Grafana the dashboards")
	}
	if c.Autoscaling.Adapter == AdapterExisting {
		refuse("only with autoscaling.adapter own; the existing adapter has its own settings", withoutAdapter...)
	}
}

// refuseExisting refuses the keys of the platform's Prometheus and adapter for the other pipelines.
func (c *Config) refuseExisting(r *report) {
	const only = "only with metrics existing, which uses the Prometheus of the cluster's platform"
	for _, key := range slices.Sorted(maps.Keys(r.given)) {
		if strings.HasPrefix(key, "monitoring.prometheus.") {
			r.add(Problem{Key: r.full(key), Allowed: only, Fix: "remove the key, or " + r.set("metrics", MetricsExisting)})
		}
	}
	if c.Autoscaling.Adapter == AdapterExisting {
		r.bad("autoscaling.adapter", AdapterExisting, AdapterOwn+"; the other one "+only, "remove the key, or "+r.set("metrics", MetricsExisting))
	}
}

// checkQuery checks that it is known where the platform's Prometheus scrapes from and where it is queried.
func (c *Config) checkQuery(r *report) {
	p, given := c.Monitoring.Prometheus, r.given
	switch p.Namespace {
	case "":
		r.add(Problem{
			Key: r.full("monitoring.prometheus.namespace"), Allowed: "the namespace of the Prometheus that scrapes the server; required with metrics existing",
			Fix: r.set("monitoring.prometheus.namespace", "<namespace>") + "; kubectl get prometheuses -A lists those of the Prometheus Operator",
		})
	case c.Namespaces.Monitoring, c.Namespaces.Serving:
		r.bad("monitoring.prometheus.namespace", p.Namespace, "a namespace other than those that the stack creates",
			"name the platform's; or give namespaces.monitoring and namespaces.serving other names")
	}
	switch {
	case r.anyRefused("monitoring.prometheus.service", "monitoring.prometheus.url"):
	case p.Service == "" && p.URL == "":
		r.add(Problem{
			Key:     r.full("monitoring.prometheus.service"),
			Allowed: "the Service of the platform's Prometheus, or monitoring.prometheus.url; one is required with metrics existing",
			Fix:     r.set("monitoring.prometheus.service", "<service>") + "; kubectl get services -n <namespace> lists them",
		})
	case hasLogin(p.URL):
		r.add(Problem{
			Key: r.full("monitoring.prometheus.url"), Value: "[hidden]", Allowed: "a URL without a login, which would be readable",
			Fix: "remove it from the URL; monitoring.prometheus.secret names a Secret with one",
		})
	case p.Service != "" && p.URL != "":
		r.bad("monitoring.prometheus.url", p.URL, "no URL together with monitoring.prometheus.service", "remove one of the two")
	case p.URL != "" && given.has("monitoring.prometheus.port"):
		r.bad("monitoring.prometheus.port", p.Port, "no port together with monitoring.prometheus.url, which has its own", "remove the key")
	}
}

// hasLogin reports whether a URL has a user or a password.
func hasLogin(text string) bool {
	address, err := url.Parse(text)
	return err == nil && address.User != nil
}

// checkLogin checks how queries are authenticated, by what prometheus-adapter supports: with a certificate authority it ignores a
// kubeconfig, and a kubeconfig has its own authority and token.
func (c *Config) checkLogin(r *report) {
	p := c.Monitoring.Prometheus
	if r.anyRefused("monitoring.prometheus.secretKeys", "monitoring.prometheus.secret", "monitoring.prometheus.url") {
		return
	}
	switch {
	case p.Secret == "" && len(p.SecretKeys) > 0:
		r.bad("monitoring.prometheus.secretKeys", p.SecretKeys, "keys only together with monitoring.prometheus.secret",
			r.set("monitoring.prometheus.secret", "<name>"))
	case p.Secret != "" && len(p.SecretKeys) == 0:
		r.bad("monitoring.prometheus.secret", p.Secret, "a Secret only together with monitoring.prometheus.secretKeys, the keys to use",
			r.set("monitoring.prometheus.secretKeys[0]", "token"))
	case p.Secret != "" && p.URL == "":
		r.bad("monitoring.prometheus.secret", p.Secret, "a Secret only together with monitoring.prometheus.url: a Service is queried without a login",
			"give the Service's URL, such as https://<service>."+choose(p.Namespace == "", "<namespace>", p.Namespace)+".svc:9091")
	case len(p.SecretKeys) > 1 && slices.Contains(p.SecretKeys, "kubeconfig"):
		r.bad("monitoring.prometheus.secretKeys", p.SecretKeys, "kubeconfig alone: it has a certificate authority and a login of its own",
			"remove the others")
	case slices.Contains(p.SecretKeys, "ca.crt") && !strings.HasPrefix(p.URL, "https://"):
		r.bad("monitoring.prometheus.secretKeys", p.SecretKeys, "ca.crt only with a URL that begins with https://", "remove ca.crt, or use https")
	}
}

// headerName matches the name of an HTTP header.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// headerDetail returns why a header cannot be sent with each query, or "".
func headerDetail(name, value string) string {
	switch {
	case !headerName.MatchString(name):
		return "a header's name consists of letters, digits and '-'"
	case slices.Contains([]string{"authorization", "cookie", "proxy-authorization"}, strings.ToLower(name)):
		return "this one would be a secret in plain text: use monitoring.prometheus.secret"
	case strings.ContainsAny(value, "\r\n"):
		return "a header's value is one line"
	}
	return ""
}

// queryURLDetail returns why a URL cannot be queried, or "".
func queryURLDetail(text string) string {
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Hostname() == "":
		return "it is not a URL"
	case address.RawQuery != "" || address.Fragment != "":
		return "without a query and a fragment"
	case strings.Contains(address.Path+"/", "/api/v1/"):
		return "without /api/v1, which is added"
	}
	return ""
}
