package engine

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/outputs"
)

// onPlatform is the configuration of a stack on the platform's Prometheus, with more keys.
func onPlatform(more map[string]any) map[string]any {
	keys := map[string]any{
		"metrics": existingMetrics, "monitoring.prometheus.namespace": "observability", "monitoring.prometheus.service": "prometheus-operated",
	}
	maps.Copy(keys, more)
	return keys
}

// atURL is the same with a URL in place of the Service.
func atURL(more map[string]any) map[string]any {
	keys := onPlatform(more)
	delete(keys, "monitoring.prometheus.service")
	keys["monitoring.prometheus.url"] = "https://first.example.com"
	return keys
}

// TestExistingMetrics checks what a stack on the platform's Prometheus registers: on each cloud its monitors and rules, the GPU exporter
// where the cloud has none, and the adapter, and nothing of a Prometheus of its own.
func TestExistingMetrics(t *testing.T) {
	for name, test := range map[string]struct {
		cloud    string
		keys     map[string]any
		releases []string
		profile  string
	}{
		"local, simulated": {"local", nil, []string{"prometheus-adapter"}, "restricted"},
		"local, on GPUs": {"local", map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token},
			[]string{"dcgm-exporter", "prometheus-adapter"}, "privileged"},
		"gke": {"gke", nil, []string{"prometheus-adapter"}, "restricted"},
		"aks": {"aks", nil, []string{"dcgm-exporter", "nvidia-device-plugin", "prometheus-adapter"}, "privileged"},
		"the platform's adapter": {"local", map[string]any{"autoscaling.adapter": "existing", "gpu.mode": "nvidia", "huggingFaceToken": token},
			[]string{"dcgm-exporter"}, "privileged"},
	} {
		t.Run(name, func(t *testing.T) {
			var s *stack
			if test.cloud == "local" {
				s = newStack(t, test.cloud, onPlatform(test.keys))
			} else {
				s = newCloudStack(t, test.cloud, onPlatform(test.keys)).stack
			}
			s.up()
			assert.Empty(t, s.up().changes(), "a second up changes nothing")
			var releases []string
			for _, r := range s.resources() {
				if r.Type == "kubernetes:helm.sh/v3:Release" {
					releases = append(releases, r.Name)
				}
				assert.NotContains(t, r.URN, "kps", "%s is of the stack's own Prometheus", r.URN)
			}
			assert.ElementsMatch(t, test.releases, releases)
			for _, rule := range []string{"vllm-signals", "vllm-alerts"} {
				assert.Equal(t, "vllm", text(s.find("PrometheusRule", rule).Inputs, "metadata.namespace"), "rules read the series of their own namespace")
			}
			labels := s.find("Namespace", "monitoring").Inputs["metadata"].ObjectValue()["labels"].ObjectValue()
			assert.Equal(t, test.profile, labels["pod-security.kubernetes.io/enforce"].StringValue())
			policy := plain(s.find("NetworkPolicy", "vllm").Inputs)
			assert.Contains(t, renderedPeers(policy), "observability", "Prometheus reaches the server")

			plain := s.find("Stack", project+"-"+test.cloud).Outputs.Mappable()
			pipeline := pipelineOf(t, plain)
			assert.Equal(t, &outputs.Existing{
				Namespace: "observability", URL: "http://prometheus-operated.observability.svc:9090", RulesNamespace: "vllm",
			}, pipeline.Existing)
			assert.Empty(t, pipeline.Prometheus)
			assert.NotContains(t, plain, "grafanaPassword")
			if slices.Contains(test.releases, "prometheus-adapter") {
				assert.Equal(t, outputs.Workload{Namespace: "monitoring", Name: "prometheus-adapter"}, pipeline.Adapter)
				assert.NotContains(t, plain, "adapterRules")
				values := s.find("Release", "prometheus-adapter").Inputs["values"].ObjectValue()["prometheus"].ObjectValue()
				assert.Equal(t, "http://prometheus-operated.observability.svc", values["url"].StringValue())
			} else {
				assert.Equal(t, outputs.Workload{Namespace: "monitoring"}, pipeline.Adapter)
				assert.Contains(t, plain["adapterRules"], "as: vllm_requests_in_flight")
				assert.Contains(t, s.said.String(), "pulumi stack output adapterRules")
				for _, r := range s.resources() {
					assert.NotContains(t, r.Type, "APIService")
				}
			}
			s.destroy()
			assert.Empty(t, s.cluster.remaining())
		})
	}
}

// renderedPeers lists the names of the namespaces that a policy admits.
func renderedPeers(policy map[string]any) []string {
	var names []string
	var collect func(any)
	collect = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if name, ok := value["kubernetes.io/metadata.name"].(string); ok {
				names = append(names, name)
			}
			for _, inner := range value {
				collect(inner)
			}
		case []any:
			for _, inner := range value {
				collect(inner)
			}
		}
	}
	collect(policy["spec"])
	return names
}

// TestSwitchToTheExistingMetrics checks that a stack changes to the platform's Prometheus and adapter and back without a restart of
// the server, and that nothing is left of the other.
func TestSwitchToTheExistingMetrics(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	before := s.inputs()
	for key, value := range onPlatform(nil) {
		s.set(key, value)
	}
	for _, adapter := range []string{"own", "existing"} {
		s.set("autoscaling.adapter", adapter)
		for _, change := range s.up().changes() {
			assert.NotEqual(t, "Deployment vllm", strings.TrimPrefix(strings.TrimPrefix(change, "update "), "replace "), "no server restarts")
			assert.NotContains(t, change, "Namespace vllm")
		}
	}
	for key := range onPlatform(nil) {
		delete(s.keys, key)
	}
	delete(s.keys, "autoscaling.adapter")
	s.up()
	after := s.inputs()
	require.Len(t, after, len(before))
	for urn := range before {
		assert.Contains(t, after, urn)
	}
}
