package config

import (
	"fmt"
	"math"
	"strconv"

	"vllm-autoscaling/stacks/config/sizing"
)

const (
	processorCacheFlag     = "--mm-processor-cache-gb"
	processorCacheTypeFlag = "--mm-processor-cache-type"

	// processorCacheGiB is the size of vLLM's cache of processed images, which is 4 GiB by default: too much for the machines with
	// 16 GiB that carry the smallest GPUs.
	processorCacheGiB = 1

	// The requests of the simulator. Measured of llm-d-inference-sim 0.10.2, with prompts of 12 kB and 500 tokens each: 36 MiB at
	// rest, 72 MiB with 32 requests, 265 MiB and 0.2 CPUs with 512. It has no volume at /dev/shm; the size is that of a container
	// without one.
	simulatorCPU, simulatorShm Quantity = "500m", "64Mi"
	simulatorGiB                        = 1
)

// ProcessorCacheGiB returns the size of vLLM's cache of processed images to set; 0 for a model without images.
func (c *Config) ProcessorCacheGiB() float64 {
	if _, ok := c.readsImages(); !ok {
		return 0
	}
	return processorCacheGiB
}

// host returns what a replica does with the CPUs and the main memory of its node.
func (c *Config) host() sizing.Host {
	_, images := c.readsImages()
	host := sizing.Host{
		GPUs: c.GPU.PerReplica, Engines: c.Model.Parallel.Data, FilesGiB: c.cachedGiB(), StreamGiB: c.streamGiB(), AdaptersGiB: c.Model.adaptersGiB(c.Model.LoRA.MaxLoras),
		Images: images, ImageCacheGiB: c.ProcessorCacheGiB(),
	}
	flags := serverFlags(c.Model.ExtraArgs)
	if given, err := strconv.ParseFloat(flags[processorCacheFlag], 64); err == nil && given >= 0 && images {
		host.ImageCacheGiB = given
	}
	host.SharedCache = images && flags[processorCacheTypeFlag] == "shm"
	return host
}

// hostRoom returns the likely room for the server of a replica on every kind of node that it may run on; the zero value where that is not known.
func (c *Config) hostRoom() sizing.Room {
	if !c.createsGPUPool() {
		return sizing.Room{}
	}
	cloud := c.cloud()
	types := []string{c.NodePools.GPU.MachineType}
	if cloud.Alternatives != nil {
		types = append(types, cloud.Alternatives(c.CloudKeys[cloud.Name])...)
	}
	room := sizing.Room{CPUs: math.Inf(1), MemoryGiB: math.Inf(1)}
	for _, name := range types {
		machine, known := cloud.Machines.Find(name)
		if !known {
			return sizing.Room{}
		}
		room = room.Least(sizing.PerReplica(cloud.Node, machine, c.GPU.PerReplica))
	}
	return room.Without(c.sidecars())
}

// applyHostDefaults sets the CPUs and the main memory of a replica.
func (c *Config) applyHostDefaults(given keySet) {
	if c.GPU.Mode == GPUSimulated {
		orDefault(given, "vllm.cpu", &c.VLLM.CPU, simulatorCPU)
		orDefault(given, "vllm.shm", &c.VLLM.Shm, simulatorShm)
		orDefault(given, "vllm.memory", &c.VLLM.Memory, gibibytes(max(simulatorGiB, 1+int(c.VLLM.Shm.gib()))))
		return
	}
	host, room := c.host(), c.hostRoom()
	orDefault(given, "vllm.cpu", &c.VLLM.CPU, Quantity(strconv.Itoa(host.CPUs(room))))
	orDefault(given, "vllm.shm", &c.VLLM.Shm, gibibytes(host.SharedGiB()))
	orDefault(given, "vllm.memory", &c.VLLM.Memory, gibibytes(host.MemoryGiB(c.VLLM.Shm.gib(), room)))
}

// gib returns the quantity in GiB, or 0 for an empty or invalid one.
func (q Quantity) gib() float64 {
	amount := q.amount()
	return amount.AsApproximateFloat64() / sizing.GiB
}

func gibibytes(n int) Quantity { return Quantity(fmt.Sprintf("%dGi", n)) }
