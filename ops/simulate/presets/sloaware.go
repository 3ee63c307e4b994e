package presets

import (
	"fmt"
	"math"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/hpa"
	"vllm-autoscaling/ops/simulate/replica"
)

// sloAware is llm-d's law on latencies: a number of replicas is computed from a quantile of them as a share of the objective. It is
// the value of an autoscaler's metric with a target of 1.
type sloAware struct {
	// quantile is that of the latencies, of the requests that were answered within window seconds.
	quantile, window float64
	// firstToken and interToken are the guide's objectives, in seconds.
	firstToken, interToken float64
	// limit is the highest share that counts, and smoothed the number of evaluations that are averaged.
	limit    float64
	smoothed int
	// up and down are the shares above which replicas are added and below which they are removed.
	up, down float64
	behavior *autoscalingv2.HorizontalPodAutoscalerBehavior
}

// llmdSLOAware has the guide's values. The average over 45 s has three evaluations, which are 15 s apart.
var llmdSLOAware = sloAware{
	quantile: 0.9, window: 60, firstToken: 3, interToken: 0.1, limit: 2, smoothed: 3, up: 0.55, down: 0.4,
	behavior: behavior(rules(30, percent(100, 60), fixed(4, 60)), rules(180, fixed(1, 120))),
}

func (l sloAware) period() float64 { return hpa.DefaultPeriod.Seconds() }

func (l sloAware) describe() string {
	return fmt.Sprintf("p%g latency of %gs / objective (%gs to the first token, %gs between tokens), at most %g, "+
		"average of %d evaluations, kept in %g to %g; %s",
		100*l.quantile, l.window, l.firstToken, l.interToken, l.limit, l.smoothed, l.down, l.up, describeBehavior(l.behavior))
}

func (l sloAware) decider(limits limits, objective simulate.Objective) (simulate.Decider, error) {
	if objective.FirstToken > 0 {
		l.firstToken = objective.FirstToken
	}
	if objective.InterToken > 0 {
		l.interToken = objective.InterToken
	}
	controller, err := hpa.New(autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: ptr.To(limits.minimum), MaxReplicas: limits.maximum, Behavior: l.behavior.DeepCopy(),
		Metrics: []autoscalingv2.MetricSpec{metric{kind: external, target: 1}.spec()},
	}, hpa.Options{})
	return &sloAwareDecider{law: l, controller: controller}, err
}

type sloAwareDecider struct {
	law        sloAware
	controller *hpa.Controller
	// answered are the requests within the window, and shares the last evaluations.
	answered []*replica.Request
	shares   []float64
}

func (d *sloAwareDecider) Decide(now float64, o simulate.Observation) int {
	d.answered = slices.DeleteFunc(append(d.answered, o.Ended...), func(r *replica.Request) bool { return r.Finish <= now-d.law.window })
	d.shares = append(d.shares, min(d.share(), d.law.limit))
	d.shares = d.shares[max(0, len(d.shares)-d.law.smoothed):]
	decision := d.controller.Decide(&hpa.Observation{
		Time:         time.Duration(now * float64(time.Second)),
		SpecReplicas: int32(o.Wanted), StatusReplicas: int32(o.Created),
		Readings: []hpa.Reading{{TotalMilli: 1000 * int64(d.law.replicas(mean(d.shares), o.Created, o.Ready))}},
	})
	return int(decision.Replicas)
}

// share returns the higher share of the two latencies in their objectives; 0 without requests.
func (d *sloAwareDecider) share() float64 {
	var first, inter []float64
	for _, r := range d.answered {
		first = append(first, r.FirstToken-r.Arrival)
		if r.Output > 1 {
			inter = append(inter, (r.Finish-r.FirstToken)/float64(r.Output-1))
		}
	}
	return max(quantile(d.law.quantile, first)/d.law.firstToken, quantile(d.law.quantile, inter)/d.law.interToken)
}

// replicas returns the result of the ScaledObject's formula. While replicas start, the ready ones have a higher share than all of
// them will have together; an addition is therefore computed from the share times the part of the replicas that are ready.
func (l sloAware) replicas(share float64, created, ready int) int {
	n := float64(created)
	switch {
	case share > l.up:
		credit := 1.0
		if 0 < ready && ready < created {
			credit = float64(ready) / n
		}
		return created + int(math.Ceil(n*(share*credit/l.up-1)))
	case share < l.down:
		return created - int(math.Floor(n*(1-share/l.down)))
	}
	return created
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// quantile returns a quantile of values; 0 of none.
func quantile(q float64, values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
}
