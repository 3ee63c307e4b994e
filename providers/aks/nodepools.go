package aks

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// systemPool returns the system pool with a number of nodes, which is part of the cluster: AKS creates none without one. The GPU pool is a resource of its
// own, because AKS takes no further pools this way.
func (a *Args) systemPool(nodes int) containerservice.ManagedClusterAgentPoolProfileArgs {
	pool := a.SystemPool
	return containerservice.ManagedClusterAgentPoolProfileArgs{
		Name: pulumi.String(systemPoolName),
		// No taint CriticalAddonsOnly: monitoring has to run here, too.
		Mode:                   pulumi.String("System"),
		Type:                   pulumi.String("VirtualMachineScaleSets"),
		VmSize:                 pulumi.String(pool.MachineType),
		OsType:                 pulumi.String("Linux"),
		OsSKU:                  pulumi.String("Ubuntu"),
		EnableAutoScaling:      pulumi.Bool(true),
		Count:                  pulumi.Int(nodes),
		MinCount:               pulumi.Int(pool.MinNodes),
		MaxCount:               pulumi.Int(pool.MaxNodes),
		OsDiskSizeGB:           pulumi.Int(pool.DiskGiB),
		OsDiskType:             pulumi.String("Managed"),
		EnableEncryptionAtHost: pulumi.Bool(a.EncryptionAtHost),
		EnableNodePublicIP:     pulumi.Bool(false),
		AvailabilityZones:      list(pool.Zones),
		VnetSubnetID:           optional(a.VnetSubnetID),
		Tags:                   a.tags(),
	}
}

// The name of a server's own pool is ownPoolPrefix, the first characters of the server's name and a digest: together AKS' limit
// of 12 lower-case letters and digits.
const (
	ownPoolPrefix = "gpu"
	ownPoolServer = 4
	ownPoolDigest = 5
)

// gpuPoolName returns the name of a GPU pool: aks.gpuPoolName, or for a server's own pool what stands for the server, and a
// digest of what Azure cannot change in a pool. With such a change, the pool has another name, so that the new pool can be
// created before the old one is deleted: AKS evicts the pods of a pool that it deletes, and their PodDisruptionBudget allows the
// next eviction only when the pod before it is ready somewhere else.
func (a *Args) gpuPoolName(plane *controlPlane, pool *providers.ServingPool) string {
	fixed := fmt.Sprint(strings.ToLower(pool.MachineType), pool.DiskGiB, slices.Sorted(slices.Values(pool.Zones)), pool.Spot, a.EncryptionAtHost,
		strings.ToLower(plane.subnet), strings.ToLower(plane.podSubnet))
	if !pool.Own() {
		return fmt.Sprintf("%s%x", a.GPUPoolName, sha256.Sum256([]byte(fixed)))[:len(a.GPUPoolName)+digestLength]
	}
	server := strings.ReplaceAll(pool.Name, "-", "")
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(fixed+" "+pool.Name+" "+a.PoolValue(pool))))
	return ownPoolPrefix + server[:min(len(server), ownPoolServer)] + digest[:ownPoolDigest]
}

// newGPUPools registers the GPU pools: the main one and those of single servers.
func (b *builder) newGPUPools(plane *controlPlane) ([]*containerservice.AgentPool, error) {
	var pools []*containerservice.AgentPool
	for _, pool := range b.args.GPUPools() {
		made, err := b.newGPUPool(plane, pool)
		if err != nil {
			return nil, err
		}
		pools = append(pools, made)
	}
	return pools, nil
}

// newGPUPool registers a pool for models.
func (b *builder) newGPUPool(plane *controlPlane, pool *providers.ServingPool) (*containerservice.AgentPool, error) {
	args, name := b.args.gpuPoolArgs(plane, pool), b.args.gpuPoolName(plane, pool)
	digest, err := b.digest(args)
	if err != nil {
		return nil, err
	}
	bounds, found := pool.NodePool, plane.live.pool(name)
	args.ResourceGroupName, args.ResourceName, args.Tags = plane.resourceGroup, plane.name, b.tagsWith(digest)
	args.Count = pulumi.Int(nodes(found, bounds))

	options := []pulumi.ResourceOption{
		// Azure's provider asks for the other order, whatever the name; see gpuPoolName.
		pulumi.DeleteBeforeReplace(false),
	}
	if found != nil && found.Tags[settingsTag] == digest && bounded(found, bounds) {
		// What the node autoscaler and automatic upgrades change is no change to undo; see live.
		options = append(options, pulumi.IgnoreChanges([]string{"count", "orchestratorVersion"}))
	}
	agentPool, err := containerservice.NewAgentPool(b.ctx, b.name+"-"+pool.Suffix(), args, b.options(options...)...)
	if err != nil {
		return nil, fmt.Errorf("creating GPU pool %q of AKS cluster %q: %w", name, b.args.ClusterName(), err)
	}
	return agentPool, nil
}

// gpuPoolArgs returns the inputs of a GPU pool but for its cluster and the digest in its tags. It has its minimum of nodes.
func (a *Args) gpuPoolArgs(plane *controlPlane, pool *providers.ServingPool) *containerservice.AgentPoolArgs {
	labels := pulumi.ToStringMap(a.Label(pool, map[string]string{gpuLabel: "true"}))
	taints := pulumi.StringArray{pulumi.String(gpuTaint)}
	if pool.Own() {
		taints = append(taints, pulumi.String(providers.PoolLabel+"="+a.PoolValue(pool)+":NoSchedule"))
	}
	args := &containerservice.AgentPoolArgs{
		AgentPoolName:     pulumi.String(a.gpuPoolName(plane, pool)),
		Mode:              pulumi.String("User"),
		Type:              pulumi.String("VirtualMachineScaleSets"),
		VmSize:            pulumi.String(pool.MachineType),
		OsType:            pulumi.String("Linux"),
		OsSKU:             pulumi.String("Ubuntu"),
		EnableAutoScaling: pulumi.Bool(true),
		Count:             pulumi.Int(pool.MinNodes),
		MinCount:          pulumi.Int(pool.MinNodes),
		MaxCount:          pulumi.Int(pool.MaxNodes),
		// The cluster's version does not reach its pools by itself. The cluster's own list must leave it out: Azure changes
		// versions there for all pools together or not at all.
		OrchestratorVersion: optional(plane.version),
		// Deallocated machines would keep their disks, and their price.
		ScaleDownMode: pulumi.String("Delete"),
		OsDiskSizeGB:  pulumi.Int(pool.DiskGiB),
		// Not on the machine's cache disk, whose size differs between GPU sizes.
		OsDiskType:             pulumi.String("Managed"),
		EnableEncryptionAtHost: pulumi.Bool(a.EncryptionAtHost),
		EnableNodePublicIP:     pulumi.Bool(false),
		AvailabilityZones:      list(pool.Zones),
		VnetSubnetID:           optional(plane.subnet),
		PodSubnetID:            optional(plane.podSubnet),
		ScaleSetPriority:       pulumi.String("Regular"),
		Tags:                   a.tags(),
	}
	if pool.Spot {
		args.ScaleSetPriority = pulumi.String("Spot")
		args.ScaleSetEvictionPolicy = pulumi.String("Delete")
		// Up to the price on demand: evicted for want of machines, never for the price.
		args.SpotMaxPrice = pulumi.Float64(-1)
		// AKS adds both by itself and shows them; left out here, they would be a change to undo.
		labels[spotKey] = pulumi.String(spotValue)
		taints = append(taints, pulumi.String(spotKey+"="+spotValue+":NoSchedule"))
	}
	args.NodeLabels, args.NodeTaints = labels, taints
	return args
}
