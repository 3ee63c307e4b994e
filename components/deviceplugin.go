package components

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/providers"
)

const (
	// DevicePluginName is the name of the release and of its DaemonSet.
	DevicePluginName = "nvidia-device-plugin"

	// devicePluginTimeout leaves time for the image on a GPU node that has just started.
	devicePluginTimeout = 10 * time.Minute

	// devicePluginLabel is a label that the chart's own node affinity requires, unless other programs
	// label the nodes. Without it the DaemonSet has no node and reports no error.
	devicePluginLabel = "nvidia.com/gpu.present"
)

// DevicePluginArgs are the inputs of DevicePlugin.
type DevicePluginArgs struct {
	// Namespace to install into; it must exist. Required, and not "default", which the chart
	// refuses.
	Namespace string
	// Chart is nvidia-device-plugin's version and repository. Required.
	Chart helm.Chart
	// ResourceName is the extended resource of the GPUs, such as nvidia.com/gpu. Required.
	ResourceName string
	// Nodes are those with GPUs. Their NodeSelector must contain nvidia.com/gpu.present=true.
	Nodes providers.GPUNodes
	// Capabilities are Linux capabilities that its container gets beside those of the chart, which are none; such as
	// SYS_ADMIN.
	Capabilities []string
	// Metadata of the chart's objects and pods.
	Metadata Metadata
	// Values of the chart, merged last over the program's own.
	Values map[string]any
	// DependsOn lists what must exist first.
	DependsOn []pulumi.Resource
}

// DevicePlugin announces the GPUs of each GPU node to its kubelet, where neither the cloud nor the
// node's image does. Two copies on one node interfere with each other.
type DevicePlugin struct {
	pulumi.ResourceState

	// Resource is the extended resource that pods can then request.
	Resource pulumi.StringOutput `pulumi:"resource"`

	// Release is for others to depend on.
	Release *helm.Release
}

// NewDevicePlugin registers the release.
func NewDevicePlugin(ctx *pulumi.Context, name string, args *DevicePluginArgs, opts ...pulumi.ResourceOption) (*DevicePlugin, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("nvidia-device-plugin: %w", err)
	}
	c := &DevicePlugin{Resource: pulumi.String(args.ResourceName).ToStringOutput()}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:DevicePlugin", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering nvidia-device-plugin: %w", err)
	}
	var err error
	if c.Release, err = helm.NewRelease(ctx, DevicePluginName, &helm.ReleaseArgs{
		Name:      DevicePluginName,
		Namespace: args.Namespace,
		Chart:     args.Chart,
		Values:    devicePluginValues(args),
		Timeout:   devicePluginTimeout,
	}, childOptions(c, args.DependsOn)...); err != nil {
		return nil, err
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"resource": c.Resource}); err != nil {
		return nil, fmt.Errorf("registering the outputs of nvidia-device-plugin: %w", err)
	}
	return c, nil
}

// devicePluginValues returns the chart's values, with the user's merged last.
func devicePluginValues(a *DevicePluginArgs) map[string]any {
	// Other GPU nodes of the cluster may have a device plugin already. Of the taints, the chart tolerates that of GPUs only by
	// itself, not that of spot machines on some clouds.
	values := gpuNodeValues(a.Nodes)
	values["fullnameOverride"] = DevicePluginName
	values["resources"] = resourceValues("10m", "64Mi", "256Mi")
	if len(a.Capabilities) > 0 {
		// The chart uses either its own security context or all of this one. Without allowPrivilegeEscalation: false,
		// which contradicts SYS_ADMIN.
		values["securityContext"] = map[string]any{
			"capabilities": map[string]any{"drop": []any{"ALL"}, "add": anyValues(a.Capabilities)},
		}
	}
	return mergeValues(mergeValues(values, a.Metadata.values(devicePluginMetadata)), a.Values)
}

func (a *DevicePluginArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{validateNamespace("Namespace", a.Namespace), a.Nodes.Validate()}
	if a.Namespace == "default" {
		problems = append(problems, errors.New(`namespace "default" is refused by the chart (such as kube-system)`))
	}
	if a.ResourceName == "" {
		problems = append(problems, errors.New("ResourceName must be set: simulated GPUs need no device plugin"))
	}
	if a.Nodes.NodeSelector[devicePluginLabel] != "true" {
		problems = append(problems, fmt.Errorf("Nodes.NodeSelector must contain %s=true: the chart runs on such nodes only", devicePluginLabel))
	}
	return errors.Join(problems...)
}
