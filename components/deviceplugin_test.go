package components

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/providers"
)

const devicePluginType = "vllm-autoscaling:components:DevicePlugin"

func devicePluginArgs() *DevicePluginArgs {
	return &DevicePluginArgs{
		Namespace:    "kube-system",
		Chart:        helm.Chart{Name: "nvidia-device-plugin", Version: "0.20.0", Repository: "https://nvidia.github.io/k8s-device-plugin"},
		ResourceName: "nvidia.com/gpu",
		Nodes: providers.GPUNodes{
			NodeSelector: map[string]string{"nvidia.com/gpu.present": "true", "pool": "ours"},
			Tolerations: []providers.Toleration{
				{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
				{Key: "spot", Operator: "Equal", Value: "yes", Effect: "NoSchedule"},
			},
		},
	}
}

func TestDevicePlugin(t *testing.T) {
	args := devicePluginArgs()
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		nodes, err := anchor(ctx, "nodes", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{nodes}
		_, err = NewDevicePlugin(ctx, "device-plugin", args, provider)
		return err
	})
	r.assertChildrenOf(t, devicePluginType)
	assert.Equal(t, []string{releaseType + "::nvidia-device-plugin"}, r.children(devicePluginType))
	release := r.get(t, releaseType, "nvidia-device-plugin")
	assert.True(t, release.dependsOn(anchorType, "nodes"))

	inputs := plain(release)
	assert.Equal(t, "kube-system", inputs["namespace"])
	assert.Equal(t, "0.20.0", inputs["version"])
	assert.Equal(t, map[string]any{"nvidia.com/gpu.present": "true", "pool": "ours"}, path(t, inputs, "values", "nodeSelector"),
		"a second copy on other people's GPU nodes misbehaves")
	assert.Equal(t, []any{
		map[string]any{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
		map[string]any{"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
	}, path(t, inputs, "values", "tolerations"), "without them a spot node never gets its GPUs")
}

func TestDevicePluginValuesOfTheUserWin(t *testing.T) {
	args := devicePluginArgs()
	args.Values = map[string]any{"fullnameOverride": "theirs", "nodeSelector": map[string]any{"pool": "all"}}
	values := devicePluginValues(args)
	assert.Equal(t, "theirs", values["fullnameOverride"])
	assert.Equal(t, "all", path(t, values, "nodeSelector", "pool"))
	assert.Equal(t, "true", path(t, values, "nodeSelector", "nvidia.com/gpu.present"))
}

func TestDevicePluginCapabilities(t *testing.T) {
	args := devicePluginArgs()
	assert.NotContains(t, devicePluginValues(args), "securityContext", "the chart's own drops all")
	args.Capabilities = []string{"SYS_ADMIN"}
	assert.Equal(t, map[string]any{"capabilities": map[string]any{"drop": []any{"ALL"}, "add": []any{"SYS_ADMIN"}}},
		devicePluginValues(args)["securityContext"])
}

func TestDevicePluginRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*DevicePluginArgs)
		want   string
	}{
		"no namespace":       {func(a *DevicePluginArgs) { a.Namespace = "" }, "Namespace"},
		"the one it refuses": {func(a *DevicePluginArgs) { a.Namespace = "default" }, `"default"`},
		"simulated GPUs":     {func(a *DevicePluginArgs) { a.ResourceName = "" }, "ResourceName"},
		"a selector that the chart's affinity never meets": {
			func(a *DevicePluginArgs) { a.Nodes.NodeSelector = map[string]string{"pool": "ours"} }, "nvidia.com/gpu.present=true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := devicePluginArgs()
			test.change(args)
			r, err := tryRun(func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewDevicePlugin(ctx, "device-plugin", args, provider)
				return err
			})
			require.ErrorContains(t, err, test.want)
			assert.False(t, r.has(devicePluginType, "device-plugin"), "registered before validation")
		})
	}
}
