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
	monitoring, collected := d.config.Monitoring, d.pipeline.collected
	if collected.RulesNamespace == "" {
		if !monitoring.Dashboards && !monitoring.Alerts.Enabled {
			return nil
		}
		return d.ctx.Log.Info(fmt.Sprintf("metrics %s: no dashboards and no alerts, which are Grafana's and the Prometheus Operator's; "+
			"docs/google-managed-prometheus.md lists what to look at instead", d.config.Metrics), &pulumi.LogArgs{})
	}
	needs := append([]pulumi.Resource{d.namespaces.MonitoringNamespace}, collected.Kinds...)
	if collected.Prometheus == nil {
		needs = append(needs, d.namespaces.ServingNamespace)
	}
	var observed []telemetry.Settings
	var alerting []alerts.Settings
	for _, s := range d.servers {
		settings := d.telemetrySettings(s)
		observed, alerting = append(observed, settings), append(alerting, d.alertSettings(s, settings))
	}
	if monitoring.Dashboards {
		dashboards, err := components.NewDashboards(d.ctx, "dashboards", &components.DashboardsArgs{
			Namespace: d.config.Namespaces.Monitoring,
			Servers:   observed,
			DependsOn: needs,
		}, d.inCluster)
		if err != nil {
			return err
		}
		d.observability = append(d.observability, dashboards)
	}
	if monitoring.Alerts.Enabled {
		rules, err := components.NewAlerts(d.ctx, "alerts", &components.AlertsArgs{
			Namespace: collected.RulesNamespace,
			Servers:   alerting,
			DependsOn: needs,
		}, d.inCluster)
		if err != nil {
			return err
		}
		d.observability = append(d.observability, rules)
	}
	return nil
}

// telemetrySettings returns what dashboards and alerts may assume about a server.
func (d *deployment) telemetrySettings(s *server) telemetry.Settings {
	simulated, job := d.config.GPU.Metrics == string(providers.Simulated), components.GPUExporterJobs
	if simulated {
		job = ""
	}
	backend := d.pipeline.backend.Names()
	settings := telemetry.Settings{
		ServingNamespace:    d.config.Namespaces.Serving,
		MonitoringNamespace: d.config.Namespaces.Monitoring,
		Deployment:          s.name(),
		Others:              d.othersThan(s),
		SpareNodes:          spareNodesOf(s),
		Autoscaler:          s.name(),
		Adapter:             backend.Adapter,
		MetricsAPI:          backend.API,
		GPUJob:              job,
		SimulatedGPU:        simulated,
		Signals:             d.pipeline.backend.Served(s.enabled),
		NoStateMetrics:      d.config.Monitoring.KubeStateMetrics == config.StateMetricsNone,
		SignalInterval:      d.config.Monitoring.SignalInterval,
	}
	// Of another Prometheus, neither its job nor its volume is known.
	if own := d.pipeline.collected.Prometheus; own != nil {
		settings.PrometheusJob = own.Job()
	}
	return settings
}

// othersThan returns the names of the other servers.
func (d *deployment) othersThan(s *server) []string {
	var others []string
	for _, other := range d.servers {
		if other != s {
			others = append(others, other.name())
		}
	}
	return others
}

// alertSettings returns what the alerts on a server compare with.
func (d *deployment) alertSettings(s *server, observed telemetry.Settings) alerts.Settings {
	c := s.config
	// Validated before; an absent volume is 0 bytes.
	storage, _ := resource.ParseQuantity(string(c.Monitoring.Storage))
	settings := alerts.Settings{
		Settings:       observed,
		Objective:      alerts.Objective{TTFT: c.SLO.TTFT, InterToken: c.SLO.InterToken, Ratio: c.SLO.Ratio},
		AtMaxFor:       c.Monitoring.Alerts.AtMaxFor,
		StartupBudget:  c.VLLM.StartupBudget,
		ColdStart:      components.ColdStart(c.VLLM.StartupBudget),
		ScrapeInterval: c.Monitoring.ScrapeInterval,
		MaxNumSeqs:     c.ReplicaSequences(),
	}
	if own := d.pipeline.collected.Prometheus; own != nil {
		settings.PrometheusStorage, settings.PrometheusVolume = storage.Value(), own.Volumes()
	}
	return settings
}
