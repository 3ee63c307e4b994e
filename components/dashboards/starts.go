package dashboards

import (
	"fmt"

	"vllm-autoscaling/components/telemetry"
)

// starts shows the phases of the starts of replicas, which the rules of the alerts record.
func starts(s telemetry.Settings) []panel {
	const recorded = " Recorded with the alerts (monitoring.alerts.enabled), for vllm.startupBudget and an hour after the container has started."
	var phases []query
	for _, phase := range telemetry.Phases() {
		phases = append(phases, query{"avg(" + s.Started(phase) + ")", string(phase)})
	}
	total := s.Started(telemetry.PhaseTotal)
	lastDay := fmt.Sprintf("last_over_time(%s[1d])", total)
	return []panel{
		{
			title: "Phases of the last starts", unit: unitSeconds, width: third, stacked: true,
			description: "Average over the replicas that became ready lately. node: waiting for a node. init: init containers. image: pull of the image and " +
				"mounting of volumes. server: the server loads the weights and warms up." + recorded,
			queries: phases,
		},
		{
			title: "Start of each replica", unit: unitSeconds, width: third,
			description: "From the creation of the pod until it was ready for the first time. A restart of the container is no start." + recorded,
			queries:     []query{{"max by (pod) (" + total + ")", "{{pod}}"}},
		},
		{
			title: "Starts of the last day", unit: unitSeconds, width: third,
			description: "The slowest, the 90th percentile and the median of the starts of the last day, of replicas that are gone too. " +
				"VLLMColdStartSlow compares the second with what is allowed.",
			queries: []query{
				{"max(" + lastDay + ")", "slowest"}, {"quantile(0.9, " + lastDay + ")", "p90"}, {"quantile(0.5, " + lastDay + ")", "p50"},
			},
		},
	}
}
