package stacks

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
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
	d.exportServers()
	if prometheus := d.pipeline.collected.Prometheus; prometheus != nil && c.Monitoring.Grafana {
		ctx.Export("grafanaPortForward", pulumi.String(portForward(d.cluster, c.Namespaces.Monitoring,
			components.GrafanaService, localGrafanaPort, components.GrafanaPort)))
		ctx.Export("grafanaUser", pulumi.String(components.GrafanaAdminUser))
		ctx.Export("grafanaPassword", prometheus.GrafanaPassword)
	}
	ctx.Export("namespaces", pulumi.StringMap{"monitoring": d.namespaces.Monitoring, "serving": d.namespaces.Serving})
	ctx.Export("metrics", pulumi.ToStringArray(signals.Names(d.pipeline.backend.Served(d.enabled))))
	return d.exportAdapterRules()
}

// exportServers exports how to call each server: the outputs of the one server, or an object of them by the name of the server.
func (d *deployment) exportServers() {
	servers := pulumi.Map{}
	for _, s := range d.servers {
		c := s.config
		entry := pulumi.Map{
			"apiUrl":         s.vllm.URL,
			"apiPortForward": pulumi.String(portForward(d.cluster, c.Namespaces.Serving, s.name(), localAPIPort, c.VLLM.Port)),
			"hpaName":        s.autoscaler.Name,
		}
		if c.Exposed() {
			entry["gatewayUrl"] = pulumi.String(c.GatewayURL())
		}
		if !c.OneOfSeveral() {
			for key, value := range entry {
				d.ctx.Export(key, value)
			}
			return
		}
		entry["model"] = pulumi.String(c.Model.ID)
		servers[s.name()] = entry
	}
	d.ctx.Export("servers", servers)
}

// exportPipelines exports where everything is, for programs that look at a deployed stack: the pipeline of the one server, or an
// object of them by the name of the server.
func (d *deployment) exportPipelines() error {
	pipelines := pulumi.Map{}
	for _, s := range d.servers {
		pipeline, err := d.pipelineOf(s)
		if err != nil {
			return err
		}
		plain, err := pipeline.Plain()
		if err != nil {
			return err
		}
		if !s.config.OneOfSeveral() {
			d.ctx.Export(outputs.PipelineKey, pulumi.ToMap(plain))
			return nil
		}
		pipelines[s.name()] = pulumi.ToMap(plain)
	}
	d.ctx.Export(outputs.PipelinesKey, pipelines)
	return nil
}

// pipelineOf returns where the parts of the pipeline of a server are.
func (d *deployment) pipelineOf(s *server) (outputs.Pipeline, error) {
	c, pods := s.config, ""
	if len(d.servers) > 1 {
		pods = s.name()
	}
	served, err := signalOutputs(d.pipeline.backend.Served(s.enabled), signals.PodMatchers(c.Namespaces.Serving, pods))
	if err != nil {
		return outputs.Pipeline{}, err
	}
	pipeline := outputs.Pipeline{
		Serving: outputs.Serving{
			Namespace: c.Namespaces.Serving, Deployment: s.name(),
			Service: s.name(), Port: c.VLLM.Port, HPA: s.name(), SpareNodes: spareNodesOf(s), Others: d.othersThan(s),
		},
		Gateway:        gatewayOutput(c, s.name()),
		Metrics:        c.Metrics,
		Adapter:        outputs.Workload{Namespace: c.Namespaces.Monitoring, Name: d.pipeline.backend.Names().Adapter},
		Signals:        served,
		ServerSeries:   signals.ServerSeries(s.enabled),
		Rules:          requiredRules(s.settings, s.enabled),
		GPUMetrics:     string(d.cluster.GPUMetrics.Source),
		GPUSeries:      []string{},
		SignalInterval: c.Monitoring.SignalInterval.String(),
		ScrapeInterval: c.Monitoring.ScrapeInterval.String(),
		ColdStart:      coldStartOutput(c),
		Existing:       d.existingOutput(),
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
	if signals.ReadGPUs(s.enabled) {
		pipeline.GPUSeries = signals.GPUSeries()
	}
	return pipeline, nil
}

// coldStartOutput returns the estimate of a start of a replica, in whole seconds; nil for a simulated server, which starts at once.
func coldStartOutput(c *config.Config) *outputs.ColdStart {
	if c.GPU.Mode != config.GPUNvidia {
		return nil
	}
	estimate := c.ColdStart()
	whole := func(d time.Duration) float64 { return d.Round(time.Second).Seconds() }
	return &outputs.ColdStart{Node: whole(estimate.Node), Image: whole(estimate.Image), Weights: whole(estimate.Weights), Warmup: whole(estimate.Warmup)}
}

// signalOutputs returns the signals as the backend serves them for the pods that matchers select.
func signalOutputs(served []signals.Signal, pods string) ([]outputs.Signal, error) {
	var all []outputs.Signal
	for _, signal := range served {
		query, err := signal.PodQuery(pods)
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
