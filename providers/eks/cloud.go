package eks

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
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
	// acceleratorLabel tells cluster-autoscaler that a node will have GPUs, so that it waits for the
	// device plugin in place of adding a second node.
	acceleratorLabel = "k8s.amazonaws.com/accelerator"

	// aggregatedAPIPort is open to the control plane like every port: nodes carry the security group
	// of the cluster, which allows all traffic within itself.
	aggregatedAPIPort = 10250
)

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
	ctx       *pulumi.Context
	name      string
	args      *Args
	component *component
	aws       *aws.Provider
}

// controlPlane is a cluster, created or looked up, as the node groups and the kubeconfig see it.
type controlPlane struct {
	// name waits for the cluster, where it is created.
	name                                pulumi.StringOutput
	arn, endpoint, certificateAuthority pulumi.StringOutput
	// version is the one to give to nodes; nil lets EKS take the cluster's.
	version pulumi.StringPtrInput
	// subnets that nodes may live in, and the zone of each where this program chose it.
	subnets []nodeSubnet
	// nodesWaitFor is what a node needs to become ready, and to leave in order.
	nodesWaitFor []pulumi.Resource
}

// New creates the cluster, or looks it up, adds the GPU node group and returns what the pipeline
// has to know. Everything lies below one component called name.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*providers.Cluster, error) {
	if err := args.Validate(); err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, name: name, args: args.withDefaults(), component: &component{}}
	if err := ctx.RegisterComponentResource(componentType, name, b.component, opts...); err != nil {
		return nil, fmt.Errorf("registering EKS cluster %q: %w", b.args.clusterName(), err)
	}
	var err error
	if b.aws, err = b.newAWSProvider(); err != nil {
		return nil, err
	}

	var plane *controlPlane
	var ready []pulumi.Resource
	if b.args.Existing == "" {
		plane, ready, err = b.create()
	} else {
		plane, err = b.attach()
	}
	if err != nil {
		return nil, err
	}

	if b.args.GPUPool != nil {
		pool, err := b.newGPUPool(plane)
		if err != nil {
			return nil, err
		}
		ready = append(ready, pool...)
	}
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
		subnets:              network.private,
		nodesWaitFor:         network.routes,
	}
	if b.args.Version != "" {
		// The output, not the value, so that nodes are upgraded after the control plane.
		plane.version = cluster.Version
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

// finish builds the Kubernetes provider and the Cluster.
func (b *builder) finish(plane *controlPlane, autoscaler *providers.NodeAutoscaler, ready []pulumi.Resource) (*providers.Cluster, error) {
	kubeconfig := b.kubeconfig(plane)
	provider, err := kubernetes.NewProvider(b.ctx, b.name+"-kubernetes", &kubernetes.ProviderArgs{
		Kubeconfig: kubeconfig,
		// The provider, and with it every object, is replaced only with the cluster, not when its
		// kubeconfig is unknown in a preview or changes a flag.
		ClusterIdentifier: plane.arn,
		// The HPA owns the replicas of the Deployment; only server-side apply knows who owns a field.
		EnableServerSideApply: pulumi.Bool(true),
		// A dashboard changes in place; by default the provider replaces a ConfigMap, so that pods which mount it
		// restart, and none does here.
		EnableConfigMapMutable: pulumi.Bool(true),
		// All nodes, add-ons and permissions: on destroy, every object goes while there are still nodes
		// to run its finalizers and a driver to delete its volume.
	}, pulumi.Parent(b.component), pulumi.DependsOn(ready))
	if err != nil {
		return nil, fmt.Errorf("creating the Kubernetes provider of EKS cluster %q: %w", b.args.clusterName(), err)
	}
	b.component.ARN, b.component.Endpoint, b.component.Kubeconfig = plane.arn, plane.endpoint, kubeconfig
	if err := b.ctx.RegisterResourceOutputs(b.component, pulumi.Map{
		"arn": plane.arn, "endpoint": plane.endpoint, "kubeconfig": kubeconfig,
	}); err != nil {
		return nil, fmt.Errorf("registering the outputs of EKS cluster %q: %w", b.args.clusterName(), err)
	}
	cluster := &providers.Cluster{
		Name:                b.args.clusterName(),
		Kubectl:             "kubectl --context " + b.args.clusterName(),
		Login:               b.args.login(),
		Provider:            provider,
		Ready:               ready,
		GPU:                 b.args.gpuScheduling(),
		GPUMetrics:          providers.GPUMetrics{Source: providers.DCGMChart},
		InstallDevicePlugin: b.args.installsDevicePlugin(),
		StorageClass:        b.args.StorageClass,
		AggregatedAPIPort:   aggregatedAPIPort,
		Kubeconfig:          kubeconfig,
		NodeAutoscaler:      autoscaler,
		// ControlPlaneScrapes stays off: EKS hides etcd, the scheduler and the controller manager.
	}
	return cluster, cluster.Validate()
}

// login is AWS' command that gives kubectl a context. It is called like the cluster, whose ARN, AWS'
// own choice, is only known after its creation.
func (a *Args) login() string {
	command := fmt.Sprintf("aws eks update-kubeconfig --region %s --name %s --alias %[2]s", a.Region, a.clusterName())
	if a.RoleARN != "" {
		command += " --role-arn " + a.RoleARN
	}
	if a.Profile != "" {
		command += " --profile " + a.Profile
	}
	return command
}

// gpuScheduling brings a pod to the GPU nodes. Spot nodes have no taint of their own on EKS.
func (a *Args) gpuScheduling() providers.GPUScheduling {
	selector := map[string]string{gpuLabel: "true"}
	if a.GPUPool != nil {
		selector[acceleratorLabel] = a.GPUPool.Accelerator
	}
	return providers.GPUScheduling{
		ResourceName: gpuResource,
		PerReplica:   a.GPUsPerReplica,
		NodeSelector: selector,
		Tolerations:  []providers.Toleration{{Key: gpuResource, Operator: "Exists", Effect: "NoSchedule"}},
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
		return nil, fmt.Errorf("creating the AWS provider of EKS cluster %q: %w", b.args.clusterName(), err)
	}
	return provider, nil
}

// options are those of every AWS resource, and more.
func (b *builder) options(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Parent(b.component), pulumi.Provider(b.aws)}, more...)
}

// resourceName is the Pulumi name of one of the cluster's resources.
func (b *builder) resourceName(suffix string) string { return b.name + "-" + suffix }

// nameTag is what AWS' console shows as a resource's name.
func (b *builder) nameTag(suffix string) pulumi.StringMap {
	return pulumi.StringMap{"Name": pulumi.String(b.args.clusterName() + "-" + suffix)}
}
