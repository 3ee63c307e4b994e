package config

import (
	"fmt"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/gke"
)

// Metrics pipelines.
const (
	// MetricsPrometheusOperator runs Prometheus, by kube-prometheus-stack, and prometheus-adapter in the cluster.
	MetricsPrometheusOperator = "prometheus-operator"
	// MetricsGoogleManaged collects and stores metrics with Google Cloud Managed Service for Prometheus and reads them
	// with the Custom Metrics Stackdriver Adapter.
	MetricsGoogleManaged = gke.ManagedMetrics
)

// ManagesMetrics reports whether the cloud collects and stores the metrics.
func (c *Config) ManagesMetrics() bool { return c.Metrics == MetricsGoogleManaged }

// metricsReader returns the ServiceAccount that reads from the cloud's metrics store, or nil if the metrics stay in the
// cluster.
func (c *Config) metricsReader() *providers.ServiceAccount {
	if !c.ManagesMetrics() {
		return nil
	}
	return &providers.ServiceAccount{Namespace: c.Namespaces.Monitoring, Name: components.StackdriverAdapterName}
}

// checkMetrics refuses settings that the managed pipeline does not support.
func (c *Config) checkMetrics(r *report) {
	if c.ManagesMetrics() && c.Monitoring.SignalInterval < components.ManagedMinInterval {
		r.bad("monitoring.signalInterval", c.Monitoring.SignalInterval,
			fmt.Sprintf("at least %s with metrics %s: Cloud Monitoring takes a point of a series no more often",
				components.ManagedMinInterval, MetricsGoogleManaged),
			r.set("monitoring.signalInterval", components.ManagedMinInterval.String()))
	}
}
