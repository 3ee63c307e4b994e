package signals

import "strings"

// Series that come from outside: what vLLM, the DCGM exporter and kube-state-metrics export.
const (
	// SeriesRequestsRunning is vLLM's gauge of requests in execution batches, per engine and model.
	// It never exceeds the server's --max-num-seqs.
	SeriesRequestsRunning = "vllm:num_requests_running"
	// SeriesRequestsWaiting is vLLM's gauge of requests queued for a place in a batch, per engine and model.
	SeriesRequestsWaiting = "vllm:num_requests_waiting"
	// SeriesKVCacheUsage is vLLM's gauge of the share of the KV cache in use, 0 to 1, per engine and model.
	SeriesKVCacheUsage = "vllm:kv_cache_usage_perc"
	// SeriesGPUUtil is DCGM's GPU utilisation in percent (0-100), up to dcgm-exporter 4.8.
	SeriesGPUUtil = "DCGM_FI_DEV_GPU_UTIL"
	// SeriesGPUUtilRatio is the same field as a ratio (0-1), its name from dcgm-exporter 4.9 on.
	SeriesGPUUtilRatio = "DCGM_FI_DEV_GPU_UTIL_RATIO"
	// SeriesGPUEngineActive is DCGM's share of the time in which the compute engine is active, 0 to 1. It is the only one of the
	// three that works for an instance of a partitioned GPU (MIG), whose utilisation is missing or 0 (NVIDIA/dcgm-exporter#216,
	// #430). GPUs older than Volta have no such field.
	SeriesGPUEngineActive = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
	// SeriesPodReady is kube-state-metrics' readiness of a pod; condition="true" is 1 when it is ready.
	SeriesPodReady = "kube_pod_status_ready"
)

// Series that the recording rules write; one sample per serving pod, labels namespace and pod only.
const (
	// RecordRequestsInFlight is running plus waiting requests of a pod, over all its engines and models. The signal of that name
	// reads it.
	RecordRequestsInFlight = "vllm:requests_in_flight:sum"
	// RecordGPUUtilization is the utilisation in percent of the busiest GPU of a ready pod, as DCGM reads it.
	RecordGPUUtilization = "vllm:gpu_utilization:max"
	// RecordGPUUtilizationGuarded is RecordGPUUtilization, reduced in proportion while
	// fewer than Settings.GPUWaitingRequests requests wait, and 0 while none does.
	RecordGPUUtilizationGuarded = "vllm:gpu_utilization:guarded"
)

// Labels of the series above.
const (
	// LabelNamespace is the namespace of the scraped pod.
	LabelNamespace = "namespace"
	// LabelPod is the name of the scraped pod.
	LabelPod = "pod"
	// LabelContainer is the scraped container.
	LabelContainer = "container"
	// LabelEngine numbers vLLM's engines inside one server (data parallelism).
	LabelEngine = "engine"
	// LabelModel is the model that vLLM serves.
	LabelModel = "model_name"
	// LabelExportedNamespace is the namespace of the pod that holds the GPU, where the scrape does not honour labels.
	LabelExportedNamespace = "exported_namespace"
	// LabelExportedPod is the pod that holds the GPU, where the scrape does not honour labels.
	LabelExportedPod = "exported_pod"
	// LabelExportedContainer is the container that holds the GPU, where the scrape does not honour labels.
	LabelExportedContainer = "exported_container"
	// LabelGPU is DCGM's index of the GPU on its node.
	LabelGPU = "gpu"
	// LabelGPUUUID is DCGM's identity of the GPU.
	LabelGPUUUID = "UUID"
	// LabelGPUModel is DCGM's name of the GPU's model.
	LabelGPUModel = "modelName"
	// LabelCondition is kube-state-metrics' state of a condition: "true", "false" or "unknown".
	LabelCondition = "condition"
)

const (
	// MetricsPath is where vLLM serves its series, on the port of its API.
	MetricsPath = "/metrics"
	// SimulatedBusyUtilization is what a simulated GPU reads, in percent, while any request is running.
	// A real one reads 92 to 99 then, whatever the batch size.
	SimulatedBusyUtilization = 98
	// SimulatedGPUModel is the modelName label of simulated GPU series.
	SimulatedGPUModel = "simulated"
)

// ServingLabels are the labels that identify a serving pod in every series of the signal path.
func ServingLabels() []string { return []string{LabelNamespace, LabelPod} }

// GPUField is a field of DCGM from which the utilisation of a GPU is read.
type GPUField struct {
	// Series is its name.
	Series string
	// Percent is what one unit of it is in percent.
	Percent float64
}

// GPUFields lists the fields from which the utilisation of a GPU is read. The highest of those that are there counts: of one
// GPU they differ only where one of them does not work.
func GPUFields() []GPUField {
	return []GPUField{{SeriesGPUUtil, 1}, {SeriesGPUUtilRatio, 100}, {SeriesGPUEngineActive, 100}}
}

// IsPercentage reports whether a value in percent is one that the recording rules keep. NaN and DCGM's values for "not
// supported", such as 9223372036854775794, are none.
func IsPercentage(percent float64) bool { return percent >= 0 && percent <= 100 }

// GPUSeries are the names of GPUFields.
func GPUSeries() []string {
	var names []string
	for _, field := range GPUFields() {
		names = append(names, field.Series)
	}
	return names
}

// perPod is the by-clause of a serving pod.
var perPod = strings.Join(ServingLabels(), ", ")

// perEngine is the by-clause of one engine's gauge of one model: whatever else differs between two
// series (job, service, endpoint, instance) makes them two scrapes of the same number.
var perEngine = strings.Join([]string{LabelNamespace, LabelPod, LabelEngine, LabelModel}, ", ")
