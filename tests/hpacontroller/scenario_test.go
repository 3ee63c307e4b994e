package hpacontroller

import (
	"errors"
	"fmt"
	"math/rand/v2"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate/hpa"
)

// scenario is an autoscaler and what its controller reads in each round.
type scenario struct {
	spec   autoscalingv2.HorizontalPodAutoscalerSpec
	start  int32
	rounds []round
}

// round is what the controller reads in one round. The replicas are those that its decisions have left.
type round struct {
	// set is a number of replicas that somebody else writes before the round; -1 for none.
	set      int32
	pods     []hpa.Pod
	status   int32
	readings []hpa.Reading
}

var errMetric = errors.New("the metric is not available")

// randomScenario draws 20 to 80 rounds of an autoscaler. The loads wander, so that the replicas go up and down, and pods
// start, stop and miss samples at rates of the scenario's own.
func randomScenario(r *rand.Rand, spec autoscalingv2.HorizontalPodAutoscalerSpec) scenario {
	s := scenario{spec: spec, start: int32(r.IntN(12))}
	faults, oddPods := r.Float64()*r.Float64()*0.5, r.Float64()*r.Float64()
	load := make([]float64, len(s.spec.Metrics))
	for range 20 + r.IntN(60) {
		n := round{set: -1, status: int32(r.IntN(14))}
		if r.IntN(40) == 0 {
			n.set = int32(r.IntN(14))
		}
		for range r.IntN(13) {
			n.pods = append(n.pods, randomPod(r, oddPods))
		}
		for i := range s.spec.Metrics {
			load[i] = max(0, load[i]+r.NormFloat64()*3)
			if r.IntN(15) == 0 {
				load[i] = r.Float64() * 30
			}
			n.readings = append(n.readings, randomReading(r, load[i], len(n.pods), faults))
		}
		s.rounds = append(s.rounds, n)
	}
	return s
}

func randomPod(r *rand.Rand, odd float64) hpa.Pod {
	p := hpa.Pod{Ready: true}
	if r.Float64() < odd {
		switch r.IntN(3) {
		case 0:
			p.Pending, p.Ready = true, false
		case 1:
			p.Ignored = true
		default:
			p.Ready = false
		}
	}
	return p
}

func randomReading(r *rand.Rand, load float64, pods int, faults float64) hpa.Reading {
	if r.Float64() < faults/4 {
		return hpa.Reading{Err: errMetric}
	}
	reading := hpa.Reading{TotalMilli: int64(load * 1000)}
	for range pods {
		reading.Pods = append(reading.Pods, hpa.Sample{
			Milli:   int64(max(0, load+r.NormFloat64()) * 1000),
			Present: r.Float64() >= faults,
		})
	}
	return reading
}

func randomSpec(r *rand.Rand) autoscalingv2.HorizontalPodAutoscalerSpec {
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: int32(1 + r.IntN(20))}
	spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target}
	if r.IntN(5) > 0 {
		spec.MinReplicas = ptr.To(int32(1 + r.IntN(int(spec.MaxReplicas))))
	}
	for i := range 1 + r.IntN(3) {
		spec.Metrics = append(spec.Metrics, randomMetric(r, i))
	}
	if r.IntN(4) > 0 {
		spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: randomRules(r), ScaleDown: randomRules(r)}
	}
	return spec
}

func randomMetric(r *rand.Rand, i int) autoscalingv2.MetricSpec {
	identifier := autoscalingv2.MetricIdentifier{Name: metricName(i)}
	quantity := resource.NewMilliQuantity(int64(1+r.IntN(20000)), resource.DecimalSI)
	goal := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity}
	kind := r.IntN(5)
	if kind > 2 && r.IntN(2) == 0 {
		goal = autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: quantity}
	}
	switch kind {
	case 3:
		return autoscalingv2.MetricSpec{
			Type: autoscalingv2.ObjectMetricSourceType,
			Object: &autoscalingv2.ObjectMetricSource{
				DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "v1", Kind: "Service", Name: target},
				Target:          goal, Metric: identifier,
			},
		}
	case 4:
		return autoscalingv2.MetricSpec{
			Type:     autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{Target: goal, Metric: identifier},
		}
	}
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{Target: goal, Metric: identifier},
	}
}

func randomRules(r *rand.Rand) *autoscalingv2.HPAScalingRules {
	if r.IntN(5) == 0 {
		return nil
	}
	var rules autoscalingv2.HPAScalingRules
	if r.IntN(3) > 0 {
		rules.StabilizationWindowSeconds = ptr.To(int32(r.IntN(4) * 40))
	}
	if r.IntN(2) == 0 {
		rules.SelectPolicy = ptr.To([]autoscalingv2.ScalingPolicySelect{
			autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.MaxChangePolicySelect,
			autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect,
		}[r.IntN(5)])
	}
	for range r.IntN(4) {
		policy := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: int32(1 + r.IntN(5)), PeriodSeconds: int32(1 + r.IntN(120))}
		if r.IntN(2) == 0 {
			policy.Type, policy.Value = autoscalingv2.PercentScalingPolicy, int32(1+r.IntN(200))
		}
		rules.Policies = append(rules.Policies, policy)
	}
	return &rules
}

func metricName(i int) string { return fmt.Sprintf("metric-%d", i) }
