package stacks

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/outputs"
)

// devicePluginNamespace is Kubernetes' own: what makes GPUs usable belongs to the nodes, and pods of
// its priority are welcome nowhere else by default.
const devicePluginNamespace = "kube-system"

// Deploy is the program: it reads the stack's configuration and registers everything that follows
// from it, in the order of the path from a cluster to a replica count. Nothing is registered when
// the configuration is wrong or the cluster does not answer.
func Deploy(ctx *pulumi.Context) error {
	c, err := config.Load(ctx)
	if err != nil {
		return err
	}
	for _, warning := range c.Warnings() {
		if err := ctx.Log.Warn(warning.String(), &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	settings := signalSettings(c)
	catalogue, err := signals.Catalogue(settings)
	if err != nil {
		return err
	}

	cluster, err := c.NewCluster(ctx)
	if err != nil {
		return err
	}
	inCluster := pulumi.Provider(cluster.Provider)

	// What nodes are made of comes before everything that runs on them, and goes after it: pods that end
	// leave nodes to remove, and nothing may wait for nodes that nobody adds.
	ready := cluster.Ready
	if cluster.NodeAutoscaler != nil {
		autoscaler, err := components.NewClusterAutoscaler(ctx, "node-autoscaler", &components.ClusterAutoscalerArgs{
			Autoscaler: *cluster.NodeAutoscaler,
			Chart:      chart(c.Charts.ClusterAutoscaler, "cluster-autoscaler"),
			Values:     releaseValues(c.Charts.ClusterAutoscaler),
			DependsOn:  cluster.Ready,
		}, inCluster)
		if err != nil {
			return err
		}
		ready = append(slices.Clone(ready), autoscaler.Release)
	}
	// gpus is what tells Kubernetes of the GPUs, where the cloud does not.
	var gpus []pulumi.Resource
	if cluster.InstallDevicePlugin {
		plugin, err := components.NewDevicePlugin(ctx, "device-plugin", &components.DevicePluginArgs{
			Namespace: devicePluginNamespace,
			Chart:     chart(c.Charts.DevicePlugin, "nvidia-device-plugin"),
			GPU:       cluster.GPU,
			Values:    releaseValues(c.Charts.DevicePlugin),
			DependsOn: ready,
		}, inCluster)
		if err != nil {
			return err
		}
		gpus = []pulumi.Resource{plugin.Release}
	}

	namespaces, err := components.NewNamespaces(ctx, "namespaces", &components.NamespacesArgs{
		Monitoring: c.Namespaces.Monitoring,
		Serving:    c.Namespaces.Serving,
		// Only kube-prometheus-stack has pods that read their host.
		Restricted: c.ManagesMetrics(),
		DependsOn:  ready,
	}, inCluster)
	if err != nil {
		return err
	}

	pipeline, err := newMetricsPipeline(ctx, c, pipelineNeeds{
		cluster: cluster, namespaces: namespaces, gpus: gpus, settings: settings, catalogue: catalogue,
		opts: []pulumi.ResourceOption{inCluster},
	})
	if err != nil {
		return err
	}
	// monitoring is what brings the kinds that the pipeline's objects are of, where the cluster has not got them.
	var monitoring []pulumi.Resource
	if pipeline.Prometheus != nil {
		monitoring = []pulumi.Resource{pipeline.Prometheus.Release}
	}

	vllm, err := components.NewVLLM(ctx, "vllm", &components.VLLMArgs{
		Namespace:           c.Namespaces.Serving,
		MonitoringNamespace: pipeline.CollectorNamespace,
		Scraper:             pipeline.Scraper,
		Engine:              engine(c),
		Image:               c.VLLM.Image,
		Port:                c.VLLM.Port,
		Model:               servedModel(c),
		Simulation:          components.DefaultSimulation,
		HuggingFaceToken:    c.HuggingFaceToken.Input(),
		APIKey:              c.APIKey.Input(),
		CPU:                 string(c.VLLM.CPU),
		Memory:              string(c.VLLM.Memory),
		SharedMemory:        string(c.VLLM.Shm),
		ModelCache:          string(c.VLLM.ModelCache),
		StartupBudget:       c.VLLM.StartupBudget,
		PreStop:             c.VLLM.PreStop,
		ShutdownTimeout:     c.VLLM.ShutdownTimeout,
		ClientNamespaces:    c.VLLM.ClientNamespaces,
		NodeSelector:        c.VLLM.NodeSelector,
		PriorityClassName:   c.VLLM.PriorityClassName,
		GPU:                 cluster.GPU,
		Env:                 cluster.ServerEnv,
		ScrapeInterval:      c.Monitoring.SignalInterval,
		MaxReplicas:         c.Autoscaling.MaxReplicas,
		DependsOn:           append(slices.Clone(gpus), namespaces.ServingNamespace),
		MonitoringCRDs:      monitoring,
	}, inCluster)
	if err != nil {
		return err
	}

	autoscaler, err := components.NewAutoscaler(ctx, "autoscaler", &components.AutoscalerArgs{
		Namespace:      c.Namespaces.Serving,
		DeploymentName: components.VLLMName,
		MinReplicas:    c.Autoscaling.MinReplicas,
		MaxReplicas:    c.Autoscaling.MaxReplicas,
		Signals:        pipeline.Signals,
		ScaleUp:        components.ScalingRules(c.Autoscaling.ScaleUp),
		ScaleDown: components.ScalingRules{
			Stabilization: c.Autoscaling.ScaleDown.Stabilization,
			Pods:          c.Autoscaling.ScaleDown.Pods,
			Period:        c.Autoscaling.ScaleDown.Period,
		},
		DependsOn: append([]pulumi.Resource{namespaces.ServingNamespace, vllm.Deployment}, pipeline.Serving...),
	}, inCluster)
	if err != nil {
		return err
	}

	if err := observe(ctx, c, catalogue, namespaces, pipeline, inCluster); err != nil {
		return err
	}

	if cluster.Kubeconfig.OutputState != nil {
		ctx.Export(outputs.KubeconfigKey, pulumi.ToSecret(cluster.Kubeconfig))
	}
	ctx.Export("apiUrl", vllm.URL)
	ctx.Export("apiPortForward", pulumi.String(portForward(cluster, c.Namespaces.Serving,
		components.VLLMName, 8000, c.VLLM.Port)))
	if pipeline.Prometheus != nil && c.Monitoring.Grafana {
		ctx.Export("grafanaPortForward", pulumi.String(portForward(cluster, c.Namespaces.Monitoring,
			components.GrafanaService, 3000, 80)))
		ctx.Export("grafanaUser", pulumi.String(components.GrafanaAdminUser))
		ctx.Export("grafanaPassword", pipeline.Prometheus.GrafanaPassword)
	}
	ctx.Export("hpaName", autoscaler.Name)
	ctx.Export("namespaces", pulumi.StringMap{"monitoring": namespaces.Monitoring, "serving": namespaces.Serving})
	ctx.Export("metrics", pulumi.ToStringArray(signals.Names(pipeline.Signals)))
	return exportPipeline(ctx, c, cluster, settings, pipeline)
}

// observe adds what people watch the stack with. It is made of objects that only the Prometheus Operator and
// Grafana read.
func observe(ctx *pulumi.Context, c *config.Config, catalogue []signals.Signal, namespaces *components.Namespaces,
	pipeline *components.MetricsPipeline, opts ...pulumi.ResourceOption,
) error {
	if pipeline.Prometheus == nil {
		if !c.Monitoring.Dashboards && !c.Monitoring.Alerts.Enabled {
			return nil
		}
		return ctx.Log.Info(fmt.Sprintf("metrics %s: no dashboards and no alerts, which are Grafana's and the Prometheus Operator's; "+
			"docs/google-managed-prometheus.md says what to look at instead", c.Metrics), &pulumi.LogArgs{})
	}
	observed := telemetrySettings(c, catalogue)
	needs := []pulumi.Resource{namespaces.MonitoringNamespace, pipeline.Prometheus.Release}
	if c.Monitoring.Dashboards {
		if _, err := components.NewDashboards(ctx, "dashboards", &components.DashboardsArgs{
			Namespace: c.Namespaces.Monitoring,
			Settings:  observed,
			DependsOn: needs,
		}, opts...); err != nil {
			return err
		}
	}
	if c.Monitoring.Alerts.Enabled {
		if _, err := components.NewAlerts(ctx, "alerts", &components.AlertsArgs{
			Namespace: c.Namespaces.Monitoring,
			Settings:  alertSettings(c, observed),
			DependsOn: needs,
		}, opts...); err != nil {
			return err
		}
	}
	return nil
}

// engine is the server that the configuration chooses.
func engine(c *config.Config) components.Engine {
	if c.GPU.Mode == config.GPUSimulated {
		return components.EngineSimulator
	}
	return components.EngineVLLM
}

// servedModel is the model as the server takes it.
func servedModel(c *config.Config) components.Model {
	m := c.Model
	return components.Model{
		ID: m.ID, Revision: m.Revision, MaxModelLen: m.MaxModelLen, MaxNumSeqs: m.MaxNumSeqs,
		GPUMemoryUtilization: m.GPUMemoryUtilization, DType: m.DType, ExtraArgs: m.ExtraArgs,
	}
}

// signalSettings are the settings that the catalogue of signals follows from.
func signalSettings(c *config.Config) signals.Settings {
	s := c.Autoscaling.Signals
	return signals.Settings{
		Namespace:        c.Namespaces.Serving,
		RunningTarget:    targetOf(s.RequestsRunning.Enabled, s.RequestsRunning.Target),
		WaitingTarget:    targetOf(s.RequestsWaiting.Enabled, s.RequestsWaiting.Target),
		GPUTarget:        targetOf(s.GPUUtilization.Enabled, s.GPUUtilization.Target),
		GPUGuardRequests: s.GPUUtilization.GuardRequests,
		Interval:         c.Monitoring.SignalInterval,
		SimulateGPU:      c.GPU.Metrics == string(providers.Simulated),
		MaxNumSeqs:       c.Model.MaxNumSeqs,
	}
}

// targetOf returns a signal's target, or 0 for a signal that is off.
func targetOf(enabled bool, target float64) float64 {
	if !enabled {
		return 0
	}
	return target
}

// gpuExporterJob matches the job of the GPU exporter's targets: its Service's name, or namespace and name
// of a cloud exporter's PodMonitor.
const gpuExporterJob = "(.+/)?" + components.DCGMExporterName

// telemetrySettings are what dashboards and alerts may assume about the stack.
func telemetrySettings(c *config.Config, catalogue []signals.Signal) telemetry.Settings {
	simulated, job := c.GPU.Metrics == string(providers.Simulated), gpuExporterJob
	if simulated {
		job = ""
	}
	return telemetry.Settings{
		ServingNamespace:    c.Namespaces.Serving,
		MonitoringNamespace: c.Namespaces.Monitoring,
		Deployment:          components.VLLMName,
		Autoscaler:          components.AutoscalerName,
		Adapter:             components.PrometheusAdapterRelease,
		PrometheusJob:       components.PrometheusService,
		GPUJob:              job,
		SimulatedGPU:        simulated,
		Signals:             catalogue,
		SignalInterval:      c.Monitoring.SignalInterval,
	}
}

// alertSettings are what the alerts measure against.
func alertSettings(c *config.Config, observed telemetry.Settings) alerts.Settings {
	// Validated before; an absent volume is 0 bytes.
	storage, _ := resource.ParseQuantity(string(c.Monitoring.Storage))
	return alerts.Settings{
		Settings:          observed,
		TTFTObjective:     c.Monitoring.Alerts.TTFTObjective,
		TTFTRatio:         c.Monitoring.Alerts.TTFTRatio,
		AtMaxFor:          c.Monitoring.Alerts.AtMaxFor,
		ColdStart:         components.ColdStart(c.VLLM.StartupBudget),
		MaxNumSeqs:        c.Model.MaxNumSeqs,
		PrometheusStorage: storage.Value(),
		PrometheusVolume:  components.PrometheusVolumes(),
	}
}

// chart completes a chart with its name in the repository.
func chart(c config.Chart, name string) helm.Chart {
	return helm.Chart{Name: name, Version: c.Version, Repository: c.Repository, SecretRepository: c.Secret()}
}

// releaseValues are the chart's values for its release. Where the stack file encrypts one, all of them are
// secrets: the engine hands them over decrypted, and says of the whole object only that it holds a secret.
func releaseValues(c config.Chart) map[string]any {
	if !c.Secret() {
		return c.Values
	}
	return secretValues(c.Values)
}

// secretValues makes everything in an object a secret, but for its names, which are merged with others, and
// for nulls, which take a chart's default back.
func secretValues(values map[string]any) map[string]any {
	secrets := make(map[string]any, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case nil:
			secrets[name] = nil
		case map[string]any:
			secrets[name] = secretValues(value)
		default:
			secrets[name] = pulumi.ToSecret(pulumi.Any(value))
		}
	}
	return secrets
}

// portForward is the command that brings a Service to this machine, with the cloud's own for the
// credentials where it takes one.
func portForward(cluster *providers.Cluster, namespace, service string, local, remote int) string {
	command := fmt.Sprintf("%s --namespace %s port-forward service/%s %d:%d", cluster.Kubectl, namespace, service, local, remote)
	if cluster.Login == "" {
		return command
	}
	return cluster.Login + " && " + command
}
