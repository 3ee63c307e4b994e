package cloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// awsAutoscalingKinds lists the simulated resource types of Amazon EC2 Auto Scaling.
func awsAutoscalingKinds() []*kind {
	return []*kind{awsAutoscalingTagKind()}
}

func awsAutoscalingTagKind() *kind {
	return &kind{
		token: awsTag, replace: []string{"autoscalingGroupName", "tag.key"},
		references: []reference{{path: "autoscalingGroupName", token: EKSNodeGroup, by: []string{"asg"}, then: follows}},
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			r.ID = object(r.Inputs).text("autoscalingGroupName") + "," + object(r.Inputs).text("tag.key")
			return nil
		},
	}
}

// clusterAutoscalerRuns reports whether a ready cluster-autoscaler manages the pool's cluster and is allowed to resize it.
func (c *Cloud) clusterAutoscalerRuns(p *pool, v *view) bool {
	for i := range v.deployments {
		d := &v.deployments[i]
		spec := &d.Spec.Template.Spec
		if d.Status.ReadyReplicas < 1 || !runsImage(spec.Containers, "cluster-autoscaler") {
			continue
		}
		command := strings.Join(slices.Concat(spec.Containers[0].Command, spec.Containers[0].Args), " ")
		discovers := strings.Contains(command, autoscalerTag+"enabled") && strings.Contains(command, autoscalerTag+p.cluster) &&
			strings.Contains(command, "--cloud-provider=aws")
		if !discovers {
			continue
		}
		if cluster := c.find(EKSCluster, "", p.cluster); cluster != nil {
			_, tag, _ := strings.Cut(spec.Containers[0].Image, ":v")
			if version := object(cluster.Outputs).text("version"); !strings.HasPrefix(tag, version+".") {
				c.record("cluster-autoscaler %s runs in a cluster of Kubernetes %s: its scheduler decides as another version's does", tag, version)
			}
		}
		if c.mayResize(p.cluster, d.Namespace, spec.ServiceAccountName) {
			return true
		}
		fmt.Fprintf(c.options.Log, "cloud: cluster-autoscaler %s/%s may not resize the groups of cluster %s\n", d.Namespace, d.Name, p.cluster)
	}
	return false
}

// mayResize reports whether a service account has a role that permits it to resize the cluster's groups.
func (c *Cloud) mayResize(cluster, namespace, account string) bool {
	if !c.hasAddon(cluster, "eks-pod-identity-agent") {
		return false
	}
	for _, association := range c.all(awsPodIdentity, func(r *Resource) bool {
		in := object(r.Inputs)
		return in.text("clusterName") == cluster && in.text("namespace") == namespace && in.text("serviceAccount") == account
	}) {
		role := c.find(AWSRole, "arn", object(association.Inputs).text("roleArn"))
		if role == nil || !strings.Contains(object(role.Inputs).text("assumeRolePolicy"), "pods.eks.amazonaws.com") {
			continue
		}
		for _, policy := range c.all(awsInlineRole, func(r *Resource) bool { return object(r.Inputs).text("role") == role.ID }) {
			if permitsResize(object(policy.Inputs).text("policy"), cluster) {
				return true
			}
		}
	}
	return false
}

// permitsResize reports whether a policy permits the actions with which cluster-autoscaler resizes a group.
func permitsResize(document, cluster string) bool {
	var policy struct {
		Statement []struct {
			Effect    string
			Action    []string
			Condition map[string]map[string]string
		}
	}
	if json.Unmarshal([]byte(document), &policy) != nil {
		return false
	}
	allowed := map[string]bool{}
	for _, statement := range policy.Statement {
		for test, value := range statement.Condition["StringEquals"] {
			// EKS tags the groups of a cluster with its name; a condition on another cluster's tag matches none of them.
			tag, ok := strings.CutPrefix(test, "aws:ResourceTag/"+autoscalerTag)
			if !ok || tag == "enabled" && value != "true" || tag != "enabled" && (tag != cluster || value != "owned") {
				statement.Effect = "none"
			}
		}
		for _, action := range statement.Action {
			allowed[action] = allowed[action] || statement.Effect == "Allow"
		}
	}
	for _, action := range []string{"autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup",
		"autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeTags"} {
		if !allowed[action] {
			return false
		}
	}
	return true
}

// rebalance records the GPU nodes that Auto Scaling would end. It keeps a group's machines balanced over its zones: where one
// zone has two more than another, it starts a machine there and ends one here, without regard to PodDisruptionBudgets.
func (c *Cloud) rebalance(v *view) {
	for _, p := range c.pools {
		if p.asg == "" || p.gpuCount == 0 || len(p.zones) < 2 || len(p.starting) > 0 {
			continue
		}
		counts := map[string]int{}
		for _, zone := range p.zones {
			counts[zone] = 0
		}
		for _, name := range p.nodes {
			if node := v.nodes[name]; node != nil {
				counts[node.Labels[corev1.LabelTopologyZone]]++
			}
		}
		sizes := slices.Collect(maps.Values(counts))
		if slices.Max(sizes) > slices.Min(sizes)+1 {
			c.record("Auto Scaling rebalances node group %s over its zones %v and ends a GPU node in service", p.name, p.zones)
		}
	}
}

// autoscalingTags returns the tags of a node group's Auto Scaling group.
func (c *Cloud) autoscalingTags(p *pool) map[string]string {
	tags := map[string]string{}
	for _, r := range c.all(awsTag, func(r *Resource) bool { return object(r.Inputs).text("autoscalingGroupName") == p.asg }) {
		tags[object(r.Inputs).text("tag.key")] = object(r.Inputs).text("tag.value")
	}
	return tags
}
