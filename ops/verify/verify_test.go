package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"vllm-autoscaling/stacks/outputs"
)

func text(t *testing.T, r *Report) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, r.Text(&out, false))
	return out.String()
}

func TestEveryStagePasses(t *testing.T) {
	report := newFake().run(t)
	shown := text(t, report)
	require.True(t, report.Passed, shown)
	assert.Empty(t, report.Failed)
	for _, want := range []string{
		" 1 pass    api            Kubernetes v1.34.1 at http://127.0.0.1:",
		" 2 pass    pods           2/2 ready: vllm-a, vllm-b\n",
		" 3 pass    metrics        vllm:num_requests_running on 2 pods\n",
		" 4 pass    prometheus     Prometheus 3.13.3 in pod prometheus-0\n",
		" 5 pass    targets        2/2 up, slowest scrape 12 ms\n",
		" 6 pass    gpu            DCGM_FI_DEV_GPU_UTIL: 3 GPUs of 2 pods: ",
		" 7 pass    rules          1/1 loaded, healthy, with a sample for 2 pods\n",
		" 8 pass    adapter        v1beta1.custom.metrics.k8s.io available, served by monitoring/prometheus-adapter\n",
		" 9 pass    custom-metrics vllm_requests_running 3, 5; vllm_gpu_utilization 40, 70\n",
		"10 pass    hpa            2 replicas desired (1 to 4), vllm_requests_running 4 of 12, vllm_gpu_utilization 55 of 80; limited: TooFewReplicas\n",
		"11 pass    freshness      oldest sample 2.5 s, allowed 16s\n",
		"verify gke: ok, 11 stages in ",
	} {
		assert.Contains(t, shown, want)
	}
	age := 2.5
	assert.Contains(t, report.Values, Value{Signal: "vllm_gpu_utilization", Pod: "vllm-b", Value: 70, Target: 80, Unit: "percent", AgeSeconds: &age})
	assert.Len(t, report.Values, 4)

	written, err := json.Marshal(report)
	require.NoError(t, err)
	var read Report
	require.NoError(t, json.Unmarshal(written, &read))
	assert.Equal(t, *report, read)
}

// waiting is a pod whose container waits for a reason.
func waiting(name, reason, message string) corev1.Pod {
	p := pod(name)
	p.Status.Conditions = nil
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "vllm", Image: "vllm/vllm-openai:v0",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	return p
}

// failsAt checks that a report has a failure of one stage, with the given texts: those before it ended in one of the
// ways given, those after it were skipped. It returns the failed stage.
func failsAt(t *testing.T, report *Report, failing, measured, look string, before ...Status) Result {
	t.Helper()
	shown := text(t, report)
	require.False(t, report.Passed)
	require.Equal(t, failing, report.Failed, shown)
	var failed *Result
	for i, stage := range report.Stages {
		switch {
		case stage.Stage == failing:
			failed = &report.Stages[i]
			assert.Equal(t, Failed, stage.Status)
			assert.Contains(t, stage.Measured, measured)
			assert.NotEmpty(t, stage.Expected)
			assert.Contains(t, strings.Join(stage.Look, "\n"), look)
		case failed != nil:
			assert.Equal(t, Skipped, stage.Status)
			assert.Contains(t, shown, "skipped "+stage.Stage)
		default:
			assert.Contains(t, before, stage.Status)
		}
	}
	require.NotNil(t, failed, "no stage has the key %s", failing)
	assert.Contains(t, shown, "FAIL    "+failing)
	assert.Equal(t, failing != "freshness", strings.Contains(shown, "(needs "+failing+")\n"))
	assert.Contains(t, shown, "verify gke: FAILED at "+failing)
	return *failed
}

func TestEachFailureNamesItsStageAndWhatToLookAt(t *testing.T) {
	for _, test := range []struct {
		name, stage    string
		change         func(*fake)
		measured, look string
	}{
		{"no API server there", "api", func(f *fake) {
			f.version = func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }
		}, "is not an API server", "kubectl --context c version"},
		{"credentials refused", "api", func(f *fake) {
			f.version = func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }
		}, "does not accept the credentials", "auth whoami"},

		{"no Deployment", "pods", func(f *fake) { f.deployment = nil }, "there is no Deployment vllm/vllm", "pulumi up --refresh --stack gke"},
		{"scaled to 0", "pods", func(f *fake) { f.deployment.Spec.Replicas = new(int32); f.pods = nil }, "scaled to 0",
			"kubectl --context c -n vllm scale deployment vllm --replicas=1"},
		{"not allowed", "pods", func(f *fake) { f.forbidden = "/namespaces/vllm/pods" }, `cannot list resource "pods"`, "auth can-i --list -n vllm"},
		{"fewer pods than replicas", "pods", func(f *fake) {
			f.pods = f.pods[:1]
			f.deployment.Status.Conditions = []appsv1.DeploymentCondition{{Type: "ReplicaFailure", Status: corev1.ConditionTrue, Message: "exceeded quota"}}
		}, "1 of 2 replicas have a pod; exceeded quota", "describe replicasets"},
		{"pending for a GPU", "pods", func(f *fake) {
			f.pods[1].Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}}}
		}, "1/2 ready; vllm-b: pending for a node with a free GPU: 0/3 nodes", "describe pods -l 'app=vllm'"},
		{"image not found", "pods", func(f *fake) { f.pods[1] = waiting("vllm-b", "ImagePullBackOff", "manifest unknown") },
			"vllm-b: the image vllm/vllm-openai:v0 cannot be pulled: ImagePullBackOff manifest unknown", "describe pods"},
		{"crashes", "pods", func(f *fake) {
			f.pods[1] = waiting("vllm-b", "CrashLoopBackOff", "")
			f.pods[1].Status.ContainerStatuses[0].RestartCount = 4
			f.pods[1].Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
		}, "container vllm: 4 restarts, last exit code 137 (OOMKilled), waits: CrashLoopBackOff", "-n vllm logs vllm-b -c vllm --previous --tail=50"},
		{"loads its model", "pods", func(f *fake) { f.pods[1] = loading("vllm-b", 90*time.Second) }, "container vllm runs for 1m3",
			"--wait 15m"},

		{"no port-forward", "metrics", func(f *fake) { f.reachError = errors.New("forbidden") }, "pod vllm-a, port 8000 cannot be read: forbidden",
			"auth can-i create pods/portforward -n vllm"},
		{"series renamed", "metrics", func(f *fake) { f.pages["vllm-b"] = "vllm:requests_now 1\n" },
			"vllm-b: no series vllm:num_requests_running among 1 names", "--disable-log-stats"},
		{"no page of metrics", "metrics", func(f *fake) { f.pages["vllm-b"] = "<html>\n" }, "vllm-b: /metrics cannot be read", "get deployment vllm"},

		{"no Prometheus", "prometheus", func(f *fake) { f.monitoring = nil }, "no ready pod behind Service monitoring/kps-prometheus",
			"kubectl --context c -n monitoring get pods,prometheuses"},
		{"Service of Prometheus gone", "prometheus", func(f *fake) { f.service = nil }, "could not find", "describe service kps-prometheus"},

		{"target missing", "targets", func(f *fake) { f.targets = f.targets[:1] }, "Prometheus has no target for 1 of 2 pods: vllm-b",
			"get servicemonitors,podmonitors"},
		{"target down", "targets", func(f *fake) {
			f.targets[1].Health, f.targets[1].LastError = prometheusv1.HealthBad, "context deadline exceeded"
		}, "target of pod vllm-b is down: context deadline exceeded", "networkpolicies"},
		{"series dropped", "targets", func(f *fake) { delete(f.samples["vllm:num_requests_running{"], "vllm-a") },
			"vllm:num_requests_running is not stored for vllm-a", "metricRelabeling"},

		{"no DCGM", "gpu", func(f *fake) { f.samples[gpuSeries+"{"] = nil }, "no series DCGM_FI_DEV_GPU_UTIL with a pod of namespace vllm",
			"get pods -l app.kubernetes.io/name=dcgm-exporter"},
		{"no DCGM for one pod", "gpu", func(f *fake) { delete(f.samples[gpuSeries+"{"], "vllm-b") }, "DCGM_FI_DEV_GPU_UTIL is there, but not for vllm-b",
			"DCGM_EXPORTER_KUBERNETES"},

		{"rule not loaded", "rules", func(f *fake) { f.rules = nil }, "Prometheus has 0 of 1 rule loaded, not vllm:gpu_utilization:guarded", "get prometheusrules"},
		{"rule fails", "rules", func(f *fake) {
			f.rules[0].Health, f.rules[0].LastError = prometheusv1.RuleHealthBad, "many-to-many matching not allowed"
		}, "rule vllm:gpu_utilization:guarded is err: many-to-many matching not allowed", "/rules"},
		{"rule without a sample", "rules", func(f *fake) { delete(f.samples["vllm:gpu_utilization:guarded{exported"], "vllm-a") },
			"rule vllm:gpu_utilization:guarded has no sample for vllm-a", "kube_pod_status_ready"},

		{"no APIService", "adapter", func(f *fake) { f.apis = nil }, "no APIService of group custom.metrics.k8s.io", "pulumi up --refresh"},
		{"APIService not available", "adapter", func(f *fake) {
			f.apis[0].Status.Conditions[0] = apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse,
				Reason: "MissingEndpoints", Message: "no addresses"}
		}, "is not available: MissingEndpoints: no addresses", "logs deployment/prometheus-adapter"},
		{"somebody else's API", "adapter", func(f *fake) { f.apis[0].Spec.Service.Name = "keda" }, "leads to monitoring/keda", "get apiservices"},

		{"signal not served", "custom-metrics", func(f *fake) { delete(f.metrics, "vllm_gpu_utilization") },
			"vllm_gpu_utilization is not served: the server could not find the metric", "get configmap prometheus-adapter"},
		{"signal without a pod", "custom-metrics", func(f *fake) { delete(f.metrics["vllm_gpu_utilization"], "vllm-b") },
			"vllm_gpu_utilization has no value for vllm-b", "get --raw '/apis/custom.metrics.k8s.io/v1beta1/namespaces/vllm/pods/*/vllm_gpu_utilization'"},
		{"signal of another Prometheus", "custom-metrics", func(f *fake) { f.metrics["vllm_requests_running"]["vllm-b"] = "9" },
			"vllm_requests_running differs: vllm-b: 9, and 5 to 5 in Prometheus", "QUERY_RUNNING"},

		{"no HPA", "hpa", func(f *fake) { f.hpas = nil }, "no HPA vllm/vllm", "get hpa"},
		{"two HPAs", "hpa", func(f *fake) { f.hpas = append(f.hpas, hpa("keda-hpa-vllm")) }, "2 HPAs scale Deployment vllm: keda-hpa-vllm, vllm",
			"get hpa keda-hpa-vllm -o yaml"},
		{"HPA inactive", "hpa", func(f *fake) {
			f.hpas[0].Status.Conditions[1].Status, f.hpas[0].Status.Conditions[1].Reason, f.hpas[0].Status.Conditions[1].Message = corev1.ConditionFalse,
				"FailedGetPodsMetric", "unable to get metric"
		}, "ScalingActive is False: FailedGetPodsMetric: unable to get metric", "describe hpa vllm"},
		{"HPA not looked at", "hpa", func(f *fake) { f.hpas[0].Status.Conditions = nil }, "no condition AbleToScale yet", "every 15 s"},
		{"HPA without a metric", "hpa", func(f *fake) { f.hpas[0].Status.CurrentMetrics = f.hpas[0].Status.CurrentMetrics[:1] },
			"the HPA has no value of vllm_gpu_utilization", "get events"},

		{"stale", "freshness", func(f *fake) { f.samples["timestamp("]["vllm-b"] = []float64{44} }, "vllm_requests_running of vllm-b is 44 s old",
			"get servicemonitors"},
		{"stale behind a rule", "freshness", func(f *fake) {
			f.pipeline.Signals[0].Series = "vllm:requests_in_flight:sum"
			f.samples["timestamp(vllm:num_requests_running{"] = map[string][]float64{"vllm-a": {1}, "vllm-b": {44}}
		}, "vllm:num_requests_running of vllm-b is 44 s old", "get servicemonitors"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			test.change(f)
			failsAt(t, f.run(t), test.stage, test.measured, test.look, Passed)
		})
	}
}

func TestPodsThatEndAreNotWaitedFor(t *testing.T) {
	f := newFake()
	ends, evicted := waiting("vllm-c", "", ""), waiting("vllm-d", "", "")
	ends.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	evicted.Status.Phase = corev1.PodFailed
	f.pods = append(f.pods, ends, evicted)
	report := f.run(t)
	assert.True(t, report.Passed, text(t, report))
	assert.Equal(t, "2/2 ready: vllm-a, vllm-b", report.Stages[1].Measured)
}

func TestStagesThatAStackDoesNotNeed(t *testing.T) {
	f := newFake()
	f.pipeline.GPUMetrics, f.samples[gpuSeries+"{"] = "simulated", nil
	report := f.run(t)
	assert.True(t, report.Passed, text(t, report))
	assert.Contains(t, report.Stages[5].Measured, "simulated by a recording rule")

	f.pipeline.GPUSeries, f.pipeline.Rules = nil, nil
	report = f.run(t)
	assert.True(t, report.Passed, text(t, report))
	assert.Contains(t, report.Stages[5].Measured, "not needed")
	assert.Contains(t, report.Stages[6].Measured, "not needed")
}

func TestATimeoutIsTheStagesFailure(t *testing.T) {
	f := newFake()
	f.version = func(http.ResponseWriter) { time.Sleep(300 * time.Millisecond) }
	server := newAPI(t, f)
	report, err := Run(t.Context(), Options{Pipeline: f.pipeline, Config: &rest.Config{Host: server}, Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, "api", report.Failed)
	assert.Contains(t, report.Stages[0].Measured, "no answer within 50ms")
}

func TestColourIsForTerminals(t *testing.T) {
	report := &Report{Stages: []Result{{Stage: "api", Status: Passed}, {Stage: "pods", Status: Failed}, {Stage: "hpa", Status: Skipped}}, Failed: "pods"}
	var out bytes.Buffer
	require.NoError(t, report.Text(&out, true))
	assert.Equal(t, 4, strings.Count(out.String(), "\x1b[0m"))
	assert.NotContains(t, text(t, report), "\x1b")
}

func TestRunWithoutAPipeline(t *testing.T) {
	_, err := Run(t.Context(), Options{Config: &rest.Config{}, Pipeline: outputs.Pipeline{}})
	assert.ErrorContains(t, err, "deployed by this version")
}
