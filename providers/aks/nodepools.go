package aks

import (
	"fmt"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// systemPool returns the system pool, which is part of the cluster: AKS creates none without one. The GPU pool is a resource of its
// own, because AKS takes no further pools this way.
func (b *builder) systemPool() containerservice.ManagedClusterAgentPoolProfileArgs {
	pool := b.args.SystemPool
	return containerservice.ManagedClusterAgentPoolProfileArgs{
		Name: pulumi.String(systemPoolName),
		// No taint CriticalAddonsOnly: monitoring has to run here, too.
		Mode:                   pulumi.String("System"),
		Type:                   pulumi.String("VirtualMachineScaleSets"),
		VmSize:                 pulumi.String(pool.MachineType),
		OsType:                 pulumi.String("Linux"),
		OsSKU:                  pulumi.String("Ubuntu"),
		EnableAutoScaling:      pulumi.Bool(true),
		Count:                  pulumi.Int(pool.MinNodes),
		MinCount:               pulumi.Int(pool.MinNodes),
		MaxCount:               pulumi.Int(pool.MaxNodes),
		OsDiskSizeGB:           pulumi.Int(pool.DiskGiB),
		OsDiskType:             pulumi.String("Managed"),
		EnableEncryptionAtHost: pulumi.Bool(b.args.EncryptionAtHost),
		EnableNodePublicIP:     pulumi.Bool(false),
		AvailabilityZones:      list(pool.Zones),
		VnetSubnetID:           optional(b.args.VnetSubnetID),
		Tags:                   b.tags(),
	}
}

// newGPUPool registers the pool for vLLM.
func (b *builder) newGPUPool(plane *controlPlane) (*containerservice.AgentPool, error) {
	pool := b.args.GPUPool
	labels := pulumi.StringMap{gpuLabel: pulumi.String("true")}
	taints := pulumi.StringArray{pulumi.String(gpuTaint)}
	args := &containerservice.AgentPoolArgs{
		ResourceGroupName: plane.resourceGroup,
		ResourceName:      plane.name,
		AgentPoolName:     pulumi.String(b.args.GPUPoolName),
		Mode:              pulumi.String("User"),
		Type:              pulumi.String("VirtualMachineScaleSets"),
		VmSize:            pulumi.String(pool.MachineType),
		OsType:            pulumi.String("Linux"),
		OsSKU:             pulumi.String("Ubuntu"),
		EnableAutoScaling: pulumi.Bool(true),
		Count:             pulumi.Int(pool.MinNodes),
		MinCount:          pulumi.Int(pool.MinNodes),
		MaxCount:          pulumi.Int(pool.MaxNodes),
		// Deallocated machines would keep their disks, and their price.
		ScaleDownMode: pulumi.String("Delete"),
		OsDiskSizeGB:  pulumi.Int(pool.DiskGiB),
		// Not on the machine's cache disk, whose size differs between GPU sizes.
		OsDiskType:             pulumi.String("Managed"),
		EnableEncryptionAtHost: pulumi.Bool(b.args.EncryptionAtHost),
		EnableNodePublicIP:     pulumi.Bool(false),
		AvailabilityZones:      list(pool.Zones),
		VnetSubnetID:           optional(plane.subnet),
		ScaleSetPriority:       pulumi.String("Regular"),
		Tags:                   b.tags(),
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

	agentPool, err := containerservice.NewAgentPool(b.ctx, b.name+"-gpu", args, b.options(
		// The node autoscaler owns the number of nodes. What is sent with an update is the number of the
		// creation or, better, of the last refresh.
		pulumi.IgnoreChanges([]string{"count"}),
		// Azure refuses to change these, but only in the middle of an update; a preview is to show that
		// it takes a new pool. MinCount, MaxCount and tags are not among them.
		pulumi.ReplaceOnChanges([]string{
			"vmSize", "osDiskSizeGB", "osDiskType", "availabilityZones", "vnetSubnetID",
			"scaleSetPriority", "scaleSetEvictionPolicy", "spotMaxPrice", "enableEncryptionAtHost",
		}),
		// There cannot be two of one name, and seldom quota for two pools of GPUs.
		pulumi.DeleteBeforeReplace(true),
	)...)
	if err != nil {
		return nil, fmt.Errorf("creating GPU pool %q of AKS cluster %q: %w", b.args.GPUPoolName, b.args.ClusterName(), err)
	}
	return agentPool, nil
}
