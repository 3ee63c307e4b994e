package config

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/components"
)

const spareNodesKey = "autoscaling.spareNodes"

// checkSpareNodes refuses spare nodes that nothing would add, and more than the server's pool can hold beside its fewest replicas. Those
// of servers that share a pool are checked together (checkSpareNodesOf).
func (c *Config) checkSpareNodes(r *report) {
	spare := c.Autoscaling.SpareNodes
	switch {
	case spare == 0 || r.anyRefused("gpu.mode"):
	case c.GPU.Mode != GPUNvidia && !c.onCloud():
		r.bad(spareNodesKey, spare, "0 with gpu.mode simulated: a spare node keeps GPUs ready, and a simulated replica uses none", "remove the key")
	case !c.createsGPUPool():
		r.warn(spareNodesKey, spare, fmt.Sprintf("whether the cluster has a node autoscaler that replaces a spare node, and how many GPUs a node has, is not "+
			"known here: each is a pod that requests the GPUs of one replica (%d), and stays pending where no node has them", c.GPU.PerReplica),
			"use it only with a node autoscaler that adds nodes for pods of priority -10")
	case len(c.neighbours) == 0:
		c.checkSpareNodesOf(r, []*Config{c})
	}
	if a := c.Autoscaling; spare > 0 && a.MinReplicas == a.MaxReplicas {
		r.warn(spareNodesKey, spare, fmt.Sprintf("autoscaling.minReplicas and autoscaling.maxReplicas are both %d: no replica is ever added, so that a spare node "+
			"serves only updates and replicas whose node is lost", a.MaxReplicas), "remove the key, or raise autoscaling.maxReplicas")
	}
}

// checkSpareNodesOf refuses more spare nodes of the servers on the server's pool than the pool can hold beside the fewest replicas of all
// of them: the rest would be pending from the beginning.
func (c *Config) checkSpareNodesOf(r *report, servers []*Config) {
	if r.anyRefused(spareNodesKey, "nodePools.gpu.maxNodes", "autoscaling.minReplicas", "gpu.perReplica") || r.has("autoscaling.maxReplicas") ||
		r.has("nodePools.gpu.maxNodes") || c.NodePools.GPU.MaxNodes < 1 {
		return
	}
	spare := 0
	var names []string
	for _, server := range servers {
		spare += server.Autoscaling.SpareNodes
		if server.Autoscaling.SpareNodes > 0 {
			names = append(names, fmt.Sprintf("%s %d", server.Server, server.Autoscaling.SpareNodes))
		}
	}
	most, fewest := c.NodePools.GPU.MaxNodes, wholeNodes(c.nodesOf(servers, func(server *Config) int { return server.Autoscaling.MinReplicas }))
	if spare == 0 || fewest == 0 || spare+fewest <= most {
		return
	}
	if len(servers) > 1 {
		r.bad("nodePools.gpu.maxNodes", most, fmt.Sprintf("at least %d: the spare nodes of its servers (%s) and %d for their fewest replicas",
			spare+fewest, strings.Join(names, ", "), fewest),
			fmt.Sprintf("%s, or lower autoscaling.spareNodes of the servers", r.set("nodePools.gpu.maxNodes", fmt.Sprint(spare+fewest))))
		return
	}
	r.bad(spareNodesKey, spare, fmt.Sprintf("at most %d: nodePools.gpu.maxNodes (%d) has to hold the spare nodes and %d for the fewest replicas",
		max(0, most-fewest), most, fewest), r.set("nodePools.gpu.maxNodes", fmt.Sprint(spare+fewest))+", or lower the key")
}

// checkSpareNames refuses a server that is called like the Deployment of the spare nodes of another one.
func (c *Config) checkSpareNames(r *report) {
	names := c.Servers.Names()
	for _, server := range c.servers {
		if other := components.SpareNodesName(server.Server); server.Autoscaling.SpareNodes > 0 && slices.Contains(names, other) {
			r.bad("servers."+other, "", fmt.Sprintf("a name other than %s, which is that of the Deployment of the spare nodes of server %s", other, server.Server),
				"give the server another name")
		}
	}
}
