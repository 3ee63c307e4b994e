package aks

import (
	"fmt"
	"slices"
	"strings"

	azurenative "github.com/pulumi/pulumi-azure-native-sdk/v2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	// componentType is the Pulumi type that everything of the cluster lies below.
	componentType = "vllm-autoscaling:providers:AKSCluster"

	gpuResource = "nvidia.com/gpu"
	// gpuTaint keeps everything else off the GPU nodes; AKS adds no taint for GPUs by itself.
	gpuTaint = gpuResource + "=present:NoSchedule"
	// gpuLabel is what NVIDIA's charts and our own selector look for. AKS' own label for GPUs
	// (kubernetes.azure.com/accelerator) is not selected as well: the node autoscaler would have to know
	// that a VM size gets it before there is a node.
	gpuLabel = "nvidia.com/gpu.present"

	// spotKey is label and taint of spot nodes, with value spotValue. AKS adds both by itself.
	spotKey   = "kubernetes.azure.com/scalesetpriority"
	spotValue = "spot"

	// aggregatedAPIPort is the kubelet's, which the control plane has to reach on every node.
	aggregatedAPIPort = 10250
)

// Name is the value of the key cloud.
const Name = "aks"

// Cloud describes Azure Kubernetes Service.
func Cloud() providers.Cloud {
	return providers.Cloud{
		Name:     Name,
		Title:    "Azure Kubernetes Service",
		NewKeys:  func() any { return &Keys{} },
		Validate: func(r *providers.Request) providers.Problems { return argsOf(r).Validate() },
		New: func(ctx *pulumi.Context, name string, r *providers.Request) (*providers.Cluster, error) {
			return New(ctx, name, argsOf(r))
		},
		Login: func(r *providers.Request) (program, install string) {
			if !argsOf(r).Entra.Enabled {
				return "", ""
			}
			return authProgram, "az aks install-cli"
		},
		MakesNodes:   true,
		BucketScheme: providers.SchemeAzure,
		Versions:     true,
		Machines:     machines,
		// Azure's only smaller choice for Gemma 3 is the A10. A thousand requests of Gemma 3 1B cost 0.041 USD on it and 0.020 USD on the
		// A100, whose node costs little more; docs/gpus.md has the figures.
		DefaultAccelerator: "nvidia-a100-80gb",
		SystemPool:         defaultSystemPool,
		GPUPool:            defaultGPUPool,
		Examples: map[string]string{
			"model.bucket":                 "az://examplemodels/weights/gemma-3-4b-it",
			"nodePools.system.machineType": "Standard_D8s_v5", "nodePools.system.zones": `["1"]`,
			"nodePools.gpu.accelerator": "nvidia-h100-94gb", "nodePools.gpu.machineType": "Standard_NC48ads_A100_v4", "nodePools.gpu.zones": `["1"]`,
		},
		Required:   map[string]any{"aks.location": "eastus"},
		Node:       providers.NodeRoom{Reserved: reserved, HiddenShare: hiddenShare},
		Gateways:   gateways,
		SpotNotice: spotNotice,
		MaxName:    maxName,
		ValidName:  func(r *providers.Request) bool { return argsOf(r).validNames() },
	}
}

// hiddenShare is what Karpenter assumes that the hypervisor takes of a machine's memory (vmMemoryOverheadPercent).
const hiddenShare = 0.075

// reserved returns what AKS reserves on a node (https://learn.microsoft.com/azure/aks/node-resource-reservations): 60 m of
// one CPU, 100 m and 10 m for each CPU of more; 20 MB for each of 250 pods and 50 MB, at most a quarter.
func reserved(cpus int, memoryGiB float64) (reservedCPUs, reservedGiB float64) {
	const gib = 1 << 30
	return 0.1 + 0.01*float64(cpus), min((20*250+50)*1e6/gib, memoryGiB/4)
}

// component is what the cluster's resources have as parent.
type component struct {
	pulumi.ResourceState

	// ID of the cluster in Azure.
	ID pulumi.StringOutput `pulumi:"clusterId"`
	// Kubeconfig without a token; a secret.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
}

// builder is what every step needs.
type builder struct {
	ctx       *pulumi.Context
	name      string
	args      *Args
	component *component
	azure     *azurenative.Provider
}

// controlPlane is a cluster, created or looked up, as the GPU pool and the kubeconfig see it.
type controlPlane struct {
	// resourceGroup and name wait for the cluster, where it is created.
	resourceGroup, name pulumi.StringOutput
	id                  pulumi.StringOutput
	// issuer is the issuer of the ServiceAccounts' tokens; unset for a cluster that was there before.
	issuer pulumi.StringOutput
	// live is the cluster as it is, nil before it exists.
	live *live
	// subnet is for the nodes of the GPU pools, podSubnet for their pods; "" leaves them to AKS.
	subnet, podSubnet string
	// version is the Kubernetes version of the GPU pools; "" leaves it to AKS.
	version string
	// ready is what objects in the cluster have to wait for.
	ready []pulumi.Resource
	// tolerations let pods onto GPU nodes that were there before.
	tolerations []providers.Toleration
}

// New registers the cluster, or looks it up, adds the GPU pool and returns what the pipeline
// needs. Everything lies below one component called name.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	if err := args.Validate().Err(); err != nil {
		return nil, fmt.Errorf("AKS cluster %q: %w", args.ClusterName(), err)
	}
	b := &builder{ctx: ctx, name: name, args: args.withDefaults(), component: &component{}}
	if err := ctx.RegisterComponentResource(componentType, name, b.component, opts...); err != nil {
		return nil, fmt.Errorf("registering AKS cluster %q: %w", b.args.ClusterName(), err)
	}
	var err error
	if b.azure, err = b.newAzureProvider(); err != nil {
		return nil, err
	}

	var plane *controlPlane
	if b.args.Attaches() {
		plane, err = b.attach()
	} else {
		plane, err = b.create()
	}
	if err != nil {
		return nil, err
	}
	ready := slices.Clone(plane.ready)

	pools, err := b.newGPUPools(plane)
	if err != nil {
		return nil, err
	}
	for _, pool := range pools {
		ready = append(ready, pool)
	}
	if b.args.DeletionProtection && b.args.GPUPool != nil {
		if err := b.protect(plane, pools); err != nil {
			return nil, err
		}
	}
	return b.finish(plane, ready)
}

// finish registers the Kubernetes provider and returns the Cluster.
func (b *builder) finish(plane *controlPlane, ready []pulumi.Resource) (*providers.Cluster, error) {
	kubeconfig := b.kubeconfig(plane)
	// In lower case, because Azure answers with either.
	id := plane.id.ApplyT(strings.ToLower).(pulumi.StringOutput)
	provider, err := providers.NewKubernetesProvider(b.ctx, b.name+"-kubernetes", kubeconfig, id, ready, pulumi.Parent(b.component))
	if err != nil {
		return nil, err
	}
	b.component.ID, b.component.Kubeconfig = plane.id, kubeconfig
	if err := b.ctx.RegisterResourceOutputs(b.component, pulumi.Map{
		"clusterId": plane.id, "kubeconfig": kubeconfig,
	}); err != nil {
		return nil, fmt.Errorf("registering the outputs of AKS cluster %q: %w", b.args.ClusterName(), err)
	}
	buckets, err := b.newBucketAccess(plane)
	if err != nil {
		return nil, err
	}
	cluster := &providers.Cluster{
		Name:       b.args.ClusterName(),
		Kubectl:    "kubectl --context " + b.args.ClusterName(),
		Login:      b.args.login(),
		Provider:   provider,
		Ready:      ready,
		GPU:        b.args.mainScheduling(plane),
		OwnGPU:     b.args.OwnSchedulings(b.args.schedulingOn),
		GPUMetrics: providers.GPUMetrics{Source: providers.DCGMChart},
		// AKS installs the driver on NVIDIA sizes, but nothing that advertises the GPUs to the kubelet.
		InstallDevicePlugin: !b.args.DevicePluginInstalled,
		StorageClass:        b.args.StorageClass,
		Buckets:             buckets,
		CoreDNSScrapes:      true,
		AggregatedAPIPort:   aggregatedAPIPort,
		Kubeconfig:          kubeconfig,
		// ControlPlaneScrapes stays off: AKS hides etcd, the scheduler and the controller manager.
		// NodeAutoscaler stays nil: AKS runs one.
	}
	return cluster, cluster.Validate()
}

// mainScheduling returns what brings a pod to the GPU nodes of the main pool, or to those that were there before.
func (a *Args) mainScheduling(plane *controlPlane) providers.GPUScheduling {
	main := &providers.ServingPool{GPUsPerReplica: a.GPUsPerReplica}
	if a.GPUPool != nil {
		main.GPUPool = *a.GPUPool
	}
	s := a.schedulingOn(main)
	s.Tolerations = append(s.Tolerations, plane.tolerations...)
	return s
}

// schedulingOn returns what brings a pod to the nodes of a GPU pool.
func (a *Args) schedulingOn(pool *providers.ServingPool) providers.GPUScheduling {
	tolerations := []providers.Toleration{{Key: gpuResource, Operator: "Exists", Effect: "NoSchedule"}}
	if pool.Spot {
		tolerations = append(tolerations, spotToleration)
	}
	return providers.GPUScheduling{
		ResourceName: gpuResource,
		PerReplica:   pool.GPUsPerReplica,
		NodeSelector: a.Label(pool, map[string]string{gpuLabel: "true"}),
		Tolerations:  a.Tolerate(pool, tolerations),
	}
}

var spotToleration = providers.Toleration{Key: spotKey, Operator: "Equal", Value: spotValue, Effect: "NoSchedule"}

// newAzureProvider registers the provider of every Azure resource. Default providers are switched
// off. Who it logs in as is left to its environment (Azure CLI, ARM_* variables).
func (b *builder) newAzureProvider() (*azurenative.Provider, error) {
	args := &azurenative.ProviderArgs{}
	if b.args.SubscriptionID != "" {
		args.SubscriptionId = pulumi.String(b.args.SubscriptionID)
	}
	if b.args.TenantID != "" {
		args.TenantId = pulumi.String(b.args.TenantID)
	}
	provider, err := azurenative.NewProvider(b.ctx, b.name+"-azure", args, pulumi.Parent(b.component))
	if err != nil {
		return nil, fmt.Errorf("creating the Azure provider of AKS cluster %q: %w", b.args.ClusterName(), err)
	}
	return provider, nil
}

// options returns the options of every Azure resource, and more.
func (b *builder) options(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Parent(b.component), pulumi.Provider(b.azure)}, more...)
}

// tags returns the tags of every Azure resource that has tags.
func (a *Args) tags() pulumi.StringMapInput {
	if len(a.Tags) == 0 {
		return nil
	}
	return pulumi.ToStringMap(a.Tags)
}

// tagsWith returns the tags with a digest of the settings, see settingsTag.
func (b *builder) tagsWith(digest string) pulumi.StringMap {
	tags := pulumi.ToStringMap(b.args.Tags)
	tags[settingsTag] = pulumi.String(digest)
	return tags
}

// warn reports a setting that is probably not intended.
func (b *builder) warn(key, value, text string) error {
	return b.ctx.Log.Warn(fmt.Sprintf("%s:%s = %s: %s", b.args.Namespace, key, value, text), &pulumi.LogArgs{})
}

// after returns a value that is known already, but only to be used once the resource is there. In a
// preview it is unknown exactly when the resource is yet to be created or replaced; the resource's
// own outputs, but for its id, are unknown in the preview of every update. And what is given such a
// value is deleted and created again with the resource.
func after(resource pulumi.CustomResource, value string) pulumi.StringOutput {
	return resource.ID().ApplyT(func(pulumi.ID) string { return value }).(pulumi.StringOutput)
}

// optional returns nil for "".
func optional(value string) pulumi.StringPtrInput {
	if value == "" {
		return nil
	}
	return pulumi.String(value)
}

// list returns nil for an empty list.
func list(values []string) pulumi.StringArrayInput {
	if len(values) == 0 {
		return nil
	}
	return pulumi.ToStringArray(values)
}
