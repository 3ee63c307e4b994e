package aks

import (
	"fmt"
	"strings"
	"time"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// maxNodeProvisionTime is how long the node autoscaler waits for a node before it gives up and tries
// another. With its driver, a GPU node was seen to take more than 21 minutes (skypilot#3718); AKS' own
// 15 would then buy one machine after the other.
const maxNodeProvisionTime = 30 * time.Minute

// create registers the resource group and the cluster with its system pool.
func (b *builder) create() (*controlPlane, error) {
	resourceGroup := pulumi.String(b.args.resourceGroup()).ToStringOutput()
	if b.args.ResourceGroup == "" {
		inputs := pulumi.Map{
			"resourceGroupName": pulumi.String(b.args.resourceGroup()),
			"location":          pulumi.String(b.args.Location),
		}
		if tags := b.args.tags(); tags != nil {
			inputs["tags"] = tags
		}
		// There cannot be two of one name.
		group, err := b.newSmallResource(resourceGroupType, inputs, pulumi.DeleteBeforeReplace(true))
		if err != nil {
			return nil, fmt.Errorf("creating resource group %q: %w", b.args.resourceGroup(), err)
		}
		resourceGroup = after(group, b.args.resourceGroup())
	}
	found, err := b.lookUp(b.args.resourceGroup(), b.args.Name)
	if err != nil {
		return nil, err
	}
	if err := b.args.checkLive(found).Err(); err != nil {
		return nil, fmt.Errorf("AKS cluster %q: %w", b.args.Name, err)
	}
	if err := b.warnOfEgress(); err != nil {
		return nil, err
	}
	cluster, err := b.newCluster(resourceGroup, found)
	if err != nil {
		return nil, err
	}
	plane := &controlPlane{
		// Not resourceGroup itself: the credentials have to wait for the cluster, too.
		resourceGroup: after(cluster, b.args.resourceGroup()),
		name:          after(cluster, b.args.Name),
		id:            cluster.ID().ToStringOutput(),
		issuer:        issuerOf(cluster, found),
		live:          found,
		subnet:        b.args.VnetSubnetID,
		version:       b.args.KubernetesVersion,
		ready:         []pulumi.Resource{cluster},
	}
	return plane, b.newMaintenanceWindows(plane)
}

// newCluster registers the cluster with its system pool.
func (b *builder) newCluster(resourceGroup pulumi.StringOutput, found *live) (*containerservice.ManagedCluster, error) {
	a := b.args
	args := a.clusterArgs()
	digest, err := b.digest(args)
	if err != nil {
		return nil, err
	}
	args.ResourceGroupName, args.Tags = resourceGroup, b.tagsWith(digest)
	args.AgentPoolProfiles = containerservice.ManagedClusterAgentPoolProfileArray{a.systemPool(nodes(found.pool(systemPoolName), a.SystemPool))}

	options := []pulumi.ResourceOption{
		pulumi.Protect(a.DeletionProtection),
		// Azure refuses to change these, but only in the middle of an update; a preview is to show that it takes a new cluster.
		// Those of the system pool are only listed for a change: after a refresh, another pool may be in its place of the list.
		pulumi.ReplaceOnChanges(append(found.replacingPool(a),
			"dnsPrefix", "location", "nodeResourceGroup",
			"apiServerAccessProfile.enablePrivateCluster",
			"networkProfile.podCidr", "networkProfile.serviceCidr", "networkProfile.dnsServiceIP",
		)),
		// There cannot be two of one name.
		pulumi.DeleteBeforeReplace(true),
	}
	if found.settled(a, digest) {
		// What the node autoscaler, automatic upgrades and a refresh changed in the state is no change to undo; see live.
		options = append(options, pulumi.IgnoreChanges([]string{"agentPoolProfiles", "kubernetesVersion"}))
	}
	cluster, err := containerservice.NewManagedCluster(b.ctx, b.name, args, b.options(options...)...)
	if err != nil {
		return nil, fmt.Errorf("creating AKS cluster %q: %w", a.Name, err)
	}
	return cluster, nil
}

// clusterArgs returns the inputs of the cluster but for its resource group and the digest in its tags. The system pool has
// its minimum of nodes.
func (a *Args) clusterArgs() *containerservice.ManagedClusterArgs {
	return &containerservice.ManagedClusterArgs{
		// A name of its own, not an autoname: kubeconfigs, roles and people refer to it.
		ResourceName:      pulumi.String(a.Name),
		Location:          pulumi.String(a.Location),
		DnsPrefix:         pulumi.String(dnsPrefix(a.Name)),
		KubernetesVersion: optional(a.KubernetesVersion),
		NodeResourceGroup: optional(a.NodeResourceGroup),
		Tags:              a.tags(),
		Sku:               containerservice.ManagedClusterSKUArgs{Name: pulumi.String("Base"), Tier: pulumi.String(a.Tier)},
		Identity:          a.identity(),

		EnableRBAC:             pulumi.Bool(true),
		AadProfile:             a.entraProfile(),
		DisableLocalAccounts:   pulumi.Bool(a.Entra.Enabled && a.Entra.DisableLocalAccounts),
		ApiServerAccessProfile: a.apiServerAccess(),

		// Pods can take on Azure identities without a secret.
		OidcIssuerProfile: containerservice.ManagedClusterOIDCIssuerProfileArgs{Enabled: pulumi.Bool(true)},
		SecurityProfile: containerservice.ManagedClusterSecurityProfileArgs{
			WorkloadIdentity: containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs{Enabled: pulumi.Bool(true)},
		},
		NetworkProfile: a.networkProfile(),
		AutoUpgradeProfile: containerservice.ManagedClusterAutoUpgradeProfileArgs{
			UpgradeChannel:       pulumi.String(a.UpgradeChannel),
			NodeOSUpgradeChannel: pulumi.String(a.NodeOSUpgradeChannel),
		},
		AutoScalerProfile: containerservice.ManagedClusterPropertiesAutoScalerProfileArgs{
			ScaleDownUnneededTime: minutes(a.IdleTime),
			MaxNodeProvisionTime:  minutes(maxNodeProvisionTime),
		},
		AgentPoolProfiles: containerservice.ManagedClusterAgentPoolProfileArray{a.systemPool(a.SystemPool.MinNodes)},
	}
}

// dnsPrefix returns the first part of the API server's DNS name. AKS takes up to 54 letters, digits and hyphens there, but
// up to 63 characters and underscores in the name of a cluster.
func dnsPrefix(name string) string {
	prefix := strings.ReplaceAll(name, "_", "-")
	return strings.TrimRight(prefix[:min(len(prefix), maxDNSPrefix)], "-")
}

// identity returns the identity that the cluster acts as.
func (a *Args) identity() containerservice.ManagedClusterIdentityArgs {
	if a.UserAssignedIdentityID == "" {
		return containerservice.ManagedClusterIdentityArgs{Type: containerservice.ResourceIdentityTypeSystemAssigned}
	}
	return containerservice.ManagedClusterIdentityArgs{
		Type:                   containerservice.ResourceIdentityTypeUserAssigned,
		UserAssignedIdentities: pulumi.ToStringArray([]string{a.UserAssignedIdentityID}),
	}
}

// entraProfile returns how Microsoft Entra ID guards the API server; nil where it does not.
func (a *Args) entraProfile() containerservice.ManagedClusterAADProfilePtrInput {
	if !a.Entra.Enabled {
		return nil
	}
	return containerservice.ManagedClusterAADProfileArgs{
		Managed:             pulumi.Bool(true),
		EnableAzureRBAC:     pulumi.Bool(a.Entra.EnableAzureRBAC),
		AdminGroupObjectIDs: list(a.Entra.AdminGroupObjectIDs),
		TenantID:            optional(a.Entra.TenantID),
	}
}

// minutes returns a duration as AKS writes it.
func minutes(d time.Duration) pulumi.String { return pulumi.String(fmt.Sprintf("%dm", d/time.Minute)) }

// protect registers the lock, unless a GPU pool is being replaced or removed: the old pool is deleted last, and could not be
// with the lock in place.
func (b *builder) protect(plane *controlPlane, pools []*containerservice.AgentPool) error {
	var names []string
	for _, pool := range b.args.GPUPools() {
		names = append(names, b.args.gpuPoolName(plane, pool))
	}
	if old := plane.live.formerPool(b.ctx.Stack(), names); old != "" {
		return b.warn(providers.KeyDeletionProtection, "true", fmt.Sprintf("the lock of the cluster is left out of this update, because the GPU pool %s is "+
			"replaced or removed and could not be deleted with it; run `pulumi up` once more to set it again", old))
	}
	return b.newLock(plane, pools, names[0])
}

// newLock registers a lock that keeps everyone from deleting the cluster, for which AKS has no setting. The lock covers
// the pools below the cluster as well, so it has to be the last to come and the first to go. The main pool is the first one.
func (b *builder) newLock(plane *controlPlane, pools []*containerservice.AgentPool, mainName string) error {
	var own []pulumi.Resource
	for _, pool := range pools[1:] {
		own = append(own, pool)
	}
	_, err := b.newSmallResource(lockType, pulumi.Map{
		"scope":    plane.id,
		"lockName": pulumi.String(b.args.Name + "-no-delete"),
		"level":    pulumi.String("CanNotDelete"),
		// Waits for the main pool by its id, see the options. The others are left out, so that one more changes nothing here.
		"notes": after(pools[0], fmt.Sprintf("Set by Pulumi with the cluster's deletion protection, for %s and its node pool %s.", b.args.Name, mainName)),
	},
		pulumi.DependsOn(own),
		// If the pool is replaced, its id and with it this note are unknown. Replacing the lock in that case, as with a
		// cluster that is replaced, removes it before the old pool is deleted.
		pulumi.ReplaceOnChanges([]string{"notes"}),
		pulumi.DeleteBeforeReplace(true),
	)
	if err != nil {
		return fmt.Errorf("locking AKS cluster %q: %w", b.args.Name, err)
	}
	return nil
}
