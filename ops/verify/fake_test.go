package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"vllm-autoscaling/stacks/outputs"
)

// fake is a working stack: an API server, the servers' pages and Prometheus. Tests change it.
type fake struct {
	version    func(http.ResponseWriter)
	deployment *appsv1.Deployment // nil for none
	pods       []corev1.Pod
	monitoring []corev1.Pod
	service    *corev1.Service
	pages      map[string]string // by pod
	targets    []prometheusv1.ActiveTarget
	samples    map[string]map[string][]float64 // by a part of the query, then by pod
	labels     map[string]map[string]string    // more labels of the samples, by the same part of the query
	jobs       map[string]map[string]int       // series of other jobs, by series, then by job
	rules      []prometheusv1.RecordingRule
	rulesFile  string           // of the stack's own group; "" is ownRules
	foreign    []map[string]any // other groups of rules
	noRulesAPI bool             // rules are not listed, as by some queriers
	// refusedQueries is the status of every query; 0 answers them.
	refusedQueries int
	logs           map[string]string // by pod and container
	logQueries     []string          // what was asked of the logs
	queries        []string          // what was asked of Prometheus
	onRules        func()            // before the rules or targets are listed; nil for nothing
	onTargets      func()
	apis           []apiregistrationv1.APIService
	metrics        map[string]map[string]string // by signal, then by pod
	hpas           []autoscalingv2.HorizontalPodAutoscaler
	forbidden      string // a path that is answered with 403
	reachError     error
	collection     map[string]map[string]any  // objects of the managed collection, by path
	stamps         func(pod string) time.Time // of the custom metrics API's values; nil for none
	clock          func() time.Time           // the API server's; nil for this machine's

	pipeline outputs.Pipeline
}

const (
	gpuSeries = "DCGM_FI_DEV_GPU_UTIL"
	// ownRules is the file that the operator makes of the stack's PrometheusRule.
	ownRules = "/etc/prometheus/rules/prometheus-kps-prometheus-rulefiles-0/monitoring-vllm-signals-6a1e4ff4-9d2a-4a2c-8f0e-3b8f3a6f0c11.yaml"
)

func newFake() *fake {
	f := &fake{
		pipeline: outputs.Pipeline{
			Serving:      outputs.Serving{Namespace: "vllm", Deployment: "vllm", Service: "vllm", Port: 8000, HPA: "vllm"},
			Prometheus:   outputs.Service{Namespace: "monitoring", Name: "kps-prometheus", Port: 9090},
			Adapter:      outputs.Workload{Namespace: "monitoring", Name: "prometheus-adapter"},
			ServerSeries: []string{"vllm:num_requests_running"},
			Rules:        []string{"vllm:gpu_utilization:guarded"},
			GPUMetrics:   "dcgm-chart", GPUSeries: []string{gpuSeries},
			SignalInterval: "2s",
			Signals: []outputs.Signal{
				{Name: "vllm_requests_running", Series: "vllm:num_requests_running", Target: 12, Unit: "requests", Query: "QUERY_RUNNING"},
				{Name: "vllm_gpu_utilization", Series: "vllm:gpu_utilization:guarded", Target: 80, Unit: "percent", Query: "QUERY_GPU"},
			},
		},
		deployment: &appsv1.Deployment{Spec: appsv1.DeploymentSpec{
			Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "vllm"}},
		}},
		pods:       []corev1.Pod{pod("vllm-a"), pod("vllm-b")},
		monitoring: []corev1.Pod{pod("prometheus-0")},
		service: &corev1.Service{Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "prometheus"},
			Ports:    []corev1.ServicePort{{Port: 9090, TargetPort: intstr.FromString("web")}},
		}},
		pages: map[string]string{},
		samples: map[string]map[string][]float64{
			"QUERY_RUNNING": {"vllm-a": {3}, "vllm-b": {5}},
			"QUERY_GPU":     {"vllm-a": {40}, "vllm-b": {70}},
			"timestamp(":    {"vllm-a": {1.5}, "vllm-b": {2.5}},
			"vllm:num_requests_running{": {
				"vllm-a": {3}, "vllm-b": {5}},
			gpuSeries + "{": {"vllm-a": {97, 92}, "vllm-b": {95}},
			"vllm:gpu_utilization:guarded{exported": {
				"vllm-a": {40}, "vllm-b": {70}},
		},
		rules: []prometheusv1.RecordingRule{{Name: "vllm:gpu_utilization:guarded", Health: prometheusv1.RuleHealthGood}},
		apis: []apiregistrationv1.APIService{{
			ObjectMeta: metav1.ObjectMeta{Name: "v1beta1.custom.metrics.k8s.io"},
			Spec: apiregistrationv1.APIServiceSpec{Group: "custom.metrics.k8s.io",
				Service: &apiregistrationv1.ServiceReference{Namespace: "monitoring", Name: "prometheus-adapter"}},
			Status: apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{
				{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue}}},
		}},
		metrics: map[string]map[string]string{
			"vllm_requests_running": {"vllm-a": "3", "vllm-b": "5"},
			"vllm_gpu_utilization":  {"vllm-a": "40", "vllm-b": "70"},
		},
		hpas: []autoscalingv2.HorizontalPodAutoscaler{hpa("vllm")},
	}
	*f.deployment.Spec.Replicas = 2
	f.monitoring[0].Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 9090}}}}
	for _, name := range []string{"vllm-a", "vllm-b"} {
		f.pages[name] = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"m\"} 3\n"
		f.targets = append(f.targets, target(name))
	}
	return f
}

func pod(name string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "vllm"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
}

func target(name string) prometheusv1.ActiveTarget {
	return prometheusv1.ActiveTarget{
		Labels: model.LabelSet{"namespace": "vllm", "pod": model.LabelValue(name)}, Health: prometheusv1.HealthGood, LastScrapeDuration: 0.012,
		LastScrape: time.Now(),
	}
}

func hpa(name string) autoscalingv2.HorizontalPodAutoscaler {
	read := func(metric, value string) autoscalingv2.MetricStatus {
		quantity := resource.MustParse(value)
		return autoscalingv2.MetricStatus{Type: "Pods", Pods: &autoscalingv2.PodsMetricStatus{
			Metric: autoscalingv2.MetricIdentifier{Name: metric}, Current: autoscalingv2.MetricValueStatus{AverageValue: &quantity}}}
	}
	return autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 4,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "vllm"}},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{DesiredReplicas: 2,
			CurrentMetrics: []autoscalingv2.MetricStatus{read("vllm_requests_running", "4"), read("vllm_gpu_utilization", "55")},
			Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
				{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue},
				{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue},
				{Type: autoscalingv2.ScalingLimited, Status: corev1.ConditionTrue, Reason: "TooFewReplicas"},
			}},
	}
}

// run walks the fake.
func (f *fake) run(t *testing.T) *Report {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(f.api))
	prometheus := httptest.NewServer(http.HandlerFunc(f.prometheus))
	t.Cleanup(api.Close)
	t.Cleanup(prometheus.Close)
	report, err := Run(t.Context(), Options{
		Stack: "gke", Pipeline: f.pipeline, Config: &rest.Config{Host: api.URL}, Kubectl: "kubectl --context c", Timeout: 20 * time.Second,
		Reach: func(_ context.Context, namespace, pod string, _ int) (string, func(), error) {
			if f.reachError != nil {
				return "", nil, f.reachError
			}
			if namespace != "vllm" {
				return strings.TrimPrefix(prometheus.URL, "http://"), func() {}, nil
			}
			page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, f.pages[pod]) }))
			return strings.TrimPrefix(page.URL, "http://"), page.Close, nil
		},
	})
	require.NoError(t, err)
	return report
}

func (f *fake) api(w http.ResponseWriter, req *http.Request) {
	if f.clock != nil {
		w.Header().Set("Date", f.clock().UTC().Format(http.TimeFormat))
	}
	path := req.URL.Path
	answer := func(object any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object)
	}
	refuse := func(code int, reason metav1.StatusReason, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code),
			Reason: reason, Message: message})
	}
	logOf, isLog := strings.CutSuffix(strings.TrimPrefix(path, "/api/v1/namespaces/vllm/pods/"), "/log")
	metric, isMetric := strings.CutPrefix(path, "/apis/custom.metrics.k8s.io/v1beta1/namespaces/vllm/pods/*/")
	switch {
	case f.forbidden != "" && strings.Contains(path, f.forbidden):
		refuse(403, metav1.StatusReasonForbidden, `user "u" cannot list resource "pods"`)
	case isLog:
		f.logQueries = append(f.logQueries, req.URL.RawQuery)
		text, found := f.logs[logOf+"/"+req.URL.Query().Get("container")]
		if !found {
			refuse(403, metav1.StatusReasonForbidden, `user "u" cannot get resource "pods/log"`)
			return
		}
		_, _ = w.Write([]byte(text))
	case path == "/version" && f.version != nil:
		f.version(w)
	case path == "/version":
		answer(map[string]string{"gitVersion": "v1.34.1"})
	case path == "/apis/apps/v1/namespaces/vllm/deployments/vllm" && f.deployment != nil:
		answer(f.deployment)
	case path == "/api/v1/namespaces/vllm/pods":
		answer(corev1.PodList{Items: f.pods})
	case path == "/api/v1/namespaces/monitoring/pods":
		answer(corev1.PodList{Items: f.monitoring})
	case path == "/api/v1/namespaces/monitoring/services/kps-prometheus" && f.service != nil:
		answer(f.service)
	case path == "/apis/apiregistration.k8s.io/v1/apiservices":
		answer(apiregistrationv1.APIServiceList{Items: f.apis})
	case path == "/apis/autoscaling/v2/namespaces/vllm/horizontalpodautoscalers":
		answer(autoscalingv2.HorizontalPodAutoscalerList{Items: f.hpas})
	case f.collection[path] != nil:
		answer(f.collection[path])
	case isMetric && f.metrics[metric] != nil:
		var items []map[string]any
		for pod, value := range f.metrics[metric] {
			item := map[string]any{"describedObject": map[string]string{"name": pod}, "value": value}
			if f.stamps != nil {
				item["timestamp"] = metav1.NewTime(f.stamps(pod))
			}
			items = append(items, item)
		}
		answer(map[string]any{"items": items})
	default:
		refuse(404, metav1.StatusReasonNotFound, "the server could not find the metric "+metric+" for pods")
	}
}

func (f *fake) prometheus(w http.ResponseWriter, req *http.Request) {
	answer := func(data any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	}
	switch {
	case f.refusedQueries != 0:
		http.Error(w, "no", f.refusedQueries)
		return
	case f.noRulesAPI && req.URL.Path == "/api/v1/rules":
		http.NotFound(w, req)
		return
	}
	switch req.URL.Path {
	case "/api/v1/status/buildinfo":
		answer(map[string]string{"version": "3.13.3"})
	case "/api/v1/targets":
		if f.onTargets != nil {
			f.onTargets()
		}
		answer(map[string]any{"activeTargets": f.targets})
	case "/api/v1/rules":
		if f.onRules != nil {
			f.onRules()
		}
		var rules []map[string]any
		for _, r := range f.rules {
			rules = append(rules, map[string]any{"name": r.Name, "type": "recording", "health": r.Health, "lastError": r.LastError, "query": cmp.Or(r.Query, "1")})
		}
		groups := []any{map[string]any{"name": "vllm-signals", "file": cmp.Or(f.rulesFile, ownRules), "rules": rules}}
		for _, group := range f.foreign {
			groups = append(groups, group)
		}
		answer(map[string]any{"groups": groups})
	case "/api/v1/query":
		query := req.FormValue("query")
		f.queries = append(f.queries, query)
		result := []any{}
		if jobs, ok := strings.CutPrefix(query, "count by (job) ("); ok {
			series, _, _ := strings.Cut(jobs, "{")
			for job, count := range f.jobs[series] {
				result = append(result, map[string]any{"metric": map[string]string{"job": job}, "value": []any{1, fmt.Sprint(count)}})
			}
			answer(map[string]any{"resultType": "vector", "result": result})
			return
		}
		longest := ""
		for part := range f.samples {
			// The most specific part: a query of ages also names the series.
			ages, before := strings.HasPrefix(part, "timestamp("), strings.HasPrefix(longest, "timestamp(")
			if strings.Contains(query, part) && (ages && !before || ages == before && len(part) > len(longest)) {
				longest = part
			}
		}
		for pod, values := range f.samples[longest] {
			for i, value := range values {
				metric := map[string]string{"pod": pod, "gpu": fmt.Sprint(i)}
				maps.Copy(metric, f.labels[longest])
				result = append(result, map[string]any{"metric": metric, "value": []any{1, fmt.Sprint(value)}})
			}
		}
		answer(map[string]any{"resultType": "vector", "result": result})
	default:
		http.NotFound(w, req)
	}
}

// newAPI is the fake's API server alone.
func newAPI(t *testing.T, f *fake) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(f.api))
	t.Cleanup(server.Close)
	return server.URL
}
