package stacks

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/outputs"
)

// exportPipeline exports where everything is, for programs that look at a deployed stack.
func exportPipeline(ctx *pulumi.Context, c *config.Config, cluster *providers.Cluster, settings signals.Settings, metrics *components.MetricsPipeline) error {
	pipeline := outputs.Pipeline{
		Serving: outputs.Serving{
			Namespace: c.Namespaces.Serving, Deployment: components.VLLMName,
			Service: components.VLLMName, Port: c.VLLM.Port, HPA: components.AutoscalerName,
		},
		Metrics:        c.Metrics,
		Adapter:        outputs.Workload{Namespace: c.Namespaces.Monitoring, Name: metrics.Adapter},
		ServerSeries:   signals.ServerSeries(),
		GPUMetrics:     string(cluster.GPUMetrics.Source),
		GPUSeries:      []string{},
		SignalInterval: c.Monitoring.SignalInterval.String(),
	}
	if metrics.Prometheus != nil {
		pipeline.Prometheus = outputs.Service{Namespace: c.Namespaces.Monitoring, Name: components.PrometheusService, Port: components.PrometheusPort}
	}
	// Where there is no kubeconfig to hand out, the user has one already.
	if cluster.Kubeconfig.OutputState == nil {
		pipeline.Kubeconfig, pipeline.Context = c.Cluster.Kubeconfig, cluster.Name
	}
	for _, signal := range metrics.Signals {
		query, err := signal.PodQuery(settings.Namespace)
		if err != nil {
			return err
		}
		pipeline.Signals = append(pipeline.Signals, outputs.Signal{
			Name: signal.Name, Series: signal.Series, Query: query, Target: signal.Target, Unit: signal.Unit,
		})
	}
	gpu := append(signals.GPUSeries(), signals.RecordGPUUtilization)
	if settings.GPUTarget > 0 {
		pipeline.GPUSeries = signals.GPUSeries()
		gpu = nil
	}
	for _, group := range signals.Rules(settings).Groups {
		for _, rule := range group.Rules {
			// What no signal needs may be without a sample, as utilisation is where nothing exports it.
			if rule.Record != "" && !slices.Contains(gpu, rule.Record) {
				pipeline.Rules = append(pipeline.Rules, rule.Record)
			}
		}
	}
	plain, err := pipeline.Plain()
	if err != nil {
		return err
	}
	ctx.Export(outputs.PipelineKey, pulumi.ToMap(plain))
	return nil
}
