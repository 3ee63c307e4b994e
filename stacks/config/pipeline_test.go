package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

func TestManagedMetricsOnGKE(t *testing.T) {
	own := read(t, CloudGKE, onCloud(CloudGKE, nil))
	assert.Equal(t, MetricsPrometheusOperator, own.Metrics, "the default")
	assert.Nil(t, own.request(nil).MetricsReader, "nobody reads from Cloud Monitoring")
	assert.Equal(t, 2*time.Second, own.Monitoring.SignalInterval)

	managed := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{"metrics": "google-managed", "namespaces.monitoring": "metrics"}))
	assert.Equal(t, components.ManagedMinInterval, managed.Monitoring.SignalInterval)
	assert.Equal(t, &providers.ServiceAccount{Namespace: "metrics", Name: "custom-metrics-stackdriver-adapter"}, managed.request(nil).MetricsReader)
	assert.Equal(t, imageStackdriverAdapter, managed.Autoscaling.AdapterImage)

	// Keys that only the other pipeline uses stay allowed, so that changing one key switches the pipeline.
	managed = read(t, CloudGKE, onCloud(CloudGKE, map[string]any{
		"metrics": "google-managed", "monitoring.storage": "50Gi", "charts.kubePrometheusStack.repository": "oci://registry.example.com/charts",
		// Valid for the other pipeline, and below this one's default of monitoring.signalInterval.
		"autoscaling.relistInterval": "4s",
	}))
	assert.Empty(t, managed.Warnings(), "nor is it worth a warning")
}
