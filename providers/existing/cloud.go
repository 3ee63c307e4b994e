package existing

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// Name is the value of the key cloud.
const Name = "local"

// Cloud describes a cluster that a kubeconfig reaches.
func Cloud() providers.Cloud {
	return providers.Cloud{
		Name:     Name,
		Title:    "existing cluster",
		Examples: map[string]string{"model.bucket": "s3://example-models/gemma-3-4b-it"},
		Validate: func(*providers.Request) providers.Problems { return nil },
		New: func(ctx *pulumi.Context, name string, r *providers.Request) (*providers.Cluster, error) {
			return New(ctx, name, r)
		},
	}
}

// replacedWith returns the options of a provider that is replaced, and every object with it, when the identity of the cluster
// changes. The provider's own clusterIdentifier is not compared: in the state of a stack that an earlier version deployed it
// is the address of the API server, and the first comparison with the identity would replace everything. A trigger that
// the state does not have yet replaces nothing.
func replacedWith(id pulumi.Input) []pulumi.ResourceOption {
	return []pulumi.ResourceOption{pulumi.IgnoreChanges([]string{"clusterIdentifier"}), pulumi.ReplacementTrigger(id)}
}

// New checks that the cluster answers, before anything is registered, and returns it with a
// Kubernetes provider called name.
func New(ctx *pulumi.Context, name string, request *providers.Request, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	local := request.Local
	chosen, err := connect(local.Kubeconfig, local.Context)
	if err != nil {
		return nil, err
	}
	if len(chosen.others) > 0 {
		if err := ctx.Log.Info(fmt.Sprintf("KUBECONFIG names several files: using %s only, not %s; set cluster.kubeconfig to choose",
			chosen.path, strings.Join(chosen.others, ", ")), nil); err != nil {
			return nil, err
		}
	}
	secret := pulumi.ToSecret(pulumi.String(chosen.kubeconfig)).(pulumi.StringOutput)
	id := pulumi.String(chosen.id)
	provider, err := providers.NewKubernetesProvider(ctx, name, secret, id, nil, providers.With(opts, replacedWith(id)...)...)
	if err != nil {
		return nil, err
	}
	kubectl := "kubectl"
	if local.Kubeconfig != "" {
		kubectl += " --kubeconfig " + local.Kubeconfig
	}
	cluster := &providers.Cluster{
		Name: chosen.context.Name, Kubectl: kubectl + " --context " + chosen.context.Name, Provider: provider,
		ExistingKubeconfig: secret,
		GPU:                local.GPU, GPUMetrics: local.GPUMetrics, StorageClass: request.StorageClass,
		AggregatedAPIPort: local.AggregatedAPIPort,
		// kubeadm, and with it kind and minikube, k3s, EKS and AKS have CoreDNS.
		CoreDNSScrapes: true,
		// ControlPlaneScrapes stays off: kind and minikube bind etcd and the controllers to the
		// node's loopback, and managed control planes hide them.
	}
	return cluster, cluster.Validate()
}
