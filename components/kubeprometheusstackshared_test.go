package components

import (
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sharedTarget() *StateMetricsTarget {
	return &StateMetricsTarget{Namespace: "platform", Labels: map[string]string{"app.kubernetes.io/name": "kube-state-metrics"}, Port: "http"}
}

// What the cluster has already is left out by the chart's own values, and nothing else changes.
func TestSharedValues(t *testing.T) {
	for name, test := range map[string]struct {
		choose func(*KubePrometheusStackArgs)
		off    [][]string
	}{
		"node exporter": {func(a *KubePrometheusStackArgs) { a.NoNodeExporter = true },
			[][]string{{"nodeExporter", "enabled"}, {"defaultRules", "rules", "nodeExporterAlerting"}, {"defaultRules", "rules", "nodeExporterRecording"}}},
		"no kube-state-metrics":       {func(a *KubePrometheusStackArgs) { a.NoStateMetrics = true }, [][]string{{"kubeStateMetrics", "enabled"}}},
		"a shared kube-state-metrics": {func(a *KubePrometheusStackArgs) { a.SharedStateMetrics = sharedTarget() }, [][]string{{"kubeStateMetrics", "enabled"}}},
		"operator": {func(a *KubePrometheusStackArgs) { a.SharedOperator = true }, [][]string{
			{"prometheusOperator", "enabled"}, {"prometheusOperator", "kubeletService", "enabled"}, {"prometheusOperator", "admissionWebhooks", "enabled"},
			{"crds", "enabled"}, {"crds", "upgradeJob", "enabled"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			args := kubePrometheusStackArgs()
			test.choose(args)
			values := kubePrometheusStackValues(args)
			for _, off := range test.off {
				assert.Equal(t, false, path(t, values, off...), "%v", off)
			}
			assert.Equal(t, path(t, kubePrometheusStackValues(kubePrometheusStackArgs()), "defaultRules", "rules", "kubeProxy"),
				path(t, values, "defaultRules", "rules", "kubeProxy"))
		})
	}
	for _, part := range []string{"nodeExporter", "kubeStateMetrics"} {
		assert.NotContains(t, kubePrometheusStackValues(kubePrometheusStackArgs()), part, "the chart's default")
	}
}

// The platform's operator runs objects without a controller id, and has a kubelet Service of its own.
func TestSharedOperator(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.SharedOperator = true
	r := runKubePrometheusStack(t, args)
	assert.False(t, r.has(serviceType, KubeletService), "nothing would fill it")
	values := path(t, plain(r.get(t, releaseType, "kps")), "values").(map[string]any)
	for _, kind := range []string{"prometheus", "alertmanager"} {
		object, _ := values[kind].(map[string]any)
		assert.NotContains(t, object, "annotations", kind)
	}
}

// The series of a shared kube-state-metrics keep the labels of what they describe, and have the job that the chart's rules select.
func TestSharedStateMetricsIsScraped(t *testing.T) {
	args := kubePrometheusStackArgs()
	args.SharedStateMetrics = sharedTarget()
	args.Metadata.MonitorLabels = map[string]string{"release": "platform"}
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		if err := AddMetadata(ctx, args.Metadata); err != nil {
			return err
		}
		_, err := NewKubePrometheusStack(ctx, "kube-prometheus-stack", args, provider)
		return err
	})
	registered := r.get(t, serviceMonitorType, SharedStateMetricsMonitor)
	assert.True(t, registered.dependsOn(releaseType, "kps"), "which brings the kind")
	monitor := decode[monitoringv1.ServiceMonitor](t, registered)
	assert.Equal(t, "monitoring", monitor.Namespace)
	assert.NotContains(t, monitor.Labels, "release", "the platform's Prometheus scrapes it already")
	assert.Equal(t, []string{"platform"}, monitor.Spec.NamespaceSelector.MatchNames)
	assert.Equal(t, sharedTarget().Labels, monitor.Spec.Selector.MatchLabels)
	require.Len(t, monitor.Spec.Endpoints, 1)
	endpoint := monitor.Spec.Endpoints[0]
	assert.Equal(t, "http", endpoint.Port)
	assert.True(t, endpoint.HonorLabels)
	require.Len(t, endpoint.RelabelConfigs, 1)
	assert.Equal(t, "job", endpoint.RelabelConfigs[0].TargetLabel)
	assert.Equal(t, "kube-state-metrics", *endpoint.RelabelConfigs[0].Replacement)
}

func TestSharedStateMetricsIsComplete(t *testing.T) {
	for says, target := range map[string]*StateMetricsTarget{
		"SharedStateMetrics.Namespace": {Labels: map[string]string{"a": "b"}, Port: "http"},
		"SharedStateMetrics.Labels":    {Namespace: "platform", Port: "http"},
		"SharedStateMetrics.Port":      {Namespace: "platform", Labels: map[string]string{"a": "b"}},
	} {
		args := kubePrometheusStackArgs()
		args.SharedStateMetrics = target
		assert.ErrorContains(t, args.validate(), says)
	}
}
