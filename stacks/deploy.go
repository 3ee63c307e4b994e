package stacks

import (
	"errors"
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
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/existing"
	"vllm-autoscaling/providers/gke"
	"vllm-autoscaling/stacks/outputs"
)

// devicePluginNamespace is Kubernetes' own: what makes GPUs usable belongs to the nodes, and pods of
// its priority are welcome nowhere else by default.
const devicePluginNamespace = "kube-system"

// Deploy is the program: it reads the stack's configuration and registers everything that follows
// from it, in the order of the path from a cluster to a replica count. Nothing is registered when
// the configuration is wrong or the cluster does not answer.
func Deploy(ctx *pulumi.Context) error {
	config, err := Load(ctx)
	if err != nil {
		return err
	}
	for _, warning := range config.Warnings() {
		if err := ctx.Log.Warn(warning.String(), &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	settings := config.signalSettings()
	catalogue, err := signals.Catalogue(settings)
	if err != nil {
		return err
	}

	cluster, err := config.newCluster(ctx)
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
			Chart:      config.Charts.ClusterAutoscaler.named("cluster-autoscaler"),
			Values:     config.Charts.ClusterAutoscaler.releaseValues(),
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
			Chart:     config.Charts.DevicePlugin.named("nvidia-device-plugin"),
			GPU:       cluster.GPU,
			Values:    config.Charts.DevicePlugin.releaseValues(),
			DependsOn: ready,
		}, inCluster)
		if err != nil {
			return err
		}
		gpus = []pulumi.Resource{plugin.Release}
	}

	namespaces, err := components.NewNamespaces(ctx, "namespaces", &components.NamespacesArgs{
		Monitoring: config.Namespaces.Monitoring,
		Serving:    config.Namespaces.Serving,
		// Only kube-prometheus-stack has pods that read their host.
		Restricted: config.managesMetrics(),
		DependsOn:  ready,
	}, inCluster)
	if err != nil {
		return err
	}

	pipeline, err := config.newMetricsPipeline(ctx, pipelineNeeds{
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
		Namespace:           config.Namespaces.Serving,
		MonitoringNamespace: pipeline.CollectorNamespace,
		Scraper:             pipeline.Scraper,
		Engine:              choose(config.GPU.Mode == GPUSimulated, components.EngineSimulator, components.EngineVLLM),
		Image:               config.VLLM.Image,
		Port:                config.VLLM.Port,
		Model:               config.servedModel(),
		Simulation:          components.DefaultSimulation,
		HuggingFaceToken:    config.HuggingFaceToken.Input(),
		APIKey:              config.APIKey.Input(),
		CPU:                 string(config.VLLM.CPU),
		Memory:              string(config.VLLM.Memory),
		SharedMemory:        string(config.VLLM.Shm),
		ModelCache:          string(config.VLLM.ModelCache),
		StartupBudget:       config.VLLM.StartupBudget,
		PreStop:             config.VLLM.PreStop,
		ShutdownTimeout:     config.VLLM.ShutdownTimeout,
		ClientNamespaces:    config.VLLM.ClientNamespaces,
		NodeSelector:        config.VLLM.NodeSelector,
		PriorityClassName:   config.VLLM.PriorityClassName,
		GPU:                 cluster.GPU,
		Env:                 cluster.ServerEnv,
		ScrapeInterval:      config.Monitoring.SignalInterval,
		MaxReplicas:         config.Autoscaling.MaxReplicas,
		DependsOn:           append(slices.Clone(gpus), namespaces.ServingNamespace),
		MonitoringCRDs:      monitoring,
	}, inCluster)
	if err != nil {
		return err
	}

	autoscaler, err := components.NewAutoscaler(ctx, "autoscaler", &components.AutoscalerArgs{
		Namespace:      config.Namespaces.Serving,
		DeploymentName: components.VLLMName,
		MinReplicas:    config.Autoscaling.MinReplicas,
		MaxReplicas:    config.Autoscaling.MaxReplicas,
		Signals:        pipeline.Signals,
		ScaleUp:        components.ScalingRules(config.Autoscaling.ScaleUp),
		ScaleDown: components.ScalingRules{
			Stabilization: config.Autoscaling.ScaleDown.Stabilization,
			Pods:          config.Autoscaling.ScaleDown.Pods,
			Period:        config.Autoscaling.ScaleDown.Period,
		},
		DependsOn: append([]pulumi.Resource{namespaces.ServingNamespace, vllm.Deployment}, pipeline.Serving...),
	}, inCluster)
	if err != nil {
		return err
	}

	if err := config.observe(ctx, catalogue, namespaces, pipeline, inCluster); err != nil {
		return err
	}

	if cluster.Kubeconfig.OutputState != nil {
		ctx.Export(outputs.KubeconfigKey, pulumi.ToSecret(cluster.Kubeconfig))
	}
	ctx.Export("apiUrl", vllm.URL)
	ctx.Export("apiPortForward", pulumi.String(portForward(cluster, config.Namespaces.Serving,
		components.VLLMName, 8000, config.VLLM.Port)))
	if pipeline.Prometheus != nil && config.Monitoring.Grafana {
		ctx.Export("grafanaPortForward", pulumi.String(portForward(cluster, config.Namespaces.Monitoring,
			components.GrafanaService, 3000, 80)))
		ctx.Export("grafanaUser", pulumi.String(components.GrafanaAdminUser))
		ctx.Export("grafanaPassword", pipeline.Prometheus.GrafanaPassword)
	}
	ctx.Export("hpaName", autoscaler.Name)
	ctx.Export("namespaces", pulumi.StringMap{"monitoring": namespaces.Monitoring, "serving": namespaces.Serving})
	ctx.Export("metrics", pulumi.ToStringArray(signals.Names(pipeline.Signals)))
	return config.exportPipeline(ctx, cluster, settings, pipeline)
}

// observe adds what people watch the stack with. It is made of objects that only the Prometheus Operator and
// Grafana read.
func (c *Config) observe(ctx *pulumi.Context, catalogue []signals.Signal, namespaces *components.Namespaces,
	pipeline *components.MetricsPipeline, opts ...pulumi.ResourceOption,
) error {
	if pipeline.Prometheus == nil {
		if !c.Monitoring.Dashboards && !c.Monitoring.Alerts.Enabled {
			return nil
		}
		return ctx.Log.Info(fmt.Sprintf("metrics %s: no dashboards and no alerts, which are Grafana's and the Prometheus Operator's; "+
			"docs/google-managed-prometheus.md says what to look at instead", c.Metrics), &pulumi.LogArgs{})
	}
	observed := c.telemetrySettings(catalogue)
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
			Settings:  c.alertSettings(observed),
			DependsOn: needs,
		}, opts...); err != nil {
			return err
		}
	}
	return nil
}

// newCluster returns the place that the configuration chooses.
func (c *Config) newCluster(ctx *pulumi.Context) (*providers.Cluster, error) {
	switch c.Cloud {
	case CloudLocal:
		return existing.New(ctx, "cluster", existing.Args{
			Kubeconfig:        c.Cluster.Kubeconfig,
			Context:           c.Cluster.Context,
			GPU:               c.gpuScheduling(),
			GPUMetrics:        providers.GPUMetrics{Source: providers.GPUMetricsSource(c.GPU.Metrics)},
			StorageClass:      c.Monitoring.StorageClass,
			AggregatedAPIPort: c.Autoscaling.AdapterPort,
		})
	case CloudGKE:
		cluster, err := gke.New(ctx, "cluster", c.gkeArgs())
		return cluster, c.explain(err)
	case CloudEKS:
		cluster, err := eks.New(ctx, "cluster", c.eksArgs())
		return cluster, c.explain(err)
	case CloudAKS:
		cluster, err := aks.New(ctx, "cluster", c.aksArgs())
		return cluster, c.explain(err)
	default:
		return nil, fmt.Errorf("cloud %q not supported (%s)", c.Cloud, oneOf(Clouds))
	}
}

// explain puts the keys of the configuration into an error of a provider package, which names its own
// fields.
func (c *Config) explain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(c.inKeys(err.Error(), plainWords...))
}

// gpuScheduling says how a replica gets its GPUs; a simulated one requests none.
func (c *Config) gpuScheduling() providers.GPUScheduling {
	scheduling := providers.GPUScheduling{NodeSelector: c.GPU.NodeSelector}
	if c.GPU.Mode == GPUNvidia {
		scheduling.ResourceName, scheduling.PerReplica = "nvidia.com/gpu", c.GPU.PerReplica
	}
	for _, t := range c.GPU.Tolerations {
		scheduling.Tolerations = append(scheduling.Tolerations, providers.Toleration(t))
	}
	return scheduling
}

// servedModel is the model as the server takes it.
func (c *Config) servedModel() components.Model {
	m := c.Model
	return components.Model{
		ID: m.ID, Revision: m.Revision, MaxModelLen: m.MaxModelLen, MaxNumSeqs: m.MaxNumSeqs,
		GPUMemoryUtilization: m.GPUMemoryUtilization, DType: m.DType, ExtraArgs: m.ExtraArgs,
	}
}

// signalSettings are the settings that the catalogue of signals follows from.
func (c *Config) signalSettings() signals.Settings {
	s := c.Autoscaling.Signals
	return signals.Settings{
		Namespace:        c.Namespaces.Serving,
		RunningTarget:    choose(s.RequestsRunning.Enabled, s.RequestsRunning.Target, 0),
		WaitingTarget:    choose(s.RequestsWaiting.Enabled, s.RequestsWaiting.Target, 0),
		GPUTarget:        choose(s.GPUUtilization.Enabled, s.GPUUtilization.Target, 0),
		GPUGuardRequests: s.GPUUtilization.GuardRequests,
		Interval:         c.Monitoring.SignalInterval,
		SimulateGPU:      c.GPU.Metrics == string(providers.Simulated),
		MaxNumSeqs:       c.Model.MaxNumSeqs,
	}
}

// gpuExporterJob matches the job of the GPU exporter's targets: its Service's name, or namespace and name
// of a cloud exporter's PodMonitor.
const gpuExporterJob = "(.+/)?" + components.DCGMExporterName

// telemetrySettings are what dashboards and alerts may assume about the stack.
func (c *Config) telemetrySettings(catalogue []signals.Signal) telemetry.Settings {
	simulated := c.GPU.Metrics == string(providers.Simulated)
	return telemetry.Settings{
		ServingNamespace:    c.Namespaces.Serving,
		MonitoringNamespace: c.Namespaces.Monitoring,
		Deployment:          components.VLLMName,
		Autoscaler:          components.AutoscalerName,
		Adapter:             components.PrometheusAdapterRelease,
		PrometheusJob:       components.PrometheusService,
		GPUJob:              choose(simulated, "", gpuExporterJob),
		SimulatedGPU:        simulated,
		Signals:             catalogue,
		SignalInterval:      c.Monitoring.SignalInterval,
	}
}

// alertSettings are what the alerts measure against.
func (c *Config) alertSettings(observed telemetry.Settings) alerts.Settings {
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

// named completes a chart with its name in the repository.
func (c Chart) named(name string) helm.Chart {
	return helm.Chart{Name: name, Version: c.Version, Repository: c.Repository, SecretRepository: c.secret}
}

// releaseValues are the chart's values for its release. Where the stack file encrypts one, all of them are
// secrets: the engine hands them over decrypted, and says of the whole object only that it holds a secret.
func (c Chart) releaseValues() map[string]any {
	if !c.secret {
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
