package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func eksNodeGroupKind() *kind {
	return &kind{
		token: EKSNodeGroup, slow: true, needs: []string{"subnetIds"},
		replace: []string{"amiType", "capacityType", "clusterName", "diskSize", "instanceTypes", "launchTemplate.id", "launchTemplate.name",
			"nodeGroupName", "nodeGroupNamePrefix", "nodeRoleArn", "remoteAccess", "subnetIds"},
		computed: []string{"arn", "nodeGroupName", "resources", "status", "asg", "version", "releaseVersion"},
		references: []reference{
			{path: "clusterName", token: EKSCluster, by: clusterName}, awsSubnetReference("subnetIds"), awsRoleReference("nodeRoleArn", stays),
			{path: "launchTemplate.id", token: AWSTemplate, by: []string{"id"}, then: stays},
		},
		validate: func(in object) []string {
			var wrong []string
			for _, taint := range in.objects("taints") {
				wrong = append(wrong, oneOf(taint, "effect", "NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE")...)
			}
			if in.has("launchTemplate") && (in.has("remoteAccess") || in.has("diskSize")) {
				wrong = append(wrong, "launchTemplate conflicts with remoteAccess and diskSize")
			}
			return slices.Concat(wrong, oneOf(in, "capacityType", "ON_DEMAND", "SPOT", "CAPACITY_BLOCK"),
				oneOf(in, "amiType", "AL2_x86_64", "AL2_x86_64_GPU", "AL2_ARM_64", "CUSTOM", "BOTTLEROCKET_ARM_64", "BOTTLEROCKET_x86_64",
					"BOTTLEROCKET_ARM_64_NVIDIA", "BOTTLEROCKET_x86_64_NVIDIA", "AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD",
					"AL2023_x86_64_NEURON", "AL2023_x86_64_NVIDIA", "AL2023_ARM_64_NVIDIA"))
		},
		create: createNodeGroup,
		settle: settleNodeGroup,
		// The node autoscaler changes the size of the Auto Scaling group.
		observe: func(c *Cloud, r *Resource) {
			if p := c.pools[r.ID]; p != nil {
				r.Inputs, r.Outputs = withSize(r.Inputs, p.desired), withSize(r.Outputs, p.desired)
			}
		},
		update: func(c *Cloud, r *Resource, old object) error {
			if r.Outputs["status"] == nodeGroupFailed {
				if equal(map[string]any(old), r.Inputs) {
					return nil // Nothing is sent, so nothing fails.
				}
				return fmt.Errorf("api error ResourceInUseException: Nodegroup %s is in the state %s and cannot be updated", r.ID, nodeGroupFailed)
			}
			p, err := eksPool(c, r)
			if err != nil {
				return err
			}
			if current := c.pools[r.ID]; current != nil {
				p.desired = current.desired
			}
			if in := object(r.Inputs); !equal(old.at("scalingConfig"), in.at("scalingConfig")) {
				// The three sizes are sent together, which overwrites a desired size that was changed meanwhile.
				p.desired = in.number("scalingConfig.desiredSize")
			}
			r.Outputs["nodeGroupName"] = p.name
			return c.changePool(p)
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			if !c.attached(object(r.Inputs).text("nodeRoleArn"), "AmazonEKSWorkerNodePolicy") {
				return errors.New("Ec2InstanceProfileDeleteFailure: the node role lost its policies before its nodes went")
			}
			return nil
		},
		vanish: func(ctx context.Context, c *Cloud, r *Resource) error { return c.removePool(ctx, r.ID) },
	}
}

func createNodeGroup(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	name := in.text("nodeGroupName")
	if name == "" {
		name = in.text("nodeGroupNamePrefix") + "2026112210" + digits(randomHex(40))[:8] + "00000001"
	}
	r.Outputs["nodeGroupName"] = name
	r.ID, r.Region = in.text("clusterName")+":"+name, s["region"]
	if in.text("amiType") == "AL2_x86_64_GPU" || in.text("amiType") == "AL2_x86_64" {
		return fmt.Errorf("api error InvalidParameterException: AMI type %s is no longer supported", in.text("amiType"))
	}
	for _, policy := range []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"} {
		if !c.attached(in.text("nodeRoleArn"), policy) {
			return fmt.Errorf("AccessDenied: node role %s has no %s attached", in.text("nodeRoleArn"), policy)
		}
	}
	if !c.attached(in.text("nodeRoleArn"), "AmazonEC2ContainerRegistryPullOnly") && !c.attached(in.text("nodeRoleArn"), "AmazonEC2ContainerRegistryReadOnly") {
		return fmt.Errorf("AccessDenied: node role %s may not pull images", in.text("nodeRoleArn"))
	}
	asg := "eks-" + name + "-" + randomHex(8)
	r.Outputs["asg"] = asg
	r.Outputs["resources"] = []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": asg}}, "remoteAccessSecurityGroupId": ""}}
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:eks:%s:%s:nodegroup/%s/%s/%s", s["region"], AWSAccount, in.text("clusterName"), name, randomHex(8))
	r.Outputs["status"], r.Outputs["version"] = "ACTIVE", orElse(in.text("version"), eksKubernetes)
	if release := in.text("releaseVersion"); release != "" && strings.HasPrefix(in.text("amiType"), "AL2023") &&
		!strings.HasPrefix(release, r.Outputs["version"].(string)+".") {
		return fmt.Errorf("api error InvalidParameterException: Requested release version %s is not valid for kubernetes version %s", release, r.Outputs["version"])
	}
	p, err := eksPool(c, r)
	if err != nil {
		return err
	}
	p.desired = in.number("scalingConfig.desiredSize")
	if p.desired > 0 {
		if err := c.joinable(in); err != nil {
			return err
		}
	}
	if c.overQuota(p) {
		r.Outputs["status"] = nodeGroupFailed
		return nil
	}
	c.pools[r.ID] = p
	return nil
}

// nodeGroupFailed is the state of a node group that EKS could not create. The group stays in it until it is deleted.
const nodeGroupFailed = "CREATE_FAILED"

// LimitVCPUs sets the quota of vCPUs for the running instances of some families, such as "g" for g4dn to g6e. Without one,
// any number runs.
func (c *Cloud) LimitVCPUs(family string, vcpus int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotas[family] = vcpus
}

// overQuota reports whether the account has no quota for the pool's machines. The caller holds the lock.
func (c *Cloud) overQuota(p *pool) bool {
	quota, limited := c.quotas[p.machineType[:1]]
	cpus, _ := ec2MachineSize(p.machineType)
	return limited && p.desired*cpus > quota
}

// settleNodeGroup waits for the nodes, and checks that they reach those of the cluster's other groups.
func settleNodeGroup(ctx context.Context, c *Cloud, r *Resource) error {
	if r.Outputs["status"] == nodeGroupFailed {
		return fmt.Errorf("waiting for EKS Node Group (%s) create: unexpected state '%s', wanted target 'ACTIVE'. last error: AsgInstanceLaunchFailures: "+
			"Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit allows "+
			"for the instance bucket that the specified instance type belongs to", r.ID, nodeGroupFailed)
	}
	c.mu.Lock()
	mine := c.securityGroups(r)
	for _, other := range c.all(EKSNodeGroup, func(o *Resource) bool {
		return object(o.Inputs).text("clusterName") == object(r.Inputs).text("clusterName")
	}) {
		if theirs := c.securityGroups(other); !slices.ContainsFunc(theirs, func(group string) bool { return slices.Contains(mine, group) }) {
			c.record("nodes of %s (%v) do not reach those of %s (%v): they have no security group in common", r.ID, mine, other.ID, theirs)
		}
	}
	c.mu.Unlock()
	return c.waitForPool(ctx, r.ID)
}

// securityGroups returns the security groups of a node group's nodes: those of its launch template, or that of the cluster
// where the template has none.
func (c *Cloud) securityGroups(r *Resource) []string {
	in := object(r.Inputs)
	if template := c.find(AWSTemplate, "", in.text("launchTemplate.id")); template != nil {
		if own := object(template.Inputs).texts("vpcSecurityGroupIds"); len(own) > 0 {
			return own
		}
	}
	return []string{eksSecurityGroup(in.text("clusterName"))}
}

// withSize returns properties of a node group with another number of nodes.
func withSize(properties map[string]any, desired int) map[string]any {
	sizes, ok := properties["scalingConfig"].(map[string]any)
	if !ok {
		return properties
	}
	all, copied := maps.Clone(properties), maps.Clone(sizes)
	copied["desiredSize"] = float64(desired)
	all["scalingConfig"] = copied
	return all
}

// joinable returns an error with the reason why nodes could not join the cluster.
func (c *Cloud) joinable(in object) error {
	cluster := object(c.find(EKSCluster, "name", in.text("clusterName")).Inputs)
	if cluster.has("bootstrapSelfManagedAddons") && !cluster.flag("bootstrapSelfManagedAddons") && !c.hasAddon(in.text("clusterName"), "vpc-cni") {
		return errors.New("NodeCreationFailure: Unhealthy nodes in the kubernetes cluster (no CNI: the add-on vpc-cni is missing)")
	}
	for _, id := range in.texts("subnetIds") {
		association := c.find(awsAssociation, "subnetId", id)
		if association == nil {
			continue // of the VPC's main table
		}
		routes := c.all(awsRoute, func(route *Resource) bool {
			r := object(route.Inputs)
			return r.text("routeTableId") == object(association.Inputs).text("routeTableId") && (r.has("natGatewayId") || r.has("gatewayId"))
		})
		if len(routes) == 0 {
			return fmt.Errorf("NodeCreationFailure: Instances failed to join the kubernetes cluster (subnet %s has no route to the internet)", id)
		}
	}
	return nil
}

// gpusByEC2Type returns the number of GPUs of an instance type; the g families have the same sizes.
func gpusByEC2Type(instanceType string) int {
	family, size, _ := strings.Cut(instanceType, ".")
	switch family {
	case "g4dn", "g5", "g6", "g6e":
		if n, ok := map[string]int{"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}[size]; ok {
			return n
		}
		return 1
	case "p3":
		return map[string]int{"2xlarge": 1, "8xlarge": 4, "16xlarge": 8}[size]
	case "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300":
		if size == "4xlarge" {
			return 1
		}
		return 8
	}
	return 0
}

// eksPool returns the pool of a node group.
func eksPool(c *Cloud, r *Resource) (*pool, error) {
	in := object(r.Inputs)
	cluster := c.find(EKSCluster, "name", in.text("clusterName"))
	if cluster == nil {
		return nil, errors.New("api error ResourceNotFoundException: No cluster found for name: " + in.text("clusterName"))
	}
	if err := c.checkNodeGroupCapacity(in); err != nil {
		return nil, err
	}
	instanceType := c.instanceTypeOf(in)
	p := &pool{
		id: r.ID, cluster: cluster.ID, double: c.doubleOf(r.Token), name: named(r, "nodeGroupName"), machineType: instanceType, asg: named(r, "asg"),
		machine:    fmt.Sprint(in.at("launchTemplate")),
		nodeSuffix: "." + r.Region + ".compute.internal", namePrefix: "ip-10-0-" + digits(randomHex(40))[:2] + "-",
		min: in.number("scalingConfig.minSize"), max: in.number("scalingConfig.maxSize"),
		labels: in.labels("labels"), acceleratorLabel: "k8s.amazonaws.com/accelerator",
		autoscaled: true,
	}
	if p.max < 1 || p.min > p.max || in.number("scalingConfig.desiredSize") > p.max || in.number("scalingConfig.desiredSize") < p.min {
		return nil, fmt.Errorf("api error InvalidParameterException: desired capacity %d must be between minimum %d and maximum %d, and the maximum at least 1",
			in.number("scalingConfig.desiredSize"), p.min, p.max)
	}
	for _, id := range in.texts("subnetIds") {
		if subnet := c.find(AWSSubnet, "", id); subnet != nil {
			p.zones = append(p.zones, object(subnet.Inputs).text("availabilityZone"))
		}
	}
	for key := range p.labels {
		if strings.Contains(key, "kubernetes.io/") || strings.HasPrefix(key, "eks.amazonaws.com/") {
			return nil, fmt.Errorf("api error InvalidParameterException: Label cannot contain reserved prefixes: %s", key)
		}
	}
	for _, taint := range in.objects("taints") {
		if err := p.taint(taint.text("key"), taint.text("value"), taintEffects[taint.text("effect")]); err != nil {
			return nil, fmt.Errorf("api error InvalidParameterException: %w", err)
		}
	}
	p.labels["eks.amazonaws.com/nodegroup"] = p.name
	p.labels["eks.amazonaws.com/nodegroup-image"] = "ami-0" + randomHex(16)
	p.labels["eks.amazonaws.com/capacityType"] = orElse(in.text("capacityType"), "ON_DEMAND")
	switch ami := in.text("amiType"); {
	case strings.HasPrefix(ami, "BOTTLEROCKET") && strings.HasSuffix(ami, "_NVIDIA"):
		p.gpus = gpusAtOnce
	case strings.HasSuffix(ami, "_NVIDIA"):
		p.gpus = gpusByPlugin
	default:
		p.gpus = gpusNever // no driver
	}
	p.gpuCount = gpusByEC2Type(instanceType)
	return p, nil
}

// ec2MachineSize returns the size of an instance type: 16 GiB for 4 vCPUs.
func ec2MachineSize(instanceType string) (cpus, memoryGiB int) {
	_, size, _ := strings.Cut(instanceType, ".")
	if size == "large" {
		return 2, 8
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(size, "xlarge")); err == nil {
		return 4 * n, 16 * n
	}
	return defaultCPUs, defaultMemoryGiB
}

// ec2NodeName is the private DNS name of an instance, which is its node's name.
func ec2NodeName(p *pool, index int) string {
	return fmt.Sprintf("%s%d%s", p.namePrefix, 10+index, p.nodeSuffix)
}
