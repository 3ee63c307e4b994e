package eks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

const (
	autoscalerNamespace = "kube-system"
	autoscalerAccount   = "cluster-autoscaler"

	// autoscalerTag begins the tags of Auto Scaling groups that cluster-autoscaler reads (its AWS
	// README). EKS sets autoscalerTag/enabled and autoscalerTag/<cluster> itself.
	autoscalerTag = "k8s.io/cluster-autoscaler"

	// usableDiskPercent is what is left of a disk for pods after the operating system, image
	// reservation and eviction threshold; low, because a node that turns out smaller than promised
	// makes the autoscaler add another one for nothing.
	usableDiskPercent = 80
)

// newNodeAutoscaler registers the permissions of cluster-autoscaler, because EKS runs no node
// autoscaler. The chart itself is installed with the pipeline.
func (b *builder) newNodeAutoscaler(plane *controlPlane) (*providers.NodeAutoscaler, []pulumi.Resource, error) {
	if b.args.NodeAutoscalerInstalled || !b.args.CreatesGPUPools() {
		return nil, nil, nil
	}
	r, err := b.newRole("autoscaler", trustPods())
	if err != nil {
		return nil, nil, err
	}
	document, err := policyDocument(b.args.autoscalerStatements()...)
	if err != nil {
		return nil, nil, err
	}
	policy, err := iam.NewRolePolicy(b.ctx, b.resourceName("autoscaler"), &iam.RolePolicyArgs{
		Role: r.Name, Policy: pulumi.String(document),
	}, b.options()...)
	if err != nil {
		return nil, nil, fmt.Errorf("registering the node autoscaler's permissions: %w", err)
	}
	association, err := eks.NewPodIdentityAssociation(b.ctx, b.resourceName("autoscaler"), &eks.PodIdentityAssociationArgs{
		ClusterName:    plane.name,
		Namespace:      pulumi.String(autoscalerNamespace),
		ServiceAccount: pulumi.String(autoscalerAccount),
		RoleArn:        r.Arn,
		// A pod that starts between the two would have a role without permissions.
	}, b.options(pulumi.DependsOn([]pulumi.Resource{policy}))...)
	if err != nil {
		return nil, nil, fmt.Errorf("giving the node autoscaler its role: %w", err)
	}
	return &providers.NodeAutoscaler{
		CloudProvider:     "aws",
		ClusterName:       b.args.ClusterName(),
		Region:            b.args.Region,
		KubernetesVersion: plane.version,
		Namespace:         autoscalerNamespace,
		ServiceAccount:    autoscalerAccount,
	}, []pulumi.Resource{policy, association}, nil
}

// autoscalerStatements returns what cluster-autoscaler's AWS README lists for auto-discovery and
// launch templates. It may read everything, since the describing actions know no narrower
// resource, and change only the groups that carry this cluster's tag.
func (a *Args) autoscalerStatements() []statement {
	cluster := a.ClusterName()
	change := allow([]string{
		"autoscaling:SetDesiredCapacity",
		"autoscaling:TerminateInstanceInAutoScalingGroup",
	}, fmt.Sprintf("arn:%s:autoscaling:%s:*:autoScalingGroup:*:autoScalingGroupName/*", a.partition(), a.Region))
	change.Condition = map[string]map[string]string{"StringEquals": {
		"aws:ResourceTag/" + autoscalerTag + "/enabled":    "true",
		"aws:ResourceTag/" + autoscalerTag + "/" + cluster: "owned",
	}}
	return []statement{
		allow([]string{
			"autoscaling:DescribeAutoScalingGroups",
			"autoscaling:DescribeAutoScalingInstances",
			"autoscaling:DescribeLaunchConfigurations",
			"autoscaling:DescribeScalingActivities",
			"autoscaling:DescribeTags",
			"ec2:DescribeImages",
			"ec2:DescribeInstanceTypes",
			"ec2:DescribeLaunchTemplateVersions",
			"ec2:GetInstanceTypesFromInstanceRequirements",
		}, "*"),
		allow([]string{"eks:DescribeNodegroup"}, fmt.Sprintf("arn:%s:eks:%s:*:nodegroup/%s/*/*", a.partition(), a.Region, cluster)),
		change,
	}
}

// groupTagType is a tag of an Auto Scaling group. The SDK's package for it has all of Auto Scaling, and
// costs 7 CPU seconds of a cold build.
const groupTagType = "aws:autoscaling/tag:Tag"

// groupTag is such a tag; nothing of it is used but that it is there.
type groupTag struct {
	pulumi.CustomResourceState
}

// newScaleFromZeroTags registers tags that describe a node of the group to cluster-autoscaler while there
// is none to look at. They are resources of their own because the tags of a node group do not
// reach its Auto Scaling group.
func (b *builder) newScaleFromZeroTags(group *eks.NodeGroup, pool *providers.ServingPool, suffix string) ([]pulumi.Resource, error) {
	groupName := whenCreated(group, autoscalingGroupName)
	tags := b.args.scaleFromZeroTags(pool)
	var resources []pulumi.Resource
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		tag := &groupTag{}
		if err := b.ctx.RegisterResource(groupTagType, b.resourceName(suffix+"-"+notInName.ReplaceAllString(key, "-")), pulumi.Map{
			"autoscalingGroupName": groupName,
			"tag": pulumi.Map{
				"key":   pulumi.String(autoscalerTag + "/node-template/" + key),
				"value": pulumi.String(tags[key]),
				// For the autoscaler only; on the machines they would mean nothing.
				"propagateAtLaunch": pulumi.Bool(false),
			},
		}, tag, b.options()...); err != nil {
			return nil, fmt.Errorf("registering tag %q of node group %q: %w", key, suffix, err)
		}
		resources = append(resources, tag)
	}
	return resources, nil
}

// autoscalingGroupName returns the name of a node group's one Auto Scaling group.
func autoscalingGroupName(resources []eks.NodeGroupResource) (string, error) {
	for _, resource := range resources {
		for _, group := range resource.AutoscalingGroups {
			if group.Name != nil {
				return *group.Name, nil
			}
		}
	}
	return "", fmt.Errorf("the GPU node group has no Auto Scaling group: EKS did not finish creating it; delete it and run again")
}

// scaleFromZeroTags returns the tags of a pool's groups by the rest of their key.
func (a *Args) scaleFromZeroTags(pool *providers.ServingPool) map[string]string {
	tags := map[string]string{
		"resources/" + gpuResource:                  strconv.Itoa(pool.GPUsPerNode),
		"resources/ephemeral-storage":               fmt.Sprintf("%dGi", a.podDisk(pool)*usableDiskPercent/100),
		"autoscaling-options/scaledownunneededtime": a.IdleTime.String(),
	}
	for key, value := range a.gpuTaints(pool) {
		tags["taint/"+key] = value + ":NoSchedule"
	}
	for key, value := range a.gpuLabels(pool) {
		tags["label/"+key] = value
	}
	return tags
}
