package stacks

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
)

// devicePluginNamespace is Kubernetes' own: what makes GPUs usable belongs to the nodes, and pods of
// its priority are welcome nowhere else by default.
const devicePluginNamespace = "kube-system"

// deployment is a stack while it is registered. Each step reads what the steps before it have registered.
type deployment struct {
	ctx    *pulumi.Context
	config *config.Config
	// settings are what the signals follow from; enabled are the signals that are on.
	settings signals.Settings
	enabled  []signals.Signal

	cluster *providers.Cluster
	// inCluster registers an object in the cluster.
	inCluster pulumi.ResourceOption
	// nodes lists what must exist before pods: the nodes and what adds them.
	nodes []pulumi.Resource
	// gpus lists what announces the GPUs to Kubernetes, where the cloud does not.
	gpus       []pulumi.Resource
	namespaces *components.Namespaces
	// monitoring lists what must exist before pods in the monitoring namespace: the namespace and its policies.
	monitoring []pulumi.Resource

	pipeline   pipeline
	server     *components.VLLM
	autoscaler *components.Autoscaler
	// observability lists the dashboards and the alerts.
	observability []pulumi.Resource
}

// Deploy is the program: it reads the stack's configuration and registers everything that follows
// from it, in the order of the path from a cluster to a replica count. Nothing is registered when
// the configuration is wrong or the cluster does not answer.
func Deploy(ctx *pulumi.Context) error {
	d := &deployment{ctx: ctx}
	for _, step := range []func() error{
		d.readConfiguration,
		d.addMetadata,
		d.registerCluster,
		// What adds nodes is created before everything that runs on them, and deleted after it: nothing may wait for
		// nodes that are never added, and pods that end leave nodes to remove.
		d.registerNodeAutoscaler,
		d.registerDevicePlugin,
		d.registerNamespaces,
		d.registerMonitoringPolicies,
		d.registerPipeline,
		d.registerServer,
		d.registerAutoscaler,
		d.registerObservability,
		d.export,
		d.exportPipeline,
		// Last: what was registered before is created, and exported, even if no replica becomes ready.
		d.awaitRollout,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// readConfiguration reads and checks the configuration, and logs its warnings.
func (d *deployment) readConfiguration() (err error) {
	if d.config, err = config.Load(d.ctx); err != nil {
		return err
	}
	for _, warning := range d.config.Warnings() {
		if err := d.ctx.Log.Warn(warning.String(), &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	for _, choice := range []string{"updates of the server are " + d.config.Update().Text, d.config.Batch(), d.config.Scaling()} {
		if err := d.ctx.Log.Info(choice, &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	if opened := d.config.Opened(); len(opened) > 0 {
		message := "open to others beside the defaults of docs/security.md: " + strings.Join(opened, "; ")
		if err := d.ctx.Log.Warn(message, &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	if message := missingLogin(d.config.LoginProgram()); message != "" {
		if err := d.ctx.Log.Warn(message, &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	d.settings = signalSettings(d.config)
	d.enabled, err = signals.Enabled(signals.Catalogue(), d.settings)
	return err
}

// missingLogin returns a warning if the program that the kubeconfig calls is not on the PATH. Without one, an update would find
// out when it creates the first object in the cluster, minutes later.
func missingLogin(program, install string) string {
	if program == "" {
		return ""
	}
	if _, err := exec.LookPath(program); err == nil {
		return ""
	}
	return fmt.Sprintf("%s is not on the PATH, and the kubeconfig of the cluster calls it: an update would stop once the cluster is there. Install it: %s",
		program, install)
}

// addMetadata adds the labels and annotations of the configuration to everything that is registered from here on.
func (d *deployment) addMetadata() error { return components.AddMetadata(d.ctx, d.metadata()) }

func (d *deployment) metadata() components.Metadata {
	return components.Metadata{
		Labels: d.config.Labels, Annotations: d.config.Annotations, MonitorLabels: d.config.Monitoring.MonitorLabels,
	}
}

func (d *deployment) registerCluster() (err error) {
	if d.cluster, err = d.config.NewCluster(d.ctx); err != nil {
		return err
	}
	d.inCluster, d.nodes = pulumi.Provider(d.cluster.Provider), d.cluster.Ready
	return nil
}

// registerNodeAutoscaler installs what adds nodes, where the cloud does not.
func (d *deployment) registerNodeAutoscaler() error {
	if d.cluster.NodeAutoscaler == nil {
		return nil
	}
	autoscaler, err := components.NewClusterAutoscaler(d.ctx, "node-autoscaler", &components.ClusterAutoscalerArgs{
		Autoscaler: *d.cluster.NodeAutoscaler,
		Chart:      chart(d.config.Charts.ClusterAutoscaler, "cluster-autoscaler"),
		Metadata:   d.metadata(),
		Values:     releaseValues(d.config.Charts.ClusterAutoscaler),
		DependsOn:  d.cluster.Ready,
	}, d.inCluster)
	if err != nil {
		return err
	}
	d.nodes = append(slices.Clone(d.nodes), autoscaler.Release)
	return nil
}

// registerDevicePlugin installs what announces GPUs to Kubernetes, where the cloud does not.
func (d *deployment) registerDevicePlugin() error {
	if !d.cluster.InstallDevicePlugin {
		return nil
	}
	plugin, err := components.NewDevicePlugin(d.ctx, "device-plugin", &components.DevicePluginArgs{
		Namespace:    devicePluginNamespace,
		Chart:        chart(d.config.Charts.DevicePlugin, "nvidia-device-plugin"),
		ResourceName: d.cluster.GPU.ResourceName,
		Nodes:        d.cluster.DevicePluginNodes(),
		Capabilities: d.cluster.DevicePluginCapabilities,
		Metadata:     d.metadata(),
		Values:       releaseValues(d.config.Charts.DevicePlugin),
		DependsOn:    d.nodes,
	}, d.inCluster)
	if err != nil {
		return err
	}
	d.gpus = []pulumi.Resource{plugin.Release}
	return nil
}

func (d *deployment) registerNamespaces() (err error) {
	args := &components.NamespacesArgs{
		Monitoring: d.config.Namespaces.Monitoring,
		Serving:    d.config.Namespaces.Serving,
		Restricted: !pipelines[d.config.Metrics].prometheus,
		Kubectl:    d.cluster.Kubectl,
		Drain:      components.DrainTime(d.config.VLLM.PreStop, d.config.VLLM.ShutdownTimeout),
		DependsOn:  d.nodes,
	}
	if d.config.ExistingCluster() {
		args.Kubeconfig = d.cluster.ProviderKubeconfig()
	}
	d.namespaces, err = components.NewNamespaces(d.ctx, "namespaces", args, d.inCluster)
	return err
}

// registerMonitoringPolicies limits who reaches the pods in the monitoring namespace.
func (d *deployment) registerMonitoringPolicies() error {
	parts, m := pipelines[d.config.Metrics], d.config.Monitoring
	policies, err := components.NewMonitoringPolicies(d.ctx, "monitoring-policies", &components.MonitoringPoliciesArgs{
		Namespace:        d.config.Namespaces.Monitoring,
		Adapter:          parts.adapter,
		Prometheus:       parts.prometheus,
		ClientNamespaces: m.ClientNamespaces,
		ClientCIDRs:      m.ClientCIDRs,
		QueryNamespaces:  m.QueryNamespaces,
		DependsOn:        []pulumi.Resource{d.namespaces.MonitoringNamespace},
	}, d.inCluster)
	if err != nil {
		return err
	}
	d.monitoring = append([]pulumi.Resource{d.namespaces.MonitoringNamespace}, policies.Policies...)
	return nil
}

func (d *deployment) registerServer() (err error) {
	c := d.config
	d.server, err = components.NewVLLM(d.ctx, "vllm", &components.VLLMArgs{
		Namespace:           c.Namespaces.Serving,
		MonitoringNamespace: d.pipeline.collected.Namespace,
		Scraper:             d.pipeline.collector,
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
		Surge:               c.Update().Surge,
		ClientNamespaces:    c.VLLM.ClientNamespaces,
		ClientCIDRs:         c.VLLM.ClientCIDRs,
		EgressNamespaces:    c.VLLM.EgressNamespaces,
		EgressCIDRs:         c.VLLM.EgressCIDRs,
		MediaDomains:        c.VLLM.MediaDomains,
		NodeSelector:        c.VLLM.NodeSelector,
		PriorityClassName:   c.VLLM.PriorityClassName,
		GPU:                 d.cluster.GPU,
		Env:                 d.cluster.ServerEnv,
		PodTemplate:         components.PodTemplate{Fields: c.VLLM.PodTemplate, Secret: c.VLLM.Secret()},
		ScrapeInterval:      c.Monitoring.SignalInterval,
		DependsOn:           append(slices.Clone(d.gpus), d.namespaces.ServingNamespace),
		MonitoringCRDs:      d.pipeline.collected.Kinds,
	}, d.inCluster)
	return err
}

func (d *deployment) registerAutoscaler() (err error) {
	a := d.config.Autoscaling
	d.autoscaler, err = d.pipeline.backend.Scale(d.ctx, &components.AutoscalerArgs{
		Namespace:      d.config.Namespaces.Serving,
		DeploymentName: components.VLLMName,
		MinReplicas:    a.MinReplicas,
		MaxReplicas:    a.MaxReplicas,
		ScaleUp:        components.ScalingRules(a.ScaleUp),
		ScaleDown: components.ScalingRules{
			Stabilization: a.ScaleDown.Stabilization, Pods: a.ScaleDown.Pods, Period: a.ScaleDown.Period,
		},
		DependsOn: append([]pulumi.Resource{d.namespaces.ServingNamespace, d.server.Deployment}, d.pipeline.serving...),
	}, d.inCluster)
	return err
}

// awaitRollout makes an update end when the server is ready.
func (d *deployment) awaitRollout() error {
	_, err := components.NewRollout(d.ctx, "rollout", &components.RolloutArgs{
		Namespace:  d.config.Namespaces.Serving,
		Kubeconfig: d.cluster.ProviderKubeconfig(),
		Kubectl:    d.cluster.Kubectl,
		Timeout:    d.config.VLLM.ReadyTimeout,
		DependsOn:  append([]pulumi.Resource{d.server, d.autoscaler}, d.observability...),
	})
	return err
}

// engine returns the server that the configuration chooses.
func engine(c *config.Config) components.Engine {
	if c.GPU.Mode == config.GPUSimulated {
		return components.EngineSimulator
	}
	return components.EngineVLLM
}

// servedModel returns the model as the server's component describes it.
func servedModel(c *config.Config) components.Model {
	m := c.Model
	return components.Model{
		ID: m.ID, Revision: m.Revision, MaxModelLen: m.MaxModelLen, MaxNumSeqs: m.MaxNumSeqs,
		GPUMemoryUtilization: m.GPUMemoryUtilization, DType: m.DType, ExtraArgs: m.ExtraArgs,
		MaxNumBatchedTokens: c.MaxNumBatchedTokens(), ProcessorCacheGiB: c.ProcessorCacheGiB(),
	}
}

// signalSettings returns the settings that the signals follow from.
func signalSettings(c *config.Config) signals.Settings {
	return signals.Settings{
		Namespace:          c.Namespaces.Serving,
		Targets:            c.Autoscaling.Signals.Targets(),
		GPUWaitingRequests: c.Autoscaling.Signals.GPUUtilization.WaitingRequests,
		Interval:           c.Monitoring.SignalInterval,
		SimulateGPU:        c.GPU.Metrics == string(providers.Simulated),
		MaxNumSeqs:         c.Model.MaxNumSeqs,
	}
}

// chart returns a chart of the configuration with its name in the repository.
func chart(c config.Chart, name string) helm.Chart {
	return helm.Chart{Name: name, Version: c.Version, Repository: c.Repository, SecretRepository: c.Secret()}
}

// releaseValues returns the chart's values for its release. Where the stack file encrypts one, all of them are
// secrets: the engine passes them decrypted, and only marks the whole object as containing a secret.
func releaseValues(c config.Chart) map[string]any {
	if !c.Secret() {
		return c.Values
	}
	return secretValues(c.Values)
}

// secretValues makes everything in an object a secret, except for the names, which are merged with others, and
// for nulls, which restore a chart's default.
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
