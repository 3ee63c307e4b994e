package cost

import (
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

func eksPool(r plan.Resource, overrides Overrides) Item {
	low, _ := r.Number("scalingConfig.minSize")
	high, _ := r.Number("scalingConfig.maxSize")
	gpu := strings.Contains(r.Text("amiType"), "NVIDIA")
	var dearest Item
	for i, value := range r.List("instanceTypes") {
		machineType, _ := value.(string)
		item := nodes(config.CloudEKS, machineType, r, int(low), int(high), r.Text("capacityType") == "SPOT", gpu, overrides)
		// Any of the types may be used, so the most expensive counts; one without a price makes the item unknown.
		if i == 0 || !dearest.Unknown && (item.Unknown || item.Each > dearest.Each) {
			dearest = item
		}
	}
	// The pool of the GPU nodes has a group in each zone, each of which may grow to the pool's limit; the replicas bound all.
	if gpu {
		dearest.pool = r.Text(`tags["` + eks.PoolTag + `"]`)
	}
	dearest.own = ownPool(r, "labels")
	return dearest
}
