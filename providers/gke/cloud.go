// Package gke runs the pipeline on Google Kubernetes Engine: on a Standard cluster that it creates
// with everything around it, or on an existing one, to which it adds a GPU node pool. GKE brings the
// GPU driver, the device plugin, the GPU metrics exporter and the node autoscaler.
package gke

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// clusterType is the type of the component that owns everything that is created here.
const clusterType = "vllm-autoscaling:providers:GKECluster"

// component is the parent of everything that is created here.
type component struct {
	pulumi.ResourceState
}

// New checks the arguments, and an existing cluster, before it registers anything in the cloud, and
// returns the cluster. Resources are named after name.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("GKE cluster %q:\n%w", name, err)
	}
	a := args.withDefaults()
	parent := &component{}
	if err := ctx.RegisterComponentResource(clusterType, name, parent, opts...); err != nil {
		return nil, fmt.Errorf("registering GKE cluster %q: %w", name, err)
	}
	cloud, err := newCloud(ctx, name, &a, parent)
	if err != nil {
		return nil, err
	}
	inCloud := []pulumi.ResourceOption{pulumi.Parent(parent), pulumi.Provider(cloud)}
	var made *standing
	if a.Existing == "" {
		made, err = create(ctx, name, &a, inCloud)
	} else {
		made, err = extend(ctx, name, &a, cloud, parent, inCloud)
	}
	if err != nil {
		return nil, err
	}
	provider, err := kubernetes.NewProvider(ctx, name, &kubernetes.ProviderArgs{
		Kubeconfig: made.kubeconfig,
		// The provider, and with it every object, is replaced only when the cluster is.
		ClusterIdentifier: made.id,
		// The HPA owns the replicas of the Deployment; only server-side apply knows who owns a field.
		EnableServerSideApply: pulumi.Bool(true),
		// A dashboard changes in place; by default the provider replaces a ConfigMap, so that pods which mount it
		// restart, and none does here.
		EnableConfigMapMutable: pulumi.Bool(true),
	},
		pulumi.Parent(parent),
		// Every object waits for nodes to run on, and is deleted before they go: a pod whose node went
		// first is not seen to end, and holds up its namespace.
		pulumi.DependsOn(made.pools))
	if err != nil {
		return nil, fmt.Errorf("creating the Kubernetes provider of GKE cluster %q: %w", name, err)
	}
	// The project's workload identity pool is there from its first cluster on, which may be this one.
	managed, err := newMetricsAccess(ctx, name, &a, with(inCloud, pulumi.DependsOn(made.cluster)))
	if err != nil {
		return nil, err
	}
	cluster := &providers.Cluster{
		Name:    a.clusterName(),
		Kubectl: "kubectl --context " + a.contextName(),
		Login: fmt.Sprintf("gcloud container clusters get-credentials %s --project %s --location %s",
			a.clusterName(), a.Project, a.Location),
		Provider: provider,
		Ready:    made.pools,
		GPU:      made.gpu,
		GPUMetrics: providers.GPUMetrics{Source: providers.Managed, Managed: providers.ManagedExporter{
			// GKE's own exporter. Its namespace is not ours to write to: GKE reverts changes there.
			Namespace: "gke-managed-system",
			PodLabels: map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"},
			Port:      "metrics",
		}},
		ManagedMetrics:    managed,
		AggregatedAPIPort: 10250, // Besides 443 the only port that a private control plane may open.
		Kubeconfig:        made.kubeconfig,
		// GKE mounts the driver where the server's image does not look for it.
		ServerEnv: map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/usr/local/cuda/lib64"},
		// InstallDevicePlugin stays off, and NodeAutoscaler unset: GKE brings both. ControlPlaneScrapes
		// stays off: GKE hides its control plane. StorageClass stays empty: GKE has a default class.
	}
	if err := cluster.Validate(); err != nil {
		return nil, err
	}
	return cluster, ctx.RegisterResourceOutputs(parent, pulumi.Map{
		"name": pulumi.String(cluster.Name), "kubeconfig": cluster.Kubeconfig,
	})
}

// newCloud is the provider of everything in Google Cloud. Credentials are those of whoever runs
// Pulumi.
func newCloud(ctx *pulumi.Context, name string, a *Args, parent pulumi.Resource) (*gcp.Provider, error) {
	args := &gcp.ProviderArgs{Project: pulumi.String(a.Project), Region: pulumi.String(a.region())}
	// Left out, it would be taken from the environment, and change from one machine to the next.
	switch {
	case !a.regional():
		args.Zone = pulumi.String(a.Location)
	case a.GPUPool != nil:
		args.Zone = pulumi.String(a.GPUPool.Zones[0])
	}
	cloud, err := gcp.NewProvider(ctx, name, args, pulumi.Parent(parent))
	if err != nil {
		return nil, fmt.Errorf("creating the Google Cloud provider of %q: %w", name, err)
	}
	return cloud, nil
}

// standing is a cluster with its node pools.
type standing struct {
	// id is Google Cloud's id of the cluster.
	id pulumi.StringInput
	// cluster is the cluster where it is made here; empty where it was there before.
	cluster    []pulumi.Resource
	kubeconfig pulumi.StringOutput
	pools      []pulumi.Resource
	gpu        providers.GPUScheduling
}

// create makes a cluster with everything that it needs.
func create(ctx *pulumi.Context, name string, a *Args, inCloud []pulumi.ResourceOption) (*standing, error) {
	at, err := place(ctx, name, a, inCloud)
	if err != nil {
		return nil, err
	}
	identity, err := newNodeIdentity(ctx, name, a, inCloud)
	if err != nil {
		return nil, err
	}
	cluster, err := newCluster(ctx, name, a, at, identity, inCloud)
	if err != nil {
		return nil, err
	}
	nodesNeed := slices.Concat(identity.Grants, at.Egress)
	system, err := newSystemPool(ctx, name, a, cluster.Name, identity, nodesNeed, inCloud)
	if err != nil {
		return nil, err
	}
	// The system pool comes first, and goes last: with no other node to go to, GKE's own pods would
	// settle on the GPU nodes and keep them from being removed.
	gpus, err := newGPUPool(ctx, name, a, cluster.Name, identity, append(slices.Clone(nodesNeed), system), inCloud)
	if err != nil {
		return nil, err
	}
	return &standing{
		id:         cluster.ID().ToStringOutput(),
		cluster:    []pulumi.Resource{cluster},
		kubeconfig: a.kubeconfigOf(cluster.Endpoint, cluster.MasterAuth.ClusterCaCertificate()),
		pools:      []pulumi.Resource{system, gpus},
		gpu:        a.ownGPUs(),
	}, nil
}

// extend adds the GPU pool to an existing cluster.
func extend(ctx *pulumi.Context, name string, a *Args, cloud *gcp.Provider, parent pulumi.Resource,
	inCloud []pulumi.ResourceOption) (*standing, error) {
	found, err := attach(ctx, a, pulumi.Parent(parent), pulumi.Provider(cloud))
	if err != nil {
		return nil, err
	}
	out := &standing{
		id:         pulumi.String(found.id),
		kubeconfig: a.kubeconfigOf(pulumi.String(found.endpoint), pulumi.StringPtr(found.caCertificate)),
	}
	if a.GPUPool == nil {
		out.gpu = a.scheduling(map[string]string{acceleratorLabel: found.accelerator}, found.tolerations)
		return out, nil
	}
	identity, err := newNodeIdentity(ctx, name, a, inCloud)
	if err != nil {
		return nil, err
	}
	gpus, err := newGPUPool(ctx, name, a, pulumi.String(a.Existing), identity, identity.Grants, inCloud)
	if err != nil {
		return nil, err
	}
	out.pools = []pulumi.Resource{gpus}
	out.gpu = a.ownGPUs()
	return out, nil
}

// ownGPUs is how a pod gets a GPU of the pool that is created here.
func (a *Args) ownGPUs() providers.GPUScheduling {
	gpu, _ := findAccelerator(a.GPUPool.Accelerator)
	return a.scheduling(map[string]string{gpuLabel: "true", acceleratorLabel: gpu.gke}, nil)
}

func (a *Args) scheduling(nodes map[string]string, more []providers.Toleration) providers.GPUScheduling {
	return providers.GPUScheduling{
		ResourceName: gpuResource, PerReplica: a.GPUsPerReplica, NodeSelector: nodes,
		// GKE would add it to pods that ask for GPUs, but not to exporters.
		Tolerations: append([]providers.Toleration{{Key: gpuResource, Operator: "Exists", Effect: "NoSchedule"}}, more...),
	}
}

// with adds options without touching the caller's.
func with(opts []pulumi.ResourceOption, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append(slices.Clone(opts), more...)
}
