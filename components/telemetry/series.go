package telemetry

import "vllm-autoscaling/components/signals"

// Series of a vLLM server beside those that it is scaled on. All carry model_name and, with
// several engines, engine.
const (
	// SeriesRequestSuccess counts finished requests, by LabelFinishedReason.
	SeriesRequestSuccess = "vllm:request_success_total"
	// SeriesTimeToFirstToken is the histogram of the time from a request's arrival in the server to its first
	// token, in seconds; its buckets are TimeToFirstTokenBuckets.
	SeriesTimeToFirstToken = "vllm:time_to_first_token_seconds"
	// SeriesInterTokenLatency is the histogram of the time between two tokens, in seconds.
	SeriesInterTokenLatency = "vllm:inter_token_latency_seconds"
	// SeriesTimePerOutputToken is the name of SeriesInterTokenLatency before vLLM 0.11.
	SeriesTimePerOutputToken = "vllm:time_per_output_token_seconds"
	// SeriesRequestTimePerOutputToken is the histogram of the mean time between the tokens of a finished request, in seconds; its
	// buckets are TimePerOutputTokenBuckets. A request with one token counts with 0. vLLM has it since 0.11.
	SeriesRequestTimePerOutputToken = "vllm:request_time_per_output_token_seconds"
	// SeriesRequestLatency is the histogram of whole requests, in seconds.
	SeriesRequestLatency = "vllm:e2e_request_latency_seconds"
	// SeriesQueueTime is the histogram of the time that requests wait for a place in a batch, in seconds.
	SeriesQueueTime = "vllm:request_queue_time_seconds"
	// SeriesPromptTokens and SeriesGenerationTokens count tokens read and written.
	SeriesPromptTokens     = "vllm:prompt_tokens_total"
	SeriesGenerationTokens = "vllm:generation_tokens_total"
	// SeriesPreemptions counts requests that lost their place because the KV cache was full.
	SeriesPreemptions = "vllm:num_preemptions_total"
)

// Series of NVIDIA's DCGM exporter, with their names up to version 4.8.
const (
	// SeriesTensorActive is the share of cycles in which the tensor cores work, 0 to 1.
	SeriesTensorActive = "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"
	// SeriesFramebufferUsed and SeriesFramebufferFree are GPU memory in MiB.
	SeriesFramebufferUsed = "DCGM_FI_DEV_FB_USED"
	SeriesFramebufferFree = "DCGM_FI_DEV_FB_FREE"
	// SeriesPower is the power draw in watts.
	SeriesPower = "DCGM_FI_DEV_POWER_USAGE"
	// SeriesTemperature is the GPU's temperature in degrees Celsius.
	SeriesTemperature = "DCGM_FI_DEV_GPU_TEMP"
	// SeriesXID is the number of the last XID error of a GPU, 0 for none since the exporter's start.
	SeriesXID = "DCGM_FI_DEV_XID_ERRORS"
)

// Series of kube-state-metrics and of Kubernetes itself.
const (
	SeriesHPADesired      = "kube_horizontalpodautoscaler_status_desired_replicas"
	SeriesHPAMin          = "kube_horizontalpodautoscaler_spec_min_replicas"
	SeriesHPAMax          = "kube_horizontalpodautoscaler_spec_max_replicas"
	SeriesHPACondition    = "kube_horizontalpodautoscaler_status_condition"
	SeriesHPATarget       = "kube_horizontalpodautoscaler_spec_target_metric"
	SeriesHPAReading      = "kube_horizontalpodautoscaler_status_target_metric"
	SeriesSpecReplicas    = "kube_deployment_spec_replicas"
	SeriesReplicas        = "kube_deployment_status_replicas"
	SeriesReadyReplicas   = "kube_deployment_status_replicas_ready"
	SeriesAvailable       = "kube_deployment_status_replicas_available"
	SeriesPodPhase        = "kube_pod_status_phase"
	SeriesRestarts        = "kube_pod_container_status_restarts_total"
	SeriesNodeAllocatable = "kube_node_status_allocatable"
	SeriesPodRequests     = "kube_pod_container_resource_requests"
	// SeriesUnavailableAPI is the API server's own: 1 while an aggregated API does not answer.
	SeriesUnavailableAPI = "aggregator_unavailable_apiservice"
	// SeriesVolumeAvailable and SeriesVolumeCapacity are the kubelet's, of a mounted volume, in bytes.
	SeriesVolumeAvailable = "kubelet_volume_stats_available_bytes"
	SeriesVolumeCapacity  = "kubelet_volume_stats_capacity_bytes"
)

// StateMetricsSeries lists the series of kube-state-metrics that alerts and dashboards read.
func StateMetricsSeries() []string {
	return []string{
		SeriesHPADesired, SeriesHPAMin, SeriesHPAMax, SeriesHPACondition, SeriesHPATarget, SeriesHPAReading, SeriesSpecReplicas, SeriesReplicas,
		SeriesReadyReplicas, SeriesAvailable, SeriesPodPhase, SeriesRestarts, SeriesNodeAllocatable, SeriesPodRequests, signals.SeriesPodReady,
		SeriesPodCreated, SeriesPodScheduled, SeriesPodInitialized, SeriesContainerStarted, SeriesPodReadyTime,
	}
}

// Series of Prometheus itself.
const (
	// SeriesUp is 1 for a target whose last scrape worked.
	SeriesUp = "up"
	// SeriesRuleFailures counts the failed evaluations of a group of rules, by rule_group: the file, ';' and the name.
	SeriesRuleFailures = "prometheus_rule_evaluation_failures_total"
	// SeriesBlocks, SeriesWAL and SeriesHeadChunks are the size of Prometheus' database, in bytes.
	SeriesBlocks     = "prometheus_tsdb_storage_blocks_bytes"
	SeriesWAL        = "prometheus_tsdb_wal_storage_size_bytes"
	SeriesHeadChunks = "prometheus_tsdb_head_chunks_storage_size_bytes"
)

const (
	// LabelFinishedReason is why a request ended: stop, length, abort or error.
	LabelFinishedReason = "finished_reason"
	// LabelFinishReason is what llm-d-inference-sim calls it.
	LabelFinishReason = "finish_reason"
	// GPUResource is the GPU's resource name as kube-state-metrics writes it.
	GPUResource = "nvidia_com_gpu"
)

// TimeToFirstTokenBuckets are the upper bounds, in seconds, of vLLM's histogram of the time to the
// first token. Only at these is it known how many requests were faster.
// Source: vllm/v1/metrics/loggers.py, the same in 0.11 and 0.20; llm-d-inference-sim 0.10.2 has them too.
func TimeToFirstTokenBuckets() []float64 {
	return []float64{
		0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
	}
}

// TimePerOutputTokenBuckets are the upper bounds, in seconds, of vLLM's histogram of the mean time between the tokens of a request,
// and of that between two tokens. Source: vllm/v1/metrics/loggers.py.
func TimePerOutputTokenBuckets() []float64 {
	return []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
}
