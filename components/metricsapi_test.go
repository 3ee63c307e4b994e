package components

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
)

const (
	metricsAPIType = "vllm-autoscaling:components:MetricsAPI"
	apiServiceType = "kubernetes:apiregistration.k8s.io/v1:APIService"
)

func TestMetricsAPI(t *testing.T) {
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		adapter, err := anchor(ctx, "adapter", provider)
		if err != nil {
			return err
		}
		_, err = NewMetricsAPI(ctx, "metrics-api", &MetricsAPIArgs{
			Namespace: "monitoring", Service: "prometheus-adapter",
			CABundle: pulumi.ToSecret(pulumi.String("Y2E=")).(pulumi.StringOutput), DependsOn: []pulumi.Resource{adapter},
		}, provider)
		return err
	})
	r.assertChildrenOf(t, metricsAPIType)
	assert.Equal(t, []string{apiServiceType + "::v1beta1.custom.metrics.k8s.io"}, r.children(metricsAPIType))
	service := r.get(t, apiServiceType, "v1beta1.custom.metrics.k8s.io")
	assert.True(t, service.dependsOn(anchorType, "adapter"), "it has to go before who answers for it")
	inputs := plain(service)
	assert.Equal(t, "v1beta1.custom.metrics.k8s.io", path(t, inputs, "metadata", "name"), "a name of our own choice would be another API")
	assert.Nil(t, inputs["metadata"].(map[string]any)["annotations"],
		"the API server has to refuse it where somebody else's adapter has the API")
	assert.Equal(t, map[string]any{
		"group": "custom.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100.0, "versionPriority": 100.0,
		"caBundle": "Y2E=",
		"service":  map[string]any{"namespace": "monitoring", "name": "prometheus-adapter", "port": 443.0},
	}, inputs["spec"])
}

func TestMetricsAPIRefuses(t *testing.T) {
	for want, args := range map[string]*MetricsAPIArgs{
		"arguments are missing": nil,
		`Namespace ""`:          {Service: "a", CABundle: pulumi.String("Y2E=")},
		"no Service":            {Namespace: "monitoring", CABundle: pulumi.String("Y2E=")},
		"no authority":          {Namespace: "monitoring", Service: "a"},
	} {
		assertRefused(t, want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewMetricsAPI(ctx, "metrics-api", args, provider)
			return err
		})
	}
}
