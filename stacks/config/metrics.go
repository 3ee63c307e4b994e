package config

import (
	"fmt"
	"slices"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// Metrics pipelines.
const (
	// MetricsPrometheusOperator runs Prometheus, by kube-prometheus-stack, and prometheus-adapter in the cluster.
	MetricsPrometheusOperator = "prometheus-operator"
	// MetricsGoogleManaged leaves collection and storage to Google's Managed Service for Prometheus, and reads from
	// it by the Custom Metrics Stackdriver Adapter.
	MetricsGoogleManaged = "google-managed"
)

// metricsPipelines lists both.
var metricsPipelines = []string{MetricsPrometheusOperator, MetricsGoogleManaged}

// imageStackdriverAdapter is the image of upstream's own manifest of August 2026.
const imageStackdriverAdapter = "gcr.io/gke-release/custom-metrics-stackdriver-adapter:v0.16.9-gke.0"

// ManagesMetrics says whether the cloud collects and stores the metrics.
func (c *Config) ManagesMetrics() bool { return c.Metrics == MetricsGoogleManaged }

// metricsReader is the ServiceAccount that reads from the cloud's store; nil where the metrics stay in the cluster.
func (c *Config) metricsReader() *providers.ServiceAccount {
	if !c.ManagesMetrics() {
		return nil
	}
	return &providers.ServiceAccount{Namespace: c.Namespaces.Monitoring, Name: components.StackdriverAdapterName}
}

// validateMetrics refuses the managed pipeline where there is none, and what it cannot do.
func (c *Config) validateMetrics(r *report) {
	if !slices.Contains(metricsPipelines, c.Metrics) {
		r.bad("metrics", c.Metrics, oneOf(metricsPipelines), "remove the key: prometheus-operator works everywhere")
	}
	if problem := imageProblem(c.Autoscaling.AdapterImage); problem != "" {
		r.bad("autoscaling.adapterImage", c.Autoscaling.AdapterImage, "an image with a version tag or a digest: "+problem,
			"for example "+imageStackdriverAdapter)
	}
	if c.ManagesMetrics() && c.Monitoring.SignalInterval < components.ManagedMinInterval {
		r.bad("monitoring.signalInterval", c.Monitoring.SignalInterval,
			fmt.Sprintf("at least %s with metrics %s: Cloud Monitoring takes a point of a series no more often",
				components.ManagedMinInterval, MetricsGoogleManaged),
			r.set("monitoring.signalInterval", components.ManagedMinInterval.String()))
	}
}
