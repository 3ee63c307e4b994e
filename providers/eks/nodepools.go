package eks

import (
	"fmt"
	"maps"
	"slices"
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

// PoolTag is the tag of a node group with the name of its pool, the same for the groups of all zones. The limits of these
// groups do not add up: each may grow to the pool's maximum, so that one zone can stand in for another.
const PoolTag = "vllm-autoscaling.pool"

// nodePool is what managed node groups differ in. All groups of a pool have the same nodes.
type nodePool struct {
	suffix         string
	pool           providers.NodePool
	instanceTypes  []string
	ami            string
	releaseVersion string
	labels         map[string]string
	taints         eks.NodeGroupTaintArray
	throughput     int
	securityGroups []string
	capacity       capacity
	settings       nodeSettings

	role     *role
	template *ec2.LaunchTemplate
}

// newSystemPool registers the node group for everything without a GPU. It is one group over all its zones, with a node in
// each at least: the volume of Prometheus is in one zone, and Auto Scaling keeps a node there.
func (b *builder) newSystemPool(plane *controlPlane) (*eks.NodeGroup, error) {
	pool := b.args.SystemPool
	nodes, err := b.newPool(nodePool{
		suffix: "system", pool: pool, instanceTypes: []string{pool.MachineType}, ami: amiSystem, releaseVersion: b.args.SystemReleaseVersion,
		capacity: capacity{spot: pool.Spot},
	})
	if err != nil {
		return nil, err
	}
	return b.newNodeGroup(plane, nodes, nodes.suffix, plane.subnetsIn(pool.Zones), pool.MinNodes)
}

// fitSystemPool gives the system pool a node in each zone of given subnets, whose zones Validate does not have. It refuses
// fewer nodes that the stack's file states.
func (b *builder) fitSystemPool(subnets []nodeSubnet) error {
	pool, zones := &b.args.SystemPool, zonesOf(subnets)
	if !b.systemNodesGiven {
		pool.MinNodes = max(pool.MinNodes, len(zones))
		pool.MaxNodes = max(pool.MaxNodes, pool.MinNodes)
	}
	var p providers.Problems
	validateSystemZones(&p, *pool, zones)
	return p.Err()
}

// newGPUPools registers the GPU pools: the main one and those of single servers.
func (b *builder) newGPUPools(plane *controlPlane) ([]pulumi.Resource, error) {
	var given []nodeSubnet
	if len(b.args.GPUSubnetIDs) > 0 && b.args.CreatesGPUPools() {
		var err error
		if given, err = b.lookUpSubnets("eks.gpuSubnetIds", b.args.GPUSubnetIDs, false); err != nil {
			return nil, err
		}
	}
	var all []pulumi.Resource
	for _, pool := range b.args.GPUPools() {
		subnets := given
		if subnets == nil {
			subnets = plane.subnetsIn(pool.Zones)
		}
		made, err := b.newGPUPool(plane, pool, subnets)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	return all, nil
}

// newGPUPool registers the node groups for models, one in each zone, and the tags by which they grow from zero. A group over
// several zones would be rebalanced: Auto Scaling then ends nodes that serve, without regard to PodDisruptionBudgets.
func (b *builder) newGPUPool(plane *controlPlane, pool *providers.ServingPool, subnets []nodeSubnet) ([]pulumi.Resource, error) {
	zones := zonesOf(subnets)
	if !pool.Own() {
		if err := b.args.checkOneZone(zones); err != nil {
			return nil, err
		}
	}
	p, err := b.newPool(nodePool{
		suffix:         pool.Suffix(),
		pool:           pool.NodePool,
		instanceTypes:  b.args.instanceTypes(pool),
		ami:            b.args.AMIType,
		releaseVersion: b.args.ReleaseVersion,
		labels:         b.args.gpuLabels(pool),
		taints:         nodeTaints(b.args.gpuTaints(pool)),
		throughput:     gpuDiskThroughput,
		securityGroups: plane.nodeSecurityGroups,
		capacity:       b.args.gpuCapacity(pool),
		settings:       b.args.gpuNodeSettings(pool),
	})
	if err != nil {
		return nil, err
	}
	var all []pulumi.Resource
	for i, zone := range zones {
		suffix := p.suffix + "-" + b.args.zoneLetter(zone)
		inZone := slices.DeleteFunc(slices.Clone(subnets), func(s nodeSubnet) bool { return s.zone != zone })
		group, err := b.newNodeGroup(plane, p, suffix, inZone, share(pool.MinNodes, len(zones), i))
		if err != nil {
			return nil, err
		}
		tags, err := b.newScaleFromZeroTags(group, pool, suffix)
		if err != nil {
			return nil, err
		}
		all = append(append(all, group), tags...)
	}
	return all, nil
}

// share returns how many of n nodes are in the i-th of several zones: equally many in each, and the rest in the first ones.
func share(n, zones, i int) int {
	if i < n%zones {
		return n/zones + 1
	}
	return n / zones
}

// instanceTypes returns the machine types of a GPU pool. The alternatives are those to the main pool's machine type.
func (a *Args) instanceTypes(pool *providers.ServingPool) []string {
	if pool.Own() {
		return []string{pool.MachineType}
	}
	return append([]string{pool.MachineType}, a.AlternativeInstanceTypes...)
}

// gpuLabels returns the labels of a node of a GPU pool.
func (a *Args) gpuLabels(pool *providers.ServingPool) map[string]string {
	return a.Label(pool, map[string]string{gpuLabel: "true", acceleratorLabel: pool.Accelerator})
}

// gpuTaints returns the values of the taints of a node of a GPU pool, by key. The effect of each is NoSchedule.
func (a *Args) gpuTaints(pool *providers.ServingPool) map[string]string {
	return a.Label(pool, map[string]string{gpuResource: gpuTaintValue})
}

// nodeTaints returns taints with the effect NoSchedule, given their values by key, as EKS describes them.
func nodeTaints(values map[string]string) eks.NodeGroupTaintArray {
	var taints eks.NodeGroupTaintArray
	for _, key := range slices.Sorted(maps.Keys(values)) {
		taints = append(taints, eks.NodeGroupTaintArgs{
			Key: pulumi.String(key), Value: pulumi.String(values[key]), Effect: pulumi.String("NO_SCHEDULE"),
		})
	}
	return taints
}

// newPool registers the role and the launch template of a pool's nodes.
func (b *builder) newPool(p nodePool) (*nodePool, error) {
	var err error
	// The CNI policy is the node's: aws-node has to work before the Pod Identity agent does. With hop
	// limit 1 no pod without host networking reaches the node's credentials.
	if p.role, err = b.newRole(p.suffix+"-node", trustService("ec2.amazonaws.com"),
		"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"); err != nil {
		return nil, err
	}
	p.template, err = b.newLaunchTemplate(p)
	return &p, err
}

// newNodeGroup registers a managed node group of a pool, which starts with its least number of nodes.
func (b *builder) newNodeGroup(plane *controlPlane, p *nodePool, suffix string, subnets []nodeSubnet, minNodes int) (*eks.NodeGroup, error) {
	args := &eks.NodeGroupArgs{
		ClusterName: plane.name,
		// A prefix, because a group is replaced, new one first, when its machine type, image, zones or
		// kind of capacity changes.
		NodeGroupNamePrefix: pulumi.String(suffix + "-"),
		NodeRoleArn:         p.role.Arn,
		SubnetIds:           subnetIDs(subnets),
		AmiType:             pulumi.String(p.ami),
		CapacityType:        pulumi.String(p.capacity.kind()),
		InstanceTypes:       p.capacity.groupTypes(p.instanceTypes),
		Labels:              pulumi.ToStringMap(p.labels),
		Taints:              p.taints,
		LaunchTemplate: eks.NodeGroupLaunchTemplateArgs{
			Id:      p.template.ID().ToStringOutput().ToStringPtrOutput(),
			Version: p.template.LatestVersion.ApplyT(strconv.Itoa).(pulumi.StringOutput),
		},
		ScalingConfig: eks.NodeGroupScalingConfigArgs{
			MinSize: pulumi.Int(minNodes), MaxSize: pulumi.Int(p.pool.MaxNodes), DesiredSize: pulumi.Int(minNodes),
		},
		UpdateConfig: eks.NodeGroupUpdateConfigArgs{MaxUnavailable: pulumi.Int(1)},
		Version:      plane.nodeVersion,
		Tags:         pulumi.StringMap{PoolTag: pulumi.String(p.suffix)},
	}
	if p.releaseVersion != "" {
		args.ReleaseVersion = pulumi.String(p.releaseVersion)
	}
	waitFor := append(append([]pulumi.Resource{}, plane.nodesWaitFor...), p.role.ready...)
	group, err := eks.NewNodeGroup(b.ctx, b.resourceName(suffix), args, b.options(
		// Nodes need their permissions, network and CNI to join, and to leave: without the role EKS
		// cannot delete the group's interfaces.
		pulumi.DependsOn(waitFor),
		// The node autoscaler owns the number of nodes.
		pulumi.IgnoreChanges([]string{"scalingConfig.desiredSize"}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("registering node group %q: %w", suffix, err)
	}
	return group, nil
}

// whenCreated returns a value that depends on a node group, or an error where EKS has given up creating the group. The AWS
// provider records such a group, and treats it as created at the next update, which has nothing to change.
func whenCreated(group *eks.NodeGroup, value func(resources []eks.NodeGroupResource) (string, error)) pulumi.StringOutput {
	return pulumi.All(group.URN(), group.NodeGroupName, group.Status, group.Resources).ApplyT(func(args []any) (string, error) {
		if args[2].(string) == "CREATE_FAILED" {
			return "", fmt.Errorf("EKS could not create node group %v: the account lacks the quota for its machines, or the zone has none, "+
				"among other reasons (`aws eks describe-nodegroup` shows which; docs/eks.md lists the quotas). "+
				"A failed group never recovers: once the reason is gone, run `pulumi up --replace '%v'`", args[1], args[0])
		}
		return value(args[3].([]eks.NodeGroupResource))
	}).(pulumi.StringOutput)
}

// newLaunchTemplate registers what a node group has no setting for: disk, metadata service and reservation.
func (b *builder) newLaunchTemplate(p nodePool) (*ec2.LaunchTemplate, error) {
	tags := pulumi.ToStringMap(b.args.Tags)
	maps.Copy(tags, b.nameTag(p.suffix))
	var tagged ec2.LaunchTemplateTagSpecificationArray
	// Neither the provider's default tags nor the node group's reach what the template starts.
	for _, kind := range []string{"instance", "volume", "network-interface"} {
		tagged = append(tagged, ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String(kind), Tags: maps.Clone(tags)})
	}
	args := &ec2.LaunchTemplateArgs{
		Description:         pulumi.String(fmt.Sprintf("EKS cluster %s, %s nodes", b.args.ClusterName(), p.suffix)),
		BlockDeviceMappings: p.disks(),
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"),
			// Version 2 only, and out of reach of pods: they would get the node's permissions from it.
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		UpdateDefaultVersion: pulumi.Bool(true),
		TagSpecifications:    tagged,
		Tags:                 b.nameTag(p.suffix),
	}
	p.capacity.addTo(args, p.instanceTypes[0])
	p.settings.addTo(args)
	// Without any, EKS gives nodes the cluster's.
	if len(p.securityGroups) > 0 {
		args.VpcSecurityGroupIds = pulumi.ToStringArray(p.securityGroups)
	}
	template, err := ec2.NewLaunchTemplate(b.ctx, b.resourceName(p.suffix), args, b.options()...)
	if err != nil {
		return nil, fmt.Errorf("registering the launch template of node group %q: %w", p.suffix, err)
	}
	return template, nil
}

// disks returns a node's volumes. Bottlerocket keeps images and containers on a second one.
func (p nodePool) disks() ec2.LaunchTemplateBlockDeviceMappingArray {
	data := ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
		VolumeType:          pulumi.String("gp3"),
		VolumeSize:          pulumi.Int(p.pool.DiskGiB),
		Encrypted:           pulumi.String("true"),
		DeleteOnTermination: pulumi.String("true"),
	}
	if p.throughput > 0 {
		data.Throughput = pulumi.Int(p.throughput)
	}
	p.settings.disk(&data)
	if p.ami != Bottlerocket {
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
