package components

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/googlemanaged"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

const (
	managedCollectionType    = "vllm-autoscaling:components:GoogleManagedPrometheus"
	podMonitoringType        = "kubernetes:monitoring.googleapis.com/v1:PodMonitoring"
	clusterPodMonitoringType = "kubernetes:monitoring.googleapis.com/v1:ClusterPodMonitoring"
	clusterRulesType         = "kubernetes:monitoring.googleapis.com/v1:ClusterRules"
)

// managedObject is an object of the managed collection, as far as the tests look at it.
type managedObject[Spec any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name, Namespace string
		Labels          map[string]string
	} `json:"metadata"`
	Spec Spec `json:"spec"`
}

func managedArgs(t *testing.T) *GoogleManagedPrometheusArgs {
	t.Helper()
	settings := signalSettings()
	settings.Interval = ManagedMinInterval
	return &GoogleManagedPrometheusArgs{
		GPUMetrics: providers.GPUMetrics{Source: providers.Managed, Managed: providers.ManagedExporter{
			Namespace: "gke-managed-system", PodLabels: map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}, Port: "metrics",
		}},
		Settings: settings, Signals: enabled(t, settings),
	}
}

func TestGoogleManagedPrometheus(t *testing.T) {
	args := managedArgs(t)
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		pools, err := anchor(ctx, "pools", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{pools}
		c, err := NewGoogleManagedPrometheus(ctx, "managed-collection", args, provider)
		if err == nil {
			assert.Len(t, c.Objects, 2)
		}
		return err
	})
	r.assertChildrenOf(t, managedCollectionType)
	assert.Equal(t, []string{clusterPodMonitoringType + "::vllm-gpu-utilization", clusterRulesType + "::vllm-signals"},
		r.children(managedCollectionType))

	gpus := decode[managedObject[managedMonitoringSpec]](t, r.get(t, clusterPodMonitoringType, googlemanaged.GPUMonitoring))
	assert.Empty(t, gpus.Metadata.Namespace, "an object of the cluster")
	assert.Equal(t, map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}, gpus.Spec.Selector.MatchLabels)
	require.Len(t, gpus.Spec.Endpoints, 1)
	assert.Equal(t, "metrics", gpus.Spec.Endpoints[0].Port)
	assert.Equal(t, "5s", gpus.Spec.Endpoints[0].Interval)
	assert.Contains(t, gpus.Spec.TargetLabels.Metadata, "pod", "without it the workload's pod would not arrive as exported_pod")
	assert.Equal(t, []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"},
		kept(t, gpus.Spec.Endpoints[0], "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_FB_USED", "xDCGM_FI_DEV_GPU_UTIL"),
		"every sample is paid for")

	rules := decode[managedObject[managedRulesSpec]](t, r.get(t, clusterRulesType, googlemanaged.Rules))
	require.Len(t, rules.Spec.Groups, 1)
	assert.Equal(t, "5s", rules.Spec.Groups[0].Interval)
	var records []string
	for _, rule := range rules.Spec.Groups[0].Rules {
		records = append(records, rule.Record)
		assert.NotContains(t, rule.Expr, signals.SeriesPodReady, "GKE exports no readiness of pods")
	}
	assert.Equal(t, []string{signals.RecordRequestsInFlight, signals.RecordGPUUtilization, signals.RecordGPUUtilizationGuarded}, records)
	asked := signals.Names((&StackdriverBackend{}).Served(args.Signals))
	for _, series := range []string{signals.RecordRequestsInFlight, signals.RecordGPUUtilizationGuarded} {
		assert.Contains(t, asked, signals.CloudMonitoringName(series), "the HPA asks for what a rule records")
	}
	for _, name := range r.names() {
		assert.NotContains(t, name, "monitoring.coreos.com", "there is no Prometheus Operator")
	}
}

// kept are the series that an endpoint's relabelings let through, by Prometheus' reading of them.
func kept(t *testing.T, endpoint managedEndpoint, series ...string) []string {
	t.Helper()
	return slices.DeleteFunc(series, func(name string) bool {
		for _, rule := range endpoint.MetricRelabeling {
			require.Equal(t, []string{"__name__"}, rule.SourceLabels)
			matches := regexp.MustCompile("^(?:" + rule.Regex + ")$").MatchString(name)
			if rule.Action == "keep" && !matches || rule.Action == "drop" && matches {
				return true
			}
		}
		return false
	})
}

// The adapter adds up every stored series of a pod, so a series that two objects collect would count twice.
func TestManagedScraperCollectsEverySeriesOnce(t *testing.T) {
	args := vllmArgs()
	args.Scraper, args.ScrapeInterval = ManagedScraper{Interval: 30 * time.Second, Series: signals.ServerSeries(nil)}, 5*time.Second
	args.MonitoringNamespace = "gmp-system"
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := NewVLLM(ctx, "vllm", args, provider)
		return err
	})
	assert.False(t, r.has(serviceMonitorType, VLLMName))
	collected := map[string]int{}
	for name, interval := range map[string]string{"vllm": "5s", "vllm-server": "30s"} {
		monitoring := decode[managedObject[managedMonitoringSpec]](t, r.get(t, podMonitoringType, name))
		assert.Equal(t, "vllm", monitoring.Metadata.Namespace)
		assert.Equal(t, vllmSelector(VLLMName), monitoring.Spec.Selector.MatchLabels)
		assert.Contains(t, monitoring.Spec.TargetLabels.Metadata, "pod")
		require.Len(t, monitoring.Spec.Endpoints, 1)
		endpoint := monitoring.Spec.Endpoints[0]
		assert.Equal(t, []string{"http", "/metrics", interval, interval}, []string{endpoint.Port, endpoint.Path, endpoint.Interval, endpoint.Timeout})
		for _, series := range kept(t, endpoint, append(signals.ServerSeries(nil), "vllm:kv_cache_usage_perc", "python_gc_objects_collected_total")...) {
			collected[series]++
		}
	}
	assert.Equal(t, map[string]int{signals.SeriesRequestsRunning: 1, signals.SeriesRequestsWaiting: 1, "vllm:kv_cache_usage_perc": 1}, collected)
	policy := plain(r.get(t, "kubernetes:networking.k8s.io/v1:NetworkPolicy", VLLMName))
	assert.Contains(t, policy["spec"].(map[string]any)["ingress"].([]any)[1].(map[string]any)["from"], map[string]any{
		"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "gmp-system"}},
	}, "the collectors have to get in")
}

func TestGoogleManagedPrometheusRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*GoogleManagedPrometheusArgs)
		want   string
	}{
		"an exporter of our own": {func(a *GoogleManagedPrometheusArgs) { a.GPUMetrics = providers.GPUMetrics{Source: providers.DCGMChart} }, `from "dcgm-chart"`},
		"simulated GPUs":         {func(a *GoogleManagedPrometheusArgs) { a.Settings.SimulateGPU = true }, "cannot be simulated"},
		"too often":              {func(a *GoogleManagedPrometheusArgs) { a.Settings.Interval = 2 * time.Second }, "at least 5s"},
		"invalid settings":       {func(a *GoogleManagedPrometheusArgs) { a.Settings.Namespace = "" }, "Namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := managedArgs(t)
				test.change(args)
				_, err := NewGoogleManagedPrometheus(ctx, "managed-collection", args, provider)
				return err
			})
		})
	}
	assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := NewGoogleManagedPrometheus(ctx, "managed-collection", nil, provider)
		return err
	})
}
