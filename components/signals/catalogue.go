package signals

import (
	"fmt"
	"math"
)

// The keys of the signals.
const (
	KeyRequestsInFlight Key = "requestsInFlight"
	KeyRequestsRunning  Key = "requestsRunning"
	KeyRequestsWaiting  Key = "requestsWaiting"
	KeyGPUUtilization   Key = "gpuUtilization"
	KeyKVCacheUsage     Key = "kvCacheUsage"
)

// Names under which the custom metrics API serves the signals to the autoscaler.
const (
	// MetricRequestsInFlight is the requests that one pod is executing or has queued.
	MetricRequestsInFlight = "vllm_requests_in_flight"
	// MetricRequestsRunning is the requests that one pod is executing.
	MetricRequestsRunning = "vllm_requests_running"
	// MetricRequestsWaiting is the requests that one pod has queued.
	MetricRequestsWaiting = "vllm_requests_waiting"
	// MetricGPUUtilization is the guarded GPU utilisation of one pod, in percent.
	MetricGPUUtilization = "vllm_gpu_utilization"
	// MetricKVCacheUsage is the share of the KV cache in use in one pod, in percent.
	MetricKVCacheUsage = "vllm_kv_cache_usage"
)

// RecordKVCacheUsage is the recorded usage of the KV cache in percent of a pod's fullest engine; labels namespace and pod.
const RecordKVCacheUsage = "vllm:kv_cache_usage:max"

const (
	// runningShare leaves a quarter of a replica's places free for the time that the next one needs to start.
	runningShare = 0.75
	// waitingTarget is in the middle of the 3 to 5 requests that Google's guide to autoscaling LLM servers begins with.
	waitingTarget = 4
	// gpuTarget adds replicas when a GPU was busy and requests waited for it for more than half of the time. Of the targets that
	// docs/policies.md compares, a lower one takes more GPU-hours, and with a higher one more loads lose requests.
	gpuTarget = 50
	// kvCacheTarget leaves a fifth of the cache. Every running request takes more of it with each token, so the cache
	// goes on filling while the next replica starts, and at 100 % vLLM preempts requests and computes them again. With
	// the HPA's tolerance replicas are added above 88 %.
	kvCacheTarget = 80
)

// Catalogue lists every signal that there is. The order is that of the metrics of the autoscaler.
func Catalogue() []Definition {
	return []Definition{
		{
			Key:           KeyRequestsInFlight,
			Name:          MetricRequestsInFlight,
			Series:        RecordRequestsInFlight,
			Query:         recordedQuery,
			ServerSeries:  []string{SeriesRequestsRunning, SeriesRequestsWaiting},
			Unit:          Requests,
			Label:         "requests in flight",
			Column:        "in flight",
			Help:          "Requests that one pod is executing or has queued, over all its engines and models.",
			Default:       true,
			DefaultTarget: inFlightTarget,
		},
		{
			Key:           KeyRequestsRunning,
			Name:          MetricRequestsRunning,
			Series:        SeriesRequestsRunning,
			Query:         requestsQuery,
			ServerSeries:  []string{SeriesRequestsRunning},
			Unit:          Requests,
			Label:         "requests running",
			Column:        "running",
			Help:          "Requests that one pod is executing, over all its engines and models.",
			DefaultTarget: runningTarget,
			Bound: func(maxNumSeqs int) Bound {
				return Bound{
					Highest: float64(maxNumSeqs), RaisedBy: "model.maxNumSeqs",
					Reason: "a replica never runs more than %g requests, model.maxNumSeqs of each engine",
				}
			},
		},
		{
			Key:           KeyRequestsWaiting,
			Name:          MetricRequestsWaiting,
			Series:        SeriesRequestsWaiting,
			Query:         requestsQuery,
			ServerSeries:  []string{SeriesRequestsWaiting},
			Unit:          Requests,
			Label:         "requests waiting",
			Column:        "waiting",
			Help:          "Requests that wait in one pod for a place in a batch, over all its engines and models.",
			DefaultTarget: constant(waitingTarget),
		},
		{
			Key:           KeyGPUUtilization,
			Name:          MetricGPUUtilization,
			Series:        RecordGPUUtilizationGuarded,
			Query:         recordedQuery,
			Expr:          guardedExpr,
			GPU:           true,
			Unit:          Percent,
			Label:         "GPU, guarded",
			Column:        "GPU %",
			Help:          "Utilisation of the busiest GPU of one pod while requests wait for it, and 0 while none does.",
			Default:       true,
			DefaultTarget: constant(gpuTarget),
			Bound:         percentBound("utilisation ends at %g percent"),
			check:         checkGuard,
		},
		{
			Key:           KeyKVCacheUsage,
			Name:          MetricKVCacheUsage,
			Series:        RecordKVCacheUsage,
			Query:         recordedQuery,
			Expr:          kvCacheExpr,
			ServerSeries:  []string{SeriesKVCacheUsage},
			Unit:          Percent,
			Label:         "KV cache",
			Column:        "KV cache %",
			Help:          "Share of the KV cache in use in one pod, that of its fullest engine. At 100 percent vLLM preempts requests.",
			DefaultTarget: constant(kvCacheTarget),
			Bound:         percentBound("KV-cache usage ends at %g percent"),
		},
	}
}

// spread is how many standard deviations of the requests of a replica the target of requests in flight stays below its batch.
// A Service picks replicas at random, so that their requests differ by about the square root of their mean, and a batch that is
// full for one replica makes requests wait while others have room. docs/policies.md compares 1, 2 and 3.
const spread = 3

// inFlightTarget is the default target of requests in flight: whole, except for a replica that works on one request only.
func inFlightTarget(maxNumSeqs int) float64 {
	batch := float64(maxNumSeqs)
	if maxNumSeqs <= 1 {
		return runningShare
	}
	return math.Max(1, math.Floor(math.Max(batch-spread*math.Sqrt(batch), batch/4)))
}

// runningTarget is the default target of requests running: whole, except for a replica that works on
// one request only, whose average can exceed nothing but a fraction.
func runningTarget(maxNumSeqs int) float64 {
	if maxNumSeqs <= 1 {
		return runningShare
	}
	return math.Floor(runningShare * float64(maxNumSeqs))
}

// constant is a default target that depends on nothing.
func constant(target float64) func(int) float64 { return func(int) float64 { return target } }

// percentBound is the bound of a percentage.
func percentBound(reason string) func(int) Bound {
	return func(int) Bound { return Bound{Highest: 100, Reason: reason} }
}

// kvCacheExpr returns the usage of the KV cache in percent of the fullest engine of each pod: that engine is the first to
// preempt requests. What is not a share (NaN, or a percentage) is dropped.
func kvCacheExpr(s Settings) string {
	return fmt.Sprintf("100 * max by (%s) ((%s{%s} >= 0) <= 1)", perPod, SeriesKVCacheUsage, inNamespace(LabelNamespace, s))
}
