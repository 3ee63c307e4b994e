package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// nvidiaGPU is the resource that NVIDIA's device plugin announces, a GPU each.
const nvidiaGPU = "nvidia.com/gpu"

// request returns the stack's request to its cloud. given reports whether the stack's file has a key.
func (c *Config) request(given func(key string) bool) *providers.Request {
	return &providers.Request{
		Namespace: c.Project, Given: given, CloudKeys: c.CloudKeys[c.Cloud],
		Name: c.Cluster.Name, Existing: c.Cluster.Existing, KubernetesVersion: c.Cluster.KubernetesVersion,
		APIAccessCIDRs: c.Cluster.APIAccessCIDRs, DeletionProtection: c.Cluster.DeletionProtection,
		SystemPool: c.systemPool(), GPUPool: c.gpuPool(), OwnPools: c.ownPools(), GPUsPerReplica: c.GPU.PerReplica,
		StorageClass: c.Monitoring.StorageClass, MetricsReader: c.metricsReader(), Buckets: c.buckets(),
		GatewayAPI: c.Exposed() && c.Expose.DataPlane != string(providers.GatewayPods),
		Local: providers.Local{
			Kubeconfig: c.Cluster.Kubeconfig, Context: c.Cluster.Context, GPU: c.GPUScheduling(),
			GPUMetrics:        providers.GPUMetrics{Source: providers.GPUMetricsSource(c.GPU.Metrics)},
			AggregatedAPIPort: c.Autoscaling.AdapterPort,
		},
	}
}

// systemPool returns the system pool of the request.
func (c *Config) systemPool() providers.NodePool {
	p := c.NodePools.System
	return providers.NodePool{
		MachineType: p.MachineType, MinNodes: p.MinNodes, MaxNodes: p.MaxNodes, DiskGiB: p.DiskGiB, Zones: p.Zones,
	}
}

// gpuPool returns the GPU pool of the request, or nil if none is created.
func (c *Config) gpuPool() *providers.GPUPool {
	p := c.NodePools.GPU
	if !p.Create {
		return nil
	}
	return &providers.GPUPool{
		NodePool: providers.NodePool{
			MachineType: p.MachineType, MinNodes: p.MinNodes, MaxNodes: p.MaxNodes, DiskGiB: p.DiskGiB, Zones: p.Zones, Spot: p.Spot,
		},
		Accelerator: p.Accelerator, GPUsPerNode: p.GPUsPerNode, MemoryGiB: c.GPU.MemoryGiB,
	}
}

// ownPools returns the pools of the servers that have one of their own.
func (c *Config) ownPools() []providers.ServingPool {
	var pools []providers.ServingPool
	for _, server := range c.servers {
		if pool := server.gpuPool(); server.ownPool && pool != nil {
			pool.Key, pool.GPUKey = server.GPUPoolKey(), server.ServerKey(providers.KeyServerGPUs)
			pools = append(pools, providers.ServingPool{GPUPool: *pool, Name: server.Server, GPUsPerReplica: server.GPU.PerReplica})
		}
	}
	return pools
}

// GPUScheduling returns how a replica gets its GPUs in a cluster whose nodes the stack's file describes; a simulated one requests none.
func (c *Config) GPUScheduling() providers.GPUScheduling {
	scheduling := providers.GPUScheduling{NodeSelector: c.GPU.NodeSelector}
	if c.GPU.Mode == GPUNvidia {
		scheduling.ResourceName, scheduling.PerReplica = nvidiaGPU, c.GPU.PerReplica
	}
	for _, t := range c.GPU.Tolerations {
		scheduling.Tolerations = append(scheduling.Tolerations, providers.Toleration(t))
	}
	return scheduling
}

// validateCloud adds the problems that the cloud's own package finds, except for keys and objects that already have one: the
// earlier problem is more precise.
func (c *Config) validateCloud(r *report) {
	for _, p := range c.cloud().Validate(c.request(r.given.has)) {
		full := r.full(p.Key)
		if slices.ContainsFunc(r.problems, func(other Problem) bool { return isAtOrBelow(other.Key, full) || isAtOrBelow(full, other.Key) }) {
			continue
		}
		top, _, _ := strings.Cut(full, ".")
		if p.Value != "" && r.source.isSecret(top) {
			p.Value = "[secret]"
		}
		r.add(Problem{Key: full, Value: p.Value, Allowed: p.Allowed, Fix: choose(p.Fix == "", "see docs/"+c.Cloud+".md", p.Fix)})
	}
}

// LoginProgram returns the program that the kubeconfig of the cluster calls, and how to install it; "" for none.
func (c *Config) LoginProgram() (program, install string) {
	cloud := c.cloud()
	if cloud.Login == nil {
		return "", ""
	}
	return cloud.Login(c.request(nil))
}

// NewCluster creates, or attaches to, the cluster that the configuration describes.
func (c *Config) NewCluster(ctx *pulumi.Context) (*providers.Cluster, error) {
	cloud, ok := FindCloud(c.Cloud)
	if !ok {
		return nil, fmt.Errorf("cloud %q not supported (%s)", c.Cloud, oneOf(Clouds))
	}
	return cloud.New(ctx, "cluster", c.request(nil))
}
