package components

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kautoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/googlemanaged"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

// Every implementation is one of the seam.
var (
	_ Collector = (*PrometheusOperatorCollector)(nil)
	_ Collector = (*GoogleManagedCollector)(nil)
	_ Collector = (*ExistingPrometheusCollector)(nil)
	_ Backend   = (*PrometheusAdapterBackend)(nil)
	_ Backend   = (*StackdriverBackend)(nil)
	_ Backend   = (*ExistingAdapterBackend)(nil)
)

// pipelineUnderTest is a collector and a backend with the signals that are on.
type pipelineUnderTest struct {
	collector func(t *testing.T, enabled []signals.Signal) Collector
	backend   func(t *testing.T, enabled []signals.Signal, namespaces []pulumi.Resource) Backend
	// rules is the object with the recording rules.
	rules [2]string
}

func pipelinesUnderTest() map[string]pipelineUnderTest {
	return map[string]pipelineUnderTest{
		"prometheus-operator": {
			collector: func(t *testing.T, enabled []signals.Signal) Collector {
				t.Helper()
				return &PrometheusOperatorCollector{
					Stack: kubePrometheusStackArgs(), Exporter: dcgmExporterArgs(providers.DCGMChart),
					Rules: &GPURulesArgs{Namespace: "monitoring", Settings: signalSettings(), Signals: enabled},
				}
			},
			backend: func(t *testing.T, enabled []signals.Signal, namespaces []pulumi.Resource) Backend {
				t.Helper()
				args := prometheusAdapterArgs(t)
				args.Signals = enabled
				return &PrometheusAdapterBackend{Adapter: args, Namespaces: namespaces}
			},
			rules: [2]string{"kubernetes:monitoring.coreos.com/v1:PrometheusRule", GPURulesName},
		},
		"existing":              existingPipeline(false),
		"existing with adapter": existingPipeline(true),
		"google-managed": {
			collector: func(t *testing.T, enabled []signals.Signal) Collector {
				t.Helper()
				args := managedArgs(t)
				args.Signals = enabled
				return &GoogleManagedCollector{
					CollectorNamespace: googlemanaged.Namespace, Objects: args,
					ManagedScraper: ManagedScraper{Interval: ManagedMinInterval, Series: signals.ServerSeries(enabled)},
				}
			},
			backend: func(t *testing.T, enabled []signals.Signal, namespaces []pulumi.Resource) Backend {
				t.Helper()
				args := stackdriverArgs(t)
				args.Signals = enabled
				return &StackdriverBackend{Adapter: args, Namespaces: namespaces}
			},
			rules: [2]string{clusterRulesType, googlemanaged.Rules},
		},
	}
}

// existingPipeline is the pipeline on the platform's Prometheus, and where adapter is set on its adapter too.
func existingPipeline(adapter bool) pipelineUnderTest {
	return pipelineUnderTest{
		collector: func(t *testing.T, enabled []signals.Signal) Collector {
			t.Helper()
			return &ExistingPrometheusCollector{
				Namespace: "observability", Endpoint: &PrometheusEndpoint{URL: "http://prometheus.observability.svc", Port: 9090},
				Exporter: dcgmExporterArgs(providers.DCGMChart),
				Rules:    &GPURulesArgs{Namespace: "vllm", Settings: signalSettings(), Signals: enabled},
			}
		},
		backend: func(t *testing.T, enabled []signals.Signal, namespaces []pulumi.Resource) Backend {
			t.Helper()
			if adapter {
				return &ExistingAdapterBackend{}
			}
			args := prometheusAdapterArgs(t)
			args.Signals = enabled
			return &PrometheusAdapterBackend{Adapter: args, Namespaces: namespaces}
		},
		rules: [2]string{"kubernetes:monitoring.coreos.com/v1:PrometheusRule", GPURulesName},
	}
}

// runPipeline registers a whole pipeline with a server.
func runPipeline(t *testing.T, p pipelineUnderTest, enabled []signals.Signal) (*record, Backend) {
	t.Helper()
	var backend Backend
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		collector := p.collector(t, enabled)
		collected, err := collector.Collect(ctx, provider)
		if err != nil {
			return err
		}
		backend = p.backend(t, enabled, []pulumi.Resource{namespace})
		serving, err := backend.Serve(ctx, collected, provider)
		if err != nil {
			return err
		}
		server := vllmArgs()
		server.Scraper, server.ScrapeInterval, server.MonitoringNamespace = collector, ManagedMinInterval, collected.Namespace
		server.MonitoringCRDs = collected.Kinds
		if _, err := NewVLLM(ctx, "vllm", server, provider); err != nil {
			return err
		}
		scaler := autoscalerArgs(t)
		scaler.DependsOn, scaler.Signals = serving, enabled
		_, err = backend.Scale(ctx, scaler, provider)
		return err
	})
	return r, backend
}

func TestPipelines(t *testing.T) {
	for name, p := range pipelinesUnderTest() {
		t.Run(name, func(t *testing.T) {
			on := enabled(t, signalSettings())
			r, backend := runPipeline(t, p, on)
			names := backend.Names()
			hpa := r.get(t, "kubernetes:autoscaling/v2:HorizontalPodAutoscaler", VLLMName)
			assert.True(t, hpa.dependsOn(p.rules[0], p.rules[1]), "no metric without the rules")
			assert.Equal(t, signals.Names(backend.Served(on)), metricNames(t, hpa))
			if names.Adapter == "" {
				for _, reg := range r.registrations {
					assert.NotContains(t, reg.Type, "APIService", "the platform's adapter has registered it")
					assert.NotEqual(t, PrometheusAdapterRelease, reg.Name)
				}
				return
			}
			api := r.get(t, "kubernetes:apiregistration.k8s.io/v1:APIService", names.API)
			assert.True(t, hpa.dependsOn(api.Type, api.Name))
			assert.True(t, api.dependsOn(anchorType, "namespace"), "the APIService goes before the namespaces")
			assert.Equal(t, names.Adapter, path(t, plain(api), "spec", "service", "name"))
			certificate := plain(r.get(t, secretType, names.Adapter+"-certificate"))
			assert.Equal(t, path(t, certificate, "data", "tls.crt"), path(t, plain(api), "spec", "caBundle"))
			assert.NotContains(t, path(t, plain(api), "spec"), "insecureSkipTLSVerify", "anybody could answer for the adapter")
		})
	}
	t.Run("the adapter of Prometheus needs one", func(t *testing.T) {
		for _, name := range []string{"prometheus-operator", "existing with adapter"} {
			backend := pipelinesUnderTest()[name].backend(t, enabled(t, signalSettings()), nil)
			assertRefused(t, "has no Prometheus", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := backend.Serve(ctx, &Collection{Namespace: googlemanaged.Namespace}, provider)
				return err
			})
		}
	})
	t.Run("an existing Prometheus has to be known", func(t *testing.T) {
		assertRefused(t, "endpoint of the existing Prometheus", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := (&ExistingPrometheusCollector{Namespace: "observability"}).Collect(ctx, provider)
			return err
		})
	})
}

func metricNames(t *testing.T, hpa registration) []string {
	t.Helper()
	var names []string
	for _, metric := range decode[kautoscalingv2.HorizontalPodAutoscaler](t, hpa).Spec.Metrics {
		names = append(names, metric.Pods.Metric.Name)
	}
	return names
}

// A row more in the catalogue is a signal more in everything that is registered: no file of this package names one.
func TestARowMoreIsASignalMoreEverywhere(t *testing.T) {
	added := signals.Definition{
		Key: "tokensWaiting", Name: "vllm_tokens_waiting", Series: "vllm:tokens_waiting:sum", Unit: signals.Requests,
		Query:        "max by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})",
		ServerSeries: []string{"vllm:prompt_tokens_waiting"},
		Expr: func(s signals.Settings) string {
			return `sum by (namespace, pod) (vllm:prompt_tokens_waiting{namespace="` + s.Namespace + `"})`
		},
		Label:         "tokens waiting",
		Help:          "Tokens of the prompts that wait.",
		DefaultTarget: func(int) float64 { return 1000 },
	}
	settings := signalSettings()
	settings.Targets[added.Key] = 1000
	extended, err := signals.Enabled(append(signals.Catalogue(), added), settings)
	require.NoError(t, err)
	for name, p := range pipelinesUnderTest() {
		t.Run(name, func(t *testing.T) {
			r, backend := runPipeline(t, p, extended)
			served := backend.Served(extended)[len(extended)-1].Name
			assert.Contains(t, text(t, r.get(t, p.rules[0], p.rules[1])), `"record":"vllm:tokens_waiting:sum"`, "recording rules")
			assert.Contains(t, metricNames(t, r.get(t, "kubernetes:autoscaling/v2:HorizontalPodAutoscaler", VLLMName)), served, "autoscaler")
			if name != "google-managed" {
				assert.Equal(t, added.Name, served)
				if backend.Names().Adapter == "" {
					rules, err := signals.AdapterConfigYAML(backend.Served(extended))
					require.NoError(t, err)
					assert.Contains(t, string(rules), "as: vllm_tokens_waiting", "the rules for the platform's adapter")
					return
				}
				assert.Contains(t, text(t, r.get(t, anchorType, PrometheusAdapterRules)), "as: vllm_tokens_waiting", "the adapter's configuration")
				return
			}
			assert.Equal(t, "prometheus.googleapis.com|vllm:tokens_waiting:sum|gauge", served)
			assert.Contains(t, text(t, r.get(t, podMonitoringType, VLLMName)), "vllm:prompt_tokens_waiting", "the scrape keeps the series")
		})
	}
	observed := alertSettings(t)
	observed.Signals = extended
	built, err := dashboards.All(observed.Settings)
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(built, func(d dashboards.Dashboard) bool {
		return strings.Contains(string(d.JSON), "vllm tokens waiting and its target")
	}), "dashboards")
	rules, err := alerts.Rules(observed)
	require.NoError(t, err)
	labels := map[string]bool{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			labels[rule.Labels["signal"]] = true
		}
	}
	assert.True(t, labels[added.Name], "alerts")
}

// text is the inputs of a registration as JSON.
func text(t *testing.T, reg registration) string {
	t.Helper()
	content, err := json.Marshal(plain(reg))
	require.NoError(t, err)
	return string(content)
}
