package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/existing"
)

// Deploy is the program: it reads the stack's configuration and registers everything that follows
// from it, in the order of the path from a cluster to a replica count. Nothing is registered when
// the configuration is wrong or the cluster does not answer.
func Deploy(ctx *pulumi.Context) error {
	config, err := Load(ctx)
	if err != nil {
		return err
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

	namespaces, err := components.NewNamespaces(ctx, "namespaces", &components.NamespacesArgs{
		Monitoring: config.Namespaces.Monitoring,
		Serving:    config.Namespaces.Serving,
		DependsOn:  cluster.Ready,
	}, inCluster)
	if err != nil {
		return err
	}

	monitoring, err := components.NewKubePrometheusStack(ctx, "monitoring", &components.KubePrometheusStackArgs{
		Namespace:           config.Namespaces.Monitoring,
		Chart:               config.Charts.KubePrometheusStack.named("kube-prometheus-stack"),
		ScrapeInterval:      config.Monitoring.ScrapeInterval,
		EvaluationInterval:  config.Monitoring.EvaluationInterval,
		Retention:           config.Monitoring.Retention,
		Storage:             string(config.Monitoring.Storage),
		StorageClass:        cluster.StorageClass,
		ControlPlaneScrapes: cluster.ControlPlaneScrapes,
		Grafana:             config.Monitoring.Grafana,
		GrafanaPassword:     config.Monitoring.GrafanaPassword.Input(),
		Values:              config.Charts.KubePrometheusStack.Values,
		DependsOn:           []pulumi.Resource{namespaces.MonitoringNamespace},
	}, inCluster)
	if err != nil {
		return err
	}

	if _, err := components.NewDCGMExporter(ctx, "gpu-metrics", &components.DCGMExporterArgs{
		Namespace:      config.Namespaces.Monitoring,
		Metrics:        cluster.GPUMetrics,
		Chart:          config.Charts.DCGMExporter.named("dcgm-exporter"),
		GPU:            cluster.GPU,
		ScrapeInterval: config.Monitoring.SignalInterval,
		Values:         config.Charts.DCGMExporter.Values,
		DependsOn:      []pulumi.Resource{namespaces.MonitoringNamespace, monitoring.Release},
	}, inCluster); err != nil {
		return err
	}

	vllm, err := components.NewVLLM(ctx, "vllm", &components.VLLMArgs{
		Namespace:           config.Namespaces.Serving,
		MonitoringNamespace: config.Namespaces.Monitoring,
		Engine:              choose(config.GPU.Mode == GPUSimulated, components.EngineSimulator, components.EngineVLLM),
		Image:               config.VLLM.Image,
		Port:                config.VLLM.Port,
		Model:               components.Model(config.Model),
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
		ScrapeInterval:      config.Monitoring.SignalInterval,
		MaxReplicas:         config.Autoscaling.MaxReplicas,
		DependsOn:           []pulumi.Resource{namespaces.ServingNamespace},
		MonitoringCRDs:      []pulumi.Resource{monitoring.Release},
	}, inCluster)
	if err != nil {
		return err
	}

	rules, err := components.NewGPURules(ctx, "signal-rules", &components.GPURulesArgs{
		Namespace: config.Namespaces.Monitoring,
		Settings:  settings,
		DependsOn: []pulumi.Resource{namespaces.MonitoringNamespace, monitoring.Release},
	}, inCluster)
	if err != nil {
		return err
	}

	adapter, err := components.NewPrometheusAdapter(ctx, "metrics-adapter", &components.PrometheusAdapterArgs{
		Namespace:      config.Namespaces.Monitoring,
		Chart:          config.Charts.PrometheusAdapter.named("prometheus-adapter"),
		PrometheusURL:  components.PrometheusURL(config.Namespaces.Monitoring),
		PrometheusPort: components.PrometheusPort,
		ListenPort:     cluster.AggregatedAPIPort,
		RelistInterval: config.Autoscaling.RelistInterval,
		Replicas:       config.Autoscaling.AdapterReplicas,
		Signals:        catalogue,
		Values:         config.Charts.PrometheusAdapter.Values,
		// Both namespaces, because destroy has to take the adapter's APIService away before either: one
		// whose pods are gone keeps every namespace in the cluster from being deleted.
		DependsOn: []pulumi.Resource{namespaces.MonitoringNamespace, namespaces.ServingNamespace, monitoring.Release},
	}, inCluster)
	if err != nil {
		return err
	}

	autoscaler, err := components.NewAutoscaler(ctx, "autoscaler", &components.AutoscalerArgs{
		Namespace:      config.Namespaces.Serving,
		DeploymentName: components.VLLMName,
		MinReplicas:    config.Autoscaling.MinReplicas,
		MaxReplicas:    config.Autoscaling.MaxReplicas,
		Signals:        catalogue,
		ScaleUp:        components.ScalingRules(config.Autoscaling.ScaleUp),
		ScaleDown: components.ScalingRules{
			Stabilization: config.Autoscaling.ScaleDown.Stabilization,
			Pods:          config.Autoscaling.ScaleDown.Pods,
			Period:        config.Autoscaling.ScaleDown.Period,
		},
		DependsOn: []pulumi.Resource{namespaces.ServingNamespace, vllm.Deployment, rules.Rule, adapter.Release},
	}, inCluster)
	if err != nil {
		return err
	}

	ctx.Export("apiUrl", vllm.URL)
	ctx.Export("apiPortForward", pulumi.String(config.portForward(cluster, config.Namespaces.Serving,
		components.VLLMName, 8000, config.VLLM.Port)))
	if config.Monitoring.Grafana {
		ctx.Export("grafanaPortForward", pulumi.String(config.portForward(cluster, config.Namespaces.Monitoring,
			components.GrafanaService, 3000, 80)))
		ctx.Export("grafanaUser", pulumi.String(components.GrafanaAdminUser))
		ctx.Export("grafanaPassword", monitoring.GrafanaPassword)
	}
	ctx.Export("hpaName", autoscaler.Name)
	ctx.Export("namespaces", pulumi.StringMap{"monitoring": namespaces.Monitoring, "serving": namespaces.Serving})
	ctx.Export("metrics", adapter.Metrics)
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
	default:
		return nil, fmt.Errorf("cloud %q not supported (%s)", c.Cloud, oneOf(Clouds))
	}
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

// named completes a chart with its name in the repository.
func (c Chart) named(name string) helm.Chart {
	return helm.Chart{Name: name, Version: c.Version, Repository: c.Repository}
}

// portForward is the command that brings a Service to this machine.
func (c *Config) portForward(cluster *providers.Cluster, namespace, service string, local, remote int) string {
	kubectl := "kubectl"
	if c.Cluster.Kubeconfig != "" {
		kubectl += " --kubeconfig " + c.Cluster.Kubeconfig
	}
	return fmt.Sprintf("%s --context %s --namespace %s port-forward service/%s %d:%d",
		kubectl, cluster.Name, namespace, service, local, remote)
}
