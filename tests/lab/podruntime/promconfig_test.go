package podruntime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

const testRouter = "127.0.0.1:40000"

// adapted returns the configuration in testdata, in the form that prometheus-operator v0.85.0 generates for
// kube-prometheus-stack, adapted to a machine with only the given files.
func adapted(t *testing.T, files map[string]string) (text string, config map[string]any, dropped []string) {
	t.Helper()
	generated, err := os.ReadFile(filepath.Join("testdata", "generated.yaml"))
	require.NoError(t, err)
	out, dropped, err := adaptPrometheusConfig(generated, promPlace{
		variables:  map[string]string{"POD_NAME": "prometheus-kps-prometheus-0", "SHARD": "0"},
		router:     testRouter,
		kubeconfig: "/lab/kubeconfig",
		local: func(file string) (string, bool) {
			local, ok := files[file]
			return local, ok
		},
	})
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(out, &config))
	return string(out), config, dropped
}

func job(t *testing.T, config map[string]any, name string) map[string]any {
	t.Helper()
	for _, entry := range config["scrape_configs"].([]any) {
		if j := entry.(map[string]any); j["job_name"] == name {
			return j
		}
	}
	require.Failf(t, "no such job", "%s", name)
	return nil
}

func TestAdaptPrometheusConfig(t *testing.T) {
	const rules = "/etc/prometheus/rules/prometheus-kps-prometheus-rulefiles-0/*.yaml"
	text, config, dropped := adapted(t, map[string]string{rules: "/lab/rules/*.yaml", "/etc/prometheus/certs/ca": "/lab/ca"})

	assert.NotContains(t, text, "$(")
	assert.Equal(t, map[string]any{"prometheus": "monitoring/kps-prometheus", "prometheus_replica": "prometheus-kps-prometheus-0"},
		config["global"].(map[string]any)["external_labels"])
	assert.Equal(t, []any{"/lab/rules/*.yaml"}, config["rule_files"])
	assert.NotContains(t, config, "remote_write")
	assert.NotContains(t, config["alerting"], "alertmanagers")
	assert.Contains(t, config["alerting"], "alert_relabel_configs")

	vllm := job(t, config, "serviceMonitor/vllm/vllm/0")
	assert.Equal(t, "2s", vllm["scrape_interval"], "what and how often is not the lab's business")
	assert.Equal(t, []any{map[string]any{
		"role": "endpointslice", "namespaces": map[string]any{"names": []any{"vllm"}}, "kubeconfig_file": "/lab/kubeconfig",
	}}, vllm["kubernetes_sd_configs"])
	assert.Contains(t, text, "regex: 0;|.+;.+", "the shard is filled in and the rest of the relabelings kept")

	kubelet := job(t, config, "serviceMonitor/monitoring/kps-kubelet/0")
	assert.NotContains(t, kubelet, "authorization", "a token that is not there must not fail the load")
	assert.Equal(t, map[string]any{"insecure_skip_verify": true}, kubelet["tls_config"])
	assert.Equal(t, map[string]any{"ca_file": "/lab/ca"}, job(t, config, "podMonitor/monitoring/tls/0")["tls_config"])
	assert.Equal(t, []string{
		"alerting.alertmanagers",
		"remote_write",
		"job serviceMonitor/monitoring/kps-kubelet/0: credentials_file /var/run/secrets/kubernetes.io/serviceaccount/token",
		"job serviceMonitor/monitoring/kps-kubelet/0: ca_file /var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
	}, dropped)
}

func TestAdaptPrometheusConfigNamesWhatIsMissing(t *testing.T) {
	_, _, dropped := adapted(t, nil)
	assert.Contains(t, strings.Join(dropped, "\n"), "rule file /etc/prometheus/rules/")

	_, _, err := adaptPrometheusConfig([]byte("global: {external_labels: {a: $(POD_NAME), b: $(SHARD)}}"), promPlace{variables: map[string]string{"SHARD": "0"}})
	assert.ErrorContains(t, err, "variables that the pod does not set: POD_NAME")
	_, _, err = adaptPrometheusConfig([]byte("a: [b"), promPlace{})
	assert.ErrorContains(t, err, "the generated configuration")
}

// The relabelings are applied with Prometheus' own code to the result of service discovery.
func TestTargetsGoThroughTheRouter(t *testing.T) {
	_, config, _ := adapted(t, nil)
	pod := map[string]string{
		"__scheme__": "http", "__metrics_path__": "/metrics", "__address__": "10.244.0.7:8000", "job": "serviceMonitor/vllm/vllm/0",
		"__meta_kubernetes_namespace": "vllm", "__meta_kubernetes_pod_name": "vllm-abc", "__meta_kubernetes_pod_phase": "Running",
		"__meta_kubernetes_pod_container_name": "vllm", "__meta_kubernetes_service_name": "vllm",
		"__meta_kubernetes_service_label_app_kubernetes_io_name": "vllm", "__meta_kubernetes_service_labelpresent_app_kubernetes_io_name": "true",
		"__meta_kubernetes_endpointslice_port_name": "http",
	}
	with := func(base map[string]string, changes map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{base, changes} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	node := map[string]string{
		"__scheme__": "https", "__metrics_path__": "/metrics", "__address__": "10.99.0.1:10250", "job": "serviceMonitor/monitoring/kps-kubelet/0",
		"__meta_kubernetes_namespace": "kube-system", "__meta_kubernetes_service_name": "kps-kubelet",
	}
	tests := []struct {
		name, job string
		found     map[string]string
		want      map[string]string
	}{
		{"a pod", "serviceMonitor/vllm/vllm/0", pod, map[string]string{
			"__address__": testRouter, "__scheme__": "http", "__metrics_path__": "/pods/vllm/vllm-abc/8000/metrics",
			"instance": "10.244.0.7:8000", "pod": "vllm-abc", "namespace": "vllm", "job": "vllm",
		}},
		{"a pod that speaks TLS", "serviceMonitor/vllm/vllm/0", with(pod, map[string]string{"__scheme__": "https"}), map[string]string{
			"__address__": testRouter, "__scheme__": "http", "__metrics_path__": "/pods/vllm/vllm-abc/8000/metrics",
		}},
		{"an instance that is set already", "serviceMonitor/vllm/vllm/0", with(pod, map[string]string{"instance": "mine"}), map[string]string{
			"__address__": testRouter, "instance": "mine",
		}},
		{"a kubelet", "serviceMonitor/monitoring/kps-kubelet/0", node, map[string]string{
			"__address__": testRouter, "__scheme__": "http", "__metrics_path__": "/outside/10.99.0.1:10250/metrics", "instance": "10.99.0.1:10250",
		}},
		{"a static target on this machine", "additional", map[string]string{"__scheme__": "https", "__metrics_path__": "/m",
			"__address__": "127.0.0.1:9"}, map[string]string{
			"__address__": "127.0.0.1:9", "__scheme__": "https", "__metrics_path__": "/m", "instance": "127.0.0.1:9",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content, err := yaml.Marshal(job(t, config, tt.job)["relabel_configs"])
			require.NoError(t, err)
			var rules []*relabel.Config
			require.NoError(t, yamlv3.Unmarshal(content, &rules))
			for _, rule := range rules {
				require.NoError(t, rule.Validate(model.UTF8Validation))
			}
			builder := labels.NewBuilder(labels.FromMap(tt.found))
			require.True(t, relabel.ProcessBuilder(builder, rules...), "the target is kept")
			got := builder.Labels().Map()
			for name, value := range tt.want {
				assert.Equal(t, value, got[name], name)
			}
		})
	}
}
