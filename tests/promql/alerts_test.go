package promql

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/signals"
)

const gigabyte = 1_000_000_000

// alertSettings are the settings of a production stack with a volume.
func alertSettings(t *testing.T) alerts.Settings {
	t.Helper()
	return alerts.Settings{
		Settings:  observedSettings(t),
		Objective: alerts.Objective{TTFT: 2500 * time.Millisecond, InterToken: 100 * time.Millisecond, Ratio: 0.95},
		AtMaxFor:  15 * time.Minute, StartupBudget: 30 * time.Minute, ColdStart: time.Hour, ScrapeInterval: time.Minute, MaxNumSeqs: 16,
		PrometheusStorage: 20 * gigabyte, PrometheusVolume: "prometheus-kps-prometheus-db-.*",
	}
}

// alerting is a Prometheus with given samples and the generated alerts.
type alerting struct {
	t      *testing.T
	groups []*rules.Group
	// read answers queries.
	read *pipeline
}

// newAlerting loads samples and the alerts of the servers of a stack.
func newAlerting(t *testing.T, load string, servers ...alerts.Settings) *alerting {
	t.Helper()
	spec, err := alerts.Rules(servers...)
	require.NoError(t, err)
	text, err := yaml.Marshal(spec)
	require.NoError(t, err)
	_, errs := rulefmt.Parse(text, false, model.LegacyValidation, parserOf(), slog.New(slog.DiscardHandler))
	require.Empty(t, errs, "%s", text)
	storage := promqltest.LoadedStorage(t, load)
	t.Cleanup(func() { _ = storage.Close() })
	engine := newEngine(t, 10_000_000)
	groups := ruleGroups(t, engine, storage, time.Minute, text)
	a := &alerting{t: t, read: &pipeline{t: t, storage: storage, engine: engine}}
	// What is recorded is read by the alerts after it.
	for _, wanted := range spec.Groups {
		for _, group := range groups {
			if group.Name() == wanted.Name {
				a.groups = append(a.groups, group)
			}
		}
	}
	require.Len(t, a.groups, len(spec.Groups))
	return a
}

// firing evaluates the rules every minute and returns, by minute, the names of the firing alerts. A rule that fails ends the
// test.
func (a *alerting) firing(minutes int) []map[string][]*rules.Alert {
	a.t.Helper()
	var all []map[string][]*rules.Alert
	for minute := range minutes + 1 {
		all = append(all, a.firingAt(minute))
	}
	return all
}

// firingAt evaluates the rules once, and returns the firing alerts by their names.
func (a *alerting) firingAt(minute int) map[string][]*rules.Alert {
	a.t.Helper()
	now := map[string][]*rules.Alert{}
	for _, group := range a.groups {
		group.Eval(a.t.Context(), time.Unix(0, 0).Add(time.Duration(minute)*time.Minute))
		for _, rule := range group.Rules() {
			require.NoError(a.t, rule.LastError(), "%s at minute %d:\n%s", rule.Name(), minute, rule.Query())
			if alert, ok := rule.(*rules.AlertingRule); ok {
				for _, active := range alert.ActiveAlerts() {
					if active.State == rules.StateFiring {
						now[alert.Name()] = append(now[alert.Name()], active)
					}
				}
			}
		}
	}
	return now
}

const podA, podB = "vllm-5d4f9-abcde", "vllm-5d4f9-fghij"

// healthy are the series of a working stack with two replicas, by a short name, with samples every minute.
func healthy() map[string]string {
	of := func(series, labels, samples string) string { return series + "{" + labels + "} " + samples }
	pod := func(name string) string { return `namespace="vllm",pod="` + name + `"` }
	deployment, hpa := `namespace="vllm",deployment="vllm"`, `namespace="vllm",horizontalpodautoscaler="vllm"`
	claim := `namespace="monitoring",persistentvolumeclaim="prometheus-kps-prometheus-db-prometheus-kps-prometheus-0"`
	prometheus := `job="kps-prometheus",namespace="monitoring",pod="prometheus-kps-prometheus-0"`
	gpu := `namespace="monitoring",pod="dcgm-exporter-x",gpu="0",UUID="U0",Hostname="gpu-1"`
	series := map[string]string{
		"spec":         of("kube_deployment_spec_replicas", deployment, "2x400"),
		"replicas":     of("kube_deployment_status_replicas", deployment, "2x400"),
		"ready":        of("kube_deployment_status_replicas_ready", deployment, "2x400"),
		"desired":      of("kube_horizontalpodautoscaler_status_desired_replicas", hpa, "2x400"),
		"min":          of("kube_horizontalpodautoscaler_spec_min_replicas", hpa, "1x400"),
		"max":          of("kube_horizontalpodautoscaler_spec_max_replicas", hpa, "4x400"),
		"active":       of("kube_horizontalpodautoscaler_status_condition", hpa+`,condition="ScalingActive",status="true"`, "1x400"),
		"active false": of("kube_horizontalpodautoscaler_status_condition", hpa+`,condition="ScalingActive",status="false"`, "0x400"),
		"limited":      of("kube_horizontalpodautoscaler_status_condition", hpa+`,condition="ScalingLimited",status="true"`, "0x400"),
		"adapter":      of("kube_deployment_status_replicas_available", `namespace="monitoring",deployment="prometheus-adapter"`, "2x400"),
		"api":          of("aggregator_unavailable_apiservice", `name="v1beta1.custom.metrics.k8s.io"`, "0x400"),
		"other api":    of("aggregator_unavailable_apiservice", `name="v1beta1.metrics.k8s.io"`, "1x400"),
		"exporter up":  of("up", `job="dcgm-exporter",namespace="monitoring",pod="dcgm-exporter-x"`, "1x400"),
		"xid":          of("DCGM_FI_DEV_XID_ERRORS", gpu, "0x400"),
		"temperature":  of("DCGM_FI_DEV_GPU_TEMP", gpu, "70x400"),
		"available":    of("kubelet_volume_stats_available_bytes", claim, "15000000000x400"),
		"capacity":     of("kubelet_volume_stats_capacity_bytes", claim, "20000000000x400"),
		"blocks":       of("prometheus_tsdb_storage_blocks_bytes", prometheus, "5000000000x400"),
		"wal":          of("prometheus_tsdb_wal_storage_size_bytes", prometheus, "100000000x400"),
		"rule failures": of("prometheus_rule_evaluation_failures_total", prometheus+`,rule_group="/etc/prometheus/rules/`+
			`prometheus-kps-prometheus-rulefiles-0/monitoring-vllm-signals-0ba5.yaml;vllm-signals"`, "0x400"),
		"head": of("prometheus_tsdb_head_chunks_storage_size_bytes", prometheus, "100000000x400"),
	}
	for _, definition := range signals.Catalogue() {
		name := definition.Name
		series["target "+name] = of("kube_horizontalpodautoscaler_spec_target_metric", hpa+`,metric_name="`+name+`",metric_target_type="average"`, "4x400")
		series["reading "+name] = of("kube_horizontalpodautoscaler_status_target_metric", hpa+`,metric_name="`+name+`",metric_target_type="average"`, "1x400")
	}
	for short, name := range map[string]string{"a": podA, "b": podB} {
		engine := pod(name) + `,engine="0",model_name="m"`
		series["pod ready "+short] = of("kube_pod_status_ready", pod(name)+`,condition="true"`, "1x400")
		series["up "+short] = of("up", pod(name)+`,job="vllm"`, "1x400")
		for moment, line := range startedPod(pod(name)) {
			series[moment+" "+short] = line
		}
		series["restarts "+short] = of("kube_pod_container_status_restarts_total", pod(name)+`,container="vllm"`, "0x400")
		series["running "+short] = of("vllm:num_requests_running", engine, "3x400")
		series["waiting "+short] = of("vllm:num_requests_waiting", engine, "0x400")
		series["in flight "+short] = of("vllm:requests_in_flight:sum", pod(name), "3x400")
		series["gpu "+short] = of("vllm:gpu_utilization:guarded", pod(name), "60x400")
		series["kv cache "+short] = of("vllm:kv_cache_usage:max", pod(name), "30x400")
		series["first tokens "+short] = of("vllm:time_to_first_token_seconds_count", engine, "0+60x400")
		series["in time "+short] = of("vllm:time_to_first_token_seconds_bucket", engine+`,le="2.5"`, "0+59x400")
		series["finished "+short] = of("vllm:request_time_per_output_token_seconds_count", engine, "0+60x400")
		series["smooth "+short] = of("vllm:request_time_per_output_token_seconds_bucket", engine+`,le="0.1"`, "0+59x400")
		series["in 75ms "+short] = of("vllm:request_time_per_output_token_seconds_bucket", engine+`,le="0.075"`, "0+30x400")
		series["in 1s "+short] = of("vllm:time_to_first_token_seconds_bucket", engine+`,le="1.0"`, "0+30x400")
	}
	return series
}

// change replaces the samples of healthy series; "" removes a series.
func change(series map[string]string, samples map[string]string) map[string]string {
	for short, text := range samples {
		old, ok := series[short]
		if !ok {
			panic("no series " + short)
		}
		if text == "" {
			delete(series, short)
			continue
		}
		series[short] = old[:strings.LastIndex(old, "} ")+2] + text
	}
	return series
}

func block(series map[string]string) string {
	lines := []string{"load 1m"}
	for _, line := range series {
		lines = append(lines, "  "+line)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n"
}

func alertNames(now map[string][]*rules.Alert) []string {
	var names []string
	for name := range now {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestHealthyStackIsSilent(t *testing.T) {
	for name, samples := range map[string]map[string]string{
		"steady":                      {},
		"a scale-up and a cold start": {"spec": "2x20 3x400", "desired": "2x20 3x400", "replicas": "2x20 3x400", "ready": "2x70 3x400"},
		"a peak at the maximum":       {"spec": "2x20 4x10 2x400", "desired": "2x20 4x10 2x400", "ready": "2x25 4x5 2x400"},
		"a burst that waits":          {"waiting a": "0x20 50 40 30 20 10 0x400", "waiting b": "0x20 50 40 30 20 10 0x400"},
		"a queue that shrinks":        {"waiting a": "200-1x200 0x200"},
		"no requests at all": {"first tokens a": "5x400", "in time a": "5x400", "first tokens b": "5x400", "in time b": "5x400",
			"finished a": "5x400", "smooth a": "5x400", "finished b": "5x400", "smooth b": "5x400"},
		"a server without times per request": {"finished a": "", "smooth a": "", "in 75ms a": "", "finished b": "", "smooth b": "", "in 75ms b": ""},
		"three late requests at night": {"first tokens a": "0x30 1 2 3x400", "in time a": "0x400", "first tokens b": "0x400", "in time b": "0x400",
			"finished a": "0x30 1 2 3x400", "smooth a": "0x400", "finished b": "0x400", "smooth b": "0x400"},
		"a late burst of a few minutes": {"in time a": "0+59x100 5900x3 5900+59x290", "in time b": "0+59x100 5900x3 5900+59x290"},
		"one scrape lost":               {"up a": "1x30 0 1x400", "running a": "3x30 _ 3x400", "in flight a": "3x30 _ 3x400"},
		"a pod that starts is not scraped": {"up b": "0x40 1x400", "pod ready b": "0x40 1x400", "running b": "_x41 0x400", "waiting b": "_x41 0x400",
			"in flight b": "_x41 0x400", "gpu b": "_x41 0x400", "kv cache b": "_x41 0x400"},
		"a restart now and then": {"restarts a": "0x100 1x100 2x200"},
		"a restart that takes nearly all of the time of a start": {"restarts b": "0x20 1x400", "started b": "140x20 1260x400",
			"ready since b": "_x3 200x16 _x30 3050x400"},
		"a readiness that comes back after that time": {"ready since b": "_x3 200x16 _x10 1790x400"},
		"the adapter is rolled out":                   {"adapter": "2x30 1x3 2x400"},
		"a rule fails once":                           {"rule failures": "0x30 1x400"},
		"a warm GPU for a moment":                     {"temperature": "70x30 90x5 70x400"},
		"XID not available":                           {"xid": "2147483632x400"},
	} {
		t.Run(name, func(t *testing.T) {
			for minute, now := range newAlerting(t, block(change(healthy(), samples)), alertSettings(t)).firing(130) {
				require.Empty(t, alertNames(now), "at minute %d", minute)
			}
		})
	}
}

// A signal that is off has no alert: nothing fires because its series are missing.
func TestSignalsThatAreOffAlertNobody(t *testing.T) {
	samples := map[string]string{"running a": "", "running b": "", "waiting a": "", "waiting b": "", "kv cache a": "", "kv cache b": ""}
	for _, name := range []string{signals.MetricRequestsRunning, signals.MetricRequestsWaiting, signals.MetricKVCacheUsage} {
		samples["target "+name], samples["reading "+name] = "", ""
	}
	s := alertSettings(t)
	s.Signals = enabled(t, only(map[signals.Key]float64{signals.KeyRequestsInFlight: 4, signals.KeyGPUUtilization: 50}))
	for minute, now := range newAlerting(t, block(change(healthy(), samples)), s).firing(40) {
		require.Empty(t, alertNames(now), "at minute %d", minute)
	}
}

// starting is a stack from its first minute on: the model loads, the server is not ready, the autoscaler has no metrics, no
// request was ever served.
func starting() map[string]string {
	return change(healthy(), map[string]string{
		"spec": "1x400", "replicas": "1x400", "ready": "0x400", "desired": "0x400", "active": "0x400", "active false": "1x400",
		"adapter": "_x2 0 2x400", "pod ready a": "0x400", "up a": "0x400", "running a": "", "waiting a": "", "in flight a": "", "gpu a": "", "kv cache a": "",
		"first tokens a": "", "in time a": "", "in 1s a": "", "pod ready b": "", "up b": "", "running b": "", "waiting b": "", "in flight b": "", "gpu b": "",
		"kv cache b": "", "first tokens b": "", "in time b": "", "in 1s b": "", "restarts b": "",
		"finished a": "", "smooth a": "", "in 75ms a": "", "finished b": "", "smooth b": "", "in 75ms b": "",
		"reading " + signals.MetricRequestsRunning: "", "reading " + signals.MetricRequestsWaiting: "", "reading " + signals.MetricGPUUtilization: "",
		"reading " + signals.MetricKVCacheUsage: "", "reading " + signals.MetricRequestsInFlight: "",
		"exporter up": "_x3 0x2 1x400",
	})
}

func TestNewStackIsSilentUntilItIsLate(t *testing.T) {
	series := newAlerting(t, block(starting()), alertSettings(t)).firing(75)
	for minute, now := range series[:60] {
		require.Empty(t, alertNames(now), "at minute %d", minute)
	}
	assert.Equal(t, []string{"VLLMReplicasNotReady"}, alertNames(series[66]), "later than any cold start")

	t.Run("before kube-state-metrics is scraped", func(t *testing.T) {
		load := "load 1m\n  up{namespace=\"vllm\",pod=\"" + podA + "\",job=\"vllm\"} 0x60\n"
		for minute, now := range newAlerting(t, load, alertSettings(t)).firing(4) {
			require.Empty(t, alertNames(now), "at minute %d", minute)
		}
	})
}

// alertCase is what changes the healthy stack at minute 30, and the alerts that fire then.
type alertCase struct {
	samples map[string]string
	want    []string
	// first and last are the bounds of the minute at which it fires, from 30 on.
	first, last int
	// labels are those of the alert.
	labels map[string]string
}

func alertCases() map[string]alertCase {
	return map[string]alertCase{
		"no series of a signal": {
			map[string]string{"running a": "3x30 stale", "running b": "3x30 stale"},
			[]string{"VLLMSignalAbsent"}, 32, 33, map[string]string{"signal": signals.MetricRequestsRunning, "severity": "critical"}},
		"no requests in flight": {
			map[string]string{"in flight a": "3x30 stale", "in flight b": "3x30 stale"},
			[]string{"VLLMSignalAbsent"}, 32, 33, map[string]string{"signal": signals.MetricRequestsInFlight, "severity": "critical"}},
		"no GPU series": {
			map[string]string{"gpu a": "3x30 stale", "gpu b": "3x30 stale"},
			[]string{"VLLMSignalAbsent"}, 32, 33, map[string]string{"signal": signals.MetricGPUUtilization}},
		"no KV-cache series": {
			map[string]string{"kv cache a": "30x30 stale", "kv cache b": "30x30 stale"},
			[]string{"VLLMSignalAbsent"}, 32, 33, map[string]string{"signal": signals.MetricKVCacheUsage}},
		"one pod without a signal": {
			map[string]string{"gpu b": "60x30 stale"},
			[]string{"VLLMSignalMissing"}, 35, 37, map[string]string{"signal": signals.MetricGPUUtilization, "pod": podB, "severity": "warning"}},
		"a metric that is not served": {
			map[string]string{"reading " + signals.MetricRequestsWaiting: "1x30 stale"},
			[]string{"VLLMSignalNotServed"}, 32, 33, map[string]string{"metric_name": signals.MetricRequestsWaiting}},
		"the adapter is down": {
			map[string]string{"adapter": "2x30 0x400"}, []string{"VLLMMetricsAdapterDown"}, 32, 33,
			map[string]string{"severity": "critical", "deployment": "prometheus-adapter"}},
		"the adapter is gone": {
			map[string]string{"adapter": "2x30 stale"}, []string{"VLLMMetricsAdapterDown"}, 32, 33, map[string]string{"deployment": "prometheus-adapter"}},
		"the API is unavailable": {
			map[string]string{"api": "0x30 1x400"}, []string{"VLLMCustomMetricsAPIUnavailable"}, 32, 33, nil},
		"the rules of the signals fail": {
			map[string]string{"rule failures": "0x30 1+30x400"}, []string{"VLLMSignalRulesFailing"}, 35, 36, map[string]string{"severity": "critical"}},
		"the autoscaler is inactive": {
			map[string]string{"active": "1x30 0x400", "active false": "0x30 1x400"}, []string{"VLLMAutoscalerInactive"}, 32, 33, nil},
		"the autoscaler is gone": {
			autoscalerGone(), []string{"VLLMAutoscalerInactive"}, 32, 33, map[string]string{"horizontalpodautoscaler": "vllm"}},
		"the Deployment is scaled to 0 by hand": {
			scaledAway(), []string{"VLLMAutoscalerSwitchedOff"}, 31, 31, map[string]string{"deployment": "vllm", "severity": "critical"}},
		"the Deployment stays at 0": {
			scaledAway(), []string{"VLLMAutoscalerInactive", "VLLMAutoscalerSwitchedOff"}, 31, 33, map[string]string{"horizontalpodautoscaler": "vllm"}},
		"at the maximum": {
			map[string]string{"spec": "2x30 4x400", "replicas": "2x30 4x400", "ready": "2x30 4x400", "desired": "2x30 4x400"},
			[]string{"VLLMAutoscalerAtMaximum"}, 45, 47, map[string]string{"severity": "warning"}},
		"replicas that never get ready": {
			map[string]string{"spec": "2x30 3x400", "replicas": "2x30 3x400", "desired": "2x30 3x400"},
			[]string{"VLLMReplicasNotReady"}, 90, 93, map[string]string{"deployment": "vllm"}},
		"a queue that grows": {
			map[string]string{"waiting a": "0x30 10+8x400"}, []string{"VLLMQueueGrowing"}, 40, 50, nil},
		"many late requests": {
			map[string]string{"in time a": "0+59x30 1770+10x400", "in time b": "0+59x30 1770+10x400"},
			[]string{"VLLMTTFTBudgetBurningFast"}, 40, 110, map[string]string{"severity": "critical"}},
		"a third late, for hours": {
			map[string]string{"in time a": "0+59x30 1770+36x400", "in time b": "0+59x30 1770+36x400"},
			[]string{"VLLMTTFTBudgetBurningFast"}, 60, 240, nil},
		"many slow requests": {
			map[string]string{"smooth a": "0+59x30 1770+10x400", "smooth b": "0+59x30 1770+10x400"},
			[]string{"VLLMInterTokenBudgetBurningFast"}, 40, 110, map[string]string{"severity": "critical"}},
		"a ready pod is not scraped": {
			map[string]string{"up b": "1x30 0x400"}, []string{"VLLMServerTargetDown"}, 32, 33, map[string]string{"pod": podB}},
		"a server that needs nearly all of its time": {
			map[string]string{"ready since b": "_x30 1790x400"}, []string{"VLLMColdStartSlow"}, 30, 33,
			map[string]string{"phase": "server", "severity": "warning"}},
		"a node that is there after an hour": {
			map[string]string{"scheduled b": "_x54 3200x400", "initialized b": "_x54 3201x400", "started b": "_x55 3300x400", "ready since b": "_x56 3360x400"},
			[]string{"VLLMColdStartSlow"}, 56, 59, map[string]string{"phase": "total"}},
		"a server that keeps ending": {
			map[string]string{"restarts b": "0x30 1+1x5 5x400"}, []string{"VLLMPodCrashLooping"}, 33, 36, map[string]string{"pod": podB}},
		"a failed GPU": {
			map[string]string{"xid": "0x30 79x400"}, []string{"VLLMGPUFailed"}, 31, 33, map[string]string{"node": "gpu-1", "gpu": "0", "severity": "critical"}},
		"an XID error": {
			map[string]string{"xid": "0x30 31x400"}, []string{"VLLMGPUXIDError"}, 31, 33, map[string]string{"node": "gpu-1", "severity": "warning"}},
		"a hot GPU": {
			map[string]string{"temperature": "70x30 88x400"}, []string{"VLLMGPUHot"}, 40, 42, nil},
		"an exporter is not scraped": {
			map[string]string{"exporter up": "1x30 0x400"}, []string{"VLLMGPUTargetDown"}, 40, 42, nil},
		"kube-state-metrics knows nothing of the Deployment": {
			map[string]string{"spec": "2x30 stale"}, []string{"VLLMKubeStateMetricsAbsent"}, 35, 37, nil},
		"the volume fills": {
			map[string]string{"available": "15000000000x30 2000000000x400"}, []string{"VLLMPrometheusVolumeFilling"}, 40, 42, nil},
		"the database grows": {
			map[string]string{"blocks": "5000000000x30 17500000000x400"}, []string{"VLLMPrometheusDatabaseLarge"}, 40, 42, nil},
	}
}

func TestAlertsFire(t *testing.T) {
	for name, tc := range alertCases() {
		t.Run(name, func(t *testing.T) {
			series := newAlerting(t, block(change(healthy(), tc.samples)), alertSettings(t)).firing(tc.last)
			for minute, now := range series[:tc.first] {
				require.Empty(t, alertNames(now), "at minute %d, before it was time", minute)
			}
			require.Equal(t, tc.want, alertNames(series[tc.last]), "and nothing else")
			for _, active := range series[tc.last][tc.want[0]] {
				for key, value := range tc.labels {
					assert.Equal(t, value, active.Labels.Get(key), "label %s of %s", key, active.Labels)
				}
				for _, annotation := range []string{"summary", "description"} {
					text := active.Annotations.Get(annotation)
					assert.NotContains(t, text, "{{", "the template is filled in")
					assert.NotContains(t, text, "<no value>")
					assert.NotContains(t, text, "error expanding template")
				}
			}
		})
	}
}

// scaledAway is what a healthy stack shows from minute 31 on, when somebody scales its Deployment to 0.
func scaledAway() map[string]string {
	samples := map[string]string{
		"spec": "2x30 0x400", "replicas": "2x30 0x400", "ready": "2x30 0x400", "desired": "2x30 0x400",
		"active": "1x30 0x400", "active false": "0x30 1x400",
	}
	for _, series := range []string{"pod ready", "up", "running", "waiting", "in flight", "gpu", "kv cache", "first tokens", "in time", "in 1s", "finished",
		"smooth", "in 75ms", "restarts"} {
		for _, pod := range []string{"a", "b"} {
			samples[series+" "+pod] = "1x30 stale"
		}
	}
	return samples
}

// autoscalerGone is what a healthy stack shows from minute 31 on, when somebody deletes its HPA.
func autoscalerGone() map[string]string {
	samples := map[string]string{}
	for series := range healthy() {
		if slices.Contains([]string{"desired", "min", "max", "limited"}, series) || strings.HasPrefix(series, "active") ||
			strings.HasPrefix(series, "target ") || strings.HasPrefix(series, "reading ") {
			samples[series] = "1x30 stale"
		}
	}
	return samples
}

// Long windows are tested on recorded rates instead of days of samples.
func TestSlowBurn(t *testing.T) {
	const perDay = 24 * 60 * 2 // one sample for each 30 s
	evaluate := func(t *testing.T, days int, inTime string) []string {
		var load strings.Builder
		load.WriteString("load 30s\n")
		for total, within := range map[string]string{alerts.RecordFirstTokens: alerts.RecordFirstTokensInTime, alerts.RecordFinished: alerts.RecordFinishedInTime} {
			fmt.Fprintf(&load, "  %s{namespace=\"vllm\"} 1x%d\n  %s{namespace=\"vllm\"} %s\n", total, days*perDay, within, inTime)
		}
		a := newAlerting(t, load.String(), alertSettings(t))
		var names []string
		// The last half hour; the alert waits for 15 minutes.
		for minute := days*24*60 - 30; minute <= days*24*60; minute++ {
			names = nil
			for _, group := range a.groups {
				group.Eval(t.Context(), time.Unix(0, 0).Add(time.Duration(minute)*time.Minute))
				for _, rule := range group.Rules() {
					require.NoError(t, rule.LastError())
					if alert, ok := rule.(*rules.AlertingRule); ok && alert.State() == rules.StateFiring {
						names = append(names, alert.Name())
					}
				}
			}
		}
		// There are no other series here.
		return slices.DeleteFunc(names, func(name string) bool { return name == "VLLMKubeStateMetricsAbsent" })
	}
	for name, tc := range map[string]struct {
		days   int
		inTime string
		fires  bool
	}{
		"4 % late are within the objective":  {3, "0.96x8640", false},
		"7 % late for three days":            {3, "0.93x8640", true},
		"20 % late for a day":                {2, "1x2880 0.8x2879", true},
		"what is over alerts nobody":         {3, "0.93x7200 1x1439", false},
		"7 % late on the first day are none": {1, "0.93x2880", false},
		"20 % late on the first day":         {1, "0.8x2880", true},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if tc.fires {
				want = []string{"VLLMTTFTBudgetBurningSlow", "VLLMInterTokenBudgetBurningSlow"}
			}
			assert.ElementsMatch(t, want, evaluate(t, tc.days, tc.inTime))
		})
	}
}

// Every alert fires in a test above.
func TestEveryAlertIsTested(t *testing.T) {
	spec, err := alerts.Rules(alertSettings(t))
	require.NoError(t, err)
	text, err := os.ReadFile("alerts_test.go")
	require.NoError(t, err)
	for _, group := range spec.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				assert.Regexp(t, `\[\]string\{("VLLM[A-Za-z]+", )*"`+rule.Alert+`"[,}]`, string(text), "no case in which it fires")
			}
		}
	}
}
