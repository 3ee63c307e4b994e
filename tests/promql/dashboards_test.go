package promql

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/tests/observed"
)

// observedSettings are the settings of a production stack.
func observedSettings(t *testing.T) telemetry.Settings {
	t.Helper()
	return telemetry.Settings{
		ServingNamespace: "vllm", MonitoringNamespace: "monitoring", Deployment: "vllm", Autoscaler: "vllm",
		Adapter: "prometheus-adapter", MetricsAPI: "v1beta1.custom.metrics.k8s.io", PrometheusJob: "kps-prometheus", GPUJob: "(.+/)?dcgm-exporter",
		Signals: enabled(t, settings()), SignalInterval: 2 * time.Second,
	}
}

// observedVariants generate every form of query.
func observedVariants(t *testing.T) map[string]telemetry.Settings {
	t.Helper()
	all := map[string]telemetry.Settings{}
	for name, change := range map[string]func(*telemetry.Settings){
		"production":      func(*telemetry.Settings) {},
		"simulated GPU":   func(s *telemetry.Settings) { s.SimulatedGPU = true },
		"one signal":      func(s *telemetry.Settings) { s.Signals = s.Signals[:1] },
		"foreign metrics": func(s *telemetry.Settings) { s.Adapter, s.PrometheusJob = "", "" },
	} {
		s := observedSettings(t)
		change(&s)
		all[name] = s
	}
	return all
}

func dashboardQueries(t *testing.T, s telemetry.Settings) []observed.Query {
	t.Helper()
	built, err := dashboards.All(s)
	require.NoError(t, err)
	var all []observed.Query
	for _, d := range built {
		queries, err := observed.Dashboard(d.JSON)
		require.NoError(t, err)
		require.NotEmpty(t, queries, d.Name)
		all = append(all, queries...)
	}
	return all
}

func TestEveryDashboardQueryParses(t *testing.T) {
	for name, s := range observedVariants(t) {
		t.Run(name, func(t *testing.T) {
			for _, q := range dashboardQueries(t, s) {
				// "$1" belongs to label_replace; Grafana does not replace it.
				assert.NotContains(t, strings.ReplaceAll(q.Expr, `"$1"`, ""), "$", "%s: a variable that Grafana would fill in and the test did not", q.Where)
				parsed, err := parserOf().ParseExpr(q.Expr)
				require.NoError(t, err, "%s:\n%s", q.Where, q.Expr)
				assert.Equal(t, parser.ValueTypeVector, parsed.Type(), q.Where)
				_, err = q.Selectors()
				require.NoError(t, err)
			}
		})
	}
}

// Series without a namespace label are listed here; all others must be selected by namespace.
func TestObservedSeriesAreSelectedInTheirNamespace(t *testing.T) {
	everywhere := []string{
		telemetry.SeriesNodeAllocatable, telemetry.SeriesUnavailableAPI, // of the cluster
		telemetry.SeriesTensorActive, telemetry.SeriesFramebufferUsed, telemetry.SeriesFramebufferFree, telemetry.SeriesPower,
		telemetry.SeriesTemperature, telemetry.SeriesXID, signals.SeriesGPUUtil, signals.SeriesGPUUtilRatio, signals.SeriesGPUEngineActive, // of nodes
		alerts.RecordLastXID,
	}
	queries := dashboardQueries(t, observedSettings(t))
	spec, err := alerts.Rules(alertSettings(t))
	require.NoError(t, err)
	for _, q := range append(queries, observed.Rules(spec)...) {
		selectors, err := q.Selectors()
		require.NoError(t, err)
		for name, list := range selectors {
			for _, selector := range list {
				if name == telemetry.SeriesUp {
					assert.Regexp(t, `namespace="vllm"|job=~`, selector, q.Where)
					continue
				}
				if !slices.Contains(everywhere, name) {
					assert.Regexp(t, `namespace="(vllm|monitoring)"`, selector, "%s reads %s", q.Where, selector)
				}
			}
		}
	}
}

// Quantiles, ages and the two forms of a GPU's labels are evaluated.
func TestDashboardQueriesAnswer(t *testing.T) {
	p := newPipeline(t, settings(), "load 10s\n"+
		`  vllm:time_to_first_token_seconds_bucket{namespace="vllm",pod="vllm-a-b",model_name="m",le="0.1"} 0+10x30`+"\n"+
		`  vllm:time_to_first_token_seconds_bucket{namespace="vllm",pod="vllm-a-b",model_name="m",le="0.25"} 0+20x30`+"\n"+
		`  vllm:time_to_first_token_seconds_bucket{namespace="vllm",pod="vllm-a-b",model_name="m",le="+Inf"} 0+20x30`+"\n"+
		// A server with the old name beside one with the new one.
		`  vllm:time_per_output_token_seconds_bucket{namespace="vllm",pod="vllm-old-a",model_name="m",le="0.1"} 0+10x30`+"\n"+
		`  vllm:time_per_output_token_seconds_bucket{namespace="vllm",pod="vllm-old-a",model_name="m",le="+Inf"} 0+10x30`+"\n"+
		`  vllm:num_requests_running{namespace="vllm",pod="vllm-a-b",model_name="m",engine="0"} 6x20 _x10`+"\n"+
		`  vllm:num_requests_running{namespace="vllm",pod="vllm-a-b",model_name="m",engine="0",job="again"} 6x20 _x10`+"\n"+
		`  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{namespace="monitoring",pod="exporter-1",exported_namespace="vllm",exported_pod="vllm-a-b",gpu="0",UUID="U0",Hostname="n1"} 0.4x30`+"\n"+
		`  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{namespace="vllm",pod="vllm-c-d",gpu="1",UUID="U1",hostname="n2"} 0.5x30`+"\n"+
		`  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{namespace="other",pod="vllm-c-d",gpu="2",UUID="U2"} 0.6x30`+"\n"+
		`  DCGM_FI_DEV_POWER_USAGE{namespace="monitoring",pod="exporter-1",gpu="0",UUID="U0",Hostname="n1"} 60x30`+"\n"+
		`  DCGM_FI_DEV_POWER_USAGE{namespace="vllm",pod="vllm-c-d",gpu="1",UUID="U1",hostname="n2"} 70x30`+"\n")
	at := 5 * time.Minute
	value := func(where string, index int) map[string]float64 {
		var found []observed.Query
		for _, q := range dashboardQueries(t, observedSettings(t)) {
			if q.Where == where {
				found = append(found, q)
			}
		}
		require.Greater(t, len(found), index, where)
		got := map[string]float64{}
		for _, sample := range p.query(found[index].Expr, at) {
			got[sample.Metric.Get("pod")+sample.Metric.Get("node")] = sample.F
		}
		return got
	}
	requireValues(t, map[string]float64{"": 0.1}, value("vLLM: serving: Time to first token", 0), "p50")
	require.InDelta(t, 0.235, value("vLLM: serving: Time to first token", 1)[""], 1e-6, "p95, nine tenths into its bucket")
	requireValues(t, map[string]float64{"": 0.05}, value("vLLM: serving: Inter-token latency", 0), "p50 by the old name")
	requireValues(t, map[string]float64{"": 6}, value("vLLM: serving: Running", 0), "the same gauge twice counts once")
	requireValues(t, map[string]float64{"": 100}, value("vLLM: autoscaling: Age of the signals", 1), "of requests running: the last sample is of 200 s")
	requireValues(t, map[string]float64{"vllm-a-b": 0.4, "vllm-c-d": 0.5}, value("vLLM: GPUs: Tensor cores active per pod", 0),
		"both forms of labels, one namespace")
	requireValues(t, map[string]float64{"n1": 60, "n2": 70}, value("vLLM: GPUs: Power", 0), "idle GPUs too")
}
