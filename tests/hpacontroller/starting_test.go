package hpacontroller

import (
	"math"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate/hpa"
)

// inFlight is the round of a deployment whose pods have that many requests in flight; a negative number stands for a pod that
// starts: without a node where pending, and with a server that loads its model, and serves no metrics, otherwise.
func inFlight(requests ...int64) round {
	n := round{set: -1, status: int32(len(requests)), readings: make([]hpa.Reading, 1)}
	for _, r := range requests {
		n.pods = append(n.pods, hpa.Pod{Pending: r == pending, Ready: r >= 0})
		n.readings[0].Pods = append(n.readings[0].Pods, hpa.Sample{Milli: 1000 * r, Present: r >= 0})
	}
	return n
}

const (
	starting = -1
	pending  = -2
)

// While replicas start, the requests that they will take are in flight on the others. The controller counts a pod without metrics as
// one with 0 requests where it would add replicas, so that it asks for all requests divided by the target, and for the same number
// until the replicas are ready: an average over the pods with metrics would ask for twice as many in each round.
func TestStartingReplicasAreNotAskedForAgain(t *testing.T) {
	const perPod = 33
	average := resource.NewQuantity(perPod, resource.DecimalSI)
	s := scenario{start: 2, spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target},
		MinReplicas:    ptr.To[int32](1), MaxReplicas: 20,
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: metricName(0)},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: average},
		}}},
	}}
	var want []int32
	for _, step := range []struct {
		round round
		want  int32
	}{
		{inFlight(66, 66), 4},
		{inFlight(66, 66, pending, pending), 4},
		{inFlight(66, 66, starting, pending), 4},
		{inFlight(66, 66, starting, starting), 4},
		{inFlight(99, 99, starting, starting), 6}, // The load grows.
		{inFlight(99, 99, starting, starting, pending, pending), 6},
		{inFlight(66, 66, 66, starting, starting, pending), 6}, // One is ready, and takes its part.
		{inFlight(50, 49, 50, 49, starting, starting), 6},
		{inFlight(33, 33, 33, 33, 33, 33), 6},
	} {
		s.rounds, want = append(s.rounds, step.round), append(want, step.want)
	}
	var seen []decision
	synctest.Test(t, func(t *testing.T) { seen = runController(t, &s) })
	require.Len(t, seen, len(s.rounds))
	ours, err := hpa.New(s.spec, hpa.Options{})
	require.NoError(t, err)
	for i := range seen {
		total := 0.0
		for _, sample := range s.rounds[i].readings[0].Pods {
			if sample.Present {
				total += float64(sample.Milli) / 1000
			}
		}
		assert.Equal(t, want[i], seen[i].replicas, "round %d of Kubernetes' controller", i)
		assert.LessOrEqual(t, float64(seen[i].replicas), math.Ceil(total/perPod), "round %d", i)
		assert.Equal(t, want[i], ours.Decide(&seen[i].observation).Replicas, "round %d of the model", i)
	}
}
