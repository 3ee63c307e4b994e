package main

import (
	"fmt"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/report"
	"vllm-autoscaling/ops/trace"
	"vllm-autoscaling/stacks/config"
)

// chosen returns the settings of the candidates that the report shows over time.
func chosen(candidates []compare.Candidate, settings simulate.Settings) map[string]simulate.Settings {
	shown := map[string]simulate.Settings{compare.NameConfigured: settings}
	for _, c := range candidates {
		if c.Name == compare.NameStaticBest {
			static := settings
			static.Autoscaler, static.Signals, static.Replicas = nil, nil, c.Most
			shown[c.Name] = static
		}
	}
	return shown
}

// trust is how far to trust the report, in short; docs/simulate.md has the whole of it.
var trust = []string{
	"Compare configurations with it, and do not promise its times: the speed of a replica is computed from the data sheet of the GPU, not measured.",
	"The autoscaler decides as that of Kubernetes 1.34 does. How long nodes and servers take to start is an estimate until you measure it.",
	"Prices are list prices on demand of the GPU nodes only.",
	"docs/simulate.md describes each part of the model.",
}

func reportOf(o *options, c *config.Config, start simulate.Start, t *trace.Trace, goal objective, candidates []compare.Candidate) *report.Report {
	return &report.Report{
		Title:      fmt.Sprintf("%s, %s", c.Stack, t),
		Verdict:    compare.Verdict(candidates, goal.Ratio),
		Objective:  report.Objective{Text: goal.String(), TTFT: goal.TTFT, Ratio: goal.Ratio},
		Candidates: candidates,
		Settings:   settingsOf(o, c, start),
		Notes:      trust,
	}
}

// settingsOf returns the settings that a result depends on most.
func settingsOf(o *options, c *config.Config, start simulate.Start) []report.Row {
	row := func(name, format string, args ...any) report.Row {
		return report.Row{Name: name, Value: fmt.Sprintf(format, args...)}
	}
	pool := c.NodePools.GPU
	rows := []report.Row{
		row("cloud", "%s", c.Cloud),
		row("trace", "%s", o.trace),
		row("machine", "%s", pool.MachineType),
		row("accelerator", "%s, %d for a replica", pool.Accelerator, c.GPU.PerReplica),
		row("model", "%s", c.Model.ID),
		row("model.maxNumSeqs", "%d", c.Model.MaxNumSeqs),
		row("replicas", "%d to %d", c.Autoscaling.MinReplicas, c.Autoscaling.MaxReplicas),
		row("nodes", "%d to %d", pool.MinNodes, pool.MaxNodes),
		row("start of a node, of a server on it", "%s, %s", seconds(start.Node), seconds(start.Total()-start.Node)),
		row("routing", "%s", routingName(o.routing)),
		row("seed", "%d", o.seed),
	}
	for _, assignment := range o.set {
		rows = append(rows, row("-set", "%s", assignment))
	}
	return rows
}

// routingName returns the value of -routing.
func routingName(r simulate.Routing) string {
	for name, routing := range routings {
		if routing == r {
			return name
		}
	}
	return fmt.Sprint(int(r))
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}
