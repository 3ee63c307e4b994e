package cost

import (
	"fmt"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/stacks/config"
)

// Parts of the types of Azure's resources with an hourly price. Between them is the version of Azure's API.
const (
	aksModule      = "azure-native:containerservice"
	aksClusterKind = ":ManagedCluster"
	aksPoolKind    = ":AgentPool"
)

// aksItems returns the costs of a resource of Azure.
func aksItems(r plan.Resource, overrides Overrides) []Item {
	switch {
	case isAKS(r, aksClusterKind):
		return aksCluster(r, overrides)
	case isAKS(r, aksPoolKind):
		return []Item{aksPool(r, "", overrides)}
	}
	return nil
}

// aksCluster returns the costs of the control plane and of the pools that are part of the cluster's resource.
func aksCluster(r plan.Resource, overrides Overrides) []Item {
	var all []Item
	switch r.Text("sku.tier") {
	case "Standard":
		all = append(all, fee(config.CloudAKS, prices.ControlPlane, r, 1))
	case "Premium":
		all = append(all, fee(config.CloudAKS, prices.ControlPlanePremium, r, 1))
	}
	for i := range r.List("agentPoolProfiles") {
		all = append(all, aksPool(r, fmt.Sprintf("agentPoolProfiles[%d].", i), overrides))
	}
	return all
}

func isAKS(r plan.Resource, kind string) bool {
	return strings.HasPrefix(r.Type, aksModule) && strings.HasSuffix(r.Type, kind)
}

func aksPool(r plan.Resource, at string, overrides Overrides) Item {
	low, hasLow := r.Number(at + "minCount")
	high, hasHigh := r.Number(at + "maxCount")
	if !hasLow || !hasHigh {
		low, _ = r.Number(at + "count")
		high = low
	}
	item := nodes(config.CloudAKS, r.Text(at+"vmSize"), r, int(low), int(high), r.Text(at+"scaleSetPriority") == "Spot", false, overrides)
	item.own = ownPool(r, at+"nodeLabels")
	return item
}
