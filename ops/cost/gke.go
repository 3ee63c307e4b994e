package cost

import (
	"math"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/ops/prices"
	"vllm-autoscaling/stacks/config"
)

// Types of Google Cloud's resources with an hourly price.
const (
	typeGKECluster = "gcp:container/cluster:Cluster"
	typeGKEPool    = "gcp:container/nodePool:NodePool"
	typeGKENAT     = "gcp:compute/routerNat:RouterNat"
)

// gkeItems returns the costs of a resource of Google Cloud, except its NAT's: see addNAT.
func gkeItems(r plan.Resource, overrides Overrides) []Item {
	switch r.Type {
	case typeGKECluster:
		return []Item{fee(config.CloudGKE, prices.ControlPlane, r, 1)}
	case typeGKEPool:
		return []Item{gkePool(r, overrides)}
	}
	return nil
}

func gkePool(r plan.Resource, overrides Overrides) Item {
	low, _ := r.Number("autoscaling.totalMinNodeCount")
	high, _ := r.Number("autoscaling.totalMaxNodeCount")
	machineType := r.Text("nodeConfig.machineType")
	attached := len(r.List("nodeConfig.guestAccelerators")) > 0
	item := nodes(config.CloudGKE, machineType, r, int(low), int(high), r.Bool("nodeConfig.spot"), attached, overrides)
	if _, carries := findMachine(config.CloudGKE, machineType); attached && !carries {
		// GPUs attached to an N1 machine have a price of their own.
		_, overridden := overrides[machineType]
		item.Unknown = !overridden
	}
	item.own = ownPool(r, "nodeConfig.labels")
	return item
}

// addNAT adds Google's NAT, which is charged for each node behind it.
func (e *Estimate) addNAT(resources []plan.Resource) {
	for _, r := range resources {
		if r.Type != typeGKENAT {
			continue
		}
		each, ok := prices.FeeOf(config.CloudGKE, prices.NATPerNode)
		most, _ := prices.FeeOf(config.CloudGKE, prices.NATMost)
		paidFor := int(math.Ceil(most.USDPerHour / each.USDPerHour))
		item := Item{
			What: string(prices.NATPerNode), Resource: r.Name, Each: each.USDPerHour, Unknown: !ok,
			Region: each.Region, Date: each.Date, Source: each.Source,
		}
		for _, other := range e.Items {
			if other.Kind != "" {
				item.Min, item.Max, item.Limit = item.Min+other.Min, item.Max+other.Max, item.Limit+other.Limit
			}
		}
		item.Min, item.Max, item.Limit = min(item.Min, paidFor), min(item.Max, paidFor), min(item.Limit, paidFor)
		e.Items = append(e.Items, item)
	}
}

// Known reports whether everything that was found has a price.
func (e Estimate) Known() bool { return len(e.Unknown) == 0 }

// Empty reports whether nothing with an hourly price was found.
func (e Estimate) Empty() bool { return len(e.Items) == 0 }
