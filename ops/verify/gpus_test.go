package verify

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

func TestGPUReadings(t *testing.T) {
	const util, ratio, engine = gpuSeries + "{", signals.SeriesGPUUtilRatio + "{", signals.SeriesGPUEngineActive + "{"
	mig := map[string]string{"GPU_I_PROFILE": "3g.20gb", "GPU_I_ID": "2"}
	blank := 9223372036854775794.0
	type samples = map[string]map[string][]float64
	for name, test := range map[string]struct {
		samples samples
		labels  map[string]map[string]string
		// measured is what the stage shows; look is in its hints if it fails.
		measured, look string
		warning        string
	}{
		"percent": {samples: samples{util: {"vllm-a": {97, 92}, "vllm-b": {95}}},
			measured: "DCGM_FI_DEV_GPU_UTIL: 3 GPUs of 2 pods: 97+92 %, 95 %"},
		"a ratio is shown in percent": {samples: samples{ratio: {"vllm-a": {0.97}, "vllm-b": {0.5}}},
			measured: "DCGM_FI_DEV_GPU_UTIL_RATIO: 2 GPUs of 2 pods: 97 %, 50 %"},
		"a field more is no GPU more": {samples: samples{util: {"vllm-a": {7}, "vllm-b": {95}}, engine: {"vllm-a": {0.07}, "vllm-b": {0.9}}},
			measured: "DCGM_FI_DEV_GPU_UTIL: 2 GPUs of 2 pods: 7 %, 95 %"},
		"MIG without utilisation": {samples: samples{engine: {"vllm-a": {0.93}, "vllm-b": {0.5}}}, labels: map[string]map[string]string{engine: mig},
			measured: "DCGM_FI_PROF_GR_ENGINE_ACTIVE: 2 GPUs of 2 pods: 93 %, 50 %"},
		"MIG with utilisation 0": {samples: samples{util: {"vllm-a": {0}, "vllm-b": {0}}, engine: {"vllm-a": {0.93}, "vllm-b": {0.5}}},
			labels:   map[string]map[string]string{util: mig, engine: mig},
			measured: "DCGM_FI_PROF_GR_ENGINE_ACTIVE: 2 GPUs of 2 pods: 93 %, 50 %"},
		"MIG with nothing else": {samples: samples{util: {"vllm-a": {0}, "vllm-b": {0}}}, labels: map[string]map[string]string{util: mig},
			measured: "DCGM_FI_DEV_GPU_UTIL of vllm-a, gpu 0, instance 2 of 3g.20gb, is 0", look: "add it to the exporter's list of fields"},
		"NaN": {samples: samples{util: {"vllm-a": {97}, "vllm-b": {math.NaN()}}},
			measured: "DCGM_FI_DEV_GPU_UTIL of vllm-b, gpu 0 is NaN", look: "does not support"},
		"DCGM's blank value": {samples: samples{util: {"vllm-a": {97}, "vllm-b": {blank}}},
			measured: "DCGM_FI_DEV_GPU_UTIL of vllm-b, gpu 0 is 9223372036854776000", look: "DCGM_FI_PROF_GR_ENGINE_ACTIVE"},
		"negative": {samples: samples{util: {"vllm-a": {97}, "vllm-b": {-1}}}, measured: "DCGM_FI_DEV_GPU_UTIL of vllm-b, gpu 0 is -1", look: "NaN"},
		"above 100": {samples: samples{util: {"vllm-a": {97}, "vllm-b": {101}}}, measured: "DCGM_FI_DEV_GPU_UTIL of vllm-b, gpu 0 is 101",
			look: "get pods -l app.kubernetes.io/name=dcgm-exporter"},
		"percents in a ratio": {samples: samples{ratio: {"vllm-a": {0.97}, "vllm-b": {98}}},
			measured: "DCGM_FI_DEV_GPU_UTIL_RATIO of vllm-b, gpu 0 is 98", look: "NaN"},
		"one GPU of two": {samples: samples{util: {"vllm-a": {97, 101}, "vllm-b": {95}}},
			measured: "DCGM_FI_DEV_GPU_UTIL: 2 GPUs of 2 pods: 97 %, 95 %", warning: "DCGM_FI_DEV_GPU_UTIL of vllm-a, gpu 1 is 101, no percentage: the rules drop it"},
		"one pod without": {samples: samples{util: {"vllm-a": {97}}}, measured: "DCGM_FI_DEV_GPU_UTIL is there, but not for vllm-b", look: "DCGM_EXPORTER_KUBERNETES"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			delete(f.samples, util)
			for part, samples := range test.samples {
				f.samples[part] = samples
			}
			f.labels, f.pipeline.GPUSeries = test.labels, signals.GPUSeries()
			report := f.run(t)
			if test.look != "" {
				failsAt(t, report, "gpu", test.measured, test.look, Passed)
				return
			}
			require.True(t, report.Passed, text(t, report))
			assert.Equal(t, test.measured, report.Stages[5].Measured)
			if test.warning == "" {
				assert.Empty(t, report.Stages[5].Warnings)
			} else {
				assert.Equal(t, []string{test.warning}, report.Stages[5].Warnings)
			}
		})
	}
}

// A gauge of the server that is no number reaches neither the adapter nor a rule.
func TestOddGauges(t *testing.T) {
	for name, test := range map[string]struct {
		series string
		value  float64
		want   []string
	}{
		"a number":         {"vllm:num_requests_running", 300, nil},
		"NaN":              {"vllm:num_requests_running", math.NaN(), []string{"vllm:num_requests_running of vllm-a is NaN"}},
		"negative":         {"vllm:num_requests_running", -1, []string{"vllm:num_requests_running of vllm-a is -1"}},
		"a share":          {signals.SeriesKVCacheUsage, 1, nil},
		"percents":         {signals.SeriesKVCacheUsage, 55, []string{"vllm:kv_cache_usage_perc of vllm-a is 55"}},
		"a share, but NaN": {signals.SeriesKVCacheUsage, math.NaN(), []string{"vllm:kv_cache_usage_perc of vllm-a is NaN"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, oddGauges(test.series, map[string][]float64{"vllm-a": {test.value}}))
		})
	}
	f := newFake()
	f.samples["vllm:num_requests_running{"]["vllm-b"] = []float64{math.NaN()}
	failsAt(t, f.run(t), "targets", "vllm:num_requests_running of vllm-b is NaN", "/metrics", Passed)
}
