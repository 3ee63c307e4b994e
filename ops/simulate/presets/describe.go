package presets

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// Policy returns the policy as text. A target that a sum is divided by belongs to a metric of type External.
func (p Preset) Policy() string {
	parts := []string{}
	if p.law != nil {
		parts = append(parts, p.law.describe())
	} else {
		var metrics []string
		for _, m := range p.metrics {
			metrics = append(metrics, m.describe())
		}
		parts = append(parts, strings.Join(metrics, " or "), describeBehavior(p.behavior))
	}
	if p.maxNumSeqs > 0 {
		parts = append(parts, fmt.Sprintf("maxNumSeqs %d", p.maxNumSeqs))
	}
	return strings.Join(parts, "; ")
}

func (m metric) describe() string {
	if m.kind == external {
		return fmt.Sprintf("sum of %s / %d", m.gauge.name, m.target)
	}
	return fmt.Sprintf("%s %d", m.gauge.name, m.target)
}

func describeBehavior(b *autoscalingv2.HorizontalPodAutoscalerBehavior) string {
	if b == nil {
		return "default scaling rules"
	}
	return "up " + describeRules(b.ScaleUp) + ", down " + describeRules(b.ScaleDown)
}

func describeRules(r *autoscalingv2.HPAScalingRules) string {
	if r == nil {
		return "by the default rules"
	}
	text := fmt.Sprintf("after %ds", *r.StabilizationWindowSeconds)
	for i, policy := range r.Policies {
		conjunction, unit := " by ", "pods"
		if i > 0 {
			conjunction = " or "
		}
		switch {
		case policy.Type == autoscalingv2.PercentScalingPolicy:
			unit = "%"
		case policy.Value == 1:
			unit = "pod"
		}
		text += fmt.Sprintf("%s%d %s per %ds", conjunction, policy.Value, unit, policy.PeriodSeconds)
	}
	return text
}
