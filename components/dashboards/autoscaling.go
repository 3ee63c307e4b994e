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
	changes := "max(changes(" + s.OfDeployment(telemetry.SeriesSpecReplicas) + "[$__rate_interval]))"
	p := page{
		name: "autoscaling", title: "vLLM: autoscaling",
		description: "Why the number of replicas is what it is: each signal beside its target, the autoscaler, pods and GPU nodes.",
		annotation:  &annotation{"Scaled", changes + " > 0"},
		rows: []row{
			{"Replicas", []panel{replicas(s)}},
			{"Signals beside their targets", besideTargets(s)},
			{"Signals per pod", signalsPerPod(s)},
			{"Autoscaler", autoscaler(s, changes)},
			{"Pods and nodes", podsAndNodes(s)},
		},
	}
	if !s.NoStateMetrics {
		p.rows = append(p.rows, row{"Starts of replicas", starts(s)})
	}
	return p
}

func replicas(s telemetry.Settings) panel {
	single := func(expr, legend string) query { return query{"max(" + expr + ")", legend} }
	return panel{
		title: "Replicas", unit: unitNumber, width: whole,
		description: "Desired by the autoscaler, present, and ready to serve. What lies between desired and ready is the cold start.",
		queries: []query{
			single(s.HPA(telemetry.SeriesHPADesired), "desired"),
			single(s.OfDeployment(telemetry.SeriesReplicas), "current"),
			single(s.OfDeployment(telemetry.SeriesReadyReplicas), "ready"),
			single(s.HPA(telemetry.SeriesHPAMin), "minimum"),
			single(s.HPA(telemetry.SeriesHPAMax), "maximum"),
		},
	}
}

// signalWords returns the name of a signal for a title.
func signalWords(signal signals.Signal) string { return strings.ReplaceAll(signal.Name, "_", " ") }

// signalUnit returns the unit of a signal for an axis.
func signalUnit(signal signals.Signal) string {
	if unit := signalUnits[signal.Unit]; unit != "" {
		return unit
	}
	return unitNumber
}

// besideTargets shows each signal with its target. Readings and targets are the autoscaler's own, so that a new target
// needs no new dashboard.
func besideTargets(s telemetry.Settings) []panel {
	own := func(series string, signal signals.Signal) string {
		return fmt.Sprintf("max(%s)", s.HPA(series, telemetry.Equal("metric_name", signal.Name), telemetry.Equal("metric_target_type", "average")))
	}
	var panels []panel
	for _, signal := range s.Signals {
		panels = append(panels, panel{
			title: signalWords(signal) + " and its target", unit: signalUnit(signal), width: third,
			description: signal.Help + " The average over the pods, as Prometheus has it now and as the autoscaler last read it; " +
				"above the target by a tenth or more, replicas are added.",
			queries: []query{
				{"avg(" + s.PerPod(signal) + ")", "average per pod"},
				{own(telemetry.SeriesHPAReading, signal), "read by the autoscaler"},
				{own(telemetry.SeriesHPATarget, signal), "target"},
			},
		})
	}
	return panels
}

func signalsPerPod(s telemetry.Settings) []panel {
	var panels []panel
	for _, signal := range s.Signals {
		panels = append(panels, panel{
			title: signalWords(signal) + " per pod", description: signal.Help, unit: signalUnit(signal), width: third,
			queries: []query{{s.PerPod(signal), "{{pod}}"}},
		})
	}
	return panels
}

func autoscaler(s telemetry.Settings, changes string) []panel {
	var ages []query
	for _, signal := range s.Signals {
		ages = append(ages, query{fmt.Sprintf("max(time() - timestamp(%s))", s.Server(signal.Series)), signalWords(signal)})
	}
	return []panel{
		{
			title: "Age of the signals", unit: unitSeconds, width: third,
			description: fmt.Sprintf("How old the oldest pod's newest sample is. A signal is scraped or recorded every %s; "+
				"the autoscaler cannot see that a value is old.", s.SignalInterval),
			queries: ages,
		},
		{
			title: "Autoscaler conditions", unit: unitStates, width: third, high: 1,
			description: "ScalingActive: it has at least one metric to act on. AbleToScale: it may change the replica count. " +
				"ScalingLimited: it wanted to go beyond the minimum, the maximum or the allowed speed.",
			queries: []query{{fmt.Sprintf("max by (condition) (%s)",
				s.HPA(telemetry.SeriesHPACondition, telemetry.Equal("status", "true"))), "{{condition}}"}},
		},
		{
			title: "Scale events", unit: unitChangesRange, width: third, bars: true,
			description: "Changes of the number of replicas that is asked for. Many in a short time are flapping.",
			queries:     []query{{changes, "changes"}},
		},
	}
}

func podsAndNodes(s telemetry.Settings) []panel {
	gpu := telemetry.Equal("resource", telemetry.GPUResource)
	allocatable := telemetry.Select(telemetry.SeriesNodeAllocatable, gpu)
	panels := []panel{
		{
			title: "Pending pods", unit: unitNumber, width: third,
			description: "Serving pods without a node or with an image still to be pulled. For minutes with a node pool that has grown to its end: " +
				"no GPU is to be had.",
			queries: []query{{"sum(" + s.ServingPods(telemetry.SeriesPodPhase, telemetry.Equal("phase", "Pending")) + ")", "pending"}},
		},
		{
			title: "GPU nodes", unit: unitNumber, width: third,
			description: "Nodes that offer GPUs.",
			queries:     []query{{"count(" + allocatable + " > 0) or vector(0)", "nodes"}},
		},
		{
			title: "GPUs", unit: unitNumber, width: third,
			description: "GPUs that the nodes offer, and GPUs that serving pods ask for. More asked for than offered: nodes are on their way, or there are none left.",
			queries: []query{
				{"sum(" + allocatable + ") or vector(0)", "allocatable"},
				{"sum(" + s.ServingPods(telemetry.SeriesPodRequests, gpu) + ") or vector(0)", "requested"},
			},
		},
	}
	if s.SpareNodes == "" {
		return panels
	}
	of := func(series string) string { return "max(" + s.OfSpareNodes(series) + ")" }
	return append(panels, panel{
		title: "Spare nodes", unit: unitNumber, width: third,
		description: "Nodes that are kept for the replicas that are asked for next. Fewer ready than asked for: a replica has just taken one and another one " +
			"is on its way, or the node pool is at its maximum.",
		queries: []query{{of(telemetry.SeriesReplicas), "asked for"}, {of(telemetry.SeriesReadyReplicas), "ready"}},
	})
}
