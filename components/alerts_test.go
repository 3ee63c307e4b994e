package components

import (
	"regexp"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/telemetry"
)

const alertsType = "vllm-autoscaling:components:Alerts"

func alertSettings(t *testing.T) alerts.Settings {
	t.Helper()
	return alerts.Settings{
		Settings:  telemetrySettings(t),
		Objective: alerts.Objective{TTFT: 2500 * time.Millisecond, InterToken: 100 * time.Millisecond, Ratio: 0.95},
		AtMaxFor:  15 * time.Minute, StartupBudget: 30 * time.Minute, ColdStart: ColdStart(30 * time.Minute), ScrapeInterval: 15 * time.Second, MaxNumSeqs: 16,
		PrometheusStorage: 20 << 30, PrometheusVolume: (*KubePrometheusStack)(nil).Volumes(),
	}
}

func TestAlerts(t *testing.T) {
	settings := alertSettings(t)
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		crds, err := anchor(ctx, "crds", provider)
		if err != nil {
			return err
		}
		_, err = NewAlerts(ctx, "alerts", &AlertsArgs{
			Namespace: "monitoring", Servers: []alerts.Settings{settings}, DependsOn: []pulumi.Resource{crds},
		}, provider)
		return err
	})
	r.assertChildrenOf(t, alertsType)
	reg := r.get(t, "kubernetes:monitoring.coreos.com/v1:PrometheusRule", AlertsName)
	assert.True(t, reg.dependsOn(anchorType, "crds"))
	rule := decode[monitoringv1.PrometheusRule](t, reg)
	assert.Equal(t, "monitoring", rule.Namespace)
	want, err := alerts.Rules(settings)
	require.NoError(t, err)
	assert.Equal(t, want, rule.Spec, "nothing is lost on the way")
}

func TestAlertsRefuse(t *testing.T) {
	for name, test := range map[string]struct {
		args *AlertsArgs
		want string
	}{
		"nothing":      {nil, "arguments are missing"},
		"no namespace": {&AlertsArgs{Servers: []alerts.Settings{alertSettings(t)}}, "Namespace"},
		"no server":    {&AlertsArgs{Namespace: "monitoring"}, "no server"},
		"settings":     {&AlertsArgs{Namespace: "monitoring", Servers: []alerts.Settings{{}}}, "TTFT"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewAlerts(ctx, "alerts", test.args, provider)
				return err
			})
		})
	}
}

func TestTheStartOfTheServersContainerIsRecorded(t *testing.T) {
	assert.Equal(t, VLLMName, telemetry.ServerContainer)
}

func TestColdStartIsWhatTheDeploymentWaitsFor(t *testing.T) {
	assert.Equal(t, time.Hour, ColdStart(30*time.Minute))
}

func TestPrometheusVolumes(t *testing.T) {
	// The operator's names: template, "prometheus-", name, replica.
	assert.Regexp(t, "^(?:"+(*KubePrometheusStack)(nil).Volumes()+")$", "prometheus-kps-prometheus-db-prometheus-kps-prometheus-0")
	assert.False(t, regexp.MustCompile("^(?:"+(*KubePrometheusStack)(nil).Volumes()+")$").MatchString("alertmanager-kps-alertmanager-db-0"))
}
