package dashboards

import (
	"fmt"
	"strings"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

// signalUnits are the units of the catalogue in Grafana's words.
var signalUnits = map[signals.Unit]string{signals.Percent: unitPercent, signals.Requests: unitNumber}

func autoscaling(s telemetry.Settings) page {
	single := func(expr, legend string) query { return query{"max(" + expr + ")", legend} }
	replicas := []query{
		single(s.HPA(telemetry.SeriesHPADesired), "desired"),
		single(s.OfDeployment(telemetry.SeriesReplicas), "current"),
		single(s.OfDeployment(telemetry.SeriesReadyReplicas), "ready"),
		single(s.HPA(telemetry.SeriesHPAMin), "minimum"),
		single(s.HPA(telemetry.SeriesHPAMax), "maximum"),
	}
	changes := "max(changes(" + s.OfDeployment(telemetry.SeriesSpecReplicas) + "[$__rate_interval]))"
	// Readings and targets come from the autoscaler itself, so that a new target needs no new dashboard.
	target := func(series string, signal signals.Signal) string {
		return fmt.Sprintf("max(%s)", s.HPA(series, telemetry.Equal("metric_name", signal.Name), telemetry.Equal("metric_target_type", "average")))
	}

	var beside, perPod, ages []panel
	var age []query
	for _, signal := range s.Signals {
		unit := signalUnits[signal.Unit]
		if unit == "" {
			unit = unitNumber
		}
		words := strings.ReplaceAll(signal.Name, "_", " ")
		beside = append(beside, panel{
			title: words + " and its target", unit: unit, width: third,
			description: signal.Help + " The average over the pods, as Prometheus has it now and as the autoscaler last read it; above the target by a tenth or more, replicas are added.",
			queries: []query{
				{"avg(" + s.PerPod(signal) + ")", "average per pod"},
				{target(telemetry.SeriesHPAReading, signal), "read by the autoscaler"},
				{target(telemetry.SeriesHPATarget, signal), "target"},
			},
		})
		perPod = append(perPod, panel{
			title: words + " per pod", description: signal.Help, unit: unit, width: third,
			queries: []query{{s.PerPod(signal), "{{pod}}"}},
		})
		age = append(age, query{
			fmt.Sprintf("max(time() - timestamp(%s))", s.Server(signal.Series)), words,
		})
	}
	ages = append(ages,
		panel{
			title: "Age of the signals", unit: unitSeconds, width: third,
			description: fmt.Sprintf("How old the oldest pod's newest sample is. A signal is scraped or recorded every %s; the autoscaler cannot see that a value is old.", s.SignalInterval),
			queries:     age,
		},
		panel{
			title: "Autoscaler conditions", unit: unitStates, width: third, high: 1,
			description: "ScalingActive: it has at least one metric to act on. AbleToScale: it may change the replica count. ScalingLimited: it wanted to go beyond the minimum, the maximum or the allowed speed.",
			queries: []query{{fmt.Sprintf("max by (condition) (%s)",
				s.HPA(telemetry.SeriesHPACondition, telemetry.Equal("status", "true"))), "{{condition}}"}},
		},
		panel{
			title: "Scale events", unit: unitChangesRange, width: third, bars: true,
			description: "Changes of the number of replicas that is asked for. Many in a short time are flapping.",
			queries:     []query{{changes, "changes"}},
		},
	)

	return page{
		name: "autoscaling", title: "vLLM: autoscaling",
		description: "Why the number of replicas is what it is: each signal beside its target, the autoscaler, pods and GPU nodes.",
		annotation:  &annotation{"Scaled", changes + " > 0"},
		rows: []row{
			{"Replicas", []panel{{
				title: "Replicas", unit: unitNumber, width: whole, queries: replicas,
				description: "Desired by the autoscaler, present, and ready to serve. What lies between desired and ready is the cold start.",
			}}},
			{"Signals beside their targets", beside},
			{"Signals per pod", perPod},
			{"Autoscaler", ages},
			{"Pods and nodes", []panel{
				{title: "Pending pods", unit: unitNumber, width: third,
					description: "Serving pods without a node or with an image still to be pulled. For minutes with a node pool that has grown to its end: no GPU is to be had.",
					queries:     []query{{"sum(" + s.ServingPods(telemetry.SeriesPodPhase, telemetry.Equal("phase", "Pending")) + ")", "pending"}}},
				{title: "GPU nodes", unit: unitNumber, width: third,
					description: "Nodes that offer GPUs.",
					queries:     []query{{"count(" + telemetry.Select(telemetry.SeriesNodeAllocatable, telemetry.Equal("resource", telemetry.GPUResource)) + " > 0) or vector(0)", "nodes"}}},
				{title: "GPUs", unit: unitNumber, width: third,
					description: "GPUs that the nodes offer, and GPUs that serving pods ask for. More asked for than offered: nodes are on their way, or there are none left.",
					queries: []query{
						{"sum(" + telemetry.Select(telemetry.SeriesNodeAllocatable, telemetry.Equal("resource", telemetry.GPUResource)) + ") or vector(0)", "allocatable"},
						{"sum(" + s.ServingPods(telemetry.SeriesPodRequests, telemetry.Equal("resource", telemetry.GPUResource)) + ") or vector(0)", "requested"},
					}},
			}},
		},
	}
}
