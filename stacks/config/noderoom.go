package config

import (
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/api/resource"

	"vllm-autoscaling/stacks/config/sizing"
)

// imageDiskGiB is the most disk space that the operating system and the unpacked images of a GPU node use.
const imageDiskGiB = 40

// replicaRequest returns the CPUs and the memory that a replica requests; ok is false if a quantity is not valid.
func (c *Config) replicaRequest() (cpus, memoryGiB float64, ok bool) {
	cpu, err := resource.ParseQuantity(string(c.VLLM.CPU))
	memory, err2 := resource.ParseQuantity(string(c.VLLM.Memory))
	if err != nil || err2 != nil || cpu.Sign() <= 0 || memory.Sign() <= 0 {
		return 0, 0, false
	}
	return cpu.AsApproximateFloat64(), memory.AsApproximateFloat64() / sizing.GiB, true
}

// replicasPerNode returns how many replicas fit on a node of the GPU pool, and what limits that: GPUs, or the key of the
// request that is too large.
func (c *Config) replicasPerNode() (count int, bound string) {
	pool := c.NodePools.GPU
	// A replica does not spread over nodes, so what is left over on a node is lost.
	count = pool.GPUsPerNode / c.GPU.PerReplica
	machine, known := c.cloud().Machines.Find(pool.MachineType)
	cpus, memoryGiB, ok := c.replicaRequest()
	if !known || !ok {
		return count, ""
	}
	room, sidecars := sizing.MostRoom(c.cloud().Node, machine), c.sidecars()
	cpus, memoryGiB = cpus+sidecars.CPUs, memoryGiB+sidecars.MemoryGiB
	if fitting := room.Holds(cpus, memoryGiB); fitting < count {
		count, bound = fitting, choose(room.CPUs/cpus < room.MemoryGiB/memoryGiB, "vllm.cpu", "vllm.memory")
	}
	return count, bound
}

// ReplicasPerNode returns how many replicas a node of the GPU pool holds; 0 where the stack creates no GPU pool.
func (c *Config) ReplicasPerNode() int {
	if !c.createsGPUPool() {
		return 0
	}
	count, _ := c.replicasPerNode()
	return count
}

// validateNodeRoom refuses replicas that cannot fit on their nodes, and warns of those that probably do not.
func (c *Config) validateNodeRoom(r *report) {
	machine, known := c.cloud().Machines.Find(c.NodePools.GPU.MachineType)
	cpus, memoryGiB, ok := c.replicaRequest()
	if !known || !ok {
		return
	}
	// The keys are the requests of the server; its sidecars need room as well.
	sidecars := c.sidecars()
	most := sizing.MostRoom(c.cloud().Node, machine).Without(sidecars)
	likely := sizing.LikelyRoom(c.cloud().Node, machine).Without(sidecars)
	// What is left for each server with as many replicas as the GPUs allow.
	each := sizing.PerReplica(c.cloud().Node, machine, c.GPU.PerReplica).Without(sidecars)
	for _, check := range []struct {
		key                             string
		value                           Quantity
		wants, most, likely, each, size float64
		unit, suffix, what              string
	}{
		{"vllm.cpu", c.VLLM.CPU, cpus, most.CPUs, likely.CPUs, each.CPUs, float64(machine.CPUs), "", "", "CPUs"},
		{"vllm.memory", c.VLLM.Memory, memoryGiB, most.MemoryGiB, likely.MemoryGiB, each.MemoryGiB, machine.MemoryGiB, " GiB", "Gi", "memory"},
	} {
		if !r.given.has(check.key) && c.GPU.PerReplica > machine.GPUs {
			continue // The default follows from the number of GPUs, which is refused already.
		}
		// The request that fits next to the other pods, for as many replicas as the GPUs allow.
		fits := math.Max(1, math.Floor(check.each))
		switch {
		case check.wants > check.most:
			var ways []way
			// The lower value may break another rule: vllm.memory must exceed vllm.shm, for example.
			if lower := (change{check.key: fmt.Sprintf("%g%s", fits, check.suffix)}); r.works(check.key, lower) {
				ways = append(ways, way{fmt.Sprintf("%s %g%s", check.key, fits, check.suffix), []change{lower}})
			}
			for _, other := range c.machinesWith(machine.Accelerator) {
				if larger := otherMachine(other); r.works(check.key, larger) {
					ways = append(ways, way{"nodePools.gpu.machineType " + other, []change{larger}})
					break
				}
			}
			r.badWith(check.key, string(check.value),
				fmt.Sprintf("at most %.1f%s, what a node of %s (%g%s) has for pods; a replica that asks for more never starts",
					check.most, check.unit, machine.Type, check.size, check.unit), ways)
		case check.wants > check.likely:
			r.warn(check.key, string(check.value),
				fmt.Sprintf("a node of %s (%g%s) probably has no more than %.1f%s left for it, next to the pods that stand on every node",
					machine.Type, check.size, check.unit, check.likely, check.unit),
				fmt.Sprintf("lower it to %g%s", fits, check.suffix))
		}
	}
}

// validateDisk refuses volumes and disks that are too small for the model's files: the kubelet evicts a pod that fills them,
// and the next pod downloads the files again.
func (c *Config) validateDisk(r *report) {
	if files := c.downloadGiB(); files > 0 {
		c.validateCache(r, files)
	}
	files := c.diskGiB()
	if files == 0 || !c.createsGPUPool() || r.has("nodePools.gpu.diskGiB") {
		return
	}
	disk, need := c.NodePools.GPU.DiskGiB, int(math.Ceil(files))+imageDiskGiB
	if disk == 0 {
		disk = c.cloud().GPUPool.DiskGiB
	}
	if local := c.localDisk(); local > 0 {
		disk = max(local, need) // A smaller one is a problem of its own.
		c.checkLocalDisk(r, local, need)
	}
	if disk < need && disk > 0 {
		r.badWith("nodePools.gpu.diskGiB", disk,
			fmt.Sprintf("at least %d: the %.0f GiB of %s's files, and %d for the system and the server's image", need, math.Ceil(files), c.Model.ID, imageDiskGiB),
			[]way{{fmt.Sprintf("nodePools.gpu.diskGiB %d", need), []change{{"nodePools.gpu.diskGiB": need}}}})
	}
}

// validateCache refuses a cache that is too small for the files that are downloaded.
func (c *Config) validateCache(r *report, files float64) {
	if cache, err := resource.ParseQuantity(string(c.VLLM.ModelCache)); err == nil && cache.Sign() > 0 && cache.AsApproximateFloat64()/sizing.GiB < files {
		need := fmt.Sprintf("%dGi", int(math.Ceil(1.1*files)))
		r.badWith("vllm.modelCache", string(c.VLLM.ModelCache),
			fmt.Sprintf("at least the %.1f GiB of %s's files: Kubernetes evicts a pod that writes more than its volume may hold", files, c.Model.ID),
			[]way{{"remove the key", []change{{"vllm.modelCache": nil}}}, {"vllm.modelCache " + need, []change{{"vllm.modelCache": need}}}})
	}
}

// localDisk returns the size of the disks of the GPU machines on which the nodes keep images and volumes; 0 where they keep them on the
// pool's disk.
func (c *Config) localDisk() int {
	cloud := c.cloud()
	if cloud.LocalDisk == nil {
		return 0
	}
	return cloud.LocalDisk(c.CloudKeys[cloud.Name], c.NodePools.GPU.MachineType)
}

// checkLocalDisk refuses disks of the machine that are too small for the model's files.
func (c *Config) checkLocalDisk(r *report, local, need int) {
	if local < need {
		r.bad("eks.localStorage", true, fmt.Sprintf("false on %s, whose disks have %d GiB: the %.0f GiB of %s's files and %d for the system and the server's image do not fit",
			c.NodePools.GPU.MachineType, local, math.Ceil(c.downloadGiB()), c.Model.ID, imageDiskGiB), "remove it, or choose a machine with larger disks")
	}
}
