package config

import (
	"fmt"
	"slices"
	"strings"

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
	// MetricsExisting collects, stores and queries with the Prometheus that the cluster's platform runs.
	MetricsExisting = "existing"
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

// ExistingMetrics reports whether the cluster's platform collects and stores the metrics.
func (c *Config) ExistingMetrics() bool { return c.Metrics == MetricsExisting }

// ownPrometheusAdapter reports whether the stack registers a prometheus-adapter.
func (c *Config) ownPrometheusAdapter() bool {
	return !c.ManagesMetrics() && c.Autoscaling.Adapter != AdapterExisting
}

// checkMetrics refuses a pipeline that the cloud does not have, and settings that the chosen one does not support.
func (c *Config) checkMetrics(r *report) {
	c.checkCloudHasMetrics(r)
	c.checkExistingMetrics(r)
	if c.ManagesMetrics() && c.Monitoring.SignalInterval < components.ManagedMinInterval {
		r.bad("monitoring.signalInterval", c.Monitoring.SignalInterval,
			fmt.Sprintf("at least %s with metrics %s: Cloud Monitoring takes a point of a series no more often",
				components.ManagedMinInterval, MetricsGoogleManaged),
			r.set("monitoring.signalInterval", components.ManagedMinInterval.String()))
	}
}

// checkCloudHasMetrics refuses the managed pipeline of another cloud.
func (c *Config) checkCloudHasMetrics(r *report) {
	var has []string
	for _, cloud := range clouds {
		if slices.Contains(cloud.ManagedMetrics, c.Metrics) {
			has = append(has, cloud.Name)
		}
	}
	// An unknown cloud is a problem already.
	if len(has) == 0 || slices.Contains(has, c.Cloud) || !slices.Contains(Clouds, c.Cloud) {
		return
	}
	r.bad("metrics", c.Metrics, fmt.Sprintf("only with cloud %s; this stack's cloud is %s", strings.Join(has, ", "), c.Cloud),
		"remove the key: Google's collectors, and the workload identity by which its adapter reads Cloud Monitoring, "+
			"are parts of GKE clusters; everywhere else the stack runs a Prometheus of its own, or uses an existing one")
}
