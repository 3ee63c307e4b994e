package eks

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	// componentType is the Pulumi type that everything of the cluster lies below.
	componentType = "vllm-autoscaling:providers:EKSCluster"

	gpuResource = "nvidia.com/gpu"
	// gpuTaintValue makes the taint the same as on every other cloud: nvidia.com/gpu=present:NoSchedule.
	gpuTaintValue = "present"
	// gpuLabel is what the charts of NVIDIA and our own selector look for. The AL2023 image may set it
	// itself; stating it does not depend on that.
	gpuLabel = "nvidia.com/gpu.present"
	// acceleratorLabel marks nodes that will have GPUs for cluster-autoscaler, so that it waits for the device plugin instead of
	// adding a second node.
	acceleratorLabel = "k8s.amazonaws.com/accelerator"

	// aggregatedAPIPort is open to the control plane like every port: nodes carry the security group
	// of the cluster, which allows all traffic within itself.
	aggregatedAPIPort = 10250
)

// Name is the value of the key cloud.
const Name = "eks"

// Cloud describes Amazon EKS.
func Cloud() providers.Cloud {
	return providers.Cloud{
		Name:     Name,
		Title:    "Amazon EKS",
		NewKeys:  func() any { return &Keys{AMIType: AL2023} },
		Validate: func(r *providers.Request) providers.Problems { return argsOf(r).Validate() },
		New: func(ctx *pulumi.Context, name string, r *providers.Request) (*providers.Cluster, error) {
			return New(ctx, name, argsOf(r))
		},
		Login: func(*providers.Request) (program, install string) {
			return authProgram, "see https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
		},
		MakesNodes:         true,
		BucketScheme:       providers.SchemeS3,
		Versions:           true,
		Machines:           machines,
		Alternatives:       alternatives,
		LocalDisk:          localDisk,
		DefaultAccelerator: "nvidia-l4",
		SystemPool:         defaultSystemPool,
		GPUPool:            defaultGPUPool,
		Examples: map[string]string{
			"model.bucket":                 "s3://example-models/gemma-3-4b-it",
			"nodePools.system.machineType": "m6i.xlarge", "nodePools.system.zones": "[us-east-1a]",
			"nodePools.gpu.accelerator": "nvidia-l40s", "nodePools.gpu.machineType": "g6.2xlarge", "nodePools.gpu.zones": "[us-east-1a]",
		},
		Required:   map[string]any{"eks.region": "us-east-1", "eks.zones": []any{"us-east-1a", "us-east-1b"}},
		Node:       providers.NodeRoom{Reserved: reserved, HiddenShare: hiddenShare},
		Gateways:   gateways,
		SpotNotice: spotNotice,
		MaxName:    maxName,
		ValidName:  func(r *providers.Request) bool { return validName(r.Name) },
	}
}

// alternatives returns the further types of the GPU nodes that the cloud's own keys list.
func alternatives(keys any) []string {
	own, ok := keys.(*Keys)
	if !ok {
		return nil
	}
	return own.AlternativeInstanceTypes
}

// hiddenShare is what Karpenter assumes that the hypervisor takes of a machine's memory (vmMemoryOverheadPercent).
const hiddenShare = 0.075

// reserved returns what the AMIs reserve on a node (https://github.com/awslabs/amazon-eks-ami, nodeadm): CPUs as on GKE;
// 255 MiB and 11 MiB for each pod that the network allows, which for the smallest types is 58.
func reserved(cpus int, _ float64) (reservedCPUs, reservedGiB float64) {
	pods := 58.0
	if cpus > 8 {
		pods = 234
	}
	return providers.Steps(float64(cpus), providers.CPUSteps), (255 + 11*pods) / 1024
}

// component is what the cluster's resources have as parent.
type component struct {
	pulumi.ResourceState

	// ARN of the cluster.
	ARN pulumi.StringOutput `pulumi:"arn"`
	// Endpoint of its API server.
	Endpoint pulumi.StringOutput `pulumi:"endpoint"`
	// Kubeconfig without a token; a secret.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
}

// builder is what every step needs.
type builder struct {
	ctx  *pulumi.Context
	name string
	args *Args
	// systemNodesGiven reports whether the stack's file states the least number of system nodes.
	systemNodesGiven bool
	component        *component
	aws              *aws.Provider
}

// controlPlane is a cluster, created or looked up, as the node groups and the kubeconfig see it.
type controlPlane struct {
	// name waits for the cluster, where it is created.
	name                                pulumi.StringOutput
	arn, endpoint, certificateAuthority pulumi.StringOutput
	// version is its Kubernetes version, nodeVersion the one to give to nodes; nil lets EKS take the cluster's.
	version     pulumi.StringInput
	nodeVersion pulumi.StringPtrInput
	// subnets that nodes may live in.
	subnets []nodeSubnet
	// nodeSecurityGroups are the security groups that GPU nodes get; nil for the cluster's own alone.
	nodeSecurityGroups []string
	// nodesWaitFor is what a node needs to become ready, and to leave in order.
	nodesWaitFor []pulumi.Resource
}

// New registers the cluster, or looks it up, adds the GPU node group and returns what the pipeline
// needs. Everything lies below one component called name.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	if err := args.Validate().Err(); err != nil {
		return nil, fmt.Errorf("EKS cluster %q: %w", args.ClusterName(), err)
	}
	b := &builder{ctx: ctx, name: name, args: args.withDefaults(), systemNodesGiven: args.SystemPool.MinNodes != 0, component: &component{}}
	if err := ctx.RegisterComponentResource(componentType, name, b.component, opts...); err != nil {
		return nil, fmt.Errorf("registering EKS cluster %q: %w", b.args.ClusterName(), err)
	}
	var err error
	if b.aws, err = b.newAWSProvider(); err != nil {
		return nil, err
	}

	var plane *controlPlane
	var ready []pulumi.Resource
	if b.args.Attaches() {
		plane, err = b.attach()
	} else {
		plane, ready, err = b.create()
	}
	if err != nil {
		return nil, err
	}

	pools, err := b.newGPUPools(plane)
	if err != nil {
		return nil, err
	}
	ready = append(ready, pools...)
	autoscaler, permissions, err := b.newNodeAutoscaler(plane)
	if err != nil {
		return nil, err
	}
	ready = append(ready, permissions...)

	return b.finish(plane, autoscaler, ready)
}

// create registers network, cluster, add-ons and system pool. The second result is what objects in
// the cluster have to wait for.
func (b *builder) create() (*controlPlane, []pulumi.Resource, error) {
	network, err := b.newNetwork()
	if err != nil {
		return nil, nil, err
	}
	cluster, err := b.newCluster(network)
	if err != nil {
		return nil, nil, err
	}
	plane := &controlPlane{
		name: cluster.Name, arn: cluster.Arn, endpoint: cluster.Endpoint,
		certificateAuthority: cluster.CertificateAuthority.Data().Elem(),
		version:              cluster.Version,
		subnets:              network.private,
		nodesWaitFor:         network.routes,
	}
	if b.args.KubernetesVersion != "" {
		// The output, not the value, so that nodes are upgraded after the control plane.
		plane.nodeVersion = cluster.Version
	}
	early, err := b.newEarlyAddons(plane)
	if err != nil {
		return nil, nil, err
	}
	volumes, err := b.newVolumeDriverRole()
	if err != nil {
		return nil, nil, err
	}
	plane.nodesWaitFor = append(plane.nodesWaitFor, early...)
	// On destroy, the driver goes on deleting volumes until its nodes are gone; its role must live as
	// long.
	plane.nodesWaitFor = append(plane.nodesWaitFor, volumes.ready...)

	system, err := b.newSystemPool(plane)
	if err != nil {
		return nil, nil, err
	}
	late, err := b.newLateAddons(plane, volumes, system)
	if err != nil {
		return nil, nil, err
	}
	return plane, append([]pulumi.Resource{system}, late...), nil
}

// finish registers the Kubernetes provider and returns the Cluster.
func (b *builder) finish(plane *controlPlane, autoscaler *providers.NodeAutoscaler, ready []pulumi.Resource) (*providers.Cluster, error) {
	kubeconfig := b.kubeconfig(plane)
	provider, err := providers.NewKubernetesProvider(b.ctx, b.name+"-kubernetes", kubeconfig, plane.arn, ready, pulumi.Parent(b.component))
	if err != nil {
		return nil, err
	}
	b.component.ARN, b.component.Endpoint, b.component.Kubeconfig = plane.arn, plane.endpoint, kubeconfig
	if err := b.ctx.RegisterResourceOutputs(b.component, pulumi.Map{
		"arn": plane.arn, "endpoint": plane.endpoint, "kubeconfig": kubeconfig,
	}); err != nil {
		return nil, fmt.Errorf("registering the outputs of EKS cluster %q: %w", b.args.ClusterName(), err)
	}
	buckets, err := b.newBucketAccess(plane)
	if err != nil {
		return nil, err
	}
	cluster := &providers.Cluster{
		Name:                b.args.ClusterName(),
		Kubectl:             "kubectl --context " + b.args.ClusterName(),
		Login:               b.args.login(),
		Provider:            provider,
		Ready:               ready,
		GPU:                 b.args.gpuScheduling(),
		OwnGPU:              b.args.OwnSchedulings(b.args.schedulingOn),
		GPUMetrics:          providers.GPUMetrics{Source: providers.DCGMChart},
		InstallDevicePlugin: b.args.installsDevicePlugin(),
		// GPU nodes that were there before have one. It need not tolerate the taint of the servers' own pools.
		MainDevicePlugin: b.args.GPUPool == nil,
		// An image of Amazon Linux of April 2026 gave GPUs to no container without it (awslabs/amazon-eks-ami#2706).
		DevicePluginCapabilities: []string{"SYS_ADMIN"},
		StorageClass:             b.args.StorageClass,
		CoreDNSScrapes:           true,
		AggregatedAPIPort:        aggregatedAPIPort,
		Kubeconfig:               kubeconfig,
		NodeAutoscaler:           autoscaler,
		Buckets:                  buckets,
		// ControlPlaneScrapes stays off: EKS hides etcd, the scheduler and the controller manager.
	}
	return cluster, cluster.Validate()
}

// gpuScheduling returns what brings a pod to the GPU nodes of the main pool, or to those that were there before.
func (a *Args) gpuScheduling() providers.GPUScheduling {
	if a.GPUPool == nil {
		return scheduling(a.GPUsPerReplica, map[string]string{gpuLabel: "true"})
	}
	return a.schedulingOn(a.GPUPools()[0])
}

// schedulingOn returns what brings a pod to the nodes of a GPU pool.
func (a *Args) schedulingOn(pool *providers.ServingPool) providers.GPUScheduling {
	s := scheduling(pool.GPUsPerReplica, a.gpuLabels(pool))
	s.Tolerations = a.Tolerate(pool, s.Tolerations)
	return s
}

// scheduling returns what brings a pod to GPU nodes. Spot nodes have no taint of their own on EKS.
func scheduling(gpus int, nodes map[string]string) providers.GPUScheduling {
	return providers.GPUScheduling{
		ResourceName: gpuResource, PerReplica: gpus, NodeSelector: nodes,
		Tolerations: []providers.Toleration{{Key: gpuResource, Operator: "Exists", Effect: "NoSchedule"}},
	}
}

// newAWSProvider registers the provider of every AWS resource. Default providers are switched off.
func (b *builder) newAWSProvider() (*aws.Provider, error) {
	args := &aws.ProviderArgs{Region: pulumi.String(b.args.Region)}
	if b.args.Profile != "" {
		args.Profile = pulumi.String(b.args.Profile)
	}
	if b.args.AccountID != "" {
		args.AllowedAccountIds = pulumi.ToStringArray([]string{b.args.AccountID})
	}
	if b.args.RoleARN != "" {
		args.AssumeRole = aws.ProviderAssumeRoleArgs{RoleArn: pulumi.String(b.args.RoleARN)}
	}
	if len(b.args.Tags) > 0 {
		args.DefaultTags = aws.ProviderDefaultTagsArgs{Tags: pulumi.ToStringMap(b.args.Tags)}
	}
	provider, err := aws.NewProvider(b.ctx, b.name+"-aws", args, pulumi.Parent(b.component))
	if err != nil {
		return nil, fmt.Errorf("creating the AWS provider of EKS cluster %q: %w", b.args.ClusterName(), err)
	}
	return provider, nil
}

// options returns the options of every AWS resource, and more.
func (b *builder) options(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Parent(b.component), pulumi.Provider(b.aws)}, more...)
}

// resourceName returns the Pulumi name of one of the cluster's resources.
func (b *builder) resourceName(suffix string) string { return b.name + "-" + suffix }

// nameTag returns what AWS' console shows as a resource's name.
func (b *builder) nameTag(suffix string) pulumi.StringMap {
	return pulumi.StringMap{"Name": pulumi.String(b.args.ClusterName() + "-" + suffix)}
}
