package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/googlemanaged"
)

// rounding is more than the error of a sum of shares of nodes.
const rounding = 1e-9

// ServerConfigs returns the configuration of each server of the stack, sorted by name: with the key servers that of each entry, and
// otherwise c itself. They agree in everything that is not of a server. Of a stack of several servers, c has what they share; its
// Model, VLLM, GPU, SLO and Autoscaling are what an entry begins with, and are not checked.
func (c *Config) ServerConfigs() []*Config {
	if len(c.servers) == 0 {
		return []*Config{c}
	}
	return c.servers
}

// OneOfSeveral reports whether the configuration is that of an entry of the key servers.
func (c *Config) OneOfSeveral() bool { return c.named }

// OwnPool reports whether the server has a GPU pool of its own.
func (c *Config) OwnPool() bool { return c.ownPool }

// readServers reads the configuration of each server, and reports its problems and warnings under the keys of the stack file.
func (c *Config) readServers(r *report) {
	c.checkServerNames(r)
	var sources []serverSource
	for _, name := range c.Servers.Names() {
		sources = append(sources, r.source.forServer(name, c.Servers[name]))
	}
	// The shared pool follows from all of its servers, and what a replica asks for from the pool.
	for range 2 {
		var decoded []*Config
		for _, source := range sources {
			server, _ := decode(source.Source)
			decoded = append(decoded, server)
		}
		for i := range sources {
			sources[i].neighbours = sharing(sources, decoded, i)
		}
	}
	for _, source := range sources {
		server, found := readAll(source.Source)
		c.servers = append(c.servers, server)
		for _, problem := range found.problems {
			problem.Key, problem.Fix = source.place(problem.Key), source.placeAll(problem.Fix)
			if !slices.Contains(r.problems, problem) {
				r.problems = append(r.problems, problem)
			}
		}
		for _, warning := range found.warnings {
			warning.Key, warning.Fix = source.place(warning.Key), source.placeAll(warning.Fix)
			if !slices.Contains(r.warnings, warning) {
				r.warnings = append(r.warnings, warning)
			}
		}
	}
	c.checkHostnames(r)
	c.checkSpareNames(r)
	c.sharePool(r)
	if len(r.problems) == 0 {
		slices.SortStableFunc(r.warnings, func(a, b Warning) int { return strings.Compare(a.Key, b.Key) })
		c.warnings = r.warnings
	}
}

// checkServerNames refuses a server that is called like an object of another one.
func (c *Config) checkServerNames(r *report) {
	names := c.Servers.Names()
	for _, name := range names {
		_, monitoring := googlemanaged.ServerMonitorings(name)
		for _, object := range []string{monitoring, components.StagerAccount(name)} {
			if slices.Contains(names, object) {
				r.bad("servers."+object, "", fmt.Sprintf("a name other than %s, which is that of an object of server %s", object, name), "give the server another name")
			}
		}
	}
}

// checkHostnames refuses a host name that two servers have: clients could reach only one of them by it.
func (c *Config) checkHostnames(r *report) {
	first := map[string]string{}
	for _, server := range c.servers {
		host := server.Expose.Hostname
		other, taken := first[host]
		switch {
		case host == "":
		case taken:
			r.bad("servers."+server.Server+".expose.hostname", host, "a name that no other server of the stack has; "+other+" has this one",
				"give each server a host name of its own")
		default:
			first[host] = server.Server
		}
	}
}

// sharing returns the other servers on the pool of server i.
func sharing(sources []serverSource, decoded []*Config, i int) []*Config {
	var others []*Config
	for j, other := range decoded {
		if j != i && !sources[i].ownPool && !sources[j].ownPool {
			others = append(others, other)
		}
	}
	return others
}

// nodesFor returns how many nodes of the server's GPU pool the most replicas of servers take up.
func (c *Config) nodesFor(servers []*Config) float64 {
	return c.nodesOf(servers, func(server *Config) int { return server.Autoscaling.MaxReplicas })
}

// nodesOf returns how many nodes of the server's GPU pool a number of replicas of each server take up.
func (c *Config) nodesOf(servers []*Config, replicas func(*Config) int) float64 {
	nodes := 0.0
	for _, server := range servers {
		on := *server
		on.NodePools.GPU = c.NodePools.GPU
		if perNode, _ := on.replicasPerNode(); on.GPU.PerReplica > 0 && perNode > 0 {
			nodes += float64(replicas(server)) / float64(perNode)
		}
	}
	return nodes
}

// nodesOfNeighbours returns how many nodes the most replicas of all servers on the pool take up by their GPUs, and one more for an
// update; 0 for a pool of one server.
func (c *Config) nodesOfNeighbours() int {
	perNode := c.NodePools.GPU.GPUsPerNode
	if len(c.neighbours) == 0 || perNode == 0 {
		return 0
	}
	nodes := 0.0
	for _, server := range append([]*Config{c}, c.neighbours...) {
		nodes += float64(server.Autoscaling.MaxReplicas) / math.Max(1, float64(perNode/max(1, server.GPU.PerReplica)))
	}
	return wholeNodes(nodes) + 1
}

func wholeNodes(nodes float64) int { return int(math.Ceil(nodes - rounding)) }

// sharePool gives the stack the GPU pool that its servers share, and refuses one that is too small for all of them together.
func (c *Config) sharePool(r *report) {
	var shared []*Config
	for _, server := range c.servers {
		if !server.ownPool {
			shared = append(shared, server)
		}
	}
	if len(shared) == 0 {
		r.bad("servers", strings.Join(c.Servers.Names(), ", "), "at least one server without nodePool: the stack always has the pool nodePools.gpu",
			fmt.Sprintf("remove %s of one of them, and write what it has into nodePools.gpu", serverPool))
		return
	}
	largest := slices.MaxFunc(shared, func(a, b *Config) int { return a.GPU.PerReplica - b.GPU.PerReplica })
	c.NodePools.GPU, c.GPU.PerReplica, c.GPU.MemoryGiB = largest.NodePools.GPU, largest.GPU.PerReplica, largest.GPU.MemoryGiB
	if len(r.problems) > 0 || !c.createsGPUPool() || len(shared) < 2 {
		return
	}
	var parts []string
	different := false
	for _, server := range shared {
		parts = append(parts, fmt.Sprintf("%s %d of %d GPUs each", server.Server, server.Autoscaling.MaxReplicas, server.GPU.PerReplica))
		different = different || server.GPU.PerReplica != largest.GPU.PerReplica
	}
	pool := c.NodePools.GPU
	if need := wholeNodes(largest.nodesFor(shared)); need > pool.MaxNodes {
		r.bad("nodePools.gpu.maxNodes", pool.MaxNodes, fmt.Sprintf("at least %d, for the most replicas of all its servers together (%s) on nodes of %d GPUs",
			need, strings.Join(parts, ", "), pool.GPUsPerNode),
			fmt.Sprintf("%s, lower autoscaling.maxReplicas of the servers, or give one of them a %s of its own", r.set("nodePools.gpu.maxNodes", fmt.Sprint(need)), serverPool))
		return
	}
	largest.checkSpareNodesOf(r, shared)
	if different {
		r.warn("nodePools.gpu", "", fmt.Sprintf("its servers take different numbers of GPUs (%s): a replica of many may find no node "+
			"with enough of them free while replicas of few stand on all nodes", strings.Join(parts, ", ")),
			fmt.Sprintf("give the server of many a %s of its own", serverPool))
	}
}
