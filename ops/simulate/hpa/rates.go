package hpa

import (
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// Without a behavior the API server sets no policies: the replicas are at most doubled in one round, or set to 4.
const (
	doubling      = 2
	alwaysAllowed = 4
)

// rules are the scaling rules of one direction, with the API server's defaults.
type rules struct {
	window   time.Duration
	selected autoscalingv2.ScalingPolicySelect
	policies []autoscalingv2.HPAScalingPolicy
	longest  time.Duration
}

// The policies that the API server sets where an autoscaler has none.
var (
	defaultScaleUpPolicies = []autoscalingv2.HPAScalingPolicy{
		{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
		{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
	}
	defaultScaleDownPolicies = []autoscalingv2.HPAScalingPolicy{
		{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
	}
)

func rulesOf(given *autoscalingv2.HPAScalingRules, window time.Duration, policies []autoscalingv2.HPAScalingPolicy) rules {
	r := rules{window: window, selected: autoscalingv2.MaxChangePolicySelect, policies: policies}
	if given != nil {
		if given.StabilizationWindowSeconds != nil {
			r.window = time.Duration(*given.StabilizationWindowSeconds) * time.Second
		}
		if given.SelectPolicy != nil {
			r.selected = *given.SelectPolicy
		}
		if given.Policies != nil {
			r.policies = given.Policies
		}
	}
	for _, policy := range r.policies {
		r.longest = max(r.longest, period(policy))
	}
	return r
}

func period(policy autoscalingv2.HPAScalingPolicy) time.Duration {
	return time.Duration(policy.PeriodSeconds) * time.Second
}

// event is a change of the replicas.
type event struct {
	change int32
	time   time.Duration
}

type events []event

// since returns the sum of the changes of the last period.
func (e events) since(cutoff time.Duration) int32 {
	var sum int32
	for _, one := range e {
		if one.time > cutoff {
			sum += one.change
		}
	}
	return sum
}

// record remembers a change. An event that no policy of its own direction looks back to gives its place to the new one,
// although a longer policy of the other direction could still count it: so does the controller.
func (c *Controller) record(now time.Duration, from, to int32) {
	list, longest, change := &c.scaleUps, c.up.longest, to-from
	if to < from {
		list, longest, change = &c.scaleDowns, c.down.longest, from-to
	}
	latest := event{change: change, time: now}
	for i, e := range slices.Backward(*list) {
		if e.time < now-longest {
			(*list)[i] = latest
			return
		}
	}
	*list = append(*list, latest)
}

// limit applies the policies, the minimum and the maximum.
func (c *Controller) limit(now time.Duration, current, desired int32) int32 {
	switch {
	case desired > current && c.spec.Behavior == nil:
		return min(desired, c.spec.MaxReplicas, max(doubling*current, alwaysAllowed))
	case desired > current:
		return min(desired, c.spec.MaxReplicas, max(current, c.reach(now, current, c.up, 1)))
	case desired < current && c.spec.Behavior == nil:
		return max(desired, c.minReplicas())
	case desired < current:
		return max(desired, c.minReplicas(), min(current, c.reach(now, current, c.down, -1)))
	}
	return desired
}

// reach returns the number of replicas that the policies allow in a direction, 1 or -1.
func (c *Controller) reach(now time.Duration, current int32, r rules, direction int32) int32 {
	if r.selected == autoscalingv2.DisabledPolicySelect {
		return current
	}
	result, chosen := int32(math.MinInt32), false
	largest := r.selected != autoscalingv2.MinChangePolicySelect
	for _, policy := range r.policies {
		allowed := c.allowed(now, current, policy, direction)
		if !chosen || largest == (allowed*direction > result*direction) {
			result, chosen = allowed, true
		}
	}
	return result
}

// allowed returns how far one policy lets the replicas go from what they were at the beginning of its period.
func (c *Controller) allowed(now time.Duration, current int32, policy autoscalingv2.HPAScalingPolicy, direction int32) int32 {
	cutoff := now - period(policy)
	start := current - c.scaleUps.since(cutoff) + c.scaleDowns.since(cutoff)
	if policy.Type == autoscalingv2.PodsScalingPolicy {
		return start + direction*policy.Value
	}
	share := float64(start) * (1 + float64(direction)*float64(policy.Value)/100)
	if direction > 0 {
		share = math.Ceil(share) // Rounded down, a small number of replicas would never grow.
	}
	return int32(share)
}
