package config

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/providers/accelerators"
)

// AWS' names of the images for GPU nodes.
const (
	amiAL2023       = "AL2023_x86_64_NVIDIA"
	amiBottlerocket = "BOTTLEROCKET_x86_64_NVIDIA"
)

// maxNamedMachines bounds how many machine types an error names for an accelerator.
const maxNamedMachines = 3

// validateNodePools checks the cluster that a cloud makes: what follows from the model and the
// replicas first, then what the provider package itself has to say.
func (c *Config) validateNodePools(r *report, given keySet) {
	if !c.onCloud() {
		return
	}
	if !c.attaches() && !given.has("cluster.apiAccessCidrs") && !c.AKS.PrivateCluster {
		r.bad("cluster.apiAccessCidrs", "", "the networks that may reach the API server, yours among them",
			r.set("cluster.apiAccessCidrs[0]", "203.0.113.7/32")+" with your own address; 0.0.0.0/0 opens it to everyone")
	}
	if c.attaches() && given.has("cluster.name") && c.Cloud != CloudGKE {
		r.bad("cluster.name", c.Cluster.Name, fmt.Sprintf("no name beside cluster.existing (%s): nothing of that name is created", c.Cluster.Existing),
			"remove the key, or cluster.existing")
	}
	for _, positive := range []struct {
		key   string
		value int
	}{
		{"nodePools.system.minNodes", c.NodePools.System.MinNodes},
		{"nodePools.system.maxNodes", c.NodePools.System.MaxNodes},
		{"nodePools.system.diskGiB", c.NodePools.System.DiskGiB},
		{"nodePools.gpu.maxNodes", c.NodePools.GPU.MaxNodes},
		{"nodePools.gpu.diskGiB", c.NodePools.GPU.DiskGiB},
		{"nodePools.gpu.gpusPerNode", c.NodePools.GPU.GPUsPerNode},
		{"eks.logRetentionDays", c.EKS.LogRetentionDays},
	} {
		// The provider packages take 0 for the default.
		if given.has(positive.key) && positive.value < 1 {
			r.bad(positive.key, positive.value, "1 or more", "remove the key to get its default")
		}
	}
	if amiTypes := []string{amiAL2023, amiBottlerocket}; c.Cloud == CloudEKS && !slices.Contains(amiTypes, c.EKS.AMIType) {
		r.bad("eks.amiType", c.EKS.AMIType, oneOf(amiTypes), "both bring NVIDIA's driver")
	}
	if entra := c.AKS.Entra; c.Cloud == CloudAKS && !entra.Enabled && given.hasBelow("aks.entra", "aks.entra.enabled") {
		r.bad("aks.entra.enabled", false, "true, together with the other keys of aks.entra", r.set("aks.entra.enabled", "true"))
	}
	if c.createsGPUPool() {
		c.validateAccelerator(r, given)
		c.validateNodeRoom(r)
		c.validateCapacity(r)
	}
	c.validateProvider(r)
}

// validateAccelerator refuses GPUs that cannot run the model. Whether its weights fit is checked with
// the model.
func (c *Config) validateAccelerator(r *report, given keySet) {
	pool := c.NodePools.GPU
	accelerator, known := accelerators.Find(pool.Accelerator)
	if _, knownMachine := accelerators.FindMachine(c.Cloud, pool.MachineType); !known {
		// Another name of a known GPU would slip past the checks. On GKE all names are known.
		if knownMachine || c.Cloud == CloudGKE {
			var names []string
			for _, a := range accelerators.All() {
				names = append(names, a.Name)
			}
			r.bad("nodePools.gpu.accelerator", pool.Accelerator, oneOf(names),
				"use the name from the list, or remove the key: it follows from nodePools.gpu.machineType")
		}
		return
	}
	if given.has("gpu.memoryGiB") && c.GPU.MemoryGiB != accelerator.MemoryGiB {
		r.bad("gpu.memoryGiB", c.GPU.MemoryGiB, fmt.Sprintf("%g, the memory of %s", accelerator.MemoryGiB, accelerator.Name),
			"remove the key: it follows from nodePools.gpu")
	}
	if needs := c.needsCapability(); accelerator.ComputeCapability < needs {
		key, value := "nodePools.gpu.accelerator", pool.Accelerator
		if !given.has(key) {
			key, value = "nodePools.gpu.machineType", pool.MachineType
		}
		r.badWith(key, value, fmt.Sprintf("a GPU of compute capability %d.%d or more: %s runs in bfloat16, and %s has %s",
			needs/10, needs%10, c.Model.ID, accelerator.Name, accelerator.Capability()), c.otherGPUs(r, key))
	}
}

// validateCapacity refuses more replicas than the nodes could ever hold: the rest would wait for ever,
// and the HPA believe that they are coming.
func (c *Config) validateCapacity(r *report) {
	pool := c.NodePools.GPU
	if pool.GPUsPerNode < 1 || c.GPU.PerReplica < 1 || pool.MaxNodes < 1 {
		return // Said by others.
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
		return // Said by validateNodeRoom.
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
