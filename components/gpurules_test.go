package components

import (
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

const gpuRulesType = "vllm-autoscaling:components:GPURules"

func signalSettings() signals.Settings {
	return signals.Settings{
		Namespace: "vllm", GPUWaitingRequests: 1,
		Targets:  map[signals.Key]float64{signals.KeyRequestsInFlight: 4, signals.KeyRequestsWaiting: 4, signals.KeyGPUUtilization: 50},
		Interval: 2 * time.Second, MaxNumSeqs: 16,
	}
}

// enabled are the signals that are on with settings.
func enabled(t *testing.T, settings signals.Settings) []signals.Signal {
	t.Helper()
	all, err := signals.Enabled(signals.Catalogue(), settings)
	require.NoError(t, err)
	return all
}

func TestGPURules(t *testing.T) {
	settings := signalSettings()
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		crds, err := anchor(ctx, "crds", provider)
		if err != nil {
			return err
		}
		_, err = NewGPURules(ctx, "rules", &GPURulesArgs{
			Namespace: "monitoring", Settings: settings, Signals: enabled(t, settings), DependsOn: []pulumi.Resource{crds},
		}, provider)
		return err
	})
	r.assertChildrenOf(t, gpuRulesType)
	reg := r.get(t, "kubernetes:monitoring.coreos.com/v1:PrometheusRule", "vllm-signals")
	assert.True(t, reg.dependsOn(anchorType, "crds"))
	rule := decode[monitoringv1.PrometheusRule](t, reg)
	assert.Equal(t, "monitoring", rule.Namespace)
	assert.Equal(t, signals.Rules(settings, enabled(t, settings)), rule.Spec, "nothing is lost on the way")
}

func TestGPURulesRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*GPURulesArgs)
		want   string
	}{
		"no namespace": {func(a *GPURulesArgs) { a.Namespace = "" }, "Namespace"},
		"settings":     {func(a *GPURulesArgs) { a.Settings.Interval = 0 }, "Interval"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := &GPURulesArgs{Namespace: "monitoring", Settings: signalSettings()}
				test.change(args)
				_, err := NewGPURules(ctx, "rules", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewGPURules(ctx, "rules", nil, provider)
			return err
		})
	})
}
