package hpa

import (
	"errors"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

const (
	// DefaultTolerance is kube-controller-manager's --horizontal-pod-autoscaler-tolerance.
	DefaultTolerance = 0.1
	// DefaultPeriod is kube-controller-manager's --horizontal-pod-autoscaler-sync-period.
	DefaultPeriod = 15 * time.Second
	// DefaultDownscaleStabilization is kube-controller-manager's --horizontal-pod-autoscaler-downscale-stabilization.
	DefaultDownscaleStabilization = 5 * time.Minute
)

// Options are the flags of kube-controller-manager. The zero value stands for their defaults.
type Options struct {
	// Tolerance is the relative difference between usage and target that changes nothing; 0 is DefaultTolerance.
	Tolerance float64
	// DownscaleStabilization is the window of scale-downs whose rules set none; 0 is DefaultDownscaleStabilization.
	DownscaleStabilization time.Duration
}

// Pod is what the controller considers of a pod that the scale's selector matches.
type Pod struct {
	// Pending reports whether the pod's phase is Pending: it is not scheduled, or its containers have not started.
	Pending bool
	// Ready is the pod's condition of that name. It counts for metrics of the whole target only.
	Ready bool
	// Ignored reports whether the pod is being deleted or has failed.
	Ignored bool
}

// Sample is the value of a Pods metric for one pod.
type Sample struct {
	// Milli is the value in thousandths.
	Milli int64
	// Present reports whether the API returned a value for the pod.
	Present bool
}

// Reading is what a metrics API answered for one metric.
type Reading struct {
	// Err is why the API returned nothing.
	Err error
	// Pods are the samples of a metric of type Pods, one for each pod in the order of Observation.Pods.
	Pods []Sample
	// TotalMilli is the value of a metric of type Object, or the sum of the values of one of type External, in thousandths.
	TotalMilli int64
}

// Observation is what the controller reads for one decision.
type Observation struct {
	// Time since an arbitrary moment that all observations of a Controller share.
	Time time.Duration
	// SpecReplicas and StatusReplicas are those of the scale.
	SpecReplicas, StatusReplicas int32
	// Pods are the pods that the scale's selector matches.
	Pods []Pod
	// Readings has one element for each metric of the autoscaler, in its order.
	Readings []Reading
}

// Decision is the result of one round.
type Decision struct {
	// Replicas is the number to be written to the scale; without a reason to change it, that of the observation.
	Replicas int32
	// Proposed is what the metrics asked for, before stabilization and limits; 0 where they were not read.
	Proposed int32
	// Metric is the index of the metric with the highest proposal, -1 for none.
	Metric int
	// Err is the first metric's failure. The decision may still add replicas.
	Err error
}

// Controller decides for one autoscaler. It remembers the proposals and changes that its windows need. It is not safe for
// concurrent use.
type Controller struct {
	spec       autoscalingv2.HorizontalPodAutoscalerSpec
	up, down   rules
	tolerances tolerances
	metrics    []metric

	proposals            []proposal
	scaleUps, scaleDowns events
}

// New returns a Controller for an autoscaler with the API server's defaults. It reports metrics that are not supported.
func New(spec autoscalingv2.HorizontalPodAutoscalerSpec, options Options) (*Controller, error) {
	if spec.MaxReplicas < 1 {
		return nil, errors.New("maxReplicas is below 1")
	}
	if len(spec.Metrics) == 0 {
		return nil, errors.New("the autoscaler has no metrics")
	}
	tolerance := options.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	window := options.DownscaleStabilization
	if window == 0 {
		window = DefaultDownscaleStabilization
	}
	c := &Controller{spec: spec, tolerances: tolerances{up: tolerance, down: tolerance}}
	var behavior autoscalingv2.HorizontalPodAutoscalerBehavior
	if spec.Behavior != nil {
		behavior = *spec.Behavior
	}
	c.up = rulesOf(behavior.ScaleUp, 0, defaultScaleUpPolicies)
	c.down = rulesOf(behavior.ScaleDown, window, defaultScaleDownPolicies)
	for i := range spec.Metrics {
		m, err := metricOf(&spec.Metrics[i])
		if err != nil {
			return nil, fmt.Errorf("metric %d of the autoscaler: %w", i+1, err)
		}
		c.metrics = append(c.metrics, m)
	}
	return c, nil
}

// Decide returns the controller's decision for an observation and remembers it. Observations are in the order of their time.
// Every change counts as written.
func (c *Controller) Decide(o *Observation) Decision {
	current, minimum := o.SpecReplicas, c.minReplicas()
	if c.proposals == nil {
		c.proposals = append(c.proposals, proposal{replicas: current, time: o.Time})
	}
	d := Decision{Replicas: current, Metric: -1}
	switch {
	case current == 0 && minimum != 0:
		return d // Scaled to 0 by hand: the autoscaler is off.
	case current > c.spec.MaxReplicas:
		d.Replicas = c.spec.MaxReplicas
	case current < minimum:
		d.Replicas = minimum
	default:
		var ok bool
		if d.Proposed, d.Metric, ok, d.Err = c.propose(o); !ok {
			return d
		}
		d.Replicas = c.limit(o.Time, current, c.stabilize(o.Time, current, d.Proposed))
	}
	if d.Replicas != current {
		c.record(o.Time, current, d.Replicas)
	}
	return d
}

func (c *Controller) minReplicas() int32 {
	if c.spec.MinReplicas == nil {
		return 1
	}
	return *c.spec.MinReplicas
}
