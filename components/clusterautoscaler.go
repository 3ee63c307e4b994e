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
	// ClusterAutoscalerName is the name of the release and of its Deployment.
	ClusterAutoscalerName = "cluster-autoscaler"

	// clusterAutoscalerTimeout bounds the wait for its pod.
	clusterAutoscalerTimeout = 10 * time.Minute
)

// ClusterAutoscalerArgs are the inputs of ClusterAutoscaler.
type ClusterAutoscalerArgs struct {
	// Autoscaler is what the cloud's permissions are bound to. All fields but KubernetesVersion are required.
	Autoscaler providers.NodeAutoscaler
	// Chart is cluster-autoscaler's version and repository. Required.
	Chart helm.Chart
	// Metadata of the chart's objects and pods.
	Metadata Metadata
	// Values of the chart, merged last over the program's own.
	Values map[string]any
	// DependsOn lists what must exist first: nodes for it to run on.
	DependsOn []pulumi.Resource
}

// ClusterAutoscaler adds nodes for pods that fit no node and removes unneeded nodes, in clusters
// whose cloud does not do so.
type ClusterAutoscaler struct {
	pulumi.ResourceState

	// ClusterName is the cluster whose node groups it scales.
	ClusterName pulumi.StringOutput `pulumi:"clusterName"`

	// Release is for others to depend on.
	Release *helm.Release
}

// NewClusterAutoscaler registers the release, in the namespace that the permissions are bound to,
// which must exist.
func NewClusterAutoscaler(ctx *pulumi.Context, name string, args *ClusterAutoscalerArgs, opts ...pulumi.ResourceOption) (*ClusterAutoscaler, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("cluster-autoscaler: %w", err)
	}
	c := &ClusterAutoscaler{ClusterName: pulumi.String(args.Autoscaler.ClusterName).ToStringOutput()}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:ClusterAutoscaler", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering cluster-autoscaler: %w", err)
	}
	var err error
	if c.Release, err = helm.NewRelease(ctx, ClusterAutoscalerName, &helm.ReleaseArgs{
		Name:      ClusterAutoscalerName,
		Namespace: args.Autoscaler.Namespace,
		Chart:     args.Chart,
		Values:    clusterAutoscalerValues(args),
		Timeout:   clusterAutoscalerTimeout,
	}, childOptions(c, args.DependsOn)...); err != nil {
		return nil, err
	}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"clusterName": c.ClusterName}); err != nil {
		return nil, fmt.Errorf("registering the outputs of cluster-autoscaler: %w", err)
	}
	return c, nil
}

// clusterAutoscalerReleases are releases of cluster-autoscaler, as known in autumn 2026, by the Kubernetes version that each
// is made for (https://github.com/kubernetes/autoscaler/releases). It simulates the cluster's scheduler, so its minor version
// has to be the cluster's.
var clusterAutoscalerReleases = map[string]string{
	"1.31": "1.31.1", "1.32": "1.32.5", "1.33": "1.33.5", "1.34": "1.34.5", "1.35": "1.35.1", "1.36": "1.36.1",
}

// clusterAutoscalerTag returns the tag of the image for a Kubernetes version, such as 1.34. Every minor version has a first
// release.
func clusterAutoscalerTag(kubernetesVersion string) string {
	if release, ok := clusterAutoscalerReleases[kubernetesVersion]; ok {
		return "v" + release
	}
	return "v" + kubernetesVersion + ".0"
}

// clusterAutoscalerValues returns the chart's values, with the user's merged last.
func clusterAutoscalerValues(a *ClusterAutoscalerArgs) map[string]any {
	security := podSecurityValues(65534, 65534)
	values := map[string]any{
		"fullnameOverride": ClusterAutoscalerName,
		"cloudProvider":    a.Autoscaler.CloudProvider,
		// The chart's one key for a region; clouds that need none ignore it.
		"awsRegion":     a.Autoscaler.Region,
		"autoDiscovery": map[string]any{"clusterName": a.Autoscaler.ClusterName},
		"rbac": map[string]any{
			// The cloud's permissions are bound to this name.
			"serviceAccount": map[string]any{"create": true, "name": a.Autoscaler.ServiceAccount},
		},
		"extraArgs": map[string]any{
			// A replica keeps its model in an emptyDir. Moving it to save a node would end its requests and
			// load the model again; only the HPA decides on the number of replicas.
			"skip-nodes-with-local-storage": true,
			"expander":                      "least-waste",
			// A pool has a node group in each zone.
			"balance-similar-node-groups": true,
		},
		"resources":                resourceValues("100m", "256Mi", "600Mi"),
		"securityContext":          security,
		"containerSecurityContext": containerSecurityValues(),
	}
	if version := a.Autoscaler.KubernetesVersion; version != nil {
		values["image"] = map[string]any{"tag": version.ToStringOutput().ApplyT(clusterAutoscalerTag)}
	}
	return mergeValues(mergeValues(values, a.Metadata.values(clusterAutoscalerMetadata)), a.Values)
}

func (a *ClusterAutoscalerArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{validateNamespace("Autoscaler.Namespace", a.Autoscaler.Namespace)}
	for _, field := range []struct{ name, value string }{
		{"CloudProvider", a.Autoscaler.CloudProvider},
		{"ClusterName", a.Autoscaler.ClusterName},
		{"Region", a.Autoscaler.Region},
		{"ServiceAccount", a.Autoscaler.ServiceAccount},
	} {
		if field.value == "" {
			problems = append(problems, fmt.Errorf("field Autoscaler.%s must be set", field.name))
		}
	}
	return errors.Join(problems...)
}
