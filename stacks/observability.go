package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
)

// registerObservability adds dashboards and alerts, which are objects that only Grafana and the Prometheus Operator
// read.
func (d *deployment) registerObservability() error {
	monitoring, prometheus := d.config.Monitoring, d.pipeline.collected.Prometheus
	if prometheus == nil {
		if !monitoring.Dashboards && !monitoring.Alerts.Enabled {
			return nil
		}
		return d.ctx.Log.Info(fmt.Sprintf("metrics %s: no dashboards and no alerts, which are Grafana's and the Prometheus Operator's; "+
			"docs/google-managed-prometheus.md lists what to look at instead", d.config.Metrics), &pulumi.LogArgs{})
	}
	observed := d.telemetrySettings()
	needs := []pulumi.Resource{d.namespaces.MonitoringNamespace, prometheus.Release}
	if monitoring.Dashboards {
		dashboards, err := components.NewDashboards(d.ctx, "dashboards", &components.DashboardsArgs{
			Namespace: d.config.Namespaces.Monitoring,
			Settings:  observed,
			DependsOn: needs,
		}, d.inCluster)
		if err != nil {
			return err
		}
		d.observability = append(d.observability, dashboards)
	}
	if monitoring.Alerts.Enabled {
		alerting, err := components.NewAlerts(d.ctx, "alerts", &components.AlertsArgs{
			Namespace: d.config.Namespaces.Monitoring,
			Settings:  d.alertSettings(observed),
			DependsOn: needs,
		}, d.inCluster)
		if err != nil {
			return err
		}
		d.observability = append(d.observability, alerting)
	}
	return nil
}

// telemetrySettings returns what dashboards and alerts may assume about the stack.
func (d *deployment) telemetrySettings() telemetry.Settings {
	simulated, job := d.config.GPU.Metrics == string(providers.Simulated), components.GPUExporterJobs
	if simulated {
		job = ""
	}
	backend := d.pipeline.backend.Names()
	return telemetry.Settings{
		ServingNamespace:    d.config.Namespaces.Serving,
		MonitoringNamespace: d.config.Namespaces.Monitoring,
		Deployment:          components.VLLMName,
		Autoscaler:          backend.Autoscaler,
		Adapter:             backend.Adapter,
		MetricsAPI:          backend.API,
		PrometheusJob:       d.pipeline.collected.Prometheus.Job(),
		GPUJob:              job,
		SimulatedGPU:        simulated,
		Signals:             d.pipeline.backend.Signals(),
		SignalInterval:      d.config.Monitoring.SignalInterval,
	}
}

// alertSettings returns what the alerts compare with.
func (d *deployment) alertSettings(observed telemetry.Settings) alerts.Settings {
	c := d.config
	// Validated before; an absent volume is 0 bytes.
	storage, _ := resource.ParseQuantity(string(c.Monitoring.Storage))
	return alerts.Settings{
		Settings:          observed,
		Objective:         alerts.Objective{TTFT: c.SLO.TTFT, InterToken: c.SLO.InterToken, Ratio: c.SLO.Ratio},
		AtMaxFor:          c.Monitoring.Alerts.AtMaxFor,
		ColdStart:         components.ColdStart(c.VLLM.StartupBudget),
		ScrapeInterval:    c.Monitoring.ScrapeInterval,
		MaxNumSeqs:        c.Model.MaxNumSeqs,
		PrometheusStorage: storage.Value(),
		PrometheusVolume:  d.pipeline.collected.Prometheus.Volumes(),
		NoStateMetrics:    c.Monitoring.KubeStateMetrics == config.StateMetricsNone,
	}
}
