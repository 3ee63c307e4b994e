package providers

import (
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewKubernetesProvider registers the provider of the objects in a cluster.
//
// clusterID identifies the cluster: the provider, and with it every object, is replaced only when it changes, not for a
// kubeconfig that is unknown in a preview, has another flag or a new certificate.
//
// ready lists what every object waits for, and is deleted before: node pools, add-ons and permissions. On destroy there
// are then still nodes to run finalizers and drivers to delete volumes. A pod whose node went first is not seen to end,
// and holds up its namespace.
func NewKubernetesProvider(ctx *pulumi.Context, name string, kubeconfig, clusterID pulumi.StringPtrInput,
	ready []pulumi.Resource, opts ...pulumi.ResourceOption,
) (*kubernetes.Provider, error) {
	if len(ready) > 0 {
		opts = With(opts, pulumi.DependsOn(ready))
	}
	provider, err := kubernetes.NewProvider(ctx, name, &kubernetes.ProviderArgs{
		Kubeconfig:        kubeconfig,
		ClusterIdentifier: clusterID,
		// The HPA owns the replicas of the Deployment; only server-side apply tracks who owns a field.
		EnableServerSideApply: pulumi.Bool(true),
		// A dashboard changes in place; by default the provider replaces a ConfigMap, so that pods which mount it
		// restart, and none does here.
		EnableConfigMapMutable: pulumi.Bool(true),
		// DeleteUnreachable stays off: a pause of the API server during destroy would remove objects from the state that
		// go on running and, with GPUs, costing.
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("creating the Kubernetes provider %q: %w", name, err)
	}
	return provider, nil
}
