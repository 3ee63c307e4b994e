package engine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	serial "github.com/pulumi/pulumi/pkg/v3/resource/stack"
	"github.com/pulumi/pulumi/pkg/v3/secrets/b64"
	"github.com/pulumi/pulumi/sdk/v3/go/common/providers"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every resource has a parent and an explicit provider: an object without the stack's provider would be created in the
// current cluster of the machine's kubeconfig.
func TestParentsAndProviders(t *testing.T) {
	eachVariant(t, func(t *testing.T, s *stack) {
		s.up()
		byURN := map[resource.URN]*resource.State{}
		for _, r := range s.state.Resources {
			byURN[r.URN] = r
		}
		const root = "pulumi:pulumi:Stack"
		seen := map[string]int{}
		for _, r := range s.state.Resources {
			switch {
			case r.Type == root:
				seen["stack"]++
				continue
			case providers.IsProviderType(r.Type):
				seen["provider"]++
				assert.Equal(t, root, string(byURN[r.Parent].Type), r.URN)
				assert.False(t, providers.IsDefaultProvider(r.URN), "%s is a default provider", r.URN)
				assert.NotEmpty(t, r.Inputs["clusterIdentifier"], r.URN)
			case !r.Custom:
				seen["component"]++
				assert.True(t, strings.HasPrefix(string(r.Type), "vllm-autoscaling:components:"), r.URN)
				assert.Equal(t, root, string(byURN[r.Parent].Type), r.URN)
			default:
				seen["object"]++
				require.Contains(t, byURN, r.Parent, r.URN)
				assert.False(t, byURN[r.Parent].Custom, "%s: its parent is a component", r.URN)
				assert.NotEqual(t, root, string(byURN[r.Parent].Type), "%s: its parent is a component", r.URN)
				reference, err := providers.ParseReference(r.Provider)
				require.NoError(t, err, r.URN)
				assert.Equal(t, "cluster", reference.URN().Name(), r.URN)
				assert.False(t, providers.IsDefaultProvider(reference.URN()), r.URN)
			}
			assert.False(t, r.External, r.URN)
			assert.False(t, r.Protect, r.URN)
			assert.False(t, r.RetainOnDelete, "%s would be left behind by destroy", r.URN)
			assert.Empty(t, r.DeletedWith, "%s is deleted itself: an existing cluster outlives the stack", r.URN)
		}
		assert.Equal(t, 1, seen["stack"])
		assert.Equal(t, 1, seen["provider"])
		assert.GreaterOrEqual(t, seen["component"], 6)
		assert.GreaterOrEqual(t, seen["object"], 12)
	})
}

func TestDeploymentHasNoReplicas(t *testing.T) {
	eachVariant(t, func(t *testing.T, s *stack) {
		s.up()
		deployment := s.find("Deployment", "vllm").Inputs
		assert.True(t, has(deployment, "spec.template"))
		assert.False(t, has(deployment, "spec.replicas"), "the autoscaler owns them; a value here resets them at every up")
	})
}

// Secrets are secret everywhere: no value of one is in plain text, or in Kubernetes' base64, in the inputs and outputs of any
// resource, in the serialized state or in the preview.
func TestSecretsStaySecret(t *testing.T) {
	canaries := []string{"canary-huggingface-1f", "canary-apikey-2e", "canary-grafana-3d", "canary-kubeconfig-4c", "canary-chart-5b"}
	s := newStack(t, "local", map[string]any{
		"gpu.mode": "nvidia", "huggingFaceToken": secret(canaries[0]), "apiKey": secret(canaries[1]),
		"monitoring.grafanaPassword": secret(canaries[2]), "charts.kubePrometheusStack.values.grafana.smtp.password": secret(canaries[4]),
	})
	s.writeKubeconfig("kind-test", canaries[3])

	rendered := s.rendered()
	s.up()

	encrypted := map[string]bool{}
	for _, r := range s.state.Resources {
		for name, properties := range map[string]resource.PropertyMap{"inputs": r.Inputs, "outputs": r.Outputs} {
			walk(resource.NewProperty(properties), fmt.Sprintf("%s %s", r.URN, name), false, func(path, value string, inSecret bool) {
				for _, canary := range canaries {
					if !strings.Contains(value, canary) && !strings.Contains(value, base64.StdEncoding.EncodeToString([]byte(canary))) {
						continue
					}
					assert.True(t, inSecret, "%s holds %s in plain text", path, canary)
					encrypted[canary] = true
				}
			})
		}
	}
	assert.Len(t, encrypted, len(canaries), "each secret has to arrive somewhere for this test to mean anything")

	s.state.SecretsManager = b64.NewBase64SecretsManager()
	serialized, _, _, err := serial.SerializeDeploymentWithMetadata(context.Background(), s.state, false)
	require.NoError(t, err)
	content, err := json.Marshal(serialized)
	require.NoError(t, err)
	for _, canary := range canaries {
		assert.NotContains(t, string(content), canary)
		assert.NotContains(t, rendered, canary)
		assert.NotContains(t, rendered, base64.StdEncoding.EncodeToString([]byte(canary)))
	}
	outputs := s.find("Stack", project+"-local").Outputs
	require.True(t, outputs["grafanaPassword"].IsSecret())
	assert.Equal(t, canaries[2], outputs["grafanaPassword"].SecretValue().Element.StringValue())
}

// walk visits every string below a value and reports whether it is inside a secret.
func walk(value resource.PropertyValue, path string, inSecret bool, visit func(path, value string, inSecret bool)) {
	switch {
	case value.IsSecret():
		walk(value.SecretValue().Element, path, true, visit)
	case value.IsOutput():
		walk(value.OutputValue().Element, path, inSecret || value.OutputValue().Secret, visit)
	case value.IsString():
		visit(path, value.StringValue(), inSecret)
	case value.IsArray():
		for i, item := range value.ArrayValue() {
			walk(item, fmt.Sprintf("%s[%d]", path, i), inSecret, visit)
		}
	case value.IsObject():
		for key, item := range value.ObjectValue() {
			walk(item, path+"."+string(key), inSecret, visit)
		}
	}
}

func TestStackOutputs(t *testing.T) {
	s := newStack(t, "local", nil)
	s.up()
	outputs := s.find("Stack", project+"-local").Outputs
	plain := outputs.Mappable()
	delete(plain, "grafanaPassword")
	want := defaultPipeline(4) // of 16 requests at a time
	want.Kubeconfig, want.Context, want.GPUMetrics = s.kubeconfig, "kind-test", "simulated"
	want.Rules = append([]string{"DCGM_FI_DEV_GPU_UTIL"}, want.Rules...)
	assert.Equal(t, want, pipelineOf(t, plain))
	assert.Equal(t, map[string]any{
		"apiUrl":             "http://vllm.vllm.svc:8000",
		"apiPortForward":     "kubectl --kubeconfig " + s.kubeconfig + " --context kind-test --namespace vllm port-forward service/vllm 8000:8000",
		"grafanaPortForward": "kubectl --kubeconfig " + s.kubeconfig + " --context kind-test --namespace monitoring port-forward service/kps-grafana 3000:80",
		"grafanaUser":        "admin",
		"hpaName":            "vllm",
		"metrics":            []any{"vllm_requests_in_flight", "vllm_gpu_utilization"},
		"namespaces":         map[string]any{"monitoring": "monitoring", "serving": "vllm"},
	}, plain)
	require.True(t, outputs["grafanaPassword"].IsSecret())
	assert.NotEmpty(t, outputs["grafanaPassword"].SecretValue().Element.StringValue())

	s.set("monitoring.grafana", false)
	s.up()
	outputs = s.find("Stack", project+"-local").Outputs
	for _, key := range []resource.PropertyKey{"grafanaPassword", "grafanaUser", "grafanaPortForward"} {
		assert.NotContains(t, outputs, key)
	}
}
