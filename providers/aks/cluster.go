package aks

import (
	"fmt"
	"time"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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
		if tags := b.tags(); tags != nil {
			inputs["tags"] = tags
		}
		// There cannot be two of one name.
		group, err := b.newSmallResource(resourceGroupType, inputs, pulumi.DeleteBeforeReplace(true))
		if err != nil {
			return nil, fmt.Errorf("creating resource group %q: %w", b.args.resourceGroup(), err)
		}
		resourceGroup = after(group, b.args.resourceGroup())
	}
	cluster, err := b.newCluster(resourceGroup)
	if err != nil {
		return nil, err
	}
	return &controlPlane{
		// Not resourceGroup itself: the credentials have to wait for the cluster, too.
		resourceGroup: after(cluster, b.args.resourceGroup()),
		name:          after(cluster, b.args.Name),
		id:            cluster.ID().ToStringOutput(),
		subnet:        b.args.VnetSubnetID,
		ready:         []pulumi.Resource{cluster},
	}, nil
}

// newCluster registers the cluster with its system pool.
func (b *builder) newCluster(resourceGroup pulumi.StringOutput) (*containerservice.ManagedCluster, error) {
	a := b.args
	cluster, err := containerservice.NewManagedCluster(b.ctx, b.name, &containerservice.ManagedClusterArgs{
		ResourceGroupName: resourceGroup,
		// A name of its own, not an autoname: kubeconfigs, roles and people refer to it.
		ResourceName:      pulumi.String(a.Name),
		Location:          pulumi.String(a.Location),
		DnsPrefix:         pulumi.String(a.Name),
		KubernetesVersion: optional(a.KubernetesVersion),
		NodeResourceGroup: optional(a.NodeResourceGroup),
		Tags:              b.tags(),
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
		AgentPoolProfiles: containerservice.ManagedClusterAgentPoolProfileArray{b.systemPool()},
	}, b.options(
		pulumi.Protect(a.DeletionProtection),
		// The node autoscaler owns the number of nodes; an update would send the one of the creation,
		// or the last refresh, instead. The rest of the pool is not ignored, so that a change of it
		// shows in a preview.
		pulumi.IgnoreChanges([]string{"agentPoolProfiles[0].count"}),
		// Azure refuses to change these, but only in the middle of an update; a preview is to show that
		// it takes a new cluster.
		pulumi.ReplaceOnChanges([]string{
			"dnsPrefix", "location", "nodeResourceGroup",
			"apiServerAccessProfile.enablePrivateCluster",
			"networkProfile.podCidr", "networkProfile.serviceCidr", "networkProfile.dnsServiceIP",
			"agentPoolProfiles[0].vmSize", "agentPoolProfiles[0].osDiskSizeGB", "agentPoolProfiles[0].availabilityZones",
			"agentPoolProfiles[0].vnetSubnetID", "agentPoolProfiles[0].enableEncryptionAtHost",
		}),
		// There cannot be two of one name.
		pulumi.DeleteBeforeReplace(true),
	)...)
	if err != nil {
		return nil, fmt.Errorf("creating AKS cluster %q: %w", a.Name, err)
	}
	return cluster, nil
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

// newLock registers a lock that keeps everyone from deleting the cluster, for which AKS has no setting. The lock covers
// the pools below the cluster as well, so it has to be the last to come and the first to go.
func (b *builder) newLock(plane *controlPlane, pool *containerservice.AgentPool) error {
	_, err := b.newSmallResource(lockType, pulumi.Map{
		"scope":    plane.id,
		"lockName": pulumi.String(b.args.Name + "-no-delete"),
		"level":    pulumi.String("CanNotDelete"),
		// Waits for the pool by its id, see the options.
		"notes": after(pool, fmt.Sprintf("Set by Pulumi with the cluster's deletion protection, for %s and its node pool %s.",
			b.args.Name, b.args.GPUPoolName)),
	},
		// If the pool is replaced, its id and with it this note are unknown. Replacing the lock in that case removes it before
		// the old pool is deleted.
		pulumi.ReplaceOnChanges([]string{"notes"}),
		pulumi.DeleteBeforeReplace(true),
	)
	if err != nil {
		return fmt.Errorf("locking AKS cluster %q: %w", b.args.Name, err)
	}
	return nil
}
