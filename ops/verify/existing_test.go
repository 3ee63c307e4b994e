package verify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/stacks/outputs"
)

const (
	platformPrometheuses = "/apis/monitoring.coreos.com/v1/namespaces/observability/prometheuses"
	ourMonitor           = "/apis/monitoring.coreos.com/v1/namespaces/vllm/servicemonitors/vllm"
	ourRules             = "/apis/monitoring.coreos.com/v1/namespaces/vllm/prometheusrules/vllm-signals"
	loginSecret          = "/api/v1/namespaces/monitoring/secrets/login"
)

// newExistingFake is a working stack on the Prometheus of the platform, which reads everything with release=platform.
func newExistingFake() *fake {
	f := newFake()
	f.pipeline.Metrics = existing
	f.pipeline.Prometheus = outputs.Service{}
	f.pipeline.Existing = &outputs.Existing{
		Namespace: "observability", URL: "http://prometheus.observability.svc:9090", RulesNamespace: "vllm",
	}
	f.samples["up{"] = map[string][]float64{"vllm-a": {1}, "vllm-b": {1}}
	f.samples["kube_pod_status_ready{"] = map[string][]float64{"vllm-a": {1}, "vllm-b": {1}}
	f.rulesFile = strings.Replace(ownRules, "monitoring-vllm-signals", "vllm-vllm-signals", 1)
	labelled := map[string]any{"metadata": map[string]any{"labels": map[string]string{"release": "platform"}}}
	f.collection = map[string]map[string]any{
		"/api/v1/namespaces/observability/services/prometheus": {
			"spec": corev1.ServiceSpec{Selector: map[string]string{"app": "prometheus"}, Ports: f.service.Spec.Ports},
		},
		"/api/v1/namespaces/observability/pods": {"items": f.monitoring},
		"/api/v1/namespaces/vllm":               {"metadata": map[string]any{"labels": map[string]string{"kubernetes.io/metadata.name": "vllm"}}},
		platformPrometheuses:                    {"items": []any{platformPrometheus(nil)}},
		ourMonitor:                              labelled,
		ourRules:                                labelled,
		"/apis/custom.metrics.k8s.io/v1beta1": {"resources": []metav1.APIResource{
			{Name: "pods/vllm_requests_running"}, {Name: "pods/vllm_gpu_utilization"},
		}},
	}
	return f
}

// platformPrometheus is the operator's object of the platform, with more fields of its spec.
func platformPrometheus(more map[string]any) map[string]any {
	selector := map[string]any{"matchLabels": map[string]string{"release": "platform"}}
	spec := map[string]any{
		"serviceMonitorSelector": selector, "ruleSelector": selector, "serviceMonitorNamespaceSelector": map[string]any{}, "ruleNamespaceSelector": map[string]any{},
	}
	for field, value := range more {
		spec[field] = value
	}
	return map[string]any{"metadata": map[string]string{"namespace": "observability", "name": "k8s"}, "spec": spec}
}

func TestAnExistingPrometheus(t *testing.T) {
	report := newExistingFake().run(t)
	shown := text(t, report)
	require.True(t, report.Passed, shown)
	for _, want := range []string{
		" 4 pass    prometheus     http://prometheus.observability.svc:9090 answers queries\n",
		" 5 pass    targets        2/2 up\n",
		" 7 pass    rules          1/1 loaded, healthy, with a sample for 2 pods\n",
		" 8 pass    adapter        v1beta1.custom.metrics.k8s.io available, served by monitoring/prometheus-adapter\n",
		" 9 pass    custom-metrics vllm_requests_running 3, 5; vllm_gpu_utilization 40, 70\n",
		"11 pass    freshness      oldest sample 2.5 s, allowed 16s\n",
	} {
		assert.Contains(t, shown, want)
	}
	assert.NotContains(t, shown, "kube-state-metrics", "it is there")
}

func TestAnExistingAdapter(t *testing.T) {
	f := newExistingFake()
	f.pipeline.Adapter.Name = ""
	f.apis[0].Spec.Service.Namespace, f.apis[0].Spec.Service.Name = "custom-metrics", "theirs"
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Contains(t, text(t, report), "v1beta1.custom.metrics.k8s.io available, served by custom-metrics/theirs")

	f.apis = nil
	failsAt(t, f.run(t), "adapter", "no APIService of group custom.metrics.k8s.io", "the stack registers no adapter (autoscaling.adapter existing)", Passed)
}

// TestWhatIsMissingOnThePlatformsSide checks that each failure names the object that is missing, and why.
func TestWhatIsMissingOnThePlatformsSide(t *testing.T) {
	noTargets := func(f *fake) { f.samples["up{"] = nil }
	noRules := func(f *fake) { f.rules = nil }
	prometheus := func(f *fake, more map[string]any) {
		f.collection[platformPrometheuses] = map[string]any{"items": []any{platformPrometheus(more)}}
	}
	other := map[string]any{"matchLabels": map[string]string{"release": "other"}}
	for name, test := range map[string]struct {
		change                func(*fake)
		stage, measured, look string
	}{
		"no Service": {func(f *fake) { delete(f.collection, "/api/v1/namespaces/observability/services/prometheus") },
			"prometheus", "there is no Service observability/prometheus", "get services,endpointslices,pods"},
		"another port": {func(f *fake) { f.pipeline.Existing.URL = "http://prometheus.observability.svc:9091" },
			"prometheus", "Service observability/prometheus has no port 9091", "describe service prometheus"},
		"no Secret": {func(f *fake) { f.pipeline.Existing.Secret, f.pipeline.Existing.SecretKeys = "login", []string{"token"} },
			"prometheus", "there is no Secret monitoring/login", "describe secret login"},
		"no key in the Secret": {func(f *fake) {
			f.pipeline.Existing.Secret, f.pipeline.Existing.SecretKeys = "login", []string{"token"}
			f.collection[loginSecret] = map[string]any{"data": map[string][]byte{"other": []byte("x")}}
		}, "prometheus", "Secret monitoring/login has no key token", "describe secret login"},
		"a token that cannot be a header": {func(f *fake) {
			f.pipeline.Existing.Secret, f.pipeline.Existing.SecretKeys = "login", []string{"token"}
			f.collection[loginSecret] = map[string]any{"data": map[string][]byte{"token": []byte("abc\n")}}
		}, "prometheus", "key token has a line break", "describe secret login"},
		"queries that are refused": {func(f *fake) { f.refusedQueries = http.StatusUnauthorized },
			"prometheus", "does not answer queries", "monitoring.prometheus.secret"},
		"a monitor that is not selected": {func(f *fake) { noTargets(f); prometheus(f, map[string]any{"serviceMonitorSelector": other}) },
			"targets", "Prometheus observability/k8s does not select ServiceMonitor vllm/vllm: its serviceMonitorSelector is release=other", "get servicemonitors"},
		"a namespace that is not selected": {func(f *fake) { noTargets(f); prometheus(f, map[string]any{"serviceMonitorNamespaceSelector": other}) },
			"targets", "its serviceMonitorNamespaceSelector is release=other, which namespace vllm does not match", "get servicemonitors"},
		"monitors of its own namespace only": {func(f *fake) { noTargets(f); prometheus(f, map[string]any{"serviceMonitorNamespaceSelector": nil}) },
			"targets", "selects a ServiceMonitor of its own namespace only", "get servicemonitors"},
		"no monitor is selected": {func(f *fake) { noTargets(f); prometheus(f, map[string]any{"serviceMonitorSelector": nil}) },
			"targets", "selects no ServiceMonitor (its serviceMonitorSelector is not set)", "get servicemonitors"},
		"no monitor": {func(f *fake) { noTargets(f); delete(f.collection, ourMonitor) },
			"targets", "there is no ServiceMonitor vllm/vllm", "get servicemonitors"},
		"no Prometheus of the operator": {func(f *fake) { noTargets(f); f.collection[platformPrometheuses] = map[string]any{"items": []any{}} },
			"targets", "namespace observability has no Prometheus of the operator", "get prometheuses"},
		"a selected monitor without targets": {noTargets, "targets", "no scrape of the last 16s for 2 of 2 pods: vllm-a, vllm-b", "describe networkpolicies"},
		"a monitor that was selected": {func(f *fake) { f.samples["timestamp(up{"] = map[string][]float64{"vllm-a": {1.5}, "vllm-b": {42}} },
			"targets", "no scrape of the last 16s for 1 of 2 pods: vllm-b", "describe networkpolicies"},
		"a scrape that fails": {func(f *fake) { f.samples["up{"]["vllm-b"] = []float64{0} },
			"targets", "the scrape fails for vllm-b", "admits the pods of monitoring.prometheus.namespace only"},
		"a rule that is not selected": {func(f *fake) { noRules(f); prometheus(f, map[string]any{"ruleSelector": other}) },
			"rules", "Prometheus observability/k8s does not select PrometheusRule vllm/vllm-signals: its ruleSelector is release=other", "get prometheusrules"},
		"no rule": {func(f *fake) { noRules(f); delete(f.collection, ourRules) },
			"rules", "there is no PrometheusRule vllm/vllm-signals", "get prometheusrules"},
		"an enforced namespace": {func(f *fake) {
			f.samples["vllm:gpu_utilization:guarded{exported"] = nil
			prometheus(f, map[string]any{"enforcedNamespaceLabel": "namespace"})
		}, "rules", "Prometheus observability/k8s enforces label namespace on the rules of namespace vllm", "one of the series that it reads is missing"},
		"an adapter without the rules": {func(f *fake) {
			f.pipeline.Adapter.Name = ""
			f.collection["/apis/custom.metrics.k8s.io/v1beta1"] = map[string]any{"resources": []metav1.APIResource{{Name: "pods/vllm_requests_running"}}}
		}, "custom-metrics", "the custom metrics API does not list vllm_gpu_utilization", "pulumi stack output adapterRules --stack gke"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newExistingFake()
			test.change(f)
			failsAt(t, f.run(t), test.stage, test.measured, test.look, Passed)
		})
	}
}

// The signals do without kube-state-metrics and without a list of rules; verify names what is missing.
func TestWhatAnExistingPrometheusMayLack(t *testing.T) {
	f := newExistingFake()
	f.samples["kube_pod_status_ready{"] = nil
	f.noRulesAPI = true
	report := f.run(t)
	shown := text(t, report)
	require.True(t, report.Passed, shown)
	assert.Contains(t, shown, "kube_pod_status_ready of kube-state-metrics is not there for vllm-a, vllm-b")
	assert.Contains(t, shown, "does not list its rules")
}

// A host outside of the cluster is queried directly, with the login of the Secret and the headers.
func TestAURLOutsideOfTheCluster(t *testing.T) {
	f := newExistingFake()
	var tenant, authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		tenant, authorization = req.Header.Get("X-Scope-OrgID"), req.Header.Get("Authorization")
		req.URL.Path = strings.TrimPrefix(req.URL.Path, "/prometheus")
		f.prometheus(w, req)
	}))
	t.Cleanup(server.Close)
	e := f.pipeline.Existing
	e.URL, e.Headers, e.Secret, e.SecretKeys = server.URL+"/prometheus", map[string]string{"X-Scope-OrgID": "team-a"}, "login", []string{"token"}
	f.collection[loginSecret] = map[string]any{"data": map[string][]byte{"token": []byte("abc")}}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))
	assert.Equal(t, "team-a", tenant)
	assert.Equal(t, "Bearer abc", authorization)
	assert.NotContains(t, text(t, report), "abc")

	for kubeconfig, want := range map[string]string{
		"users: [{name: u, user: {username: reader, password: pass}}]":                       "Basic cmVhZGVyOnBhc3M=",
		"users: [{name: u, user: {tokenFile: /etc/prometheus-access/rotated}}]":              "Bearer xyz",
		"users: [{name: u, user: {tokenFile: /var/run/secrets/elsewhere/token}}]":            "",
		"users: [{name: u, user: {client-certificate: /etc/prometheus-access/missing.crt}}]": "",
	} {
		e.SecretKeys = []string{"kubeconfig"}
		f.collection[loginSecret] = map[string]any{"data": map[string][]byte{
			"rotated": []byte("xyz\n"),
			"kubeconfig": []byte(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: p, cluster: {server: "https://unused"}}], ` +
				"contexts: [{name: c, context: {cluster: p, user: u}}], " + kubeconfig + "}"),
		}}
		authorization = ""
		report := f.run(t)
		assert.Equal(t, want != "", report.Passed, "%s: %s", kubeconfig, text(t, report))
		assert.Equal(t, want, authorization, kubeconfig)
	}

	// From where nobody reaches it, what depends on queries is not visible, and the rest is checked.
	e.Secret, e.SecretKeys = "", nil
	server.Close()
	report = f.run(t)
	shown := text(t, report)
	require.True(t, report.Passed, shown)
	for i, stage := range report.Stages {
		unseen := []string{"prometheus", "targets", "gpu", "rules", "freshness"}
		want := Passed
		for _, key := range unseen {
			if stage.Stage == key {
				want = NotVisible
			}
		}
		assert.Equal(t, want, stage.Status, "stage %d, %s", i, stage.Stage)
	}
	assert.Contains(t, shown, "this machine does not reach "+e.URL)
}

// Two stacks on one Prometheus have rules of the same names; each reads its own namespace.
func TestTheRulesOfAnotherStack(t *testing.T) {
	theirs := func(query string) map[string]any {
		group := foreignGroup("vllm-signals", strings.Replace(ownRules, "monitoring-vllm-signals", "other-vllm-signals", 1), "vllm:gpu_utilization:guarded")
		group["rules"].([]map[string]any)[0]["query"] = query
		return group
	}
	f := newExistingFake()
	f.foreign = []map[string]any{theirs(`sum by (pod) (vllm:num_requests_running{namespace="other"})`)}
	report := f.run(t)
	require.True(t, report.Passed, text(t, report))

	f.foreign = []map[string]any{theirs(`label_replace(vllm:num_requests_running{namespace="other"}, "namespace", "vllm", "", "")`)}
	failsAt(t, f.run(t), "rules", "vllm:gpu_utilization:guarded is recorded by group vllm-signals of PrometheusRule other-vllm-signals",
		"get prometheusrules -A", Passed)
}
