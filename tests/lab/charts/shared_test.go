package charts

import (
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/helm"
)

// stackWith returns the objects of kube-prometheus-stack with some of the stack's choices, by kind and name.
func stackWith(t *testing.T, choose func(*components.KubePrometheusStackArgs)) (map[string]bool, *monitoringv1.Prometheus) {
	t.Helper()
	r := &recorder{releases: map[string]map[string]any{}}
	args := &components.KubePrometheusStackArgs{
		Namespace: "monitoring", ServingNamespace: "vllm", ScrapeInterval: 15 * time.Second, EvaluationInterval: 15 * time.Second, Retention: "7d",
		Chart: helm.Chart{Name: KubePrometheusStack, Version: "88.5.3", Repository: "https://charts.example.com"},
	}
	choose(args)
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := components.NewKubePrometheusStack(ctx, "monitoring", args)
		return err
	}, pulumi.WithMocks("project", "stack", r)))
	all := objects(t, r.releases["kps"])
	found := map[string]bool{}
	for _, o := range all {
		found[o.GetKind()+" "+o.GetName()] = true
	}
	return found, one[monitoringv1.Prometheus](t, all, "Prometheus")
}

// What the cluster has already is not installed, and only that.
func TestWhatTheClusterHasIsLeftOut(t *testing.T) {
	everything, _ := stackWith(t, func(*components.KubePrometheusStackArgs) {})
	for name, test := range map[string]struct {
		choose func(*components.KubePrometheusStackArgs)
		gone   []string
	}{
		"node exporter": {func(a *components.KubePrometheusStackArgs) { a.NoNodeExporter = true }, []string{"DaemonSet kps-prometheus-node-exporter"}},
		"kube-state-metrics": {func(a *components.KubePrometheusStackArgs) { a.NoStateMetrics = true },
			[]string{"Deployment kps-kube-state-metrics", "ClusterRole kps-kube-state-metrics", "ServiceMonitor kps-kube-state-metrics"}},
		"operator": {func(a *components.KubePrometheusStackArgs) { a.SharedOperator = true },
			[]string{"Deployment kps-operator", "ClusterRole kps-operator", "ValidatingWebhookConfiguration kps-admission", "Job kps-admission-create"}},
	} {
		t.Run(name, func(t *testing.T) {
			left, prometheus := stackWith(t, test.choose)
			for _, object := range test.gone {
				assert.True(t, everything[object], "%s is the chart's", object)
				assert.False(t, left[object], object)
			}
			for _, object := range []string{"Prometheus kps-prometheus", "ClusterRole kps-prometheus", "Alertmanager kps-alertmanager"} {
				assert.True(t, left[object], object)
			}
			_, apart := prometheus.Annotations[controllerID]
			assert.Equal(t, name != "operator", apart, "another operator leaves a Prometheus with a controller id alone")
		})
	}
}
