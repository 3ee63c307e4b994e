package components

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kautoscalingv2 "k8s.io/api/autoscaling/v2"

	"vllm-autoscaling/components/signals"
)

const (
	autoscalerType = "vllm-autoscaling:components:Autoscaler"
	hpaType        = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
)

func autoscalerArgs(t *testing.T) *AutoscalerArgs {
	return &AutoscalerArgs{
		Namespace:      "vllm",
		DeploymentName: VLLMName,
		MinReplicas:    1,
		MaxReplicas:    4,
		Signals:        enabled(t, signalSettings()),
		ScaleUp:        ScalingRules{Pods: 4, Percent: 100, Period: 15 * time.Second},
		ScaleDown:      ScalingRules{Stabilization: 5 * time.Minute, Pods: 1, Period: time.Minute},
	}
}

func runAutoscaler(t *testing.T, args *AutoscalerArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		args.DependsOn = nil
		for _, name := range []string{"adapter", "deployment", "rules"} {
			resource, err := anchor(ctx, name, provider)
			if err != nil {
				return err
			}
			args.DependsOn = append(args.DependsOn, resource)
		}
		_, err := NewAutoscaler(ctx, "autoscaler", args, provider)
		return err
	})
}

func TestAutoscaler(t *testing.T) {
	r := runAutoscaler(t, autoscalerArgs(t))
	r.assertChildrenOf(t, autoscalerType)
	assert.Equal(t, []string{hpaType + "::vllm"}, r.children(autoscalerType), "two autoscalers of one Deployment stop each other")
	reg := r.get(t, hpaType, VLLMName)
	for _, name := range []string{"adapter", "deployment", "rules"} {
		assert.True(t, reg.dependsOn(anchorType, name), "the autoscaler is the last to come and the first to go: %s", name)
	}

	hpa := decode[kautoscalingv2.HorizontalPodAutoscaler](t, reg)
	assert.Equal(t, "vllm", hpa.Namespace)
	assert.Equal(t, kautoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "vllm"}, hpa.Spec.ScaleTargetRef)
	assert.EqualValues(t, 1, *hpa.Spec.MinReplicas)
	assert.EqualValues(t, 4, hpa.Spec.MaxReplicas)

	targets := map[string]string{}
	var order []string
	for _, metric := range hpa.Spec.Metrics {
		require.Equal(t, kautoscalingv2.PodsMetricSourceType, metric.Type)
		assert.Equal(t, kautoscalingv2.AverageValueMetricType, metric.Pods.Target.Type)
		order = append(order, metric.Pods.Metric.Name)
		targets[metric.Pods.Metric.Name] = metric.Pods.Target.AverageValue.String()
	}
	assert.Equal(t, []string{signals.MetricRequestsInFlight, signals.MetricRequestsWaiting, signals.MetricGPUUtilization}, order)
	assert.Equal(t, map[string]string{
		signals.MetricRequestsInFlight: "4", signals.MetricRequestsWaiting: "4", signals.MetricGPUUtilization: "50",
	}, targets)

	up, down := hpa.Spec.Behavior.ScaleUp, hpa.Spec.Behavior.ScaleDown
	assert.EqualValues(t, 0, *up.StabilizationWindowSeconds)
	assert.Equal(t, []kautoscalingv2.HPAScalingPolicy{
		{Type: "Pods", Value: 4, PeriodSeconds: 15}, {Type: "Percent", Value: 100, PeriodSeconds: 15},
	}, up.Policies)
	assert.Equal(t, kautoscalingv2.MaxChangePolicySelect, *up.SelectPolicy)
	assert.EqualValues(t, 300, *down.StabilizationWindowSeconds)
	assert.Equal(t, []kautoscalingv2.HPAScalingPolicy{{Type: "Pods", Value: 1, PeriodSeconds: 60}}, down.Policies)
}

func TestAutoscalerTakesOnlyTheSignalsThatAreOn(t *testing.T) {
	settings := signalSettings()
	delete(settings.Targets, signals.KeyRequestsInFlight)
	settings.Targets[signals.KeyRequestsWaiting] = 2.5
	args := autoscalerArgs(t)
	args.Signals = enabled(t, settings)
	hpa := decode[kautoscalingv2.HorizontalPodAutoscaler](t, runAutoscaler(t, args).get(t, hpaType, VLLMName))
	require.Len(t, hpa.Spec.Metrics, 2)
	assert.Equal(t, signals.MetricRequestsWaiting, hpa.Spec.Metrics[0].Pods.Metric.Name)
	assert.Equal(t, "2500m", hpa.Spec.Metrics[0].Pods.Target.AverageValue.String())
}

func TestAutoscalerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*AutoscalerArgs)
		want   string
	}{
		"no namespace":            {func(a *AutoscalerArgs) { a.Namespace = "" }, "Namespace"},
		"no Deployment":           {func(a *AutoscalerArgs) { a.DeploymentName = "" }, "no Deployment to scale"},
		"scale to zero":           {func(a *AutoscalerArgs) { a.MinReplicas = 0 }, "minReplicas 0"},
		"a maximum below":         {func(a *AutoscalerArgs) { a.MinReplicas = 3; a.MaxReplicas = 2 }, "maxReplicas 2 is below minReplicas 3"},
		"no signal":               {func(a *AutoscalerArgs) { a.Signals = nil }, "no signal to scale on"},
		"a signal without target": {func(a *AutoscalerArgs) { a.Signals[0].Target = 0 }, "has the target 0"},
		"a signal twice":          {func(a *AutoscalerArgs) { a.Signals = append(a.Signals, a.Signals[0]) }, "is there twice"},
		"a window of two hours":   {func(a *AutoscalerArgs) { a.ScaleDown.Stabilization = 2 * time.Hour }, "scaleDown: stabilization 2h0m0s"},
		"a negative window":       {func(a *AutoscalerArgs) { a.ScaleUp.Stabilization = -time.Second }, "scaleUp: stabilization -1s"},
		"no period":               {func(a *AutoscalerArgs) { a.ScaleUp.Period = 0 }, "scaleUp: period 0s"},
		"a period of an hour":     {func(a *AutoscalerArgs) { a.ScaleDown.Period = time.Hour }, "scaleDown: period 1h0m0s"},
		"half a second":           {func(a *AutoscalerArgs) { a.ScaleUp.Period = 1500 * time.Millisecond }, "scaleUp: period 1.5s"},
		"no way down":             {func(a *AutoscalerArgs) { a.ScaleDown.Pods = 0 }, "scaleDown: pods 0 and percent 0"},
		"a negative step":         {func(a *AutoscalerArgs) { a.ScaleUp.Pods = -1 }, "scaleUp: pods -1"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := autoscalerArgs(t)
				test.change(args)
				_, err := NewAutoscaler(ctx, "autoscaler", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewAutoscaler(ctx, "autoscaler", nil, provider)
			return err
		})
	})
}
