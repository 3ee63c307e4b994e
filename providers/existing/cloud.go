// Package existing uses a cluster that already stands and that a kubeconfig reaches: kind,
// minikube, or any other. It creates no infrastructure.
package existing

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// Args choose the cluster and say what a program cannot find out about it.
type Args struct {
	// Kubeconfig is a path; "" means the first existing file of $KUBECONFIG, else ~/.kube/config.
	Kubeconfig string
	// Context is a context of that file; "" means its current-context.
	Context string
	// GPU says how a pod gets a GPU there.
	GPU providers.GPUScheduling
	// GPUMetrics says where the DCGM series come from.
	GPUMetrics providers.GPUMetrics
	// StorageClass of Prometheus' volume; "" means the cluster's default.
	StorageClass string
	// AggregatedAPIPort is a port on which the control plane reaches pods, 1 to 65535.
	AggregatedAPIPort int
}

// New checks that the cluster answers, before anything is registered, and returns it with a
// Kubernetes provider called name.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	chosen, others, err := connect(args.Kubeconfig, args.Context)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 {
		if err := ctx.Log.Info(fmt.Sprintf("KUBECONFIG names several files: using %s only, not %s; set cluster.kubeconfig to choose",
			chosen.path, strings.Join(others, ", ")), nil); err != nil {
			return nil, err
		}
	}
	content, err := chosen.minified()
	if err != nil {
		return nil, err
	}
	provider, err := kubernetes.NewProvider(ctx, name, &kubernetes.ProviderArgs{
		Kubeconfig: pulumi.ToSecret(pulumi.String(content)).(pulumi.StringOutput),
		// The provider, and with it every object, is replaced only when this changes: not for a new
		// token, and not for another engineer's name of the same context.
		ClusterIdentifier: pulumi.String(chosen.server()),
		// The HPA owns the replicas of the Deployment; only server-side apply knows who owns a field.
		EnableServerSideApply: pulumi.Bool(true),
		// A dashboard changes in place; by default the provider replaces a ConfigMap, so that pods which mount it
		// restart, and none does here.
		EnableConfigMapMutable: pulumi.Bool(true),
		// DeleteUnreachable stays off: a pause of the API server during destroy would take objects out
		// of the state that go on running and, with GPUs, costing.
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("creating the Kubernetes provider %q: %w", name, err)
	}
	kubectl := "kubectl"
	if args.Kubeconfig != "" {
		kubectl += " --kubeconfig " + args.Kubeconfig
	}
	cluster := &providers.Cluster{
		Name: chosen.context.Name, Kubectl: kubectl + " --context " + chosen.context.Name, Provider: provider,
		GPU: args.GPU, GPUMetrics: args.GPUMetrics, StorageClass: args.StorageClass,
		AggregatedAPIPort: args.AggregatedAPIPort,
		// ControlPlaneScrapes stays off: kind and minikube bind etcd and the controllers to the
		// node's loopback, and managed control planes hide them.
	}
	return cluster, cluster.Validate()
}
