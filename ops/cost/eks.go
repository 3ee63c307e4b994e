package cost

import (
	"maps"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/stacks/config"
)

// Types of AWS' resources with an hourly price.
const (
	typeEKSCluster = "aws:eks/cluster:Cluster"
	typeEKSPool    = "aws:eks/nodeGroup:NodeGroup"
	typeEKSNAT     = "aws:ec2/natGateway:NatGateway"
	typeEKSAddress = "aws:ec2/eip:Eip"

	typeEKSTemplate = "aws:ec2/launchTemplate:LaunchTemplate"

	// eksPoolTag is the path of the tag with the pool of a node group.
	eksPoolTag = `tags["` + eks.PoolTag + `"]`
)

// eksItems returns the costs of a resource of AWS.
func eksItems(r plan.Resource, overrides Overrides) []Item {
	switch r.Type {
	case typeEKSCluster:
		return []Item{fee(config.CloudEKS, prices.ControlPlane, r, 1)}
	case typeEKSPool:
		return []Item{eksPool(r, overrides)}
	case typeEKSNAT:
		return []Item{fee(config.CloudEKS, prices.NATGateway, r, 1)}
	case typeEKSAddress:
		return []Item{fee(config.CloudEKS, prices.PublicIPv4, r, 1)}
	}
	return nil
}

// withTemplate returns a node group with the inputs of its launch template in place of the reference to it, and any other resource as
// it is.
func withTemplate(r plan.Resource, all []plan.Resource) plan.Resource {
	if r.Type != typeEKSPool || r.Inputs == nil {
		return r
	}
	var found plan.Resource
	for _, template := range all {
		if template.Type == typeEKSTemplate && eks.IsTemplateOf(template.Name, r.Name, r.Text(eksPoolTag)) {
			found = template
		}
	}
	r.Inputs = maps.Clone(r.Inputs)
	r.Inputs["launchTemplate"] = found.Inputs
	return r
}

// eksTypes returns the instance types of a node group. That of a Capacity Block is in its launch template.
func eksTypes(r plan.Resource) []any {
	if types := r.List("instanceTypes"); len(types) > 0 {
		return types
	}
	return []any{r.Text("launchTemplate.instanceType")}
}

func eksPool(r plan.Resource, overrides Overrides) Item {
	low, _ := r.Number("scalingConfig.minSize")
	high, _ := r.Number("scalingConfig.maxSize")
	gpu := strings.Contains(r.Text("amiType"), "NVIDIA")
	var dearest Item
	for i, value := range eksTypes(r) {
		machineType, _ := value.(string)
		item := nodes(config.CloudEKS, machineType, r, int(low), int(high), r.Text("capacityType") == "SPOT", gpu, overrides)
		// Any of the types may be used, so the most expensive counts; one without a price makes the item unknown.
		if i == 0 || !dearest.Unknown && (item.Unknown || item.Each > dearest.Each) {
			dearest = item
		}
	}
	dearest.Prepaid = r.Text("capacityType") == eks.CapacityBlock
	dearest.Reserved = r.Has("launchTemplate.capacityReservationSpecification") && !dearest.Prepaid
	// The pool of the GPU nodes has a group in each zone, each of which may grow to the pool's limit; the replicas bound all.
	if gpu {
		dearest.pool = r.Text(eksPoolTag)
	}
	dearest.own = ownPool(r, "labels")
	return dearest
}
