package stacks

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/outputs"
)

// The ports on this machine of the commands in the outputs.
const (
	localAPIPort     = 8000
	localGrafanaPort = 3000
)

// export exports what people read.
func (d *deployment) export() error {
	ctx, c := d.ctx, d.config
	if d.cluster.Kubeconfig.OutputState != nil {
		ctx.Export(outputs.KubeconfigKey, pulumi.ToSecret(d.cluster.Kubeconfig))
	}
	ctx.Export("apiUrl", d.server.URL)
	if c.Exposed() {
		ctx.Export("gatewayUrl", pulumi.String(c.GatewayURL()))
	}
	ctx.Export("apiPortForward", pulumi.String(portForward(d.cluster, c.Namespaces.Serving, components.VLLMName, localAPIPort, c.VLLM.Port)))
	if prometheus := d.pipeline.collected.Prometheus; prometheus != nil && c.Monitoring.Grafana {
		ctx.Export("grafanaPortForward", pulumi.String(portForward(d.cluster, c.Namespaces.Monitoring,
			components.GrafanaService, localGrafanaPort, components.GrafanaPort)))
		ctx.Export("grafanaUser", pulumi.String(components.GrafanaAdminUser))
		ctx.Export("grafanaPassword", prometheus.GrafanaPassword)
	}
	ctx.Export("hpaName", d.autoscaler.Name)
	ctx.Export("namespaces", pulumi.StringMap{"monitoring": d.namespaces.Monitoring, "serving": d.namespaces.Serving})
	ctx.Export("metrics", pulumi.ToStringArray(signals.Names(d.pipeline.backend.Signals())))
	return nil
}

// exportPipeline exports where everything is, for programs that look at a deployed stack.
func (d *deployment) exportPipeline() error {
	c, backend := d.config, d.pipeline.backend.Names()
	served, err := signalOutputs(d.pipeline.backend.Signals(), d.settings)
	if err != nil {
		return err
	}
	pipeline := outputs.Pipeline{
		Serving: outputs.Serving{
			Namespace: c.Namespaces.Serving, Deployment: components.VLLMName,
			Service: components.VLLMName, Port: c.VLLM.Port, HPA: backend.Autoscaler,
		},
		Gateway:        gatewayOutput(c, components.VLLMName),
		Metrics:        c.Metrics,
		Adapter:        outputs.Workload{Namespace: c.Namespaces.Monitoring, Name: backend.Adapter},
		Signals:        served,
		ServerSeries:   signals.ServerSeries(d.enabled),
		Rules:          requiredRules(d.settings, d.enabled),
		GPUMetrics:     string(d.cluster.GPUMetrics.Source),
		GPUSeries:      []string{},
		SignalInterval: c.Monitoring.SignalInterval.String(),
		ScrapeInterval: c.Monitoring.ScrapeInterval.String(),
	}
	if prometheus := d.pipeline.collected.Prometheus; prometheus != nil {
		pipeline.Prometheus = outputs.Service{
			Namespace: c.Namespaces.Monitoring, Name: components.PrometheusService, Port: components.PrometheusPort,
		}
	}
	// Where the stack exports no kubeconfig, the user has one already.
	if d.cluster.Kubeconfig.OutputState == nil {
		pipeline.Kubeconfig, pipeline.Context = c.Cluster.Kubeconfig, d.cluster.Name
	}
	if signals.ReadGPUs(d.enabled) {
		pipeline.GPUSeries = signals.GPUSeries()
	}
	plain, err := pipeline.Plain()
	if err != nil {
		return err
	}
	d.ctx.Export(outputs.PipelineKey, pulumi.ToMap(plain))
	return nil
}

// signalOutputs returns the signals as the backend serves them.
func signalOutputs(served []signals.Signal, settings signals.Settings) ([]outputs.Signal, error) {
	var all []outputs.Signal
	for _, signal := range served {
		query, err := signal.PodQuery(settings.Namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, outputs.Signal{
			Name: signal.Name, Series: signal.Series, Query: query, Target: signal.Target, Unit: string(signal.Unit),
		})
	}
	return all, nil
}

// requiredRules lists what the recording rules write with a sample for each pod. What no signal reads may be without
// one, as the GPUs' utilisation is where nothing exports it.
func requiredRules(settings signals.Settings, enabled []signals.Signal) []string {
	var optional, required []string
	if !signals.ReadGPUs(enabled) {
		optional = append(signals.GPUSeries(), signals.RecordGPUUtilization)
	}
	for _, group := range signals.Rules(settings, enabled).Groups {
		for _, rule := range group.Rules {
			if rule.Record != "" && !slices.Contains(optional, rule.Record) {
				required = append(required, rule.Record)
			}
		}
	}
	return required
}

// portForward returns the command that forwards a Service to this machine, after the cloud's own command for the
// credentials where there is one.
func portForward(cluster *providers.Cluster, namespace, service string, local, remote int) string {
	command := fmt.Sprintf("%s --namespace %s port-forward service/%s %d:%d", cluster.Kubectl, namespace, service, local, remote)
	if cluster.Login == "" {
		return command
	}
	return cluster.Login + " && " + command
}
