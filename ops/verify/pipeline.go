package verify

import (
	"context"
	"fmt"
	"time"
)

// The pipelines from a server's metrics to the HPA, as in outputs.Pipeline.Metrics.
const (
	prometheusOperator = "prometheus-operator"
	googleManaged      = "google-managed"
	existing           = "existing"
)

// pipeline is everything that depends on who collects and stores the series, and on which adapter serves them.
type pipeline struct {
	// The stages that differ.
	prometheus, targets, gpus, rules, customMetrics func(*walk, context.Context) (measured string, err error)
	// freshness is a stage too; the signals are scraped and recorded every interval.
	freshness func(w *walk, ctx context.Context, interval time.Duration) (measured string, err error)
	// adapterHints returns where to look if the adapter does not answer.
	adapterHints func(*walk) []string
	// metricHints returns where to look if a signal has no value, and unserved is why the API may not have its name.
	metricHints func(*walk) []string
	unserved    string
}

// pipelines has a row for each pipeline.
var pipelines = map[string]pipeline{
	prometheusOperator: {
		prometheus: (*walk).connectPrometheus, targets: (*walk).prometheusTargets, gpus: (*walk).prometheusGPUs,
		rules: (*walk).prometheusRules, customMetrics: (*walk).comparedMetrics, freshness: (*walk).prometheusFreshness,
		adapterHints: (*walk).adapterLog, metricHints: (*walk).adapterRules,
		unserved: "Prometheus has it, so the adapter has no rule for it, or has not listed the series yet " +
			"(it does so every few seconds, and reads its rules at startup only)",
	},
	googleManaged: {
		prometheus: (*walk).managedPrometheus, targets: (*walk).managedTargets, gpus: (*walk).managedGPUs,
		rules: (*walk).managedRules, customMetrics: (*walk).readMetrics, freshness: (*walk).managedFreshness,
		adapterHints: (*walk).managedAdapterHints, metricHints: (*walk).managedMetricHints,
		unserved: "Cloud Monitoring has no such metric yet, or refuses the adapter",
	},
	existing: {
		prometheus: (*walk).connectExisting, targets: queried((*walk).existingTargets), gpus: queried((*walk).prometheusGPUs),
		rules: queried((*walk).existingRules), customMetrics: (*walk).existingMetrics, freshness: (*walk).existingFreshness,
		adapterHints: (*walk).existingAdapterHints, metricHints: (*walk).existingMetricHints,
		unserved: "the adapter has no rule for it, or has not listed the series yet: it reads its rules at startup only, and lists series once per relist",
	},
}

// pipelineOf returns the row of a stack.
func pipelineOf(metrics string) (pipeline, error) {
	if metrics == "" { // outputs of before there was a choice
		metrics = prometheusOperator
	}
	row, found := pipelines[metrics]
	if !found {
		return pipeline{}, fmt.Errorf("metrics pipeline %q is not known to this version of verify: was the stack deployed by a newer one?", metrics)
	}
	return row, nil
}

func (w *walk) prometheus(ctx context.Context) (string, error) { return w.pipeline.prometheus(w, ctx) }

func (w *walk) targets(ctx context.Context) (string, error) { return w.pipeline.targets(w, ctx) }

// gpus checks DCGM's series of the pods' GPUs.
func (w *walk) gpus(ctx context.Context) (string, error) {
	switch {
	case len(w.Pipeline.GPUSeries) == 0:
		return "not needed: no signal reads it", nil
	case w.Pipeline.GPUMetrics == "simulated":
		return "simulated by a recording rule, see the next stage", nil
	}
	return w.pipeline.gpus(w, ctx)
}

// rules checks the recording rules.
func (w *walk) rules(ctx context.Context) (string, error) {
	if len(w.Pipeline.Rules) == 0 {
		return "not needed: no signal has one", nil
	}
	return w.pipeline.rules(w, ctx)
}

func (w *walk) customMetrics(ctx context.Context) (string, error) {
	return w.pipeline.customMetrics(w, ctx)
}

func (w *walk) freshness(ctx context.Context) (string, error) {
	interval, err := time.ParseDuration(w.Pipeline.SignalInterval)
	if err != nil {
		return "", fmt.Errorf("signalInterval of the stack's outputs: %w", err)
	}
	return w.pipeline.freshness(w, ctx, interval)
}

// adapterLog returns the command that shows the adapter's log.
func (w *walk) adapterLog() []string {
	a := w.Pipeline.Adapter
	return []string{w.kubectl(a.Namespace, "logs deployment/%s --tail=50", a.Name)}
}

// adapterRules returns the commands that show the adapter's rules and its log.
func (w *walk) adapterRules() []string {
	a := w.Pipeline.Adapter
	return append([]string{w.kubectl(a.Namespace, "get configmap %s -o yaml", a.Name)}, w.adapterLog()...)
}
