package components

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/telemetry"
)

const dashboardsType = "vllm-autoscaling:components:Dashboards"

func telemetrySettings(t *testing.T) telemetry.Settings {
	t.Helper()
	return telemetry.Settings{
		ServingNamespace: "vllm", MonitoringNamespace: "monitoring", Deployment: VLLMName, Autoscaler: VLLMName,
		Adapter: PrometheusAdapterRelease, PrometheusJob: PrometheusService, MetricsAPI: MetricsAPIName, GPUJob: "dcgm-exporter",
		Signals: enabled(t, signalSettings()), SignalInterval: signalSettings().Interval,
	}
}

func TestDashboards(t *testing.T) {
	settings := telemetrySettings(t)
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		_, err = NewDashboards(ctx, "dashboards", &DashboardsArgs{
			Namespace: "monitoring", Servers: []telemetry.Settings{settings}, DependsOn: []pulumi.Resource{namespace},
		}, provider)
		return err
	})
	built, err := dashboards.All(settings)
	require.NoError(t, err)
	assert.Len(t, r.children(dashboardsType), len(built))
	values := kubePrometheusStackValues(&KubePrometheusStackArgs{Grafana: true})
	sidecar := values["grafana"].(map[string]any)["sidecar"].(map[string]any)["dashboards"].(map[string]any)
	for _, d := range built {
		reg := r.get(t, "kubernetes:core/v1:ConfigMap", DashboardConfigMap(d.Name))
		assert.Contains(t, reg.Parent, dashboardsType)
		assert.Contains(t, reg.Provider, providerName)
		assert.True(t, reg.dependsOn(anchorType, "namespace"))
		config := decode[corev1.ConfigMap](t, reg)
		assert.Equal(t, "monitoring", config.Namespace)
		assert.Equal(t, sidecar["labelValue"], config.Labels[sidecar["label"].(string)], "Grafana's sidecar looks for this label")
		assert.Equal(t, map[string]string{"vllm-" + d.Name + ".json": string(d.JSON)}, config.Data)
	}
}

func TestDashboardsRefuse(t *testing.T) {
	for name, test := range map[string]struct {
		args *DashboardsArgs
		want string
	}{
		"nothing":      {nil, "arguments are missing"},
		"no namespace": {&DashboardsArgs{Servers: []telemetry.Settings{telemetrySettings(t)}}, "Namespace"},
		"no server":    {&DashboardsArgs{Namespace: "monitoring"}, "no server"},
		"settings":     {&DashboardsArgs{Namespace: "monitoring", Servers: []telemetry.Settings{{}}}, "ServingNamespace"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewDashboards(ctx, "dashboards", test.args, provider)
				return err
			})
		})
	}
}
