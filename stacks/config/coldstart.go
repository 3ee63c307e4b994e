package config

import (
	"fmt"
	"time"

	"vllm-autoscaling/stacks/config/models"
	"vllm-autoscaling/stacks/config/sizing"
)

// ColdStart is how long the phases of a new replica take, which follow each other. No cloud promises any of them, and none was
// measured: they depend on the region, the image, the model and the hour.
type ColdStart struct {
	// Node is from a pod that fits no node to a node that accepts it; 0 where the stack makes no nodes.
	Node time.Duration
	// Image is the pull of the server's image by a new node.
	Image time.Duration
	// Weights is the download of the weights and their loading into the GPU, or their streaming.
	Weights time.Duration
	// Warmup is the rest of the server's start until it is ready, such as compilation and the capture of CUDA graphs.
	Warmup time.Duration
}

// Total returns the time from a pod that fits no node to a ready server.
func (s ColdStart) Total() time.Duration { return s.Node + s.Image + s.Weights + s.Warmup }

// Estimates of the phases. They depend on the region, the image, the model and the hour; no cloud promises any.
const (
	// nodeDelay is the lower end of the 3 to 8 minutes of KAITO's proposal (kaito-project/kaito), of which cluster-autoscaler waits the
	// first half minute for every pod with a GPU (kubernetes/autoscaler#9126). On EKS users report 1 to 3 minutes, and 4 to 6 for
	// P instances (kubernetes/autoscaler#3464); Google publishes nothing.
	nodeDelay = 3 * time.Minute
	// nodeDelayAKS is between the 4m44s of kaito-project/kaito#2325 and the 5m37s of skypilot-org/skypilot#3718.
	nodeDelayAKS = 5 * time.Minute
	// imageDelay is in the middle of the 1 to 2 minutes of KAITO's proposal; kaito-project/kaito#2325 has 1m41s.
	imageDelay = 90 * time.Second
	// downloadRate and loadRate, in 10^9 bytes per second, are those of 27.4 GiB in 113 s and 74 s on an A100 (AKS' blog, July 2026).
	downloadRate, loadRate = 0.26, 0.4
	// streamRate is that of the same 27.4 GiB in 10 s from Azure Blob Storage into the same GPU (Azure/AKS#5845). The network of smaller
	// machines is slower: 10 Gbit/s are 1.2. Microsoft's other report, 232.8 GiB in 37 s, is of eight GPUs that share the work
	// (https://devblogs.microsoft.com/azure-sdk/eliminate-llm-cold-starts-load-models-up-to-6x-faster-with-azure-blob-storage-and-runai-model-streamer/).
	streamRate = 2.9
	// warmupDelay is between the 34 s of vllm-project/vllm#20264, with a filled compilation cache, and the 195 s of
	// kaito-project/kaito#2325 for a model of 27B parameters.
	warmupDelay = time.Minute
	// warmupCached is that of a server which finds what it would compile (vllm-project/vllm#20264).
	warmupCached = 34 * time.Second
)

// ColdStart returns an estimate of how long a new replica takes.
func (c *Config) ColdStart() ColdStart {
	start := ColdStart{Node: nodeDelay, Image: imageDelay, Warmup: warmupDelay}
	switch {
	case c.ReplicasPerNode() == 0:
		start.Node = 0 // The stack makes no nodes: those of the cluster are there.
	case c.Cloud == CloudAKS:
		start.Node = nodeDelayAKS
	}
	if c.VLLM.Cache.Kind == CacheClaim {
		start.Warmup = warmupCached // A new node has none of its own yet.
	}
	start.Weights = c.Model.weightsTime(c.Model.startBytes() / 1e9)
	return start
}

// startBytes returns what a replica reads before it serves: the files of the weights, with the share of the memory that vLLM takes beyond
// them, and of the adapters. Weights that are quantised while they are loaded are read in 16 bits; the engines of a replica read theirs at
// the same time. It is 0 if the size is not known.
func (m Model) startBytes() float64 {
	footprint, known := m.footprint()
	model, listed := models.Find(m.ID)
	if !known || !listed {
		return footprint.LoadedBytes()
	}
	return sizing.Of(model, m.numberBytes(), m.cacheBytes()).LoadedBytes() + m.adaptersGiB(len(m.LoRA.Adapters))*sizing.GiB
}

// usualStabilization is the default of autoscaling.scaleDown.stabilization; docs/policies.md compares it with others.
const usualStabilization = 15 * time.Minute

// defaultStabilization returns how long the load has to be low before a replica is removed: the usual time, or that of a cold start in
// whole minutes where it is longer.
func (c *Config) defaultStabilization() time.Duration {
	if c.GPU.Mode != GPUNvidia {
		return usualStabilization
	}
	return min(time.Hour, max(usualStabilization, c.ColdStart().Total().Truncate(time.Minute)+time.Minute))
}

// Scaling describes how long a burst waits for a further replica, in one line.
func (c *Config) Scaling() string {
	least := c.Autoscaling.MinReplicas
	if c.GPU.Mode != GPUNvidia {
		return fmt.Sprintf("autoscaling keeps %d to %d replicas", least, c.Autoscaling.MaxReplicas)
	}
	return fmt.Sprintf("a new replica is ready after about %s (an estimate, docs/simulation-model.md)%s; until then a burst has the replicas that run, "+
		"at least autoscaling.minReplicas (%d)", c.ColdStart().Total().Round(10*time.Second), c.spareStarts(), least)
}
