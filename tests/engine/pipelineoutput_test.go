package engine

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/outputs"
)

// pipelineOf removes the output that programs read from a stack's outputs and returns it.
func pipelineOf(t *testing.T, plain map[string]any) outputs.Pipeline {
	t.Helper()
	require.Contains(t, plain, outputs.PipelineKey)
	text, err := json.Marshal(plain[outputs.PipelineKey])
	require.NoError(t, err)
	delete(plain, outputs.PipelineKey)
	var pipeline outputs.Pipeline
	require.NoError(t, json.Unmarshal(text, &pipeline))
	return pipeline
}

// defaultPipeline is the output of a stack with the default names and signals, and a target of requests in flight.
func defaultPipeline(inFlight float64) outputs.Pipeline {
	return outputs.Pipeline{
		Serving:      outputs.Serving{Namespace: "vllm", Deployment: "vllm", Service: "vllm", Port: 8000, HPA: "vllm"},
		Metrics:      "prometheus-operator",
		Prometheus:   outputs.Service{Namespace: "monitoring", Name: "kps-prometheus", Port: 9090},
		Adapter:      outputs.Workload{Namespace: "monitoring", Name: "prometheus-adapter"},
		ServerSeries: []string{"vllm:num_requests_running", "vllm:num_requests_waiting"},
		Rules:        []string{"vllm:requests_in_flight:sum", "vllm:gpu_utilization:max", "vllm:gpu_utilization:guarded"},
		GPUMetrics:   "dcgm-chart",
		GPUSeries:    []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"},
		Signals: []outputs.Signal{
			{Name: "vllm_requests_in_flight", Series: "vllm:requests_in_flight:sum", Target: inFlight, Unit: "requests",
				Query: `max by (pod) (vllm:requests_in_flight:sum{namespace="vllm"})`},
			{Name: "vllm_gpu_utilization", Series: "vllm:gpu_utilization:guarded", Target: 50, Unit: "percent",
				Query: `max by (pod) (vllm:gpu_utilization:guarded{namespace="vllm"})`},
		},
		SignalInterval: "2s", ScrapeInterval: "15s",
	}
}

func TestPipelineOutputWithoutTheGPUSignal(t *testing.T) {
	s := newStack(t, "local", nil)
	s.set("autoscaling.signals.gpuUtilization.enabled", false)
	s.up()
	pipeline := pipelineOf(t, s.find("Stack", project+"-local").Outputs.Mappable())
	assert.Equal(t, []string{"vllm:requests_in_flight:sum"}, pipeline.Rules, "others may be without a sample")
	assert.Empty(t, pipeline.GPUSeries)
	assert.Equal(t, defaultPipeline(4).Signals[:1], pipeline.Signals)
}

// Requests in flight are recorded without the signal too, for dashboards; requests running are read from the server itself.
func TestPipelineOutputWithRequestsRunning(t *testing.T) {
	s := newStack(t, "local", nil)
	s.set("autoscaling.signals.requestsInFlight.enabled", false)
	s.set("autoscaling.signals.requestsRunning.enabled", true)
	s.up()
	pipeline := pipelineOf(t, s.find("Stack", project+"-local").Outputs.Mappable())
	assert.Equal(t, "vllm:requests_in_flight:sum", pipeline.Rules[1], "after the simulated GPUs")
	assert.Equal(t, outputs.Signal{
		Name: "vllm_requests_running", Series: "vllm:num_requests_running", Target: 12, Unit: "requests",
		Query: `sum by (pod) (max by (namespace, pod, engine, model_name) (vllm:num_requests_running{namespace="vllm"})) >= 0`,
	}, pipeline.Signals[0])
}

// A signal that is off by default is the same everywhere as soon as it is on.
func TestPipelineOutputWithTheKVCacheSignal(t *testing.T) {
	s := newStack(t, "local", nil)
	s.set("autoscaling.signals.kvCacheUsage.enabled", true)
	s.up()
	pipeline := pipelineOf(t, s.find("Stack", project+"-local").Outputs.Mappable())
	assert.Contains(t, pipeline.Rules, "vllm:kv_cache_usage:max")
	assert.Equal(t, []string{"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"}, pipeline.ServerSeries)
	assert.Contains(t, pipeline.Signals, outputs.Signal{
		Name: "vllm_kv_cache_usage", Series: "vllm:kv_cache_usage:max", Target: 80, Unit: "percent",
		Query: `max by (pod) (vllm:kv_cache_usage:max{namespace="vllm"})`,
	})
}
