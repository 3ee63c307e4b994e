package dashboards

import (
	"fmt"
	"strings"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

// chosen keeps the models and pods that the dashboard's variables choose.
var chosen = []string{telemetry.Matches(signals.LabelModel, "$model"), telemetry.Matches(signals.LabelPod, "$pod")}

func serving(s telemetry.Settings) page {
	server := func(series string) string { return s.Server(series, chosen...) }
	rate := func(by, series string) string {
		return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, server(series))
	}
	total := func(series string) string { return fmt.Sprintf("sum(rate(%s[$__rate_interval]))", server(series)) }
	// The same gauge scraped twice counts once, as for the signals.
	gauge := func(by, series string) string {
		return strings.TrimSpace(fmt.Sprintf("sum%s (max by (namespace, pod, engine, model_name) (%s))", by, server(series)))
	}
	buckets := func(by string, series ...string) string {
		var sums []string
		for _, name := range series {
			sums = append(sums, fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, server(name+"_bucket")))
		}
		return strings.Join(sums, " or ")
	}
	quantiles := func(series ...string) []query {
		var all []query
		for _, q := range []struct{ value, name string }{{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}} {
			all = append(all, query{fmt.Sprintf("histogram_quantile(%s, %s)", q.value, buckets("le", series...)), q.name})
		}
		return all
	}
	perPodP95 := func(series ...string) []query {
		return []query{{fmt.Sprintf("histogram_quantile(0.95, %s)", buckets("pod, le", series...)), "{{pod}}"}}
	}
	interToken := []string{telemetry.SeriesInterTokenLatency, telemetry.SeriesTimePerOutputToken}

	return page{
		name: "serving", title: "vLLM: serving",
		description: "What clients get: requests, latency and tokens of the vLLM servers.",
		variables: []variable{
			{"model", "Model", s.Server(signals.SeriesRequestsRunning), signals.LabelModel},
			{"pod", "Pod", s.Server(signals.SeriesRequestsRunning), signals.LabelPod},
		},
		rows: []row{
			{"Now", []panel{
				{title: "Requests per second", description: "Requests finished per second, all pods.", unit: unitPerSecond, width: sixth, single: true,
					queries: []query{{total(telemetry.SeriesRequestSuccess), "requests"}}},
				{title: "Running", description: "Requests in execution batches now, all pods.", unit: unitNumber, width: sixth, single: true,
					queries: []query{{gauge("", signals.SeriesRequestsRunning), "running"}}},
				{title: "Waiting", description: "Requests queued in the servers now, all pods.", unit: unitNumber, width: sixth, single: true,
					queries: []query{{gauge("", signals.SeriesRequestsWaiting), "waiting"}}},
				{title: "Time to first token, p95", description: "19 of 20 requests got their first token within this time.", unit: unitSeconds, width: sixth, single: true,
					queries: []query{quantiles(telemetry.SeriesTimeToFirstToken)[1]}},
				{title: "Tokens generated per second", description: "Output tokens per second, all pods.", unit: unitTokens, width: sixth, single: true,
					queries: []query{{total(telemetry.SeriesGenerationTokens), "generated"}}},
				{title: "KV cache, fullest pod", description: "Share of the KV cache in use in the fullest pod. At 100 % requests wait or are preempted.", unit: unitRatio, width: sixth, single: true,
					queries: []query{{fmt.Sprintf("max(%s)", server(signals.SeriesKVCacheUsage)), "fullest"}}},
			}},
			{"Requests", []panel{
				{title: "Request rate per pod", description: "Requests finished per second.", unit: unitPerSecond, width: half, stacked: true,
					queries: []query{{rate("pod", telemetry.SeriesRequestSuccess), "{{pod}}"}}},
				{title: "Finish reasons", description: "Why requests ended: stop (the model was done), length (the limit of tokens), abort (the client left), error.", unit: unitPerSecond, width: half, stacked: true,
					// Grouped by both names of the label: vLLM's and the simulator's.
					queries: []query{{rate(telemetry.LabelFinishedReason+", "+telemetry.LabelFinishReason, telemetry.SeriesRequestSuccess), "{{finished_reason}}{{finish_reason}}"}}},
				{title: "Running per pod", description: "Requests in execution batches. A server never runs more than model.maxNumSeqs.", unit: unitNumber, width: half,
					queries: []query{{gauge(" by (pod)", signals.SeriesRequestsRunning), "{{pod}}"}}},
				{title: "Waiting per pod", description: "Requests queued for a place in a batch. Above 0 for long means that there are too few replicas.", unit: unitNumber, width: half,
					queries: []query{{gauge(" by (pod)", signals.SeriesRequestsWaiting), "{{pod}}"}}},
			}},
			{"Latency", []panel{
				{title: "Time to first token", description: "From a request's arrival in the server to its first token, queueing included.", unit: unitSeconds, width: third,
					queries: quantiles(telemetry.SeriesTimeToFirstToken)},
				{title: "Inter-token latency", description: "Time between two tokens of an answer.", unit: unitSeconds, width: third,
					queries: quantiles(interToken...)},
				{title: "Whole requests", description: "From a request's arrival in the server to its last token.", unit: unitSeconds, width: third,
					queries: quantiles(telemetry.SeriesRequestLatency)},
				{title: "Time to first token per pod, p95", description: "One pod above the others is slow, or gets more than its share.", unit: unitSeconds, width: third,
					queries: perPodP95(telemetry.SeriesTimeToFirstToken)},
				{title: "Inter-token latency per pod, p95", description: "Rises with the number of requests in the batch.", unit: unitSeconds, width: third,
					queries: perPodP95(interToken...)},
				{title: "Time in the queue", description: "How long requests waited for a place in a batch.", unit: unitSeconds, width: third,
					queries: quantiles(telemetry.SeriesQueueTime)},
			}},
			{"Tokens and memory", []panel{
				{title: "Tokens generated per pod", description: "Output tokens per second.", unit: unitTokens, width: half, stacked: true,
					queries: []query{{rate("pod", telemetry.SeriesGenerationTokens), "{{pod}}"}}},
				{title: "Prompt tokens per pod", description: "Input tokens read per second.", unit: unitTokens, width: half, stacked: true,
					queries: []query{{rate("pod", telemetry.SeriesPromptTokens), "{{pod}}"}}},
				{title: "KV cache in use", description: "Share of each pod's KV cache that holds running requests.", unit: unitRatio, width: half, high: 1,
					queries: []query{{fmt.Sprintf("max by (pod) (%s)", server(signals.SeriesKVCacheUsage)), "{{pod}}"}}},
				{title: "Preemptions", description: "Requests per second that lost their place because the KV cache was full; their work is done again.", unit: unitPerSecond, width: half,
					queries: []query{{rate("pod", telemetry.SeriesPreemptions), "{{pod}}"}}},
			}},
		},
	}
}
