package aks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// attach looks the existing cluster up and checks that it has what the pipeline needs. The look-up returns at
// once, not as an output, so that a cluster that will not do is refused before anything is
// registered in it.
func (b *builder) attach() (*controlPlane, error) {
	a := b.args
	found, err := containerservice.LookupManagedCluster(b.ctx, &containerservice.LookupManagedClusterArgs{
		ResourceGroupName: a.ResourceGroup, ResourceName: a.Existing,
	}, pulumi.Parent(b.component), pulumi.Provider(b.azure))
	if err != nil {
		return nil, fmt.Errorf("aks: looking up the existing cluster %q in resource group %q"+
			" (`az aks list --output table` shows what there is): %w", a.Existing, a.ResourceGroup, err)
	}
	plane := &controlPlane{
		resourceGroup: pulumi.String(a.ResourceGroup).ToStringOutput(),
		name:          pulumi.String(a.Existing).ToStringOutput(),
		id:            pulumi.String(found.Id).ToStringOutput(),
		live:          &live{found},
		subnet:        a.VnetSubnetID,
	}
	if err := a.checkExisting(found, plane); err != nil {
		return nil, fmt.Errorf("aks: cannot attach to the existing cluster %q: %w", a.Existing, err)
	}
	nodes, pods := systemSubnets(found)
	providers.Fill(&plane.subnet, nodes)
	plane.podSubnet = pods
	return plane, nil
}

// checkExisting reports everything that the cluster lacks, each with the setting to change. What is
// found of GPU nodes that are there is added to the control plane.
func (a *Args) checkExisting(found *containerservice.LookupManagedClusterResult, plane *controlPlane) error {
	if found.Sku != nil && value(found.Sku.Name) == "Automatic" {
		// Nothing else matters then.
		return errors.New("it is an AKS Automatic cluster, which brings its own nodes and refuses pools with the cluster autoscaler:" +
			" attach to a cluster of SKU Base, or remove cluster.existing to have one created")
	}
	var p providers.Lacks
	command := func(verb string) string {
		return fmt.Sprintf("az aks %s --resource-group %s --name %s", verb, a.ResourceGroup, a.Existing)
	}
	if value(found.PowerState.Code) == "Stopped" {
		p.Add("it is stopped: run `%s`", command("start"))
	}
	if slices.Contains([]string{"Creating", "Deleting", "Failed"}, found.ProvisioningState) {
		p.Add("its provisioning state is %s: wait for Succeeded, or reconcile it with `%s`", found.ProvisioningState, command("update"))
	}
	withEntra := found.AadProfile != nil
	switch {
	case a.Entra.Enabled && !withEntra:
		p.Add("it does not use Microsoft Entra ID: remove aks.entra, or run `%s`", command("update --enable-aad"))
	case !a.Entra.Enabled && value(found.DisableLocalAccounts):
		p.Add("its local accounts are disabled, so that there is no administrator certificate: set aks.entra, or run `%s`",
			command("update --enable-local-accounts"))
	}
	if a.GPUPool == nil {
		a.findGPUPools(&p, found.AgentPoolProfiles, plane)
	}
	return p.Err()
}

// findGPUPools finds the pools that vLLM could run on, by the label that device plugin, exporter and
// vLLM select, and tolerates what keeps others off them.
func (a *Args) findGPUPools(p *providers.Lacks, pools []containerservice.ManagedClusterAgentPoolProfileResponse, plane *controlPlane) {
	var usable, unlabelled, small []string
	for _, pool := range pools {
		if pool.NodeLabels[providers.PoolLabel] != "" {
			continue // A server's own, of this stack or another one.
		}
		size, known := machines.Find(value(pool.VmSize))
		labelled := pool.NodeLabels[gpuLabel] == "true"
		switch {
		case !labelled && known:
			unlabelled = append(unlabelled, pool.Name)
		case !labelled:
		case known && size.GPUs < a.GPUsPerReplica:
			small = append(small, fmt.Sprintf("%s (%d)", pool.Name, size.GPUs))
		default:
			usable = append(usable, pool.Name)
			plane.tolerate(pool.NodeTaints)
		}
	}
	switch {
	case len(usable) > 0:
	case len(small) > 0:
		p.Add("its GPU pools have fewer GPUs to a node than gpu.perReplica %d: %s", a.GPUsPerReplica, strings.Join(small, ", "))
	case len(unlabelled) > 0:
		p.Add("its GPU pool %s lacks the label %s=true: run `az aks nodepool update --resource-group %s --cluster-name %s --name %s --labels %s=true`"+
			" (with the pool's other labels, which it would replace), or set nodePools.gpu to have a pool created",
			strings.Join(unlabelled, ", "), gpuLabel, a.ResourceGroup, a.Existing, unlabelled[0], gpuLabel)
	default:
		p.Add("it has no GPU pool with the label %s=true: set nodePools.gpu to have one created", gpuLabel)
	}
}

// tolerate adds what tolerates the taints of a pool (key=value:Effect), once each.
func (c *controlPlane) tolerate(taints []string) {
	for _, taint := range taints {
		keyValue, effect, _ := strings.Cut(taint, ":")
		key, taintValue, _ := strings.Cut(keyValue, "=")
		toleration := providers.Toleration{Key: key, Operator: "Equal", Value: taintValue, Effect: effect}
		if key == gpuResource && effect == "NoSchedule" || slices.Contains(c.tolerations, toleration) {
			continue // Tolerated anyway.
		}
		c.tolerations = append(c.tolerations, toleration)
	}
}

// systemSubnets returns the subnets of the nodes and of the pods of the cluster's first system pool: all pools have to be in one
// network, and in a cluster whose pods have a subnet, those of every pool need one. "" where AKS made the network, and where
// pods have addresses of the overlay or of the nodes' subnet.
func systemSubnets(found *containerservice.LookupManagedClusterResult) (nodes, pods string) {
	for _, pool := range found.AgentPoolProfiles {
		if value(pool.Mode) == "System" {
			return value(pool.VnetSubnetID), value(pool.PodSubnetID)
		}
	}
	return "", ""
}

// value returns what a pointer points at, or the zero value.
func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}
