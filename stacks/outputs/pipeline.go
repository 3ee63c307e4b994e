// Package outputs defines the stack outputs that programs read. It imports nothing of Pulumi, so that a
// program that reads them does not link the clouds' SDKs.
package outputs

import (
	"encoding/json"
	"fmt"
)

// PipelineKey is the name of the stack output with a Pipeline.
const PipelineKey = "pipeline"

// PipelinesKey is the name of the stack output with a Pipeline for each server, by its name, of a stack with the key servers; it has
// no output PipelineKey.
const PipelinesKey = "pipelines"

// KubeconfigKey is the name of the stack output with the kubeconfig of a cloud's cluster, a secret.
// A stack on an existing cluster has none; see Pipeline.Kubeconfig.
const KubeconfigKey = "kubeconfig"

// Pipeline describes where each part of the path from a server's metrics to its number of replicas is.
// It has no secrets in it.
type Pipeline struct {
	// Kubeconfig is the file that the stack was deployed with, as in its configuration: "" is the
	// reader's own KUBECONFIG. Context is the context in it. Both are "" where the stack has the
	// output KubeconfigKey.
	Kubeconfig string `json:"kubeconfig"`
	Context    string `json:"context"`
	// Serving is the server.
	Serving Serving `json:"serving"`
	// Gateway is the way in for clients outside the cluster; nil where there is none.
	Gateway *Gateway `json:"gateway,omitempty"`
	// Metrics is the pipeline from the server's metrics to the HPA: "prometheus-operator", "google-managed" or
	// "existing".
	Metrics string `json:"metrics"`
	// Prometheus is the Service of the stack's own Prometheus; its name is "" where the cloud or the cluster's platform stores the
	// metrics.
	Prometheus Service `json:"prometheus"`
	// Existing is the Prometheus of the cluster's platform; nil where the metrics are elsewhere.
	Existing *Existing `json:"existing,omitempty"`
	// Adapter is the Deployment that serves the custom metrics API; its name is "" where that is not part of the stack. Its
	// namespace is that of everything of the stack that monitors.
	Adapter Workload `json:"adapter"`
	// Signals are what the HPA scales on, in its order.
	Signals []Signal `json:"signals"`
	// ServerSeries are what every server's /metrics must have.
	ServerSeries []string `json:"serverSeries"`
	// Rules are the series that the signals' recording rules write, with at least one sample for each ready
	// pod, whose name is in the label pod or, in DCGM's series, in exported_pod.
	Rules []string `json:"rules"`
	// GPUMetrics is the source of DCGM's series: "dcgm-chart", "managed" or "simulated".
	GPUMetrics string `json:"gpuMetrics"`
	// GPUSeries are the names that DCGM's utilisation may have, one of which exists; empty where no signal
	// needs it.
	GPUSeries []string `json:"gpuSeries"`
	// SignalInterval is how often signals are scraped and their rules run, in Go's form, such as "2s".
	SignalInterval string `json:"signalInterval"`
	// ScrapeInterval is how often everything else is scraped, such as the readiness of pods; "" in outputs of before it
	// was there.
	ScrapeInterval string `json:"scrapeInterval"`
	// ColdStart is the estimate of how long a new replica takes; nil in outputs of before it was there.
	ColdStart *ColdStart `json:"coldStart,omitempty"`
}

// ColdStart is how long the phases of a new replica take, in seconds, as in config.ColdStart.
type ColdStart struct {
	Node    float64 `json:"node"`
	Image   float64 `json:"image"`
	Weights float64 `json:"weights"`
	Warmup  float64 `json:"warmup"`
}

// Serving are the server's objects; all have the same namespace.
type Serving struct {
	Namespace  string `json:"namespace"`
	Deployment string `json:"deployment"`
	Service    string `json:"service"`
	// Port of the API and of /metrics, in the pods and the Service.
	Port int    `json:"port"`
	HPA  string `json:"hpa"`
	// SpareNodes is the Deployment whose pods keep GPU nodes for further replicas; "" for none.
	SpareNodes string `json:"spareNodes,omitempty"`
	// Others are the names of the stack's other servers, whose pods are in the same namespace; none in a stack of one.
	Others []string `json:"others,omitempty"`
}

// Gateway is the Gateway of a server and its route.
type Gateway struct {
	// URL is the address by which clients reach the API, without a path.
	URL string `json:"url"`
	// Namespace and Name are those of the Gateway, Class is its GatewayClass; "" where it is not known.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Class     string `json:"class"`
	// Route is the HTTPRoute, in the namespace of the server.
	Route string `json:"route"`
	// DataPlane is what carries the requests to the pods: "pods", "google-load-balancer" or "aws-load-balancer".
	DataPlane string `json:"dataPlane"`
	// Internal reports whether the load balancer is reached from the cloud's network only.
	Internal bool `json:"internal"`
	// Auth is who authenticates the clients: "apiKey" or "gateway".
	Auth string `json:"auth"`
}

// Service is a Service with one port.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      int    `json:"port"`
}

// Existing is a Prometheus that is not part of the stack.
type Existing struct {
	// Namespace is that of the Prometheus that scrapes the server.
	Namespace string `json:"namespace"`
	// URL is where queries are answered, without /api/v1. Headers are sent with each.
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	// Secret is a Secret in the namespace of Pipeline.Adapter that authenticates queries, with the keys SecretKeys; "" for none.
	Secret     string   `json:"secret,omitempty"`
	SecretKeys []string `json:"secretKeys,omitempty"`
	// RulesNamespace is the namespace of the stack's PrometheusRules.
	RulesNamespace string `json:"rulesNamespace"`
}

// Workload is a Deployment.
type Workload struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Signal is one metric of the HPA.
type Signal struct {
	// Name in the custom metrics API.
	Name string `json:"name"`
	// Series in Prometheus that the adapter serves under Name.
	Series string `json:"series"`
	// Query is PromQL for what the adapter serves: one sample for each pod, with the label pod.
	Query string `json:"query"`
	// Target is the average per pod above which replicas are added, in Unit.
	Target float64 `json:"target"`
	Unit   string  `json:"unit"`
}

// Plain returns the pipeline as maps and lists, for an engine without structs.
func (p Pipeline) Plain() (map[string]any, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", PipelineKey, err)
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, fmt.Errorf("output %s: %w", PipelineKey, err)
	}
	return plain, nil
}
