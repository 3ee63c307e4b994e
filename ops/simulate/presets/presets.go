package presets

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
)

// Preset is a scaling policy that a project publishes.
type Preset struct {
	// Name is that of the project, with the signal where it publishes several policies.
	Name string
	// Source is where the numbers are from: repository, version or commit, and paths.
	Source string
	// Note is what differs from the published policy, and what is not simulated.
	Note string

	metrics  []metric
	behavior *autoscalingv2.HorizontalPodAutoscalerBehavior
	// maxNumSeqs is the server's --max-num-seqs; 0 where the policy does not set it.
	maxNumSeqs int
	// law is the policy of a project whose decisions are not those of an autoscaler with metrics.
	law law
}

// metric is a metric of an autoscaler, with a target for each replica.
type metric struct {
	kind   autoscalingv2.MetricSourceType
	gauge  gauge
	target int64
}

// law is a policy with a controller, or a formula, of its own.
type law interface {
	// describe returns the policy as text.
	describe() string
	// decider returns the law within the limits of a deployment.
	decider(limits limits, objective simulate.Objective) (simulate.Decider, error)
	// period is the time between two decisions, in seconds.
	period() float64
}

// limits are the replicas that a policy may ask for.
type limits struct{ minimum, maximum int32 }

// Settings returns a deployment that is scaled by the policy. Everything else is as in the given one.
func (p Preset) Settings(base simulate.Settings) simulate.Settings {
	s, between := base, limitsOf(&base)
	s.Autoscaler, s.Signals, s.Law = nil, nil, nil
	if p.maxNumSeqs > 0 {
		s.Server.Limits.MaxNumSeqs = p.maxNumSeqs
	}
	if p.law != nil {
		s.Law = &simulate.Law{Period: p.law.period(), New: func() (simulate.Decider, error) {
			return p.law.decider(between, base.Objective)
		}}
		return s
	}
	s.Autoscaler = &autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: ptr.To(between.minimum), MaxReplicas: between.maximum, Behavior: p.behavior.DeepCopy(),
	}
	for _, m := range p.metrics {
		s.Autoscaler.Metrics = append(s.Autoscaler.Metrics, m.spec())
		s.Signals = append(s.Signals, m.gauge.signal)
	}
	return s
}

// limitsOf returns the limits of a deployment's autoscaler. One without an autoscaler has the limits of its nodes.
func limitsOf(s *simulate.Settings) limits {
	if s.Autoscaler == nil {
		return limits{minimum: 1, maximum: int32(s.Nodes.Max * s.Nodes.Replicas)}
	}
	return limits{minimum: ptr.Deref(s.Autoscaler.MinReplicas, 1), maximum: s.Autoscaler.MaxReplicas}
}

func (m metric) spec() autoscalingv2.MetricSpec {
	identifier := autoscalingv2.MetricIdentifier{Name: m.gauge.name}
	target := autoscalingv2.MetricTarget{
		Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(m.target, resource.DecimalSI),
	}
	if m.kind == autoscalingv2.ExternalMetricSourceType {
		return autoscalingv2.MetricSpec{Type: m.kind, External: &autoscalingv2.ExternalMetricSource{Metric: identifier, Target: target}}
	}
	return autoscalingv2.MetricSpec{Type: m.kind, Pods: &autoscalingv2.PodsMetricSource{Metric: identifier, Target: target}}
}
