package hpa

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// The decisions are compared with the real controller's in tests/hpacontroller. These tests show the rules that matter most to
// a server of GPUs.

func perPod(target int64) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(target, resource.DecimalSI)},
	}}
}

func controller(t *testing.T, behavior *autoscalingv2.HorizontalPodAutoscalerBehavior, metrics ...autoscalingv2.MetricSpec) *Controller {
	t.Helper()
	c, err := New(autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: ptr.To[int32](1), MaxReplicas: 10, Metrics: metrics, Behavior: behavior}, Options{})
	require.NoError(t, err)
	return c
}

// pods returns an observation of running pods, each with a sample; a negative value stands for none, and pending for a pending pod.
func pods(at time.Duration, replicas int32, values ...int64) *Observation {
	o := &Observation{Time: at, SpecReplicas: replicas, StatusReplicas: replicas, Readings: make([]Reading, 1)}
	for _, value := range values {
		o.Pods = append(o.Pods, Pod{Pending: value == pending, Ready: value >= 0})
		o.Readings[0].Pods = append(o.Readings[0].Pods, Sample{Milli: value * 1000, Present: value >= 0})
	}
	return o
}

const (
	missing = -1
	pending = -2
)

func TestPodsMetrics(t *testing.T) {
	for name, test := range map[string]struct {
		values []int64
		want   int32
	}{
		"within the tolerance": {[]int64{11, 11}, 2},
		"above it":             {[]int64{12, 12}, 3},
		"far below":            {[]int64{1, 1}, 1},
		"a missing sample is at the target downwards":  {[]int64{0, missing}, 1},
		"and keeps a replica that the others need":     {[]int64{6, missing}, 2},
		"a missing sample is at 0 upwards":             {[]int64{25, missing}, 3},
		"which turns no scale-up into a scale-down":    {[]int64{15, missing}, 2},
		"a pending pod counts as capacity":             {[]int64{25, pending}, 3},
		"and is left out downwards":                    {[]int64{5, pending}, 1},
		"no samples at all change nothing":             {[]int64{missing, missing}, 2},
		"nor does a deployment without a running pod":  {[]int64{pending, pending}, 2},
		"more than the maximum of replicas is limited": {[]int64{200, 200}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			behavior := &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp: &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{
					{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
				}},
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To[int32](0)},
			}
			o := pods(time.Minute, 2, test.values...)
			assert.Equal(t, test.want, controller(t, behavior, perPod(10)).Decide(o).Replicas)
		})
	}
}

func TestAFailedMetricKeepsReplicas(t *testing.T) {
	behavior := &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To[int32](0)}}
	for _, test := range []struct{ value, want int64 }{{0, 2}, {30, 6}} {
		o := pods(time.Minute, 2, test.value, test.value)
		o.Readings = append(o.Readings, Reading{Err: errors.New("no such metric")})
		got := controller(t, behavior, perPod(10), perPod(10)).Decide(o)
		assert.EqualValues(t, test.want, got.Replicas, "at %d", test.value)
		assert.EqualError(t, got.Err, "no such metric")
	}
}

func TestScaleDownWaitsForTheWindow(t *testing.T) {
	c := controller(t, nil, perPod(10))
	assert.EqualValues(t, 4, c.Decide(pods(0, 2, 20, 20)).Replicas)
	for at := DefaultPeriod; at <= DefaultDownscaleStabilization; at += DefaultPeriod {
		assert.EqualValues(t, 4, c.Decide(pods(at, 4, 1, 1, 1, 1)).Replicas, "after %s", at)
	}
	assert.EqualValues(t, 1, c.Decide(pods(DefaultDownscaleStabilization+DefaultPeriod, 4, 1, 1, 1, 1)).Replicas)
}

func TestPoliciesLimitTheSpeed(t *testing.T) {
	c := controller(t, &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleUp: &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 2, PeriodSeconds: 60}}},
	}, perPod(10))
	var seen []int32
	replicas := int32(1)
	for at := time.Duration(0); at < 75*time.Second; at += DefaultPeriod {
		values := make([]int64, replicas)
		for i := range values {
			values[i] = 100
		}
		replicas = c.Decide(pods(at, replicas, values...)).Replicas
		seen = append(seen, replicas)
	}
	assert.Equal(t, []int32{3, 3, 3, 3, 5}, seen)
}

func TestScaledToZeroByHandIsOff(t *testing.T) {
	c := controller(t, nil, perPod(10))
	assert.Zero(t, c.Decide(pods(0, 0)).Replicas)
}

func TestUnsupportedAutoscalers(t *testing.T) {
	resourceMetric := autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType}
	for name, spec := range map[string]autoscalingv2.HorizontalPodAutoscalerSpec{
		"maxReplicas is below 1":                          {Metrics: []autoscalingv2.MetricSpec{perPod(1)}},
		"the autoscaler has no metrics":                   {MaxReplicas: 1},
		`metric 1 of the autoscaler: type "Resource"`:     {MaxReplicas: 1, Metrics: []autoscalingv2.MetricSpec{resourceMetric}},
		"metric 2 of the autoscaler: its target is not a": {MaxReplicas: 1, Metrics: []autoscalingv2.MetricSpec{perPod(1), perPod(0)}},
	} {
		_, err := New(spec, Options{})
		assert.ErrorContains(t, err, name)
	}
}
