package config

import (
	"fmt"
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// maxNamedMachines is the maximum number of machine types that an error names for an accelerator.
const maxNamedMachines = 3

// validateNodePools checks the cluster that a cloud creates: first the rules that follow from the model and the replicas,
// then those of the cloud's own package.
func (c *Config) validateNodePools(r *report, given keySet) {
	if !c.onCloud() {
		return
	}
	if c.createsGPUPool() {
		c.validateAccelerator(r, given)
		c.validateNodeRoom(r)
		c.validateCapacity(r)
	}
	c.validateCloud(r)
}

// validateAccelerator refuses GPUs that cannot run the model. Whether its weights fit is checked with
// the model.
func (c *Config) validateAccelerator(r *report, given keySet) {
	pool := c.NodePools.GPU
	accelerator, known := accelerators.Find(pool.Accelerator)
	_, knownMachine := c.cloud().Machines.Find(pool.MachineType)
	switch {
	case !known && pool.Accelerator != "" && (knownMachine || pool.MachineType == ""):
		// Another name for a known GPU would bypass the checks.
		var names []string
		for _, a := range accelerators.All() {
			names = append(names, a.Name)
		}
		fix := "use the name from the list, or remove the key: it follows from nodePools.gpu.machineType"
		if !knownMachine {
			fix = "use the name from the list, or for a GPU that it lacks set nodePools.gpu.machineType, nodePools.gpu.gpusPerNode and gpu.memoryGiB too"
		}
		r.bad("nodePools.gpu.accelerator", pool.Accelerator, "a GPU that the program knows: "+strings.Join(names, ", "), fix)
		return
	case !known:
		return // A GPU that the stack's file describes; the cloud's package checks whether it does.
	}
	if given.has("gpu.memoryGiB") && c.GPU.MemoryGiB != accelerator.MemoryGiB {
		r.bad("gpu.memoryGiB", c.GPU.MemoryGiB, fmt.Sprintf("%g, the memory of %s", accelerator.MemoryGiB, accelerator.Name),
			"remove the key: it follows from nodePools.gpu")
	}
	if needs, why := c.needsCapability(); accelerator.ComputeCapability < needs {
		key, value := "nodePools.gpu.accelerator", pool.Accelerator
		if !given.has(key) {
			key, value = "nodePools.gpu.machineType", pool.MachineType
		}
		r.badWith(key, value, fmt.Sprintf("a GPU of compute capability %d.%d or more: %s, and %s has %s",
			needs/10, needs%10, why, accelerator.Name, accelerator.Capability()), c.otherGPUs(r, key))
	}
}

// validateCapacity refuses more replicas than the node pool can hold: the rest would stay pending, and the HPA would count
// them.
func (c *Config) validateCapacity(r *report) {
	pool := c.NodePools.GPU
	if pool.GPUsPerNode < 1 || c.GPU.PerReplica < 1 || pool.MaxNodes < 1 {
		return // A problem already.
	}
	if c.GPU.PerReplica > pool.GPUsPerNode {
		machines := c.machinesWith(pool.Accelerator)
		r.bad("gpu.perReplica", c.GPU.PerReplica, fmt.Sprintf("at most %d, the GPUs of one %s", pool.GPUsPerNode, pool.MachineType),
			fmt.Sprintf("lower it, or set nodePools.gpu.machineType to a machine with more (%s)",
				choose(len(machines) == 0, "there is none with this accelerator", strings.Join(machines, ", "))))
		return
	}
	perNode, bound := c.replicasPerNode()
	if perNode == 0 {
		return // A problem of validateNodeRoom.
	}
	replicas := c.Autoscaling.MaxReplicas
	if most := perNode * pool.MaxNodes; replicas > most {
		nodes := (replicas + perNode - 1) / perNode
		why := fmt.Sprintf("%d of %d GPUs each on a node of %d", perNode, c.GPU.PerReplica, pool.GPUsPerNode)
		fix := fmt.Sprintf("%s, or %s", r.set("nodePools.gpu.maxNodes", fmt.Sprint(nodes)), r.set("autoscaling.maxReplicas", fmt.Sprint(most)))
		if bound != "" {
			why = fmt.Sprintf("%d on a node, which has GPUs for more but not the room for their %s", perNode, bound)
			fix += ", or lower " + bound
		}
		r.bad("autoscaling.maxReplicas", replicas, fmt.Sprintf("at most %d: nodePools.gpu.maxNodes (%d) x %s", most, pool.MaxNodes, why), fix)
	}
}
