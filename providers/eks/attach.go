package eks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// attach looks the existing cluster up and checks that it has what the pipeline needs. The look-up returns at
// once, not as an output, so that a cluster that will not do is refused before anything is
// registered in it.
func (b *builder) attach() (*controlPlane, error) {
	name := b.args.Existing
	found, err := eks.LookupCluster(b.ctx, &eks.LookupClusterArgs{Name: name}, b.invokeOptions()...)
	if err != nil {
		return nil, fmt.Errorf("eks: looking up the existing cluster %q in region %s: check cluster.existing, eks.region and the credentials: %w",
			name, b.args.Region, err)
	}
	if err := checkCluster(found); err != nil {
		return nil, err
	}
	if b.args.GPUPool == nil {
		if err := b.checkGPUNodes(); err != nil {
			return nil, err
		}
	}
	if b.args.CreatesGPUPools() && !b.args.NodeAutoscalerInstalled {
		if err := b.checkPodIdentity(); err != nil {
			return nil, err
		}
	}
	plane := &controlPlane{
		name:                 pulumi.String(name).ToStringOutput(),
		arn:                  pulumi.String(found.Arn).ToStringOutput(),
		endpoint:             pulumi.String(found.Endpoint).ToStringOutput(),
		certificateAuthority: pulumi.String(found.CertificateAuthorities[0].Data).ToStringOutput(),
		version:              pulumi.String(found.Version),
	}
	if !b.args.CreatesGPUPools() {
		return plane, nil
	}
	if plane.subnets, err = b.subnetsOfExisting(found); err != nil {
		return nil, err
	}
	if len(b.args.NodeSecurityGroupIDs) > 0 {
		// A template that names groups gets no other: the cluster's has to be among them.
		plane.nodeSecurityGroups = append([]string{found.VpcConfig.ClusterSecurityGroupId}, b.args.NodeSecurityGroupIDs...)
		return plane, nil
	}
	return plane, b.warnOfSecurityGroups(found)
}

// subnetsOfExisting returns the subnets of the GPU nodes: the given ones, or all of the cluster's.
func (b *builder) subnetsOfExisting(found *eks.LookupClusterResult) ([]nodeSubnet, error) {
	if len(b.args.SubnetIDs) > 0 {
		return b.lookUpSubnets("eks.subnetIds", b.args.SubnetIDs, false)
	}
	// In AWS' order, which is none: unsorted, a second preview could show another.
	return b.lookUpSubnets(providers.KeyExisting, slices.Sorted(slices.Values(found.VpcConfig.SubnetIds)), false)
}

// warnOfSecurityGroups warns of node groups whose launch template names security groups without the cluster's. The GPU
// nodes have only that one, so nothing may be reachable between the two kinds of nodes, DNS and scrapes included.
func (b *builder) warnOfSecurityGroups(found *eks.LookupClusterResult) error {
	groups, err := b.nodeGroupsOf(found.Name)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if len(group.LaunchTemplates) == 0 {
			continue
		}
		template, err := ec2.LookupLaunchTemplate(b.ctx, &ec2.LookupLaunchTemplateArgs{Id: &group.LaunchTemplates[0].Id}, b.invokeOptions()...)
		if err != nil {
			return fmt.Errorf("eks: looking up the launch template of node group %q of existing cluster %q: %w", group.NodeGroupName, found.Name, err)
		}
		named := slices.Clone(template.VpcSecurityGroupIds)
		for _, network := range template.NetworkInterfaces {
			named = append(named, network.SecurityGroups...)
		}
		if len(named) == 0 || slices.Contains(named, found.VpcConfig.ClusterSecurityGroupId) {
			continue
		}
		if err := b.ctx.Log.Warn(fmt.Sprintf("eks: the nodes of group %q of existing cluster %q have security groups of their own (%s) and not the cluster's (%s), "+
			"which is all that the GPU nodes get: unless their rules admit each other, DNS and scrapes fail between them; "+
			"to give the GPU nodes the same groups too, set eks.nodeSecurityGroupIds: [%[3]s]",
			group.NodeGroupName, found.Name, strings.Join(named, ", "), found.VpcConfig.ClusterSecurityGroupId), nil); err != nil {
			return err
		}
	}
	return nil
}

// nodeGroupsOf returns the node groups of a cluster, by name.
func (b *builder) nodeGroupsOf(cluster string) ([]*eks.LookupNodeGroupResult, error) {
	names, err := eks.GetNodeGroups(b.ctx, &eks.GetNodeGroupsArgs{ClusterName: cluster}, b.invokeOptions()...)
	if err != nil {
		return nil, fmt.Errorf("eks: listing the node groups of existing cluster %q: %w", cluster, err)
	}
	var groups []*eks.LookupNodeGroupResult
	for _, name := range slices.Sorted(slices.Values(names.Names)) {
		group, err := eks.LookupNodeGroup(b.ctx, &eks.LookupNodeGroupArgs{ClusterName: cluster, NodeGroupName: name}, b.invokeOptions()...)
		if err != nil {
			return nil, fmt.Errorf("eks: looking up node group %q of existing cluster %q: %w", name, cluster, err)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func (b *builder) invokeOptions() []pulumi.InvokeOption {
	return []pulumi.InvokeOption{pulumi.Parent(b.component), pulumi.Provider(b.aws)}
}

// checkCluster refuses clusters that the pipeline cannot run in.
func checkCluster(c *eks.LookupClusterResult) error {
	if c.Status != "ACTIVE" && c.Status != "UPDATING" {
		return fmt.Errorf("eks: existing cluster %q is %s: wait until it is ACTIVE", c.Name, c.Status)
	}
	if len(c.ComputeConfigs) > 0 && c.ComputeConfigs[0].Enabled {
		return fmt.Errorf("eks: existing cluster %q runs EKS Auto Mode, which brings a node autoscaler and device plugin of its own"+
			" and ends every node after at most 21 days: switch Auto Mode off (computeConfig.enabled false) or use another cluster", c.Name)
	}
	if len(c.CertificateAuthorities) == 0 || c.Endpoint == "" {
		return fmt.Errorf("eks: existing cluster %q has no endpoint or certificate yet: wait until it is ACTIVE", c.Name)
	}
	return nil
}

// checkPodIdentity checks for the agent that gives cluster-autoscaler its permissions.
func (b *builder) checkPodIdentity() error {
	name := b.args.Existing
	if _, err := eks.LookupAddon(b.ctx, &eks.LookupAddonArgs{ClusterName: name, AddonName: addonPodIdentity}, b.invokeOptions()...); err != nil {
		return fmt.Errorf("eks: existing cluster %q lacks the add-on %s, without which the node autoscaler has no permissions:"+
			" run `aws eks create-addon --region %s --cluster-name %s --addon-name %s`,"+
			" or set eks.nodeAutoscalerInstalled if the cluster has a node autoscaler: %w",
			name, addonPodIdentity, b.args.Region, name, addonPodIdentity, err)
	}
	return nil
}

// checkGPUNodes looks for a node group whose nodes vLLM could run on: NVIDIA's driver, our label, and
// no taint but the GPU one.
func (b *builder) checkGPUNodes() error {
	name := b.args.Existing
	groups, err := b.nodeGroupsOf(name)
	if err != nil {
		return err
	}
	var seen []string
	for _, group := range groups {
		if group.Labels[providers.PoolLabel] != "" {
			continue // A server's own, of this stack or another one.
		}
		missing := missingForGPU(group)
		if missing == "" {
			return nil
		}
		seen = append(seen, fmt.Sprintf("%s %s", group.NodeGroupName, missing))
	}
	if len(seen) == 0 {
		seen = []string{"there are none"}
	}
	return fmt.Errorf("eks: existing cluster %q has no node group for vLLM (%s): set nodePools.gpu to add one", name, strings.Join(seen, "; "))
}

// missingForGPU returns why vLLM could not run on a node group; "" means that it could.
func missingForGPU(group *eks.LookupNodeGroupResult) string {
	// A custom image may well have the driver.
	if !strings.Contains(group.AmiType, "NVIDIA") && !strings.HasSuffix(group.AmiType, "_GPU") && group.AmiType != "CUSTOM" {
		return fmt.Sprintf("has image %s without NVIDIA's driver", group.AmiType)
	}
	if group.Labels[gpuLabel] != "true" {
		return fmt.Sprintf("lacks the label %s=true", gpuLabel)
	}
	for _, taint := range group.Taints {
		if taint.Key != gpuResource && taint.Effect != "PREFER_NO_SCHEDULE" {
			return fmt.Sprintf("has the taint %s, which vLLM does not tolerate", taint.Key)
		}
	}
	return ""
}
