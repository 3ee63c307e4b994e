package config

import (
	"fmt"
	"strings"

	"vllm-autoscaling/components"
	"vllm-autoscaling/stacks/config/sizing"
)

// Values of vllm.cache.kind.
const (
	// CachePod keeps what the server compiles in its pod.
	CachePod = "pod"
	// CacheNode keeps it on the node.
	CacheNode = "node"
	// CacheClaim keeps it in a PersistentVolumeClaim.
	CacheClaim = "claim"
)

// Cache configures where what the server compiles survives its pod: the caches of torch.compile, Triton, FlashInfer and CUDA, without
// the weights (docs/cold-start.md).
type Cache struct {
	// Kind is where a new replica finds what an earlier one compiled: pod is nowhere, node a folder of the node, and claim a
	// PersistentVolumeClaim that all replicas share. An entry is read only with the same image, model, GPU and flags.
	Kind string `key:"kind" values:"pod node claim" default:"pod" hint:"pod needs nothing of the cluster"`
	// Claim is an existing PersistentVolumeClaim in namespaces.serving, ReadWriteMany where replicas run on several nodes.
	Claim string `key:"claim" unset:"the stack creates one of vllm.cache.storageClass" example:"compile-cache" format:"subdomain"`
	// StorageClass is the class of a ReadWriteMany claim that the stack creates, and deletes on destroy.
	StorageClass string `key:"storageClass" unset:"none is created" example:"azurefile-csi" format:"subdomain"`
	// Size is the most that the cache may hold; the entries that were not used for the longest time are removed first. An entry has
	// some hundred MiB. The volume of vllm.cache.storageClass keeps the size with which it was created.
	Size Quantity `key:"size" default:"10Gi" example:"5Gi" hint:"10Gi has room for some ten entries"`
}

// checkPrePull refuses pods for an image that no GPU node needs.
func (c *Config) checkPrePull(r *report) {
	if c.VLLM.PrePull && c.GPU.Mode == GPUSimulated && !r.anyRefused("gpu.mode") {
		r.bad("vllm.prePull", true, "false with gpu.mode simulated: the simulator runs on any node, and its image is small", "remove it")
	}
}

// checkCache refuses a cache that the server would not use, and settings of a cache of another kind.
func (c *Config) checkCache(r *report) {
	cache := c.VLLM.Cache
	if r.anyRefused("vllm.cache.kind") {
		return
	}
	if cache.Kind != CachePod && c.GPU.Mode == GPUSimulated && !r.anyRefused("gpu.mode") {
		r.bad("vllm.cache.kind", cache.Kind, "pod with gpu.mode simulated: the simulator compiles nothing", "remove it")
		return
	}
	if cache.Kind == CachePod {
		if r.given.has("vllm.cache.size") {
			r.bad("vllm.cache.size", string(cache.Size), "a size only with another vllm.cache.kind than pod: the caches in a pod end with it",
				"remove it, or: "+r.set("vllm.cache.kind", CacheNode))
		}
	}
	if cache.Kind != CacheClaim {
		for key, value := range map[string]string{"vllm.cache.claim": cache.Claim, "vllm.cache.storageClass": cache.StorageClass} {
			if value != "" {
				r.bad(key, value, "a name only with vllm.cache.kind claim", "remove it, or: "+r.set("vllm.cache.kind", CacheClaim))
			}
		}
		return
	}
	switch given := r.anyRefused("vllm.cache.claim", "vllm.cache.storageClass"); {
	case given:
	case cache.Claim == "" && cache.StorageClass == "":
		r.bad("vllm.cache.kind", cache.Kind, "claim only together with vllm.cache.claim or vllm.cache.storageClass",
			fmt.Sprintf("name a claim in namespaces.serving, or a class of ReadWriteMany volumes: %s", r.set("vllm.cache.storageClass", "azurefile-csi")))
	case cache.Claim != "" && cache.StorageClass != "":
		r.bad("vllm.cache.storageClass", cache.StorageClass, "not together with vllm.cache.claim, which exists", "remove one of the two")
	}
}

// CompileCache returns where what the server compiles survives its pod.
func (c *Config) CompileCache() components.CompileCache {
	cache := components.CompileCache{Size: string(c.VLLM.Cache.Size)}
	switch c.VLLM.Cache.Kind {
	case CacheNode:
		cache.OnNodes = true
	case CacheClaim:
		cache.Claim, cache.StorageClass = c.VLLM.Cache.Claim, c.VLLM.Cache.StorageClass
	}
	if c.createsGPUPool() {
		cache.Hardware = c.NodePools.GPU.Accelerator
	}
	return cache
}

// sidecars returns the CPUs and the memory that the containers beside the server request together: those of vllm.podTemplate and the
// program's own.
func (c *Config) sidecars() sizing.Room {
	sum := c.VLLM.PodTemplate.sidecars()
	if c.VLLM.Cache.Kind != CachePod {
		cpu, memory := Quantity(components.CompileCacheCPU).amount(), Quantity(components.CompileCacheMemory)
		sum.CPUs += cpu.AsApproximateFloat64()
		sum.MemoryGiB += memory.gib()
	}
	return sum
}

// warnOfStreaming warns of an image that GKE pulls whole, although its GPU nodes stream images
// (https://cloud.google.com/kubernetes-engine/docs/how-to/image-streaming).
func (c *Config) warnOfStreaming(r *report) {
	if c.Cloud != CloudGKE || !c.createsGPUPool() || streams(c.VLLM.Image) {
		return
	}
	r.warn("vllm.image", c.VLLM.Image, "GKE streams images of Artifact Registry, and public ones of Docker Hub; this one is pulled whole by every new node",
		"name it by a remote repository of Artifact Registry, which needs no copy (docs/cold-start.md)")
}

// streams reports whether GKE can stream an image, by the host of its registry.
func streams(image string) bool {
	host, _, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return true // An image without a host is on Docker Hub.
	}
	return host == "docker.io" || host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, "-docker.pkg.dev")
}
