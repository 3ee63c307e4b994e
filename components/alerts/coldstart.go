package alerts

import (
	"fmt"
	"maps"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"vllm-autoscaling/components/telemetry"
)

const (
	// startKept is how long a start is recorded after it can have ended: a Prometheus that is down for less misses none.
	startKept = time.Hour
	// startWindow is how far back the alert on slow starts looks.
	startWindow = 24 * time.Hour
	// slowStartShare is the share of the allowed time from which a start is slow. At the whole of it the start-up probe ends the
	// container, and there is no start to record.
	slowStartShare = 0.8
	// slowStartQuantile is over the starts of startWindow. Prometheus interpolates: of fewer than eleven it lies between the two slowest.
	slowStartQuantile = 0.9
)

// startRules returns the rules that record the phases of the first start of each replica.
//
// A replica that has never been ready has none. The value of a start stays as it was first recorded: a replica that loses its readiness
// and gets it back has another moment in SeriesPodReadyTime. A container that was started again has another moment in
// SeriesContainerStarted: its start is recorded no more, and adds none.
func startRules(s Settings) []monitoringv1.Rule {
	if s.NoStateMetrics {
		return nil
	}
	const by = "namespace, pod"
	of := func(selector string) string { return fmt.Sprintf("max by (%s) (%s)", by, selector) }
	created, scheduled := of(s.ServingPods(telemetry.SeriesPodCreated)), of(s.ServingPods(telemetry.SeriesPodScheduled))
	initialized, ready := of(s.ServingPods(telemetry.SeriesPodInitialized)), of(s.ServingPods(telemetry.SeriesPodReadyTime))
	started := of(s.OfServerContainer(telemetry.SeriesContainerStarted))
	first := fmt.Sprintf("(%s == 0)\nand on (%s) (time() - %s < %d)", of(s.OfServerContainer(telemetry.SeriesRestarts)), by, started,
		int((s.StartupBudget + startKept).Seconds()))
	var rules []monitoringv1.Rule
	for _, phase := range []struct {
		name       telemetry.Phase
		begin, end string
	}{
		{telemetry.PhaseNode, created, scheduled},
		{telemetry.PhaseInit, scheduled, initialized},
		{telemetry.PhaseImage, initialized, started},
		{telemetry.PhaseServer, started, ready},
		{telemetry.PhaseTotal, created, ready},
	} {
		labels := map[string]string{telemetry.LabelPhase: string(phase.name)}
		maps.Copy(labels, s.ServerLabels())
		rules = append(rules, monitoringv1.Rule{
			Record: telemetry.SeriesReplicaStart,
			Labels: labels,
			// Each moment is in whole seconds, of the clock of another machine.
			Expr: intstr.FromString(fmt.Sprintf("(%s\nor clamp_min(%s - %s, 0)\nand on (%s) %s)\nand on (%s) (%s)",
				of(s.Started(phase.name)), phase.end, phase.begin, by, ready, by, first)),
		})
	}
	return rules
}

// startAlerts returns the alert on slow starts.
func startAlerts(s Settings) []alert {
	if s.NoStateMetrics {
		return nil
	}
	slow := func(phase telemetry.Phase, allowed time.Duration) string {
		return fmt.Sprintf("quantile by (namespace, %s) (%s, last_over_time(%s[%s])) > %s", telemetry.LabelPhase, number(slowStartQuantile),
			s.Started(phase), promDuration(startWindow), number(slowStartShare*allowed.Seconds()))
	}
	return []alert{{
		name: "VLLMColdStartSlow", severity: Warning,
		why:     "a start is over when it is recorded, and counts for a day",
		expr:    slow(telemetry.PhaseServer, s.StartupBudget) + "\nor\n" + slow(telemetry.PhaseTotal, s.ColdStart),
		summary: "New replicas take {{ $value | humanizeDuration }} until they are ready (phase {{ $labels.phase }})",
		description: fmt.Sprintf("One in ten of the starts of the last day took longer, of few the slowest. Phase server: the server's own start, "+
			"which the start-up probe ends after vllm.startupBudget (%s). Phase total: with node and image, %s are allowed. "+
			"Look at the starts on the autoscaling dashboard: the phase that grew is the one to shorten.", promDuration(s.StartupBudget),
			promDuration(s.ColdStart)),
	}}
}
