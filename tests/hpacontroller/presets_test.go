package hpacontroller

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/presets"
)

// autoscaledPresets returns the presets whose policy is an autoscaler.
func autoscaledPresets() (autoscaled []presets.Preset) {
	for _, p := range presets.All() {
		if p.Settings(simulate.Settings{}).Autoscaler != nil {
			autoscaled = append(autoscaled, p)
		}
	}
	return autoscaled
}

// publishedSpec returns the autoscaler of a preset, for the scenarios' Deployment and metrics.
func publishedSpec(p presets.Preset) autoscalingv2.HorizontalPodAutoscalerSpec {
	spec := *p.Settings(simulate.Settings{
		Autoscaler: &autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: ptr.To[int32](1), MaxReplicas: 12},
	}).Autoscaler
	spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target}
	for i := range spec.Metrics {
		if m := spec.Metrics[i].External; m != nil {
			m.Metric.Name = metricName(i)
		} else {
			spec.Metrics[i].Pods.Metric.Name = metricName(i)
		}
	}
	return spec
}
