package eks

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// amiSystem is EKS' name of the image of nodes without GPUs. The SDK has no list of them.
const amiSystem = "AL2023_x86_64_STANDARD"

// gpuDiskThroughput is in MiB/s. The vLLM image of many GiB is written to and read from this disk
// before a new node answers its first request; gp3's 125 MiB/s would take most of that time. It is
// what 3,000 I/O operations, gp3's own number, allow with room (0.25 MiB/s each).
const gpuDiskThroughput = 500

// nodeGroup is what managed node groups differ in.
type nodeGroup struct {
	suffix        string
	pool          providers.NodePool
	instanceTypes []string
	ami           string
	subnets       pulumi.StringArray
	labels        map[string]string
	taints        eks.NodeGroupTaintArray
	throughput    int
}

// newSystemPool registers the node group for everything without a GPU.
func (b *builder) newSystemPool(plane *controlPlane) (*eks.NodeGroup, error) {
	pool := b.args.SystemPool
	return b.newNodeGroup(plane, nodeGroup{
		suffix: "system", pool: pool, instanceTypes: []string{pool.MachineType}, ami: amiSystem, subnets: plane.subnetsIn(pool.Zones),
	})
}

// newGPUPool registers the node group for vLLM and the tags by which it grows from zero.
func (b *builder) newGPUPool(plane *controlPlane) ([]pulumi.Resource, error) {
	pool := b.args.GPUPool
	subnets := plane.subnetsIn(pool.Zones)
	if len(b.args.GPUSubnetIDs) > 0 {
		subnets = pulumi.ToStringArray(b.args.GPUSubnetIDs)
	}
	group, err := b.newNodeGroup(plane, nodeGroup{
		suffix:        "gpu",
		pool:          pool.NodePool,
		instanceTypes: append([]string{pool.MachineType}, b.args.AlternativeInstanceTypes...),
		ami:           b.args.AMIType,
		subnets:       subnets,
		labels:        b.args.gpuLabels(),
		taints: eks.NodeGroupTaintArray{eks.NodeGroupTaintArgs{
			Key: pulumi.String(gpuResource), Value: pulumi.String(gpuTaintValue), Effect: pulumi.String("NO_SCHEDULE"),
		}},
		throughput: gpuDiskThroughput,
	})
	if err != nil {
		return nil, err
	}
	tags, err := b.newScaleFromZeroTags(group)
	if err != nil {
		return nil, err
	}
	return append([]pulumi.Resource{group}, tags...), nil
}

// gpuLabels returns the labels of a GPU node.
func (a *Args) gpuLabels() map[string]string {
	return map[string]string{gpuLabel: "true", acceleratorLabel: a.GPUPool.Accelerator}
}

// newNodeGroup registers a managed node group with its role and launch template.
func (b *builder) newNodeGroup(plane *controlPlane, g nodeGroup) (*eks.NodeGroup, error) {
	// The CNI policy is the node's: aws-node has to work before the Pod Identity agent does. With hop
	// limit 1 no pod without host networking reaches the node's credentials.
	nodeRole, err := b.newRole(g.suffix+"-node", trustService("ec2.amazonaws.com"),
		"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
	if err != nil {
		return nil, err
	}
	template, err := b.newLaunchTemplate(g)
	if err != nil {
		return nil, err
	}
	capacity := "ON_DEMAND"
	if g.pool.Spot {
		capacity = "SPOT"
	}
	args := &eks.NodeGroupArgs{
		ClusterName: plane.name,
		// A prefix, because a group is replaced, new one first, when its machine type, image, zones or
		// kind of capacity changes.
		NodeGroupNamePrefix: pulumi.String(g.suffix + "-"),
		NodeRoleArn:         nodeRole.Arn,
		SubnetIds:           g.subnets,
		AmiType:             pulumi.String(g.ami),
		CapacityType:        pulumi.String(capacity),
		InstanceTypes:       pulumi.ToStringArray(g.instanceTypes),
		Labels:              pulumi.ToStringMap(g.labels),
		Taints:              g.taints,
		LaunchTemplate: eks.NodeGroupLaunchTemplateArgs{
			Id:      template.ID().ToStringOutput().ToStringPtrOutput(),
			Version: template.LatestVersion.ApplyT(strconv.Itoa).(pulumi.StringOutput),
		},
		ScalingConfig: eks.NodeGroupScalingConfigArgs{
			MinSize: pulumi.Int(g.pool.MinNodes), MaxSize: pulumi.Int(g.pool.MaxNodes), DesiredSize: pulumi.Int(g.pool.MinNodes),
		},
		UpdateConfig: eks.NodeGroupUpdateConfigArgs{MaxUnavailable: pulumi.Int(1)},
		Version:      plane.version,
	}
	waitFor := append(append([]pulumi.Resource{}, plane.nodesWaitFor...), nodeRole.ready...)
	group, err := eks.NewNodeGroup(b.ctx, b.resourceName(g.suffix), args, b.options(
		// Nodes need their permissions, network and CNI to join, and to leave: without the role EKS
		// cannot delete the group's interfaces.
		pulumi.DependsOn(waitFor),
		// The node autoscaler owns the number of nodes.
		pulumi.IgnoreChanges([]string{"scalingConfig.desiredSize"}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("registering node group %q: %w", g.suffix, err)
	}
	return group, nil
}

// newLaunchTemplate registers what a node group has no setting for: disk and metadata service.
func (b *builder) newLaunchTemplate(g nodeGroup) (*ec2.LaunchTemplate, error) {
	tags := pulumi.ToStringMap(b.args.Tags)
	maps.Copy(tags, b.nameTag(g.suffix))
	var tagged ec2.LaunchTemplateTagSpecificationArray
	// Neither the provider's default tags nor the node group's reach what the template starts.
	for _, kind := range []string{"instance", "volume", "network-interface"} {
		tagged = append(tagged, ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String(kind), Tags: maps.Clone(tags)})
	}
	template, err := ec2.NewLaunchTemplate(b.ctx, b.resourceName(g.suffix), &ec2.LaunchTemplateArgs{
		Description:         pulumi.String(fmt.Sprintf("EKS cluster %s, %s nodes", b.args.ClusterName(), g.suffix)),
		BlockDeviceMappings: g.disks(),
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"),
			// Version 2 only, and out of reach of pods: they would get the node's permissions from it.
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		UpdateDefaultVersion: pulumi.Bool(true),
		TagSpecifications:    tagged,
		Tags:                 b.nameTag(g.suffix),
	}, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the launch template of node group %q: %w", g.suffix, err)
	}
	return template, nil
}

// disks returns a node's volumes. Bottlerocket keeps images and containers on a second one.
func (g nodeGroup) disks() ec2.LaunchTemplateBlockDeviceMappingArray {
	data := ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
		VolumeType:          pulumi.String("gp3"),
		VolumeSize:          pulumi.Int(g.pool.DiskGiB),
		Encrypted:           pulumi.String("true"),
		DeleteOnTermination: pulumi.String("true"),
	}
	if g.throughput > 0 {
		data.Throughput = pulumi.Int(g.throughput)
	}
	if g.ami != Bottlerocket {
		return ec2.LaunchTemplateBlockDeviceMappingArray{
			ec2.LaunchTemplateBlockDeviceMappingArgs{DeviceName: pulumi.String("/dev/xvda"), Ebs: data},
		}
	}
	return ec2.LaunchTemplateBlockDeviceMappingArray{
		ec2.LaunchTemplateBlockDeviceMappingArgs{
			DeviceName: pulumi.String("/dev/xvda"),
			// The operating system's, as large as its image.
			Ebs: ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
				VolumeType: pulumi.String("gp3"), Encrypted: pulumi.String("true"), DeleteOnTermination: pulumi.String("true"),
			},
		},
		ec2.LaunchTemplateBlockDeviceMappingArgs{DeviceName: pulumi.String("/dev/xvdb"), Ebs: data},
	}
}
