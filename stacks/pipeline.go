package stacks

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
)

// pipelineNeeds is what both pipelines are built on.
type pipelineNeeds struct {
	cluster    *providers.Cluster
	namespaces *components.Namespaces
	// gpus is what tells Kubernetes of the GPUs, where the cloud does not.
	gpus      []pulumi.Resource
	settings  signals.Settings
	catalogue []signals.Signal
	opts      []pulumi.ResourceOption
}

// newMetricsPipeline builds the pipeline that the configuration chooses, and hands the custom metrics API to it.
func newMetricsPipeline(ctx *pulumi.Context, c *config.Config, needs pipelineNeeds) (*components.MetricsPipeline, error) {
	build := newPrometheusPipeline
	if c.ManagesMetrics() {
		build = newGoogleManagedPipeline
	}
	pipeline, err := build(ctx, c, needs)
	if err != nil {
		return nil, err
	}
	api, err := components.NewMetricsAPI(ctx, "metrics-api", &components.MetricsAPIArgs{
		Namespace: c.Namespaces.Monitoring,
		Service:   pipeline.Adapter,
		// Both namespaces, because destroy has to take the APIService away before either: one whose pods are gone
		// keeps every namespace in the cluster from being deleted.
		DependsOn: slices.Concat(pipeline.Serving,
			[]pulumi.Resource{needs.namespaces.MonitoringNamespace, needs.namespaces.ServingNamespace}),
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	pipeline.Serving = append(pipeline.Serving, api.APIService)
	return pipeline, nil
}

// newPrometheusPipeline runs everything in the cluster.
func newPrometheusPipeline(ctx *pulumi.Context, c *config.Config, needs pipelineNeeds) (*components.MetricsPipeline, error) {
	cluster, namespaces := needs.cluster, needs.namespaces
	monitoring, err := components.NewKubePrometheusStack(ctx, "monitoring", &components.KubePrometheusStackArgs{
		Namespace:           c.Namespaces.Monitoring,
		Chart:               chart(c.Charts.KubePrometheusStack, "kube-prometheus-stack"),
		ScrapeInterval:      c.Monitoring.ScrapeInterval,
		EvaluationInterval:  c.Monitoring.EvaluationInterval,
		Retention:           c.Monitoring.Retention,
		Storage:             string(c.Monitoring.Storage),
		StorageClass:        cmp.Or(c.Monitoring.StorageClass, cluster.StorageClass),
		ControlPlaneScrapes: cluster.ControlPlaneScrapes,
		Grafana:             c.Monitoring.Grafana,
		GrafanaPassword:     c.Monitoring.GrafanaPassword.Input(),
		Values:              releaseValues(c.Charts.KubePrometheusStack),
		DependsOn:           []pulumi.Resource{namespaces.MonitoringNamespace},
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	if _, err := components.NewDCGMExporter(ctx, "gpu-metrics", &components.DCGMExporterArgs{
		Namespace:      c.Namespaces.Monitoring,
		Metrics:        cluster.GPUMetrics,
		Chart:          chart(c.Charts.DCGMExporter, "dcgm-exporter"),
		GPU:            cluster.GPU,
		ScrapeInterval: c.Monitoring.SignalInterval,
		Values:         releaseValues(c.Charts.DCGMExporter),
		DependsOn:      append(slices.Clone(needs.gpus), namespaces.MonitoringNamespace, monitoring.Release),
	}, needs.opts...); err != nil {
		return nil, err
	}
	rules, err := components.NewGPURules(ctx, "signal-rules", &components.GPURulesArgs{
		Namespace: c.Namespaces.Monitoring,
		Settings:  needs.settings,
		DependsOn: []pulumi.Resource{namespaces.MonitoringNamespace, monitoring.Release},
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	adapter, err := components.NewPrometheusAdapter(ctx, "metrics-adapter", &components.PrometheusAdapterArgs{
		Namespace:      c.Namespaces.Monitoring,
		Chart:          chart(c.Charts.PrometheusAdapter, "prometheus-adapter"),
		PrometheusURL:  components.PrometheusURL(c.Namespaces.Monitoring),
		PrometheusPort: components.PrometheusPort,
		ListenPort:     cluster.AggregatedAPIPort,
		RelistInterval: c.Autoscaling.RelistInterval,
		Replicas:       c.Autoscaling.AdapterReplicas,
		Signals:        needs.catalogue,
		Values:         releaseValues(c.Charts.PrometheusAdapter),
		DependsOn:      []pulumi.Resource{namespaces.MonitoringNamespace, namespaces.ServingNamespace, monitoring.Release},
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	return &components.MetricsPipeline{
		Signals:            needs.catalogue,
		Adapter:            components.PrometheusAdapterRelease,
		CollectorNamespace: c.Namespaces.Monitoring,
		Scraper:            components.PrometheusScraper{},
		Serving:            []pulumi.Resource{rules.Rule, adapter.Release},
		Prometheus:         monitoring,
	}, nil
}

// newGoogleManagedPipeline adds to what GKE runs.
func newGoogleManagedPipeline(ctx *pulumi.Context, c *config.Config, needs pipelineNeeds) (*components.MetricsPipeline, error) {
	managed := needs.cluster.ManagedMetrics
	if managed == nil {
		return nil, fmt.Errorf("cluster %q collects no metrics by itself", needs.cluster.Name)
	}
	collection, err := components.NewGoogleManagedPrometheus(ctx, "managed-collection", &components.GoogleManagedPrometheusArgs{
		GPUMetrics: needs.cluster.GPUMetrics,
		Settings:   needs.settings,
		DependsOn:  append(slices.Clone(needs.gpus), needs.cluster.Ready...),
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	renamed := signals.ForCloudMonitoring(needs.catalogue)
	adapter, err := components.NewStackdriverAdapter(ctx, "stackdriver-adapter", &components.StackdriverAdapterArgs{
		Namespace:        c.Namespaces.Monitoring,
		ServingNamespace: c.Namespaces.Serving,
		Image:            c.Autoscaling.AdapterImage,
		ListenPort:       needs.cluster.AggregatedAPIPort,
		Replicas:         c.Autoscaling.AdapterReplicas,
		Signals:          renamed,
		DependsOn: append(slices.Clone(managed.Access),
			needs.namespaces.MonitoringNamespace, needs.namespaces.ServingNamespace),
	}, needs.opts...)
	if err != nil {
		return nil, err
	}
	return &components.MetricsPipeline{
		Signals:            renamed,
		Adapter:            components.StackdriverAdapterName,
		CollectorNamespace: managed.CollectorNamespace,
		Scraper:            components.ManagedScraper{Interval: max(c.Monitoring.ScrapeInterval, components.ManagedMinInterval)},
		Serving:            slices.Concat(collection.Objects, adapter.Objects),
	}, nil
}
