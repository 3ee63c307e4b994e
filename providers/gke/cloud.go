package gke

import (
	"fmt"
	"math"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	// componentType is the Pulumi type that everything of the cluster lies below.
	componentType = "vllm-autoscaling:providers:GKECluster"

	// aggregatedAPIPort is, besides 443, the only port that a private control plane may open.
	aggregatedAPIPort = 10250
)

// Name is the value of the key cloud.
const Name = "gke"

// Cloud describes Google Kubernetes Engine.
func Cloud() providers.Cloud {
	return providers.Cloud{
		Name:     Name,
		Title:    "Google Kubernetes Engine",
		NewKeys:  func() any { return &Keys{} },
		Validate: func(r *providers.Request) providers.Problems { return argsOf(r).Validate() },
		New: func(ctx *pulumi.Context, name string, r *providers.Request) (*providers.Cluster, error) {
			return New(ctx, name, argsOf(r))
		},
		Login: func(*providers.Request) (program, install string) {
			return authPlugin, "gcloud components install " + authPlugin
		},
		MakesNodes:         true,
		BucketScheme:       providers.SchemeGCS,
		ManagedMetrics:     []string{ManagedMetrics},
		Machines:           machines,
		DefaultAccelerator: "nvidia-l4",
		SystemPool:         defaultSystemPool,
		GPUPool:            defaultGPUPool,
		Examples: map[string]string{
			"model.bucket":                 "gs://example-models/gemma-3-4b-it",
			"nodePools.system.machineType": "e2-standard-8", "nodePools.system.zones": "[us-central1-a]",
			"nodePools.gpu.accelerator": "nvidia-a100-40gb", "nodePools.gpu.machineType": "g2-standard-8", "nodePools.gpu.zones": "[us-central1-a]",
		},
		Required:   map[string]any{"gke.project": "my-project", "gke.location": "us-central1-a"},
		Node:       providers.NodeRoom{Reserved: reserved, HiddenShare: hiddenShare},
		Gateways:   gateways,
		SpotNotice: spotNotice,
		MaxName:    maxName,
		ValidName:  func(r *providers.Request) bool { return validName(r.Name) },
	}
}

// hiddenShare is the kernel's part of a machine's memory.
const hiddenShare = 0.025

// memorySteps are the shares of a node's memory that GKE reserves
// (https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes).
var memorySteps = []providers.Step{
	{UpTo: 4, Share: 0.25}, {UpTo: 8, Share: 0.20}, {UpTo: 16, Share: 0.10}, {UpTo: 128, Share: 0.06}, {UpTo: math.Inf(1), Share: 0.02},
}

// reserved returns what GKE reserves on a node.
func reserved(cpus int, memoryGiB float64) (reservedCPUs, reservedGiB float64) {
	return providers.Steps(float64(cpus), providers.CPUSteps), providers.Steps(memoryGiB, memorySteps)
}

// component is the parent of the cluster's resources.
type component struct {
	pulumi.ResourceState
}

// builder is what every step needs.
type builder struct {
	ctx       *pulumi.Context
	name      string
	args      *Args
	component *component
	gcp       *gcp.Provider
}

// controlPlane is a cluster, created or looked up, with its node pools.
type controlPlane struct {
	// id is Google Cloud's id of the cluster.
	id pulumi.StringPtrInput
	// created is the cluster where it is created here; empty where it was there before.
	created    []pulumi.Resource
	kubeconfig pulumi.StringOutput
	pools      []pulumi.Resource
	gpu        providers.GPUScheduling
}

// New checks the arguments, and an existing cluster, before it registers anything in the cloud, and returns the cluster.
// Everything lies below one component called name.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	if err := args.Validate().Err(); err != nil {
		return nil, fmt.Errorf("GKE cluster %q: %w", args.ClusterName(), err)
	}
	b := &builder{ctx: ctx, name: name, args: args.withDefaults(), component: &component{}}
	if err := ctx.RegisterComponentResource(componentType, name, b.component, opts...); err != nil {
		return nil, fmt.Errorf("registering GKE cluster %q: %w", b.args.ClusterName(), err)
	}
	var err error
	if b.gcp, err = b.newGoogleProvider(); err != nil {
		return nil, err
	}
	var plane *controlPlane
	if b.args.Attaches() {
		plane, err = b.extend()
	} else {
		plane, err = b.create()
	}
	if err != nil {
		return nil, err
	}
	return b.finish(plane)
}

// finish registers the Kubernetes provider and returns the Cluster.
func (b *builder) finish(plane *controlPlane) (*providers.Cluster, error) {
	provider, err := providers.NewKubernetesProvider(b.ctx, b.name, plane.kubeconfig, plane.id, plane.pools, pulumi.Parent(b.component))
	if err != nil {
		return nil, err
	}
	// The project's workload identity pool is there from its first cluster on, which may be this one.
	managed, err := b.newMetricsAccess(pulumi.DependsOn(plane.created))
	if err != nil {
		return nil, err
	}
	buckets, err := b.newBucketAccess(pulumi.DependsOn(plane.created))
	if err != nil {
		return nil, err
	}
	cluster := &providers.Cluster{
		Name:     b.args.ClusterName(),
		Kubectl:  "kubectl --context " + b.args.contextName(),
		Login:    b.args.login(),
		Provider: provider,
		Ready:    plane.pools,
		GPU:      plane.gpu,
		OwnGPU:   b.args.ownGPUs(),
		GPUMetrics: providers.GPUMetrics{Source: providers.Managed, Managed: providers.ManagedExporter{
			// GKE's own exporter. Its namespace is not ours to write to: GKE reverts changes there.
			Namespace: "gke-managed-system",
			PodLabels: map[string]string{"app.kubernetes.io/name": "gke-managed-dcgm-exporter"},
			Port:      "metrics",
		}},
		ManagedMetrics:    managed,
		Buckets:           buckets,
		AggregatedAPIPort: aggregatedAPIPort,
		Kubeconfig:        plane.kubeconfig,
		// GKE mounts the driver where the server's image does not look for it.
		ServerEnv: map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/usr/local/cuda/lib64"},
		// InstallDevicePlugin stays off, and NodeAutoscaler unset: GKE brings both. ControlPlaneScrapes
		// stays off: GKE hides its control plane. CoreDNSScrapes stays off: a cluster's DNS is kube-dns up to 1.35, CoreDNS
		// from 1.36 or Cloud DNS, and an upgrade by GKE changes it. StorageClass stays empty: GKE has a default class.
	}
	if err := cluster.Validate(); err != nil {
		return nil, err
	}
	return cluster, b.ctx.RegisterResourceOutputs(b.component, pulumi.Map{
		"name": pulumi.String(cluster.Name), "kubeconfig": cluster.Kubeconfig,
	})
}

// newGoogleProvider registers the provider of everything in Google Cloud. Credentials are those of whoever runs
// Pulumi.
func (b *builder) newGoogleProvider() (*gcp.Provider, error) {
	a := b.args
	args := &gcp.ProviderArgs{Project: pulumi.String(a.Project), Region: pulumi.String(a.region())}
	// Left out, it would be taken from the environment, and change from one machine to the next.
	switch {
	case !a.regional():
		args.Zone = pulumi.String(a.Location)
	case a.GPUPool != nil:
		args.Zone = pulumi.String(a.GPUPool.Zones[0])
	}
	provider, err := gcp.NewProvider(b.ctx, b.name, args, pulumi.Parent(b.component))
	if err != nil {
		return nil, fmt.Errorf("creating the Google Cloud provider of GKE cluster %q: %w", a.ClusterName(), err)
	}
	return provider, nil
}

// options returns the options of every resource in Google Cloud, and more.
func (b *builder) options(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Parent(b.component), pulumi.Provider(b.gcp)}, more...)
}

// invokeOptions returns the options of every look-up.
func (b *builder) invokeOptions() []pulumi.InvokeOption {
	return []pulumi.InvokeOption{pulumi.Parent(b.component), pulumi.Provider(b.gcp)}
}

// create registers a cluster with everything that it needs.
func (b *builder) create() (*controlPlane, error) {
	at, err := b.newPlacement()
	if err != nil {
		return nil, err
	}
	identity, err := b.newNodeIdentity()
	if err != nil {
		return nil, err
	}
	cluster, err := b.newCluster(at, identity)
	if err != nil {
		return nil, err
	}
	nodesNeed := slices.Concat(identity.Grants, at.Egress)
	system, err := b.newSystemPool(cluster.Name, identity, nodesNeed)
	if err != nil {
		return nil, err
	}
	// The system pool comes first, and goes last: with no other node to go to, GKE's own pods would
	// settle on the GPU nodes and keep them from being removed.
	gpus, err := b.newGPUPools(cluster.Name, identity, append(slices.Clone(nodesNeed), system))
	if err != nil {
		return nil, err
	}
	return &controlPlane{
		id:         cluster.ID().ToStringOutput(),
		created:    []pulumi.Resource{cluster},
		kubeconfig: b.args.kubeconfigOf(cluster.Endpoint, cluster.MasterAuth.ClusterCaCertificate()),
		pools:      append([]pulumi.Resource{system}, gpus...),
		gpu:        b.args.mainGPUs(),
	}, nil
}

// extend registers the GPU pools in an existing cluster.
func (b *builder) extend() (*controlPlane, error) {
	found, err := b.attach()
	if err != nil {
		return nil, err
	}
	plane := &controlPlane{
		id:         pulumi.String(found.id),
		kubeconfig: b.args.kubeconfigOf(pulumi.String(found.endpoint), pulumi.StringPtr(found.caCertificate)),
	}
	if b.args.GPUPool == nil {
		plane.gpu = scheduling(b.args.GPUsPerReplica, map[string]string{acceleratorLabel: found.accelerator}, found.tolerations)
	} else {
		plane.gpu = b.args.mainGPUs()
	}
	if !b.args.CreatesGPUPools() {
		return plane, nil
	}
	identity, err := b.newNodeIdentity()
	if err != nil {
		return nil, err
	}
	plane.pools, err = b.newGPUPools(pulumi.String(b.args.Existing), identity, identity.Grants)
	return plane, err
}

// mainGPUs returns how a pod gets a GPU of the main pool that is created here.
func (a *Args) mainGPUs() providers.GPUScheduling { return a.schedulingOn(a.GPUPools()[0]) }

// ownGPUs returns how the pods of servers with pools of their own get GPUs there.
func (a *Args) ownGPUs() map[string]providers.GPUScheduling { return a.OwnSchedulings(a.schedulingOn) }

// schedulingOn returns how a pod gets a GPU of a pool that is created here.
func (a *Args) schedulingOn(pool *providers.ServingPool) providers.GPUScheduling {
	s := scheduling(pool.GPUsPerReplica, map[string]string{gpuLabel: "true", acceleratorLabel: typeOf(pool.Accelerator)}, nil)
	s.NodeSelector, s.Tolerations = a.Label(pool, s.NodeSelector), a.Tolerate(pool, s.Tolerations)
	return s
}

func scheduling(gpus int, nodes map[string]string, more []providers.Toleration) providers.GPUScheduling {
	return providers.GPUScheduling{
		ResourceName: gpuResource, PerReplica: gpus, NodeSelector: nodes,
		// GKE would add it to pods that request GPUs, but not to exporters.
		Tolerations: append([]providers.Toleration{{Key: gpuResource, Operator: "Exists", Effect: "NoSchedule"}}, more...),
	}
}
