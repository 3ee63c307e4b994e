package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/report"
	"vllm-autoscaling/stacks/config"
)

// overTime returns the names of the candidates that the report shows over time: those with a role of their own, and of the policies
// that others publish the cheapest that keeps the objective, or else the closest.
func overTime(candidates []compare.Candidate, ratio float64) []string {
	names := []string{compare.NameConfigured, compare.NameRecommended, compare.NameStaticBest, compare.NameOracle}
	var presets []compare.Candidate
	for _, c := range candidates {
		if strings.HasPrefix(c.Name, compare.NamePreset) {
			presets = append(presets, c)
		}
	}
	if len(presets) == 0 {
		return names
	}
	return append(names, compare.Cheapest(presets, ratio).Name)
}

// trust returns how far to trust the report, in short; docs/simulate.md has the whole of it.
func (e *evaluation) trust() []string {
	speed := "Compare configurations with it, and do not promise its times: the speed of a replica is computed from the data sheet of the GPU, not measured."
	if e.options.deployment.Profile != "" {
		speed = "The speed of a replica is that of the measured profile " + e.options.deployment.Profile + "."
	}
	return []string{
		speed,
		"The autoscaler decides as that of Kubernetes 1.34 does. How long nodes and servers take to start is an estimate until you measure it.",
		"Prices are list prices on demand of the GPU nodes only.",
		"docs/simulate.md describes each part of the model.",
	}
}

// writeReport writes the files that were asked for.
func (e *evaluation) writeReport(ctx context.Context, found *document) error {
	if !e.options.files.Wanted() {
		return nil
	}
	replay := &compare.Replay{Load: e.load}
	if err := replay.Record(ctx, found.Candidates, overTime(found.Candidates, e.goal.Ratio)); err != nil {
		return err
	}
	return e.options.files.Write(&report.Report{
		Title:          fmt.Sprintf("%s, %s", found.subject(), found.Trace),
		Verdict:        compare.Verdict(found.Candidates, e.goal.Ratio),
		Objective:      report.Objective{Text: e.goal.String(), TTFT: e.goal.TTFT, Ratio: e.goal.Ratio},
		Candidates:     found.Candidates,
		Searched:       found.tried,
		Settings:       settingsOf(e.options, e.stack.configured, found.Candidates[0].Settings.Start),
		Notes:          append(slices.Clone(found.Notes), e.trust()...),
		Recommendation: recommendationOf(found),
	})
}

// recommendationOf returns the recommended candidate with the commands that make it so, nil without one.
func recommendationOf(found *document) *report.Recommendation {
	c, ok := compare.Find(found.Candidates, compare.NameRecommended)
	if !ok {
		return nil
	}
	return &report.Recommendation{
		Text: compare.Recommended(&found.Candidates[0], &c), Commands: compare.Commands(found.Stack, c.Set), Checks: c.Robustness,
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
		row("nodes", "%s", nodesText(pool.MinNodes, pool.MaxNodes, c.Autoscaling.SpareNodes)),
		row("start of a node, of a server on it", "%s, %s", seconds(start.Node), seconds(start.Total()-start.Node)),
		row("routing", "%s", routingName(o.routing)),
		row("seed", "%d", o.seed),
	}
	rows = append(rows, weightsOf(c.Model)...)
	for _, assignment := range o.set {
		rows = append(rows, row("-set", "%s", assignment))
	}
	return rows
}

// nodesText returns the size of a pool, with the nodes that are kept for the replicas that are asked for next.
func nodesText(least, most, spare int) string {
	if spare == 0 {
		return fmt.Sprintf("%d to %d", least, most)
	}
	return fmt.Sprintf("%d to %d, autoscaling.spareNodes %d", least, most, spare)
}

// weightsOf returns the settings of quantisation, parallelism and adapters that are in use, with what the simulation assumes of them.
func weightsOf(m config.Model) []report.Row {
	var rows []report.Row
	add := func(used bool, name, format string, args ...any) {
		if used {
			rows = append(rows, report.Row{Name: name, Value: fmt.Sprintf(format, args...)})
		}
	}
	add(m.Quantization != "", "model.quantization", "%s", m.Quantization)
	add(m.KVCacheDType != "auto", "model.kvCacheDType", "%s", m.KVCacheDType)
	add(m.Parallel.Data > 1, "model.parallel.data", "%d engines, simulated as one with the room of all: their requests are spread evenly", m.Parallel.Data)
	add(len(m.LoRA.Adapters) > 0, "model.lora.adapters", "%d, whose memory counts and whose computation does not", len(m.LoRA.Adapters))
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
