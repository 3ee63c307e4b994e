package components

import (
	"errors"
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/telemetry"
)

// The label by which Grafana's sidecar finds dashboards, as set in kube-prometheus-stack's values.
const (
	dashboardLabel      = "grafana_dashboard"
	dashboardLabelValue = "1"
)

// DashboardsArgs are the inputs of Dashboards.
type DashboardsArgs struct {
	// Namespace of the ConfigMaps: the monitoring namespace. Required.
	Namespace string
	// Servers are what the dashboards query, for each server of the stack. At least one.
	Servers []telemetry.Settings
	// DependsOn lists what must exist first: the namespace.
	DependsOn []pulumi.Resource
}

// Dashboards are Grafana's dashboards, one ConfigMap each, which Grafana's sidecar loads within
// seconds.
type Dashboards struct {
	pulumi.ResourceState

	// Names of the ConfigMaps.
	Names pulumi.StringArrayOutput `pulumi:"names"`
}

// DashboardConfigMap returns the name of a dashboard's ConfigMap.
func DashboardConfigMap(dashboard string) string { return "vllm-dashboard-" + dashboard }

// NewDashboards registers the ConfigMaps.
func NewDashboards(ctx *pulumi.Context, name string, args *DashboardsArgs, opts ...pulumi.ResourceOption) (*Dashboards, error) {
	if args == nil {
		return nil, errors.New("dashboards: arguments are missing")
	}
	if err := validateNamespace("Namespace", args.Namespace); err != nil {
		return nil, fmt.Errorf("dashboards: %w", err)
	}
	all, err := dashboards.All(args.Servers...)
	if err != nil {
		return nil, err
	}
	c := &Dashboards{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:Dashboards", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering dashboards: %w", err)
	}
	var names []string
	for _, d := range all {
		object := DashboardConfigMap(d.Name)
		if _, err := corev1.NewConfigMap(ctx, object, &corev1.ConfigMapArgs{
			Metadata: metav1.ObjectMetaArgs{
				Name:      pulumi.String(object),
				Namespace: pulumi.String(args.Namespace),
				Labels:    pulumi.ToStringMap(withLabels(map[string]string{dashboardLabel: dashboardLabelValue})),
			},
			// The key is the name of the file that the sidecar writes, in one folder for all ConfigMaps.
			Data: pulumi.StringMap{"vllm-" + d.Name + ".json": pulumi.String(string(d.JSON))},
		}, childOptions(c, args.DependsOn)...); err != nil {
			return nil, fmt.Errorf("registering ConfigMap %s/%s: %w", args.Namespace, object, err)
		}
		names = append(names, object)
	}
	c.Names = pulumi.ToStringArray(names).ToStringArrayOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"names": c.Names}); err != nil {
		return nil, fmt.Errorf("registering the outputs of dashboards: %w", err)
	}
	return c, nil
}
