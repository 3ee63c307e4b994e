package dashboards

import (
	"fmt"
	"strings"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

// chosen keeps the models and pods that the dashboard's variables choose.
var chosen = []string{telemetry.Matches(signals.LabelModel, "$model"), telemetry.Matches(signals.LabelPod, "$pod")}

// servingQueries writes the queries of the serving dashboard.
type servingQueries struct{ settings telemetry.Settings }

// server selects a series of the chosen models and pods.
func (q servingQueries) server(series string) string { return q.settings.Server(series, chosen...) }

// rate sums the rate of a counter by labels.
func (q servingQueries) rate(by, series string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, q.server(series))
}

// total sums the rate of a counter.
func (q servingQueries) total(series string) string {
	return fmt.Sprintf("sum(rate(%s[$__rate_interval]))", q.server(series))
}

// gauge sums a gauge, in which the same one scraped twice counts once, as for the signals. by is a by-clause with a
// space before it, or "".
func (q servingQueries) gauge(by, series string) string {
	return strings.TrimSpace(fmt.Sprintf("sum%s (max by (namespace, pod, engine, model_name) (%s))", by, q.server(series)))
}

// buckets returns the rates of the buckets of histograms, the first that exists.
func (q servingQueries) buckets(by string, series ...string) string {
	var sums []string
	for _, name := range series {
		sums = append(sums, q.rate(by, name+"_bucket"))
	}
	return strings.Join(sums, " or ")
}

// quantiles returns the median, the 95th and the 99th percentile of a histogram.
func (q servingQueries) quantiles(series ...string) []query {
	var all []query
	for _, quantile := range []struct{ value, name string }{{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}} {
		all = append(all, query{fmt.Sprintf("histogram_quantile(%s, %s)", quantile.value, q.buckets("le", series...)), quantile.name})
	}
	return all
}

// perPodP95 returns the 95th percentile of a histogram of each pod.
func (q servingQueries) perPodP95(series ...string) []query {
	return []query{{fmt.Sprintf("histogram_quantile(0.95, %s)", q.buckets("pod, le", series...)), "{{pod}}"}}
}

// interToken are the names of the histogram of the time between two tokens.
var interToken = []string{telemetry.SeriesInterTokenLatency, telemetry.SeriesTimePerOutputToken}

func serving(s telemetry.Settings) page {
	q := servingQueries{s}
	return page{
		name: "serving", title: "vLLM: serving",
		description: "What clients get: requests, latency and tokens of the vLLM servers.",
		variables: []variable{
			{"model", "Model", s.Server(signals.SeriesRequestsRunning), signals.LabelModel},
			{"pod", "Pod", s.Server(signals.SeriesRequestsRunning), signals.LabelPod},
		},
		rows: []row{
			{"Now", q.now()},
			{"Requests", q.requests()},
			{"Latency", q.latency()},
			{"Tokens and memory", q.tokensAndMemory()},
		},
	}
}

func (q servingQueries) now() []panel {
	return []panel{
		{title: "Requests per second", description: "Requests finished per second, all pods.", unit: unitPerSecond, width: sixth, single: true,
			queries: []query{{q.total(telemetry.SeriesRequestSuccess), "requests"}}},
		{title: "Running", description: "Requests in execution batches now, all pods.", unit: unitNumber, width: sixth, single: true,
			queries: []query{{q.gauge("", signals.SeriesRequestsRunning), "running"}}},
		{title: "Waiting", description: "Requests queued in the servers now, all pods.", unit: unitNumber, width: sixth, single: true,
			queries: []query{{q.gauge("", signals.SeriesRequestsWaiting), "waiting"}}},
		{title: "Time to first token, p95", description: "19 of 20 requests got their first token within this time.", unit: unitSeconds, width: sixth, single: true,
			queries: []query{q.quantiles(telemetry.SeriesTimeToFirstToken)[1]}},
		{title: "Tokens generated per second", description: "Output tokens per second, all pods.", unit: unitTokens, width: sixth, single: true,
			queries: []query{{q.total(telemetry.SeriesGenerationTokens), "generated"}}},
		{title: "KV cache, fullest pod", unit: unitRatio, width: sixth, single: true,
			description: "Share of the KV cache in use in the fullest pod. At 100 % requests wait or are preempted.",
			queries:     []query{{fmt.Sprintf("max(%s)", q.server(signals.SeriesKVCacheUsage)), "fullest"}}},
	}
}

func (q servingQueries) requests() []panel {
	return []panel{
		{title: "Request rate per pod", description: "Requests finished per second.", unit: unitPerSecond, width: half, stacked: true,
			queries: []query{{q.rate("pod", telemetry.SeriesRequestSuccess), "{{pod}}"}}},
		{title: "Finish reasons", unit: unitPerSecond, width: half, stacked: true,
			description: "Why requests ended: stop (the model was done), length (the limit of tokens), abort (the client left), error.",
			// Grouped by both names of the label: vLLM's and the simulator's.
			queries: []query{{q.rate(telemetry.LabelFinishedReason+", "+telemetry.LabelFinishReason, telemetry.SeriesRequestSuccess),
				"{{finished_reason}}{{finish_reason}}"}}},
		{title: "Running per pod", description: "Requests in execution batches. A server never runs more than model.maxNumSeqs.", unit: unitNumber, width: half,
			queries: []query{{q.gauge(" by (pod)", signals.SeriesRequestsRunning), "{{pod}}"}}},
		{title: "Waiting per pod", unit: unitNumber, width: half,
			description: "Requests queued for a place in a batch. Above 0 for long means that there are too few replicas.",
			queries:     []query{{q.gauge(" by (pod)", signals.SeriesRequestsWaiting), "{{pod}}"}}},
	}
}

func (q servingQueries) latency() []panel {
	return []panel{
		{title: "Time to first token", unit: unitSeconds, width: third,
			description: "From a request's arrival in the server to its first token, queueing included.",
			queries:     q.quantiles(telemetry.SeriesTimeToFirstToken)},
		{title: "Inter-token latency", description: "Time between two tokens of an answer.", unit: unitSeconds, width: third,
			queries: q.quantiles(interToken...)},
		{title: "Whole requests", description: "From a request's arrival in the server to its last token.", unit: unitSeconds, width: third,
			queries: q.quantiles(telemetry.SeriesRequestLatency)},
		{title: "Time to first token per pod, p95", description: "One pod above the others is slow, or gets more than its share.", unit: unitSeconds, width: third,
			queries: q.perPodP95(telemetry.SeriesTimeToFirstToken)},
		{title: "Inter-token latency per pod, p95", description: "Rises with the number of requests in the batch.", unit: unitSeconds, width: third,
			queries: q.perPodP95(interToken...)},
		{title: "Time in the queue", description: "How long requests waited for a place in a batch.", unit: unitSeconds, width: third,
			queries: q.quantiles(telemetry.SeriesQueueTime)},
	}
}

func (q servingQueries) tokensAndMemory() []panel {
	return []panel{
		{title: "Tokens generated per pod", description: "Output tokens per second.", unit: unitTokens, width: half, stacked: true,
			queries: []query{{q.rate("pod", telemetry.SeriesGenerationTokens), "{{pod}}"}}},
		{title: "Prompt tokens per pod", description: "Input tokens read per second.", unit: unitTokens, width: half, stacked: true,
			queries: []query{{q.rate("pod", telemetry.SeriesPromptTokens), "{{pod}}"}}},
		{title: "KV cache in use", description: "Share of each pod's KV cache that holds running requests.", unit: unitRatio, width: half, high: 1,
			queries: []query{{fmt.Sprintf("max by (pod) (%s)", q.server(signals.SeriesKVCacheUsage)), "{{pod}}"}}},
		{title: "Preemptions", unit: unitPerSecond, width: half,
			description: "Requests per second that lost their place because the KV cache was full; their work is done again.",
			queries:     []query{{q.rate("pod", telemetry.SeriesPreemptions), "{{pod}}"}}},
	}
}
