package components

import (
	"regexp"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

const (
	dcgmExporterType = "vllm-autoscaling:components:DCGMExporter"
	podMonitorType   = "kubernetes:monitoring.coreos.com/v1:PodMonitor"
)

func dcgmExporterArgs(source providers.GPUMetricsSource) *DCGMExporterArgs {
	return &DCGMExporterArgs{
		Namespace: "monitoring",
		Metrics: providers.GPUMetrics{Source: source, Managed: providers.ManagedExporter{
			Namespace: "managed-dcgm", PodLabels: map[string]string{"app": "managed-exporter"}, Port: "metrics",
		}},
		Chart: helm.Chart{Name: "dcgm-exporter", Version: "4.8.2", Repository: "https://nvidia.github.io/dcgm-exporter/helm-charts"},
		Nodes: providers.GPUNodes{
			NodeSelector: map[string]string{"nvidia.com/gpu.present": "true"},
			Tolerations:  []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}},
		},
		ScrapeInterval: 2 * time.Second,
	}
}

func runDCGMExporter(t *testing.T, args *DCGMExporterArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		crds, err := anchor(ctx, "crds", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{crds}
		_, err = NewDCGMExporter(ctx, "dcgm-exporter", args, provider)
		return err
	})
}

func TestDCGMExporterFromTheChart(t *testing.T) {
	r := runDCGMExporter(t, dcgmExporterArgs(providers.DCGMChart))
	r.assertChildrenOf(t, dcgmExporterType)
	assert.Equal(t, []string{releaseType + "::dcgm-exporter"}, r.children(dcgmExporterType))
	release := r.get(t, releaseType, "dcgm-exporter")
	assert.True(t, release.dependsOn(anchorType, "crds"), "the chart brings a ServiceMonitor")
	inputs := plain(release)
	assert.Equal(t, "dcgm-exporter", inputs["name"])
	assert.Equal(t, "monitoring", inputs["namespace"])

	assert.Equal(t, map[string]any{"nvidia.com/gpu.present": "true"}, path(t, inputs, "values", "nodeSelector"))
	assert.Equal(t, []any{map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}},
		path(t, inputs, "values", "tolerations"), "without it no exporter runs on a tainted GPU node")
	monitor := path(t, inputs, "values", "serviceMonitor").(map[string]any)
	assert.Equal(t, map[string]any{"enabled": true, "interval": "2s", "scrapeTimeout": "2s", "honorLabels": false}, monitor)
	assert.Equal(t, []any{
		map[string]any{"name": "DCGM_EXPORTER_INTERVAL", "value": "2000"}, map[string]any{"name": "GOMEMLIMIT", "value": "768MiB"},
	}, path(t, inputs, "values", "extraEnv"), "as often as it is scraped")
	assert.Equal(t, map[string]any{
		"requests": map[string]any{"cpu": "100m", "memory": "512Mi"}, "limits": map[string]any{"cpu": "2", "memory": "1Gi"},
	}, path(t, inputs, "values", "resources"), "a limit that is not stated is the chart's")
	assert.NotContains(t, path(t, inputs, "values"), "securityContext", "the chart's own has what profiling needs")
	assert.NotContains(t, path(t, inputs, "values"), "affinity", "the selector suffices")
}

func TestDCGMExporterValuesOfTheUserWin(t *testing.T) {
	args := dcgmExporterArgs(providers.DCGMChart)
	args.Values = map[string]any{"serviceMonitor": map[string]any{"additionalLabels": map[string]any{"team": "ml"}}, "priorityClassName": "high"}
	values := dcgmExporterValues(args)
	assert.Equal(t, "ml", path(t, values, "serviceMonitor", "additionalLabels", "team"))
	assert.Equal(t, false, path(t, values, "serviceMonitor", "honorLabels"))
	assert.Equal(t, "high", values["priorityClassName"])
	assert.Contains(t, values["podAnnotations"], "vllm-autoscaling/fields-checksum")
}

// The pods have to be replaced with the list that they read once, whoever changes it.
func TestDCGMExporterChecksumFollowsTheFields(t *testing.T) {
	sum := func(values map[string]any) any {
		args := dcgmExporterArgs(providers.DCGMChart)
		args.Values = values
		return path(t, dcgmExporterValues(args), "podAnnotations", "vllm-autoscaling/fields-checksum")
	}
	own := sum(nil)
	assert.Len(t, own, 64)
	assert.Equal(t, own, sum(map[string]any{"podAnnotations": map[string]any{"team": "ml"}}))
	assert.NotEqual(t, own, sum(map[string]any{"customMetrics": "DCGM_FI_DEV_GPU_UTIL, gauge, GPU utilization (in %).\n"}))
	assert.Equal(t, "mine", sum(map[string]any{"podAnnotations": map[string]any{"vllm-autoscaling/fields-checksum": "mine"}}))

	// Values that the stack file encrypts are Outputs.
	encrypted := sum(map[string]any{"customMetrics": pulumi.ToSecret(pulumi.String("DCGM_FI_DEV_GPU_UTIL, gauge, x.\n"))})
	assert.Implements(t, (*pulumi.Output)(nil), encrypted)
}

// The names on which the rules and dashboards rest must not move with the chart's own list.
func TestDCGMFields(t *testing.T) {
	csv := dcgmMetricsCSV()
	line := regexp.MustCompile(`^DCGM_FI_[A-Z0-9_]+, (gauge|counter), [^,]+\.$`)
	seen := map[string]bool{}
	for _, text := range strings.Split(strings.TrimSuffix(csv, "\n"), "\n") {
		assert.Regexp(t, line, text)
		name, _, _ := strings.Cut(text, ",")
		assert.False(t, seen[name], "%s is there twice", name)
		seen[name] = true
	}
	assert.True(t, seen[signals.SeriesGPUUtil], "the signal's series is not exported")
}

func TestDCGMExporterManagedOnlySelects(t *testing.T) {
	r := runDCGMExporter(t, dcgmExporterArgs(providers.Managed))
	r.assertChildrenOf(t, dcgmExporterType)
	assert.Equal(t, []string{podMonitorType + "::dcgm-exporter"}, r.children(dcgmExporterType))
	reg := r.get(t, podMonitorType, "dcgm-exporter")
	assert.True(t, reg.dependsOn(anchorType, "crds"))
	monitor := decode[monitoringv1.PodMonitor](t, reg)
	assert.Equal(t, "monitoring", monitor.Namespace, "the exporter's namespace is not ours to write to")
	assert.Equal(t, []string{"managed-dcgm"}, monitor.Spec.NamespaceSelector.MatchNames)
	assert.Equal(t, map[string]string{"app": "managed-exporter"}, monitor.Spec.Selector.MatchLabels)
	require.Len(t, monitor.Spec.PodMetricsEndpoints, 1)
	endpoint := monitor.Spec.PodMetricsEndpoints[0]
	assert.Equal(t, "metrics", *endpoint.Port)
	assert.EqualValues(t, "2s", endpoint.Interval)
	assert.EqualValues(t, "2s", endpoint.ScrapeTimeout)
	assert.False(t, endpoint.HonorLabels)
}

func TestDCGMExporterSimulatedInstallsNothing(t *testing.T) {
	r := runDCGMExporter(t, dcgmExporterArgs(providers.Simulated))
	assert.Empty(t, r.children(dcgmExporterType))
	assert.True(t, r.has(dcgmExporterType, "dcgm-exporter"))
}

func TestDCGMExporterRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*DCGMExporterArgs)
		want   string
	}{
		"no namespace": {func(a *DCGMExporterArgs) { a.Namespace = "" }, "Namespace"},
		"a source": {func(a *DCGMExporterArgs) { a.Metrics.Source = "prayer" },
			`source "prayer" not supported (one of: dcgm-chart, managed, simulated)`},
		"a managed one without a port": {func(a *DCGMExporterArgs) { a.Metrics.Source = providers.Managed; a.Metrics.Managed.Port = "" },
			"needs Namespace, PodLabels and Port"},
		"no interval":  {func(a *DCGMExporterArgs) { a.ScrapeInterval = 0 }, "ScrapeInterval"},
		"a toleration": {func(a *DCGMExporterArgs) { a.Nodes.Tolerations[0].Operator = "Maybe" }, `operator "Maybe"`},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := dcgmExporterArgs(providers.DCGMChart)
				test.change(args)
				_, err := NewDCGMExporter(ctx, "dcgm-exporter", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewDCGMExporter(ctx, "dcgm-exporter", nil, provider)
			return err
		})
	})
}
