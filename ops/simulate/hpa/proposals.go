package hpa

import (
	"errors"
	"fmt"
	"math"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// tolerances are the relative differences between usage and target that change nothing.
type tolerances struct{ up, down float64 }

func (t tolerances) within(ratio float64) bool { return 1-t.down <= ratio && ratio <= 1+t.up }

// metric is a metric of the autoscaler, reduced to what decides.
type metric struct {
	kind        autoscalingv2.MetricSourceType
	targetMilli int64
	// perPod reports whether the target is an average over the replicas.
	perPod bool
}

func metricOf(spec *autoscalingv2.MetricSpec) (metric, error) {
	var target autoscalingv2.MetricTarget
	switch {
	case spec.Type == autoscalingv2.PodsMetricSourceType && spec.Pods != nil:
		target = spec.Pods.Target
	case spec.Type == autoscalingv2.ObjectMetricSourceType && spec.Object != nil:
		target = spec.Object.Target
	case spec.Type == autoscalingv2.ExternalMetricSourceType && spec.External != nil:
		target = spec.External.Target
	default:
		return metric{}, fmt.Errorf("type %q is not one of Pods, Object and External", spec.Type)
	}
	m := metric{kind: spec.Type}
	switch {
	case target.AverageValue != nil:
		m.perPod, m.targetMilli = true, target.AverageValue.MilliValue()
	case target.Value != nil && spec.Type != autoscalingv2.PodsMetricSourceType:
		m.targetMilli = target.Value.MilliValue()
	default:
		return metric{}, errors.New("it has neither a target averageValue nor, where that is allowed, a target value")
	}
	if m.targetMilli <= 0 {
		return metric{}, errors.New("its target is not above 0")
	}
	return m, nil
}

// propose returns the highest proposal of all metrics, the index of its metric, and the first metric's failure. It reports
// whether there is a proposal: there is none when all metrics failed, or when one failed and the others would remove
// replicas.
func (c *Controller) propose(o *Observation) (replicas int32, index int, ok bool, failure error) {
	index = -1
	failed := 0
	for i, m := range c.metrics {
		proposed, err := c.proposalOf(m, &o.Readings[i], o)
		if err != nil {
			failed++
			if failure == nil {
				failure = err
			}
			continue
		}
		if replicas == 0 || proposed > replicas {
			replicas, index = proposed, i
		}
	}
	if failed == len(c.metrics) || failed > 0 && replicas < o.SpecReplicas {
		return 0, -1, false, failure
	}
	return replicas, index, true, failure
}

func (c *Controller) proposalOf(m metric, r *Reading, o *Observation) (int32, error) {
	switch {
	case r.Err != nil:
		return 0, r.Err
	case m.kind == autoscalingv2.PodsMetricSourceType:
		return c.ofPods(m, r, o)
	case m.perPod:
		return c.ofAverage(m, r, o), nil
	}
	return c.ofTotal(m, r, o)
}

var (
	errNoPods    = errors.New("no pods")
	errNoSamples = errors.New("no metrics of the pods")
)

// ofPods proposes from the average over the pods. A pod without a sample is assumed to be at the target when replicas
// would be removed, and at 0 when they would be added; a pending pod is at 0 when they would be added and does not count
// otherwise.
func (c *Controller) ofPods(m metric, r *Reading, o *Observation) (int32, error) {
	if len(o.Pods) == 0 {
		return 0, errNoPods
	}
	var total, samples, missing, pending int64
	for i := range o.Pods {
		switch {
		case o.Pods[i].Ignored:
		case o.Pods[i].Pending:
			pending++
		case !r.Pods[i].Present:
			missing++
		default:
			total += r.Pods[i].Milli
			samples++
		}
	}
	if samples == 0 {
		return 0, errNoSamples
	}
	ratio := usageRatio(total, samples, m.targetMilli)
	withPending := pending > 0 && ratio > 1
	if !withPending && missing == 0 {
		if c.tolerances.within(ratio) {
			return o.SpecReplicas, nil
		}
		return ceil(ratio * float64(samples)), nil
	}
	switch {
	case ratio < 1:
		total += missing * m.targetMilli
		samples += missing
	case ratio > 1:
		samples += missing
	}
	if withPending {
		samples += pending
	}
	assumed := usageRatio(total, samples, m.targetMilli)
	if c.tolerances.within(assumed) || ratio < 1 && assumed > 1 || ratio > 1 && assumed < 1 {
		return o.SpecReplicas, nil
	}
	proposed := ceil(assumed * float64(samples))
	if assumed < 1 && proposed > o.SpecReplicas || assumed > 1 && proposed < o.SpecReplicas {
		return o.SpecReplicas, nil
	}
	return proposed, nil
}

// usageRatio divides in integers first, as the controller does.
func usageRatio(total, samples, target int64) float64 {
	return float64(total/samples) / float64(target)
}

// ofAverage proposes from a value of the whole target and a target for each replica.
func (c *Controller) ofAverage(m metric, r *Reading, o *Observation) int32 {
	ratio := float64(r.TotalMilli) / (float64(m.targetMilli) * float64(o.StatusReplicas))
	if c.tolerances.within(ratio) {
		return o.StatusReplicas
	}
	return ceil(float64(r.TotalMilli) / float64(m.targetMilli))
}

// ofTotal proposes from a value of the whole target and a target for it, in proportion to the ready pods.
func (c *Controller) ofTotal(m metric, r *Reading, o *Observation) (int32, error) {
	ratio := float64(r.TotalMilli) / float64(m.targetMilli)
	if o.SpecReplicas == 0 {
		return ceil(ratio), nil
	}
	if c.tolerances.within(ratio) {
		return o.SpecReplicas, nil
	}
	if len(o.Pods) == 0 {
		return 0, errNoPods
	}
	ready := 0
	for i := range o.Pods {
		if o.Pods[i].Ready && !o.Pods[i].Pending {
			ready++
		}
	}
	return ceil(ratio * float64(ready)), nil
}

func ceil(replicas float64) int32 {
	return int32(min(math.Ceil(replicas), math.MaxInt32))
}
