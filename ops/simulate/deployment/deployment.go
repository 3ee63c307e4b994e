package deployment

import (
	"flag"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/config/sizing"
)

// Options are what a simulation needs besides the configuration.
type Options struct {
	// Start is how long a new replica takes.
	Start Start
	// PrefixHits is the share of each prompt that prefix caching finds computed, 0 to 1.
	PrefixHits float64
	// SpotReclaim is the mean time after which the cloud takes a spot node back; 0 for never.
	SpotReclaim time.Duration
	// Profile is the file of a measured profile; empty for the computed one.
	Profile string
}

// Defaults are the Options of a simulation that was told nothing.
func Defaults() Options { return Options{} }

// Register adds the flags of the options, with their present values as defaults.
func (o *Options) Register(flags *flag.FlagSet) {
	o.Start.register(flags)
	flags.Float64Var(&o.PrefixHits, "prefix-hits", o.PrefixHits, "share of each prompt that prefix caching finds computed, 0 to 1")
	flags.DurationVar(&o.SpotReclaim, "spot-reclaim", o.SpotReclaim, "mean time after which the cloud takes a spot node back, such as 12h; 0 for never")
	flags.StringVar(&o.Profile, "profile", o.Profile, "file of make profile with the measured speed of a replica (default: computed from data sheets)")
}

// Check returns an error that names the flag with a bad value.
func (o *Options) Check() error {
	switch {
	case !(o.PrefixHits >= 0 && o.PrefixHits <= 1): // NaN is refused too.
		return fmt.Errorf("-prefix-hits %g is not a share from 0 to 1", o.PrefixHits)
	case o.SpotReclaim < 0:
		return fmt.Errorf("-spot-reclaim %s is below 0: give the mean time between two reclaims of a node, such as 12h", o.SpotReclaim)
	}
	return nil
}

// problem returns the error of a configuration that cannot be simulated.
func problem(key string, value any, allowed, fix string) error {
	return providers.Problems{{Key: key, Value: fmt.Sprint(value), Allowed: allowed, Fix: fix}}
}

// Of returns the settings of a stack's deployment, with minReplicas replicas at the beginning.
func Of(c *config.Config, o Options) (simulate.Settings, error) {
	server, err := serverOf(c, o.Profile)
	if err != nil {
		return simulate.Settings{}, err
	}
	server.Limits.PrefixHits = o.PrefixHits
	nodes, err := nodesOf(c, o)
	if err != nil {
		return simulate.Settings{}, err
	}
	start, err := startOf(c, o.Start)
	if err != nil {
		return simulate.Settings{}, err
	}
	enabled, err := signals.Enabled(signals.Catalogue(), signals.Settings{
		Namespace: c.Namespaces.Serving, Targets: c.Autoscaling.Signals.Targets(), MaxNumSeqs: c.ReplicaSequences(),
		GPUWaitingRequests: c.Autoscaling.Signals.GPUUtilization.WaitingRequests, Interval: c.Monitoring.SignalInterval,
	})
	if err != nil {
		return simulate.Settings{}, fmt.Errorf("signals: %w", err)
	}
	s := simulate.Settings{
		Replicas:   c.Autoscaling.MinReplicas,
		Autoscaler: autoscalerOf(c, enabled),
		Signals:    gaugesOf(c, enabled),
		Server:     server,
		Start:      start,
		Nodes:      nodes,
		Metrics:    simulate.Metrics{Scrape: c.Monitoring.SignalInterval.Seconds(), Rule: c.Monitoring.SignalInterval.Seconds()},
		Drain:      (c.VLLM.PreStop + c.VLLM.ShutdownTimeout).Seconds(),
	}
	return s, nil
}

// serverOf returns a replica with the profile of a file, or the computed one without a file.
func serverOf(c *config.Config, file string) (simulate.Server, error) {
	server, err := sizedServer(c)
	if err != nil {
		return simulate.Server{}, err
	}
	if file != "" {
		server.Profile, err = measured(file, c)
		return server, err
	}
	if stages := c.Model.Parallel.Pipeline; stages > 1 {
		return simulate.Server{}, problem("model.parallel.pipeline", stages, "1: what several batches in a pipeline take is not computed",
			"measure a replica with make profile, or remove the key")
	}
	profile, ok := c.ReplicaSpeed()
	if !ok {
		return simulate.Server{}, problem("nodePools.gpu.accelerator", c.NodePools.GPU.Accelerator, "a GPU whose speed is known",
			"set it to the name of the GPU, or measure a replica with make profile")
	}
	server.Profile = profile
	return server, nil
}

// sizedServer returns a replica without its profile. The engines of data parallelism are one, which has the room of all of them.
func sizedServer(c *config.Config) (simulate.Server, error) {
	fit, ok := c.Fit()
	if !ok {
		return simulate.Server{}, problem("model.id", c.Model.ID, "a model and a GPU whose sizes are known",
			"set model.size.weightsGiB and model.size.kvBytesPerToken, and nodePools.gpu.accelerator or gpu.memoryGiB")
	}
	return simulate.Server{
		Limits: replica.Limits{
			MaxNumSeqs: c.ReplicaSequences(), BatchedTokens: c.BatchedTokens() * c.Model.Parallel.Data, CacheBytes: allGPUs(c, fit.Cache),
		},
		Cache: c.TokenCache(),
	}, nil
}

// allGPUs returns the bytes on all GPUs of a replica for what is known of one in GiB.
func allGPUs(c *config.Config, gib float64) float64 {
	return gib * sizing.GiB * float64(c.GPU.PerReplica)
}

// autoscalerOf returns the autoscaler as package components registers it.
func autoscalerOf(c *config.Config, enabled []signals.Signal) *autoscalingv2.HorizontalPodAutoscalerSpec {
	spec := &autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: ptr.To(int32(c.Autoscaling.MinReplicas)), MaxReplicas: int32(c.Autoscaling.MaxReplicas),
		Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
			ScaleUp: components.ScalingRules(c.Autoscaling.ScaleUp).Rules(),
			ScaleDown: components.ScalingRules{
				Stabilization: c.Autoscaling.ScaleDown.Stabilization, Pods: c.Autoscaling.ScaleDown.Pods, Period: c.Autoscaling.ScaleDown.Period,
			}.Rules(),
		},
	}
	for _, signal := range enabled {
		average := resource.MustParse(signal.AverageValue())
		spec.Metrics = append(spec.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: signal.Name},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &average},
		}})
	}
	return spec
}

// busy is the utilisation that DCGM reports for a GPU that decodes anything.
const busy = signals.SimulatedBusyUtilization

// gaugesOf returns what each signal reads of a replica.
func gaugesOf(c *config.Config, enabled []signals.Signal) []simulate.Signal {
	byKey := map[signals.Key]simulate.Signal{
		signals.KeyRequestsInFlight: {Recorded: true, Value: inFlight},
		signals.KeyRequestsRunning:  {Value: func(e *replica.Engine) float64 { return float64(e.Running()) }},
		signals.KeyRequestsWaiting:  {Value: waiting},
		signals.KeyKVCacheUsage:     {Recorded: true, Value: func(e *replica.Engine) float64 { return 100 * min(1, e.CacheUsage()) }},
		signals.KeyGPUUtilization: {Recorded: true, Value: utilization, Guard: &simulate.Guard{
			Value: waiting, Scrapes: signals.GuardScrapes, Full: c.Autoscaling.Signals.GPUUtilization.WaitingRequests,
		}},
	}
	gauges := make([]simulate.Signal, len(enabled))
	for i, signal := range enabled {
		gauges[i] = byKey[signal.Key]
	}
	return gauges
}

// utilization returns what DCGM reports. Its own delay, of up to an interval, is left out.
func utilization(e *replica.Engine) float64 {
	if e.Running() == 0 {
		return 0
	}
	return busy
}

func waiting(e *replica.Engine) float64 { return float64(e.Waiting()) }

func inFlight(e *replica.Engine) float64 { return float64(e.Running() + e.Waiting()) }
