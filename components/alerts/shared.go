package alerts

import (
	"fmt"
	"strings"
	"time"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

func gpuAlerts(s Settings) []alert {
	if s.SimulatedGPU {
		return nil
	}
	var fatal []string
	for _, code := range fatalXIDs {
		fatal = append(fatal, fmt.Sprintf("%s == %d", RecordLastXID, code))
	}
	return []alert{
		{
			name: "VLLMGPUFailed", severity: Critical,
			why:     "it does not recover by itself",
			expr:    strings.Join(fatal, "\nor\n"),
			summary: "GPU {{ $labels.gpu }} of {{ $labels.node }} reports XID {{ $value }}",
			description: "This error means that the GPU or its link is broken or must be reset. The pod that holds it does not recover by itself. " +
				"Delete the pod, drain the node and let it be replaced.",
		},
		{
			name: "VLLMGPUXIDError", severity: Warning,
			why: "the number stays until the exporter restarts, so waiting adds nothing",
			// DCGM's values for "not available" are far above any number of an error.
			expr:    fmt.Sprintf("(%s > 0 < 1000)\nunless on (node, gpu, UUID) (\n%s\n)", RecordLastXID, strings.Join(fatal, "\nor\n")),
			summary: "GPU {{ $labels.gpu }} of {{ $labels.node }} reports XID {{ $value }}",
			description: "The driver reported an error since the exporter started; the number stays until the exporter or the node restarts. " +
				"Many come from the program on the GPU (13, 31, 43, 45), some announce a failing GPU: look the number up in NVIDIA's list and at the server's log.",
		},
		{
			name: "VLLMGPUHot", severity: Warning, after: 10 * time.Minute,
			why:     "a peak of the load heats a GPU for minutes",
			expr:    fmt.Sprintf("(%s > %d) < 200", telemetry.OnEveryGPU(telemetry.SeriesTemperature), HotGPU),
			summary: "GPU {{ $labels.gpu }} of {{ $labels.node }} has {{ $value }} degrees Celsius",
			description: "A few degrees more and it lowers its clock, which makes every answer slower. " +
				"In a cloud replace the node; in a machine room look at fans, air and neighbours.",
		},
		{
			name: "VLLMGPUTargetDown", severity: Warning, after: 10 * time.Minute,
			why:     "a node that starts or is drained has an exporter that does not answer yet or any more",
			expr:    fmt.Sprintf("max by (job, namespace, pod) (%s) == 0", telemetry.Select(telemetry.SeriesUp, telemetry.Matches("job", s.GPUJob))),
			summary: "Prometheus cannot scrape the GPU exporter {{ $labels.pod }}",
			description: "The GPUs of its node are not seen: the GPU signal of their pods is missing. " +
				"Look at the exporter's pod and log, and whether the node's driver works (nvidia-smi).",
		},
	}
}

// monitoringAlerts lists the alerts on Prometheus itself.
func monitoringAlerts(s Settings) []alert {
	var all []alert
	own := func(series string, more ...string) string {
		return telemetry.Select(series, append([]string{
			telemetry.Equal("job", s.PrometheusJob), telemetry.Equal(signals.LabelNamespace, s.MonitoringNamespace)}, more...)...)
	}
	if s.PrometheusJob != "" {
		// A single failure is in the window for less than this time.
		window := max(stopped, 4*s.ScrapeInterval)
		all = append(all, alert{
			name: "VLLMSignalRulesFailing", severity: Critical, after: window,
			why: "the signals keep their last value for 5 minutes, then nothing can scale down; a single failure never fires it",
			expr: fmt.Sprintf("sum by (namespace, pod) (increase(%s[%s])) > 0", own(telemetry.SeriesRuleFailures,
				telemetry.Matches("rule_group", ".*;"+signals.RuleGroup)), promDuration(window)),
			summary: "Prometheus cannot evaluate the recording rules of the signals",
			description: "What the rules record stays as it is and is gone after 5 minutes. " +
				"Look at the error of the group " + signals.RuleGroup + " at Status > Rule health in Prometheus: mostly two series where one was expected.",
		})
	}
	if s.PrometheusStorage == 0 {
		return all
	}
	claims := []string{telemetry.Equal(signals.LabelNamespace, s.MonitoringNamespace), telemetry.Matches("persistentvolumeclaim", s.PrometheusVolume)}
	all = append(all, alert{
		name: "VLLMPrometheusVolumeFilling", severity: Warning, after: 10 * time.Minute,
		why: "a compaction needs room for a while; what is left lasts for hours",
		expr: fmt.Sprintf("max by (namespace, persistentvolumeclaim) (%s)\n/ max by (namespace, persistentvolumeclaim) (%s)\n< 0.15",
			telemetry.Select(telemetry.SeriesVolumeAvailable, claims...), telemetry.Select(telemetry.SeriesVolumeCapacity, claims...)),
		summary: "{{ $value | humanizePercentage }} of Prometheus' volume is left",
		description: "When it is full, Prometheus stops and with it every signal. " +
			"Raise monitoring.storage where the StorageClass allows growing, or lower monitoring.retention.",
	})
	if s.PrometheusJob == "" {
		return all
	}
	size := func(series string) string { return fmt.Sprintf("max by (namespace, pod) (%s)", own(series)) }
	return append(all, alert{
		name: "VLLMPrometheusDatabaseLarge", severity: Warning, after: 10 * time.Minute,
		why: "as with VLLMPrometheusVolumeFilling",
		expr: fmt.Sprintf("(%s + %s + %s) / %d > 0.85", size(telemetry.SeriesBlocks), size(telemetry.SeriesWAL),
			size(telemetry.SeriesHeadChunks), s.PrometheusStorage),
		summary: "Prometheus' database takes {{ $value | humanizePercentage }} of monitoring.storage",
		description: "Its own count, which also works where the kubelet reports nothing of the volume. When the volume is full, Prometheus stops and with " +
			"it every signal. " +
			"Raise monitoring.storage where the StorageClass allows growing, or lower monitoring.retention.",
	})
}
