package stacks

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/stacks/config"
)

// pipeline is what brings the signals from the server to its number of replicas.
type pipeline struct {
	collector components.Collector
	collected *components.Collection
	backend   components.Backend
	// serving lists what has to exist before an autoscaler reads metrics and has to outlive it.
	serving []pulumi.Resource
}

// pipelineParts are the two parts of a pipeline, made from the configuration.
type pipelineParts struct {
	collector func(*deployment) (components.Collector, error)
	backend   func(*deployment) components.Backend
	// adapter returns the name of the stack's adapter of the custom metrics API; "" for none.
	adapter func(*config.Config) string
	// prometheus is true where kube-prometheus-stack runs in the monitoring namespace. Its node exporter reads the files and
	// the network of its host.
	prometheus bool
}

// pipelines has a row for each value of the key metrics.
var pipelines = map[string]pipelineParts{
	config.MetricsPrometheusOperator: {
		collector: prometheusOperator, backend: prometheusAdapter, adapter: always(components.PrometheusAdapterRelease), prometheus: true,
	},
	config.MetricsGoogleManaged: {collector: googleManaged, backend: stackdriverAdapter, adapter: always(components.StackdriverAdapterName)},
	config.MetricsExisting:      {collector: existingPrometheus, backend: existingBackend, adapter: existingAdapter},
}

func always(name string) func(*config.Config) string {
	return func(*config.Config) string { return name }
}

// registerPipeline registers the pipeline that the configuration chooses, up to the metrics API.
func (d *deployment) registerPipeline() (err error) {
	parts, found := pipelines[d.config.Metrics]
	if !found {
		return fmt.Errorf("metrics %q has no pipeline", d.config.Metrics)
	}
	if d.pipeline.collector, err = parts.collector(d); err != nil {
		return err
	}
	if d.pipeline.collected, err = d.pipeline.collector.Collect(d.ctx, d.inCluster); err != nil {
		return err
	}
	d.pipeline.backend = parts.backend(d)
	if d.pipeline.serving, err = d.pipeline.backend.Serve(d.ctx, d.pipeline.collected, d.inCluster); err != nil {
		return err
	}
	return d.checkRival()
}

// prometheusOperator returns the collector that runs in the cluster.
func prometheusOperator(d *deployment) (components.Collector, error) {
	c := d.config
	return &components.PrometheusOperatorCollector{
		Stack: &components.KubePrometheusStackArgs{
			Namespace:           c.Namespaces.Monitoring,
			ServingNamespace:    c.Namespaces.Serving,
			SpareNodes:          d.spareNodes(),
			WatchNamespaces:     c.Monitoring.WatchNamespaces,
			Chart:               chart(c.Charts.KubePrometheusStack, "kube-prometheus-stack"),
			ScrapeInterval:      c.Monitoring.ScrapeInterval,
			EvaluationInterval:  c.Monitoring.EvaluationInterval,
			Retention:           c.Monitoring.Retention,
			Storage:             string(c.Monitoring.Storage),
			StorageClass:        cmp.Or(c.Monitoring.StorageClass, d.cluster.StorageClass),
			UpgradeCRDs:         c.Monitoring.UpgradeCRDs,
			NoNodeExporter:      c.Monitoring.NodeExporter == config.NodeExporterNone,
			NoStateMetrics:      c.Monitoring.KubeStateMetrics == config.StateMetricsNone,
			SharedStateMetrics:  sharedStateMetrics(c),
			SharedOperator:      c.Monitoring.Operator == config.OperatorShared,
			ControlPlaneScrapes: d.cluster.ControlPlaneScrapes,
			CoreDNSScrapes:      d.cluster.CoreDNSScrapes,
			Grafana:             c.Monitoring.Grafana,
			GrafanaPassword:     c.Monitoring.GrafanaPassword.Input(),
			Metadata:            d.metadata(),
			Values:              releaseValues(c.Charts.KubePrometheusStack),
			DependsOn:           d.monitoring,
		},
		Exporter: d.gpuExporter(),
		Rules: &components.GPURulesArgs{
			Namespace: c.Namespaces.Monitoring,
			Settings:  d.settings,
			Signals:   d.enabled,
			DependsOn: d.monitoring,
		},
	}, nil
}

// sharedStateMetrics returns the kube-state-metrics of the cluster that the stack's Prometheus scrapes; nil for none.
func sharedStateMetrics(c *config.Config) *components.StateMetricsTarget {
	if c.Monitoring.KubeStateMetrics != config.StateMetricsShared {
		return nil
	}
	service := c.Monitoring.KubeStateMetricsService
	return &components.StateMetricsTarget{Namespace: service.Namespace, Labels: service.Labels, Port: service.Port}
}

// gpuExporter returns the arguments of the GPU exporter.
func (d *deployment) gpuExporter() *components.DCGMExporterArgs {
	c := d.config
	return &components.DCGMExporterArgs{
		Namespace:      c.Namespaces.Monitoring,
		Metrics:        d.cluster.GPUMetrics,
		Chart:          chart(c.Charts.DCGMExporter, "dcgm-exporter"),
		Nodes:          d.cluster.GPUNodes(),
		ScrapeInterval: c.Monitoring.SignalInterval,
		Metadata:       d.metadata(),
		Values:         releaseValues(c.Charts.DCGMExporter),
		DependsOn:      slices.Concat(d.gpus, d.monitoring),
	}
}

// prometheusAdapter returns the backend on a Prometheus that the collector names.
func prometheusAdapter(d *deployment) components.Backend {
	c := d.config
	return &components.PrometheusAdapterBackend{
		Adapter: &components.PrometheusAdapterArgs{
			Namespace:      c.Namespaces.Monitoring,
			Chart:          chart(c.Charts.PrometheusAdapter, "prometheus-adapter"),
			ListenPort:     d.cluster.AggregatedAPIPort,
			RelistInterval: c.Autoscaling.RelistInterval,
			Replicas:       c.Autoscaling.AdapterReplicas,
			Signals:        d.enabled,
			Metadata:       d.metadata(),
			Values:         releaseValues(c.Charts.PrometheusAdapter),
		},
		Namespaces: append(slices.Clone(d.monitoring), d.namespaces.ServingNamespace),
	}
}

// googleManaged returns the collector that adds to what GKE runs.
func googleManaged(d *deployment) (components.Collector, error) {
	managed := d.cluster.ManagedMetrics
	if managed == nil {
		return nil, fmt.Errorf("cluster %q collects no metrics by itself", d.cluster.Name)
	}
	return &components.GoogleManagedCollector{
		CollectorNamespace: managed.CollectorNamespace,
		ManagedScraper: components.ManagedScraper{
			Interval: max(d.config.Monitoring.ScrapeInterval, components.ManagedMinInterval),
			Series:   signals.ServerSeries(d.enabled),
		},
		Objects: &components.GoogleManagedPrometheusArgs{
			GPUMetrics: d.cluster.GPUMetrics,
			Settings:   d.settings,
			Signals:    d.enabled,
			DependsOn:  append(slices.Clone(d.gpus), d.cluster.Ready...),
		},
	}, nil
}

// stackdriverAdapter returns the backend on Cloud Monitoring.
func stackdriverAdapter(d *deployment) components.Backend {
	c := d.config
	return &components.StackdriverBackend{
		Adapter: &components.StackdriverAdapterArgs{
			Namespace:        c.Namespaces.Monitoring,
			ServingNamespace: c.Namespaces.Serving,
			Image:            c.Autoscaling.AdapterImage,
			ListenPort:       d.cluster.AggregatedAPIPort,
			Replicas:         c.Autoscaling.AdapterReplicas,
			Signals:          d.enabled,
			// The adapter ends at its start until its ServiceAccount may read.
			DependsOn: d.cluster.ManagedMetrics.Access,
		},
		Namespaces: append(slices.Clone(d.monitoring), d.namespaces.ServingNamespace),
	}
}
