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
)

// server is a server of the stack, with its autoscaler, while it is registered.
type server struct {
	config *config.Config
	// settings are what its signals follow from; enabled are those that are on.
	settings signals.Settings
	enabled  []signals.Signal

	vllm       *components.VLLM
	autoscaler *components.Autoscaler
}

// name returns the name of the server and of its objects.
func (s *server) name() string { return s.config.Server }

// addServers adds the servers of the configuration.
func (d *deployment) addServers() {
	for _, c := range d.config.ServerConfigs() {
		d.servers = append(d.servers, &server{config: c, settings: signalSettings(c)})
	}
}

// addSignals adds the signals of each server, and those of the stack.
func (d *deployment) addSignals() error {
	var lists [][]signals.Signal
	var guards []signals.Server
	d.settings = d.servers[0].settings
	for _, s := range d.servers {
		var err error
		if s.enabled, err = signals.Enabled(signals.Catalogue(), s.settings); err != nil {
			return fmt.Errorf("server %s: %w", s.name(), err)
		}
		lists = append(lists, s.enabled)
		guards = append(guards, signals.Server{Deployment: s.name(), GPUWaitingRequests: s.settings.GPUWaitingRequests})
	}
	d.enabled = signals.Union(lists...)
	if slices.ContainsFunc(guards, func(g signals.Server) bool { return g.GPUWaitingRequests != guards[0].GPUWaitingRequests }) {
		d.settings.Servers = guards
	}
	return nil
}

// logChoices logs what follows from the configuration of the server, a line for each choice.
func (s *server) logChoices(ctx *pulumi.Context) error {
	prefix := ""
	if s.config.OneOfSeveral() {
		prefix = "server " + s.name() + ": "
	}
	for _, choice := range []string{"updates of the server are " + s.config.Update().Text, s.config.Batch(), s.config.Scaling()} {
		if err := ctx.Log.Info(prefix+choice, &pulumi.LogArgs{}); err != nil {
			return err
		}
	}
	return nil
}

// longestDrain returns how long a pod of any server may take to end.
func (d *deployment) longestDrain() time.Duration {
	var longest time.Duration
	for _, s := range d.servers {
		longest = max(longest, components.DrainTime(s.config.VLLM.PreStop, s.config.VLLM.ShutdownTimeout))
	}
	return longest
}

// registerServers registers each server with its autoscaler.
func (d *deployment) registerServers() error {
	for _, s := range d.servers {
		for _, step := range []func(*server) error{d.registerServer, d.registerExpose, d.registerAutoscaler, d.registerSpareNodes} {
			if err := step(s); err != nil {
				return fmt.Errorf("server %s: %w", s.name(), err)
			}
		}
	}
	return nil
}

func (d *deployment) registerServer(s *server) (err error) {
	c := s.config
	clientNamespaces, clientCIDRs := c.ServerClients()
	s.vllm, err = components.NewVLLM(d.ctx, s.name(), &components.VLLMArgs{
		Name:                s.name(),
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
		CompileCache:        c.CompileCache(),
		PrePull:             c.VLLM.PrePull,
		StartupBudget:       c.VLLM.StartupBudget,
		PreStop:             c.VLLM.PreStop,
		ShutdownTimeout:     c.VLLM.ShutdownTimeout,
		Surge:               c.Update().Surge,
		ClientNamespaces:    clientNamespaces,
		ClientCIDRs:         clientCIDRs,
		EgressNamespaces:    c.VLLM.EgressNamespaces,
		EgressCIDRs:         c.VLLM.EgressCIDRs,
		MediaDomains:        c.VLLM.MediaDomains,
		AccountAnnotations:  c.VLLM.ServiceAccountAnnotations,
		BucketIdentity:      d.cluster.Buckets[s.name()],
		NodeSelector:        c.VLLM.NodeSelector,
		PriorityClassName:   c.VLLM.PriorityClassName,
		GPU:                 d.gpuScheduling(c),
		Env:                 d.cluster.ServerEnv,
		PodTemplate:         components.PodTemplate{Fields: c.VLLM.PodTemplate, Secret: c.VLLM.Secret()},
		ScrapeInterval:      c.Monitoring.SignalInterval,
		DependsOn:           append(slices.Clone(d.gpus), d.namespaces.ServingNamespace),
		MonitoringCRDs:      d.pipeline.collected.Kinds,
	}, d.inCluster)
	return err
}

// gpuScheduling returns how a replica of a server gets its GPUs.
func (d *deployment) gpuScheduling(c *config.Config) providers.GPUScheduling {
	if c.Cloud == config.CloudLocal {
		return c.GPUScheduling()
	}
	if c.OwnPool() {
		return d.cluster.OwnGPU[c.Server]
	}
	gpu := d.cluster.GPU
	if gpu.ResourceName != "" {
		gpu.PerReplica = c.GPU.PerReplica
	}
	return gpu
}

func (d *deployment) registerAutoscaler(s *server) (err error) {
	a := s.config.Autoscaling
	s.autoscaler, err = d.pipeline.backend.Scale(d.ctx, &components.AutoscalerArgs{
		Namespace:      s.config.Namespaces.Serving,
		DeploymentName: s.name(),
		MinReplicas:    a.MinReplicas,
		MaxReplicas:    a.MaxReplicas,
		Signals:        s.enabled,
		ScaleUp:        components.ScalingRules(a.ScaleUp),
		ScaleDown: components.ScalingRules{
			Stabilization: a.ScaleDown.Stabilization, Pods: a.ScaleDown.Pods, Period: a.ScaleDown.Period,
		},
		DependsOn: append([]pulumi.Resource{d.namespaces.ServingNamespace, s.vllm.Deployment}, d.pipeline.serving...),
	}, d.inCluster)
	return err
}

// awaitRollout makes an update end when the servers are ready.
func (d *deployment) awaitRollout() error {
	for _, s := range d.servers {
		_, err := components.NewRollout(d.ctx, components.ServerResource("rollout", s.name()), &components.RolloutArgs{
			Name:       s.name(),
			Namespace:  s.config.Namespaces.Serving,
			Kubeconfig: d.cluster.ProviderKubeconfig(),
			Kubectl:    d.cluster.Kubectl,
			Timeout:    s.config.VLLM.ReadyTimeout,
			DependsOn:  append([]pulumi.Resource{s.vllm, s.autoscaler}, d.observability...),
		})
		if err != nil {
			return err
		}
	}
	return nil
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
		Quantization: m.Quantization, KVCacheDType: m.KVCacheDType, Parallel: components.Parallel(m.Parallel),
		LoRA: components.LoRA(m.LoRA), Weights: m.Weights(),
	}
}

// signalSettings returns the settings that the signals of a server follow from.
func signalSettings(c *config.Config) signals.Settings {
	return signals.Settings{
		Namespace:          c.Namespaces.Serving,
		Targets:            c.Autoscaling.Signals.Targets(),
		GPUWaitingRequests: c.Autoscaling.Signals.GPUUtilization.WaitingRequests,
		Interval:           c.Monitoring.SignalInterval,
		SimulateGPU:        c.GPU.Metrics == string(providers.Simulated),
		MaxNumSeqs:         c.ReplicaSequences(),
		OptionalReadiness:  c.ExistingMetrics(),
		NoPodReadiness:     c.Monitoring.KubeStateMetrics == config.StateMetricsNone,
	}
}
