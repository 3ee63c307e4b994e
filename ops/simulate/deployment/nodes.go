package deployment

import (
	"time"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/stacks/config"
)

const (
	// unneeded is cluster-autoscaler's --scale-down-unneeded-time, by default. Google publishes no time for OPTIMIZE_UTILIZATION, only
	// that it is shorter: on GKE the GPU-hours are an upper bound.
	unneeded = 10 * time.Minute
	// scan is cluster-autoscaler's --scan-interval: a node is found to be unneeded, and removed, at the next scan. Each takes half of
	// it on average.
	scan = 10 * time.Second
	// afterAdd is cluster-autoscaler's --scale-down-delay-after-add, which no cloud changes as far as is known.
	afterAdd = 10 * time.Minute
)

// nodesOf returns the pool of GPU nodes. The notice before a reclaim is what pods have of the clouds' own: 15 of the 30 seconds on GKE,
// 30 seconds on AKS, 2 minutes on EKS. EKS and AKS drain the node, which deletes its pods at once; on GKE the kubelet ends them, and
// their replacements come up to 15 s later than here.
//
// On a cluster whose nodes the stack does not create, each replica counts as a node of its
// own, which is there already, and none is spare.
func nodesOf(c *config.Config, o Options) (simulate.Nodes, error) {
	perNode := c.ReplicasPerNode()
	if o.SpotReclaim > 0 && (perNode == 0 || !c.NodePools.GPU.Spot) {
		return simulate.Nodes{}, problem("nodePools.gpu.spot", c.NodePools.GPU.Spot, "true with -spot-reclaim: only spot nodes are taken back",
			"set it to true, or leave the flag out")
	}
	if perNode == 0 {
		return simulate.Nodes{Replicas: 1, Max: c.Autoscaling.MaxReplicas, GPUs: c.GPU.PerReplica}, nil
	}
	pool := c.NodePools.GPU
	cloud, _ := config.FindCloud(c.Cloud)
	return simulate.Nodes{
		Replicas: perNode, Min: pool.MinNodes, Max: pool.MaxNodes, Spare: c.Autoscaling.SpareNodes, GPUs: pool.GPUsPerNode,
		Idle: (idleTime(c) + scan).Seconds(), AfterAdd: afterAdd.Seconds(),
		Reclaim: o.SpotReclaim.Seconds(), Notice: cloud.SpotNotice.Seconds(),
	}, nil
}

// idleTime returns how long the node autoscaler leaves a node without pods.
func idleTime(c *config.Config) time.Duration {
	var configured time.Duration
	switch keys := c.CloudKeys[c.Cloud].(type) {
	case *eks.Keys:
		configured = keys.IdleTime
	case *aks.Keys:
		configured = keys.IdleTime
	}
	if configured == 0 {
		return unneeded
	}
	return configured
}
