package charts

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// rendered are the objects of a chart by "Kind namespace/name"; hooks have the prefix "hook ".
type rendered map[string]*unstructured.Unstructured

// render renders a chart with Helm's own engine, as an install would.
func render(t *testing.T, name, release string, values map[string]any) rendered {
	t.Helper()
	c, err := Load(name)
	require.NoError(t, err)
	install := action.NewInstall(&action.Configuration{Log: t.Logf})
	install.ReleaseName, install.Namespace = release, "monitoring"
	install.DryRun, install.ClientOnly = true, true
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.34.1", Major: "1", Minor: "34"}
	r, err := install.Run(c, values)
	require.NoError(t, err)
	out := rendered{}
	add := func(prefix, manifest string) {
		for _, o := range parse(t, manifest) {
			key := prefix + o.GetKind() + " "
			if o.GetNamespace() != "" {
				key += o.GetNamespace() + "/"
			}
			key += o.GetName()
			require.NotContains(t, out, key, "an object is made twice")
			out[key] = o
		}
	}
	add("", r.Manifest)
	for _, manifest := range hookManifests(r.Hooks) {
		add("hook ", manifest)
	}
	return out
}

// parse returns the objects of a manifest.
func parse(t *testing.T, manifest string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, text := range releaseutil.SplitManifests(manifest) {
		o := &unstructured.Unstructured{}
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), &o.Object), text)
		if o.GetKind() != "" {
			all = append(all, o)
		}
	}
	return all
}

func hookManifests(hooks []*release.Hook) []string {
	var all []string
	for _, h := range hooks {
		all = append(all, h.Manifest)
	}
	return all
}

// typed converts an object to its Go type; a field that the type does not have fails the test.
func typed[T any](t *testing.T, r rendered, key string) *T {
	t.Helper()
	require.Contains(t, r, key)
	var out T
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(r[key].Object, &out, true), key)
	return &out
}

func (r rendered) spec(t *testing.T, key string) map[string]any {
	t.Helper()
	require.Contains(t, r, key)
	spec, ok := r[key].Object["spec"].(map[string]any)
	require.True(t, ok, key)
	return spec
}

func keys(r rendered) []string {
	var out []string
	for k := range r {
		out = append(out, k)
	}
	return out
}

// programValues are values like those that the program sets for kube-prometheus-stack.
func programValues() map[string]any {
	return map[string]any{
		"fullnameOverride": "kps",
		"prometheus": map[string]any{"prometheusSpec": map[string]any{
			"scrapeInterval": "15s", "evaluationInterval": "10s", "retention": "7d",
			"serviceMonitorSelectorNilUsesHelmValues": false, "podMonitorSelectorNilUsesHelmValues": false,
			"ruleSelectorNilUsesHelmValues": false, "probeSelectorNilUsesHelmValues": false,
			"scrapeConfigSelectorNilUsesHelmValues": false,
			"resources":                             map[string]any{"requests": map[string]any{"cpu": "250m"}},
			"storageSpec":                           map[string]any{"volumeClaimTemplate": map[string]any{"spec": map[string]any{"storageClassName": "fast"}}},
		}},
		"grafana": map[string]any{
			"fullnameOverride": "kps-grafana",
			"admin":            map[string]any{"existingSecret": "kps-grafana-admin"},
		},
		"kube-state-metrics":       map[string]any{"fullnameOverride": "kps-kube-state-metrics"},
		"prometheus-node-exporter": map[string]any{"fullnameOverride": "kps-prometheus-node-exporter"},
	}
}

func TestKubePrometheusStackMakesTheUpstreamObjects(t *testing.T) {
	r := render(t, "kube-prometheus-stack", "kps", programValues())
	assert.ElementsMatch(t, []string{
		"hook ServiceAccount monitoring/kps-admission-create", "hook Role monitoring/kps-admission-create",
		"hook RoleBinding monitoring/kps-admission-create", "hook Job monitoring/kps-admission-create",
		"hook ServiceAccount monitoring/kps-admission-patch", "hook Role monitoring/kps-admission-patch",
		"hook RoleBinding monitoring/kps-admission-patch", "hook Job monitoring/kps-admission-patch",
		"ServiceAccount monitoring/kps-operator", "ClusterRole kps-operator", "ClusterRoleBinding kps-operator",
		"Service monitoring/kps-operator", "Deployment monitoring/kps-operator",
		"ServiceAccount monitoring/kps-prometheus", "ClusterRole kps-prometheus", "ClusterRoleBinding kps-prometheus",
		"Service monitoring/kps-prometheus", "Prometheus monitoring/kps-prometheus", "ServiceMonitor monitoring/kps-prometheus",
		"ServiceAccount monitoring/kps-alertmanager", "Secret monitoring/alertmanager-kps-alertmanager",
		"Service monitoring/kps-alertmanager", "Alertmanager monitoring/kps-alertmanager",
		"ServiceAccount monitoring/kps-kube-state-metrics", "ClusterRole kps-kube-state-metrics",
		"ClusterRoleBinding kps-kube-state-metrics", "Service monitoring/kps-kube-state-metrics",
		"Deployment monitoring/kps-kube-state-metrics", "ServiceMonitor monitoring/kps-kube-state-metrics",
		"ServiceAccount monitoring/kps-prometheus-node-exporter", "DaemonSet monitoring/kps-prometheus-node-exporter",
		"ServiceAccount monitoring/kps-grafana", "ClusterRole kps-grafana-clusterrole",
		"ClusterRoleBinding kps-grafana-clusterrolebinding", "Role monitoring/kps-grafana", "RoleBinding monitoring/kps-grafana", "ConfigMap monitoring/kps-grafana-datasource",
		"Service monitoring/kps-grafana", "Deployment monitoring/kps-grafana",
		"PrometheusRule monitoring/kps-general.rules",
		"MutatingWebhookConfiguration kps-admission", "ValidatingWebhookConfiguration kps-admission",
		"Service kube-system/kps-coredns", "ServiceMonitor monitoring/kps-coredns",
	}, keys(r))
}

func TestKubePrometheusStackPrometheus(t *testing.T) {
	r := render(t, "kube-prometheus-stack", "kps", programValues())
	spec := r.spec(t, "Prometheus monitoring/kps-prometheus")
	assert.Equal(t, "15s", spec["scrapeInterval"])
	assert.Equal(t, "10s", spec["evaluationInterval"])
	assert.Equal(t, "7d", spec["retention"])
	assert.Equal(t, "kps-prometheus", spec["serviceAccountName"])
	assert.Contains(t, spec["storage"], "volumeClaimTemplate")
	for _, kind := range []string{"serviceMonitor", "podMonitor", "rule", "probe", "scrapeConfig"} {
		assert.Equal(t, map[string]any{}, spec[kind+"Selector"], "%s: everything must be selected", kind)
		assert.Equal(t, map[string]any{}, spec[kind+"NamespaceSelector"], "%s: every namespace must be selected", kind)
	}
	service := typed[corev1.Service](t, r, "Service monitoring/kps-prometheus")
	assert.EqualValues(t, 9090, service.Spec.Ports[0].Port)
	assert.Equal(t, map[string]string{
		"app.kubernetes.io/name": "prometheus", "operator.prometheus.io/name": "kps-prometheus",
	}, service.Spec.Selector, "the labels that the operator gives its pods")
}

func TestKubePrometheusStackSelectsItsOwnByDefault(t *testing.T) {
	r := render(t, "kube-prometheus-stack", "mon", nil)
	spec := r.spec(t, "Prometheus monitoring/mon-kube-prometheus-stack-prometheus")
	assert.Equal(t, map[string]any{"matchLabels": map[string]any{"release": "mon"}}, spec["serviceMonitorSelector"],
		"a stand-in that selects everything would hide a missing nil-uses-values setting")
	assert.NotContains(t, spec, "scrapeInterval", "unset means the operator's default")
}

func TestKubePrometheusStackFullname(t *testing.T) {
	for release, want := range map[string]string{
		"prometheus":               "prometheus-kube-prometheus-stack",
		"my-kube-prometheus-stack": "my-kube-prometheus-stack",
		"kps":                      "kps-kube-prometheus-stack",
		"prometheus-of-the-team":   "prometheus-of-the-team-kub",
	} {
		want := strings.TrimSuffix(want[:min(26, len(want))], "-")
		assert.Contains(t, render(t, "kube-prometheus-stack", release, nil), "Prometheus monitoring/"+want+"-prometheus", release)
	}
}

func TestKubePrometheusStackWorkloads(t *testing.T) {
	r := render(t, "kube-prometheus-stack", "kps", programValues())
	operator := typed[appsv1.Deployment](t, r, "Deployment monitoring/kps-operator")
	container := operator.Spec.Template.Spec.Containers[0]
	assert.Equal(t, "quay.io/prometheus-operator/prometheus-operator:v0.85.0", container.Image)
	assert.Contains(t, container.Args, "--prometheus-config-reloader=quay.io/prometheus-operator/prometheus-config-reloader:v0.85.0")

	ksm := typed[appsv1.Deployment](t, r, "Deployment monitoring/kps-kube-state-metrics")
	assert.Equal(t, "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.18.0", ksm.Spec.Template.Spec.Containers[0].Image)
	service := typed[corev1.Service](t, r, "Service monitoring/kps-kube-state-metrics")
	for k, v := range service.Spec.Selector {
		assert.Equal(t, v, ksm.Spec.Template.Labels[k], "the Service must find the pods")
	}
	monitor := r.spec(t, "ServiceMonitor monitoring/kps-kube-state-metrics")
	endpoint := monitor["endpoints"].([]any)[0].(map[string]any)
	assert.Equal(t, true, endpoint["honorLabels"], "the rules join on the pods' own labels")

	grafana := typed[appsv1.Deployment](t, r, "Deployment monitoring/kps-grafana")
	env := grafana.Spec.Template.Spec.Containers[2].Env
	assert.Equal(t, "kps-grafana-admin", env[0].ValueFrom.SecretKeyRef.Name)
	assert.NotContains(t, r, "Secret monitoring/kps-grafana", "the existing secret is used")
	typed[appsv1.DaemonSet](t, r, "DaemonSet monitoring/kps-prometheus-node-exporter")
}

func TestKubePrometheusStackMonitorIntervals(t *testing.T) {
	for name, monitor := range map[string]map[string]any{
		"flat":   {"interval": "2s"},
		"nested": {"http": map[string]any{"interval": "2s"}},
	} {
		values := programValues()
		values["kube-state-metrics"] = map[string]any{
			"fullnameOverride": "kps-kube-state-metrics",
			"prometheus":       map[string]any{"monitor": monitor},
		}
		spec := render(t, "kube-prometheus-stack", "kps", values).spec(t, "ServiceMonitor monitoring/kps-kube-state-metrics")
		endpoint := spec["endpoints"].([]any)[0].(map[string]any)
		assert.Equal(t, "2s", endpoint["interval"], name)
		assert.Equal(t, true, endpoint["honorLabels"], name)
	}
}

func TestKubePrometheusStackParts(t *testing.T) {
	tests := map[string]struct {
		values  map[string]any
		without []string
	}{
		"no Grafana":       {map[string]any{"grafana": map[string]any{"enabled": false}}, []string{"grafana"}},
		"no Alertmanager":  {map[string]any{"alertmanager": map[string]any{"enabled": false}}, []string{"alertmanager", "Alertmanager"}},
		"no node exporter": {map[string]any{"nodeExporter": map[string]any{"enabled": false}}, []string{"node-exporter"}},
		"no hooks": {map[string]any{"prometheusOperator": map[string]any{
			"admissionWebhooks": map[string]any{"enabled": false}}}, []string{"admission", "hook"}},
		"no rules": {map[string]any{"defaultRules": map[string]any{"create": false}}, []string{"PrometheusRule"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := render(t, "kube-prometheus-stack", "kps", tt.values)
			for _, key := range keys(r) {
				for _, part := range tt.without {
					assert.NotContains(t, key, part)
				}
			}
			if name == "no Alertmanager" {
				for _, key := range keys(r) {
					if strings.HasPrefix(key, "Prometheus ") {
						assert.NotContains(t, r.spec(t, key), "alerting", "alerts would go nowhere")
					}
				}
			}
		})
	}
}

func TestPrometheusAdapter(t *testing.T) {
	rule := map[string]any{
		"seriesQuery": `vllm:num_requests_running{namespace!="",pod!=""}`, "seriesFilters": []any{},
		"metricsQuery": `sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`,
	}
	r := render(t, "prometheus-adapter", "prometheus-adapter", map[string]any{
		"replicas": 2, "listenPort": 10250, "metricsRelistInterval": "30s",
		"prometheus":          map[string]any{"url": "http://kps-prometheus.monitoring.svc", "port": 9090},
		"rules":               map[string]any{"default": false, "custom": []any{rule}},
		"podAnnotations":      map[string]any{"vllm-autoscaling/rules-checksum": "abc"},
		"podDisruptionBudget": map[string]any{"enabled": true, "maxUnavailable": 1},
	})
	assert.ElementsMatch(t, []string{
		"ServiceAccount monitoring/prometheus-adapter",
		"ClusterRoleBinding prometheus-adapter-system-auth-delegator",
		"RoleBinding kube-system/prometheus-adapter-auth-reader",
		"ClusterRole prometheus-adapter-resource-reader", "ClusterRoleBinding prometheus-adapter-resource-reader",
		"ClusterRole prometheus-adapter-server-resources", "ClusterRoleBinding prometheus-adapter-hpa-controller",
		"ConfigMap monitoring/prometheus-adapter", "Deployment monitoring/prometheus-adapter",
		"Service monitoring/prometheus-adapter", "PodDisruptionBudget monitoring/prometheus-adapter",
		"APIService v1beta1.custom.metrics.k8s.io",
	}, keys(r))

	config := typed[corev1.ConfigMap](t, r, "ConfigMap monitoring/prometheus-adapter")
	var parsed map[string][]any
	require.NoError(t, yaml.UnmarshalStrict([]byte(config.Data["config.yaml"]), &parsed))
	assert.Equal(t, map[string][]any{"rules": {rule}}, parsed, "the rules must arrive unchanged")

	deployment := typed[appsv1.Deployment](t, r, "Deployment monitoring/prometheus-adapter")
	assert.EqualValues(t, 2, *deployment.Spec.Replicas)
	assert.Equal(t, "abc", deployment.Spec.Template.Annotations["vllm-autoscaling/rules-checksum"])
	container := deployment.Spec.Template.Spec.Containers[0]
	assert.Equal(t, "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.12.0", container.Image)
	assert.Subset(t, container.Args, []string{
		"--secure-port=10250", "--cert-dir=/tmp/cert", "--prometheus-url=http://kps-prometheus.monitoring.svc:9090",
		"--metrics-relist-interval=30s", "--v=4", "--config=/etc/adapter/config.yaml",
	})
	assert.EqualValues(t, 10250, container.Ports[0].ContainerPort)
	service := typed[corev1.Service](t, r, "Service monitoring/prometheus-adapter")
	assert.EqualValues(t, 443, service.Spec.Ports[0].Port)
	assert.Equal(t, "https", service.Spec.Ports[0].TargetPort.String())
	assert.Equal(t, service.Spec.Selector, deployment.Spec.Selector.MatchLabels)
	budget := typed[policyv1.PodDisruptionBudget](t, r, "PodDisruptionBudget monitoring/prometheus-adapter")
	assert.Equal(t, "1", budget.Spec.MaxUnavailable.String())

	api := r.spec(t, "APIService v1beta1.custom.metrics.k8s.io")
	assert.Equal(t, true, api["insecureSkipTLSVerify"])
	assert.Equal(t, map[string]any{"name": "prometheus-adapter", "namespace": "monitoring", "port": float64(443)}, normal(t, api["service"]))
}

func TestPrometheusAdapterServesOnlyWhatHasRules(t *testing.T) {
	tests := map[string]struct {
		rules map[string]any
		want  []string
	}{
		"defaults":        {nil, []string{"APIService v1beta1.custom.metrics.k8s.io"}},
		"none":            {map[string]any{"default": false}, nil},
		"rules elsewhere": {map[string]any{"default": false, "existing": "rules"}, nil},
		"external only": {map[string]any{"default": false, "external": []any{map[string]any{"seriesQuery": "x"}}},
			[]string{"APIService v1beta1.external.metrics.k8s.io"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{}
			if tt.rules != nil {
				values["rules"] = tt.rules
			}
			var got []string
			for _, key := range keys(render(t, "prometheus-adapter", "prometheus-adapter", values)) {
				if strings.HasPrefix(key, "APIService ") {
					got = append(got, key)
				}
			}
			assert.ElementsMatch(t, tt.want, got)
		})
	}
}

func TestPrometheusAdapterConfigIsValidWithoutRules(t *testing.T) {
	r := render(t, "prometheus-adapter", "prometheus-adapter", map[string]any{"rules": map[string]any{"default": false}})
	config := typed[corev1.ConfigMap](t, r, "ConfigMap monitoring/prometheus-adapter")
	var parsed map[string][]any
	require.NoError(t, yaml.UnmarshalStrict([]byte(config.Data["config.yaml"]), &parsed), config.Data["config.yaml"])
	assert.Empty(t, parsed["rules"])
}

func TestPrometheusAdapterChecksumFollowsTheRules(t *testing.T) {
	checksum := func(query string) string {
		r := render(t, "prometheus-adapter", "prometheus-adapter", map[string]any{
			"rules": map[string]any{"default": false, "custom": []any{map[string]any{"seriesQuery": query}}},
		})
		return typed[appsv1.Deployment](t, r, "Deployment monitoring/prometheus-adapter").Spec.Template.Annotations["checksum/config"]
	}
	assert.Equal(t, checksum("a"), checksum("a"))
	assert.NotEqual(t, checksum("a"), checksum("b"), "the adapter reads its rules only when it starts")
}

func TestDCGMExporter(t *testing.T) {
	r := render(t, "dcgm-exporter", "dcgm-exporter", map[string]any{
		"nodeSelector":   map[string]any{"nvidia.com/gpu.present": "true"},
		"tolerations":    []any{map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}},
		"extraEnv":       []any{map[string]any{"name": "DCGM_EXPORTER_INTERVAL", "value": "1000"}},
		"serviceMonitor": map[string]any{"interval": "2s", "scrapeTimeout": "2s", "honorLabels": false},
		"customMetrics":  "DCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization.\n",
	})
	assert.ElementsMatch(t, []string{
		"ServiceAccount monitoring/dcgm-exporter", "ConfigMap monitoring/exporter-metrics-config-map",
		"DaemonSet monitoring/dcgm-exporter", "Service monitoring/dcgm-exporter", "ServiceMonitor monitoring/dcgm-exporter",
		"Role monitoring/dcgm-exporter-read-cm", "RoleBinding monitoring/dcgm-exporter",
	}, keys(r))
	daemon := typed[appsv1.DaemonSet](t, r, "DaemonSet monitoring/dcgm-exporter")
	pod := daemon.Spec.Template
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, pod.Spec.NodeSelector)
	require.Len(t, pod.Spec.Tolerations, 1, "the given list takes the place of the default one")
	assert.Equal(t, "nvidia.com/gpu", pod.Spec.Tolerations[0].Key)
	container := pod.Spec.Containers[0]
	assert.Equal(t, "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless", container.Image)
	assert.Contains(t, container.Env, corev1.EnvVar{Name: "DCGM_EXPORTER_INTERVAL", Value: "1000"})
	assert.Contains(t, container.SecurityContext.Capabilities.Add, corev1.Capability("SYS_ADMIN"))
	assert.Equal(t, "system-node-critical", pod.Spec.PriorityClassName)

	service := typed[corev1.Service](t, r, "Service monitoring/dcgm-exporter")
	assert.Equal(t, "metrics", service.Spec.Ports[0].Name)
	assert.EqualValues(t, 9400, service.Spec.Ports[0].Port)
	for k, v := range service.Spec.Selector {
		assert.Equal(t, v, pod.Labels[k], "the Service must find the pods")
	}
	monitor := r.spec(t, "ServiceMonitor monitoring/dcgm-exporter")
	assert.Equal(t, map[string]any{
		"port": "metrics", "path": "/metrics", "interval": "2s", "scrapeTimeout": "2s", "honorLabels": false,
	}, monitor["endpoints"].([]any)[0])
	selected := monitor["selector"].(map[string]any)["matchLabels"].(map[string]any)
	for k, v := range selected {
		assert.Equal(t, v, service.Labels[k], "the ServiceMonitor must find the Service")
	}
	config := typed[corev1.ConfigMap](t, r, "ConfigMap monitoring/exporter-metrics-config-map")
	assert.Equal(t, "DCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization.", strings.TrimSpace(config.Data["metrics"]))
}

// Helm merges maps: a stand-in without the default would hide a limit that stays on a real cluster.
func TestDCGMExporterKeepsTheLimitsThatAreNotSet(t *testing.T) {
	r := render(t, "dcgm-exporter", "dcgm-exporter", map[string]any{"resources": map[string]any{"limits": map[string]any{"memory": "1Gi"}}})
	container := typed[appsv1.DaemonSet](t, r, "DaemonSet monitoring/dcgm-exporter").Spec.Template.Spec.Containers[0]
	assert.Equal(t, "cpu=200m memory=1Gi", limitsText(container.Resources.Limits))
}

func TestDCGMExporterDefaultsScheduleOnNoGPUNode(t *testing.T) {
	r := render(t, "dcgm-exporter", "dcgm-exporter", nil)
	daemon := typed[appsv1.DaemonSet](t, r, "DaemonSet monitoring/dcgm-exporter")
	require.Len(t, daemon.Spec.Template.Spec.Tolerations, 1)
	assert.Equal(t, "node-role.kubernetes.io/control-plane", daemon.Spec.Template.Spec.Tolerations[0].Key,
		"upstream's default; a stand-in that tolerates more would hide a missing toleration")
}

func TestVersionsAreThoseOfThePublishedCharts(t *testing.T) {
	names, err := Names()
	require.NoError(t, err)
	got := map[string]string{}
	for _, name := range names {
		c, err := Load(name)
		require.NoError(t, err)
		got[name] = c.Metadata.Version
	}
	assert.Equal(t, map[string]string{
		"kube-prometheus-stack": "88.5.3", "prometheus-adapter": "5.3.0", "dcgm-exporter": "4.8.2",
		"nvidia-device-plugin": "0.20.0", "cluster-autoscaler": "9.59.0",
	}, got)
}

func TestUnknownChart(t *testing.T) {
	_, err := Load("nope")
	require.ErrorContains(t, err, `"nope"`)
}

// normal converts a value through YAML, so that equal numbers have equal types.
func normal(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := yaml.Marshal(v)
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, yaml.Unmarshal(text, &out))
	return out
}
