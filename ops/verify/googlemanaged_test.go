package verify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"vllm-autoscaling/stacks/outputs"
)

const (
	managedRunning = "prometheus.googleapis.com|vllm:num_requests_running|gauge"
	managedGuarded = "prometheus.googleapis.com|vllm:gpu_utilization:guarded|gauge"

	signalMonitoring = "/apis/monitoring.googleapis.com/v1/namespaces/vllm/podmonitorings/vllm"
	serverMonitoring = "/apis/monitoring.googleapis.com/v1/namespaces/vllm/podmonitorings/vllm-server"
	gpuMonitoring    = "/apis/monitoring.googleapis.com/v1/clusterpodmonitorings/vllm-gpu-utilization"
	signalRules      = "/apis/monitoring.googleapis.com/v1/clusterrules/vllm-signals"
)

// newManagedFake is a working stack whose metrics Google collects. There is no Prometheus.
func newManagedFake() *fake {
	f := newFake()
	p := &f.pipeline
	p.Metrics, p.Prometheus, p.GPUMetrics, p.SignalInterval = googleManaged, outputs.Service{}, "managed", "5s"
	p.Adapter.Name = "custom-metrics-stackdriver-adapter"
	f.apis[0].Spec.Service.Name = p.Adapter.Name
	for i, name := range []string{managedRunning, managedGuarded} {
		old := p.Signals[i].Name
		p.Signals[i].Name = name
		f.metrics[name] = f.metrics[old]
		delete(f.metrics, old)
		f.hpas[0].Status.CurrentMetrics[i].Pods.Metric.Name = name
	}
	f.stamps = func(string) time.Time { return time.Now() }
	f.monitoring, f.service, f.targets, f.samples, f.rules = nil, nil, nil, nil, nil
	f.collection = map[string]map[string]any{}
	for _, path := range []string{signalMonitoring, serverMonitoring, gpuMonitoring, signalRules} {
		f.collection[path] = accepted()
	}
	return f
}

// accepted is an object that the operator has accepted.
func accepted() map[string]any {
	return map[string]any{
		"metadata": map[string]any{"generation": 2},
		"status": map[string]any{
			"observedGeneration": 2,
			"conditions":         []any{map[string]any{"type": "ConfigurationCreateSuccess", "status": "True"}},
		},
	}
}

// withStatus sets a field of an object's status.
func (f *fake) withStatus(path, key string, value any) {
	f.collection[path]["status"].(map[string]any)[key] = value
}

// endpoint is what the operator reports on an endpoint's targets.
func endpoint(active, unhealthy int, problem string) []any {
	e := map[string]any{"name": "PodMonitoring/vllm/vllm/http", "activeTargets": active, "unhealthyTargets": unhealthy}
	if problem != "" {
		e["sampleGroups"] = []any{map[string]any{"sampleTargets": []any{map[string]any{"lastError": problem, "health": "down"}}}}
	}
	return []any{e}
}

func TestAStackWhoseMetricsGoogleCollects(t *testing.T) {
	report := newManagedFake().run(t)
	shown := text(t, report)
	require.True(t, report.Passed, shown)
	assert.Empty(t, report.Failed)
	for _, want := range []string{
		" 3 pass    metrics        vllm:num_requests_running on 2 pods\n",
		" 4 n/a     prometheus     not visible: Google stores the samples\n",
		" 5 n/a     targets        not visible: Google stores the samples; its operator has accepted PodMonitoring vllm/vllm, PodMonitoring vllm/vllm-server\n",
		" 6 n/a     gpu            not visible: Google stores the samples; its operator has accepted ClusterPodMonitoring vllm-gpu-utilization\n",
		" 7 n/a     rules          not visible: Google stores the samples; its operator has accepted ClusterRules vllm-signals\n",
		" 8 pass    adapter        v1beta1.custom.metrics.k8s.io available, served by monitoring/custom-metrics-stackdriver-adapter\n",
		" 9 pass    custom-metrics " + managedRunning + " 3, 5; " + managedGuarded + " 40, 70\n",
		"10 pass    hpa            2 replicas desired (1 to 4), " + managedRunning + " 4 of 12",
		"11 n/a     freshness      not visible: the adapter returns the time of its answer, not of the sample; it serves none older than 5m0s\n",
		"verify gke: ok, 11 stages, 5 of them not visible, in ",
	} {
		assert.Contains(t, shown, want)
	}
	assert.Contains(t, report.Values, Value{Signal: managedGuarded, Pod: "vllm-b", Value: 70, Target: 80, Unit: "percent"})
	assert.Len(t, report.Values, 4)
}

func TestTheOperatorsReportOnTargets(t *testing.T) {
	f := newManagedFake()
	f.withStatus(signalMonitoring, "endpointStatuses", endpoint(2, 0, ""))
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, NotVisible, report.Stages[4].Status, "half a report is none")

	f.withStatus(serverMonitoring, "endpointStatuses", endpoint(2, 0, ""))
	report = f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, Passed, report.Stages[4].Status)
	assert.Equal(t, "all up by the operator's report: PodMonitoring vllm/vllm, PodMonitoring vllm/vllm-server", report.Stages[4].Measured)
}

// An adapter that returns the time of the sample makes its age visible.
func TestAnAdapterThatGivesTheTimeOfTheSample(t *testing.T) {
	f := newManagedFake()
	f.stamps = func(pod string) time.Time {
		if pod == "vllm-b" {
			return time.Now().Add(-40 * time.Second)
		}
		return time.Now().Add(-10 * time.Second)
	}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, Passed, report.Stages[10].Status)
	assert.Contains(t, report.Stages[10].Measured, "s, allowed 2m25s")
	require.Len(t, report.Values, 4)
	for _, value := range report.Values {
		require.NotNil(t, value.AgeSeconds)
		assert.InDelta(t, map[string]float64{"vllm-a": 10, "vllm-b": 40}[value.Pod], *value.AgeSeconds, 2)
	}
}

// Where no signal reads the GPU, its objects are not asked for.
func TestAManagedStackWithoutTheGPUSignal(t *testing.T) {
	f := newManagedFake()
	f.pipeline.GPUSeries = nil
	delete(f.collection, gpuMonitoring)
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, Passed, report.Stages[5].Status)
	assert.Contains(t, report.Stages[5].Measured, "not needed")
}

func TestTheBoundOfAManagedSampleIsWithinWhatTheAdapterServes(t *testing.T) {
	for _, interval := range []time.Duration{5 * time.Second, 50 * time.Second} {
		assert.Less(t, managedFreshnessBound(interval), adapterWindow, "a sample that is too old must be served to be seen")
	}
}

func TestEachFailureOfAManagedStackNamesItsStageAndWhatToLookAt(t *testing.T) {
	const operator = "kubectl --context c -n gmp-system logs deployment/gmp-operator --tail=50"
	refused := func(path string) func(*fake) {
		return func(f *fake) {
			f.withStatus(path, "conditions", []any{map[string]any{
				"type": "ConfigurationCreateSuccess", "status": "False", "reason": "ScrapeConfigError", "message": "generating scrape config failed",
			}})
		}
	}
	remove := func(path string) func(*fake) { return func(f *fake) { delete(f.collection, path) } }
	for _, test := range []struct {
		name, stage    string
		change         func(*fake)
		measured, look string
	}{
		{"no PodMonitoring of the signals", "targets", remove(signalMonitoring), "there is no PodMonitoring vllm/vllm:", "pulumi up --refresh --stack gke"},
		{"no PodMonitoring of the server", "targets", remove(serverMonitoring), "there is no PodMonitoring vllm/vllm-server:", "managedPrometheusConfig.enabled"},
		{"not allowed to read it", "targets", func(f *fake) { f.forbidden = "/podmonitorings/" }, "cannot list resource", "auth can-i --list -n vllm"},
		{"PodMonitoring refused", "targets", refused(signalMonitoring),
			"PodMonitoring vllm/vllm: ConfigurationCreateSuccess is False: ScrapeConfigError: generating scrape config failed", "-n vllm describe podmonitorings vllm"},
		{"the operator is away", "targets", func(f *fake) { delete(f.collection[signalMonitoring], "status") },
			"PodMonitoring vllm/vllm has no condition ConfigurationCreateSuccess", operator},
		{"the operator ended before the last change", "targets", func(f *fake) { f.withStatus(serverMonitoring, "observedGeneration", 1) },
			"PodMonitoring vllm/vllm-server: the operator has not processed its last change (generation 2, seen 1)", operator},
		{"a target is down", "targets", func(f *fake) {
			f.withStatus(signalMonitoring, "endpointStatuses", endpoint(2, 1, "context deadline exceeded"))
		}, "PodMonitoring vllm/vllm: 1 of 2 targets down: context deadline exceeded", "describe networkpolicies"},
		{"a target is missing", "targets", func(f *fake) { f.withStatus(signalMonitoring, "endpointStatuses", endpoint(1, 0, "")) },
			"PodMonitoring vllm/vllm has 1 target for 2 pods", "get pods -l app.kubernetes.io/name=collector -o wide"},

		{"no ClusterPodMonitoring", "gpu", remove(gpuMonitoring), "there is no ClusterPodMonitoring vllm-gpu-utilization:",
			"describe clusterpodmonitorings vllm-gpu-utilization"},
		{"ClusterPodMonitoring refused", "gpu", refused(gpuMonitoring), "ClusterPodMonitoring vllm-gpu-utilization: ConfigurationCreateSuccess is False", operator},
		{"no ClusterRules", "rules", remove(signalRules), "there is no ClusterRules vllm-signals:", "kubectl --context c describe clusterrules vllm-signals"},
		{"ClusterRules refused", "rules", func(f *fake) {
			f.withStatus(signalRules, "conditions", []any{map[string]any{"type": "ConfigurationCreateSuccess", "status": "Unknown"}})
		}, "ClusterRules vllm-signals: ConfigurationCreateSuccess is Unknown", operator},

		{"adapter without its role", "adapter", func(f *fake) {
			f.apis[0].Status.Conditions[0] = apiregistrationv1.APIServiceCondition{
				Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse, Reason: "MissingEndpoints", Message: "no addresses"}
		}, "is not available: MissingEndpoints", "subject/ns/monitoring/sa/custom-metrics-stackdriver-adapter have roles/monitoring.viewer?"},
		{"the other pipeline's adapter", "adapter", func(f *fake) { f.apis[0].Spec.Service.Name = "prometheus-adapter" },
			"leads to monitoring/prometheus-adapter", "logs deployment/custom-metrics-stackdriver-adapter"},

		{"signal not served", "custom-metrics", func(f *fake) { delete(f.metrics, managedGuarded) },
			managedGuarded + " is not served: the server could not find the metric", "Cloud Monitoring has no such metric yet"},
		{"signal without a pod", "custom-metrics", func(f *fake) { delete(f.metrics[managedGuarded], "vllm-b") },
			managedGuarded + " has no value for vllm-b", "logs deployment/rule-evaluator"},
		{"signal without any pod", "custom-metrics", func(f *fake) { clear(f.metrics[managedRunning]) },
			managedRunning + " has no value for vllm-a, vllm-b", "get --raw '/apis/custom.metrics.k8s.io/v1beta1/namespaces/vllm/pods/*/" + managedRunning + "'"},

		{"HPA inactive", "hpa", func(f *fake) {
			c := &f.hpas[0].Status.Conditions[1]
			c.Status, c.Reason, c.Message = corev1.ConditionFalse, "FailedGetPodsMetric", "unable to get metric"
		}, "ScalingActive is False: FailedGetPodsMetric", "describe hpa vllm"},
		{"HPA with the other pipeline's names", "hpa", func(f *fake) { f.hpas[0] = hpa("vllm") },
			"the HPA has no value of " + managedRunning, "get events"},

		{"stale", "freshness", func(f *fake) {
			f.stamps = func(string) time.Time { return time.Now().Add(-200 * time.Second) }
		}, managedRunning + " of vllm-a is 20", "Cloud Monitoring slow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newManagedFake()
			test.change(f)
			failed := failsAt(t, f.run(t), test.stage, test.measured, test.look, Passed, NotVisible)
			for _, hint := range failed.Look {
				assert.NotContains(t, hint, "configmap", "Google's adapter has no rules")
				assert.NotContains(t, hint, "servicemonitors")
			}
		})
	}
}

// This machine's clock may be wrong.
func TestAgesAreByTheClockOfTheAnswer(t *testing.T) {
	f := newManagedFake()
	f.clock = func() time.Time { return time.Now().Add(-time.Hour) }
	f.stamps = func(string) time.Time { return f.clock() }
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, NotVisible, report.Stages[10].Status)
	f.stamps = func(string) time.Time { return f.clock().Add(-30 * time.Second) }
	report = f.run(t)
	require.True(t, report.Passed, text(t, report))
	require.NotNil(t, report.Values[0].AgeSeconds)
	assert.InDelta(t, 30, *report.Values[0].AgeSeconds, 2)
}
