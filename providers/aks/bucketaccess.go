package aks

import (
	"fmt"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// The types that are registered without the SDK's packages for them; see smallResource.
const (
	identityType            = "azure-native:managedidentity:UserAssignedIdentity"
	federatedCredentialType = "azure-native:managedidentity:FederatedIdentityCredential" //nolint:gosec // the name of a type
	roleAssignmentType      = "azure-native:authorization:RoleAssignment"
)

// Azure's own roles (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage).
const (
	blobDataReader      = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
	blobDataContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

	// clientIDAnnotation selects the identity of a ServiceAccount's pods, tokenAudience is what their tokens are for
	// (https://learn.microsoft.com/azure/aks/workload-identity-overview).
	clientIDAnnotation = "azure.workload.identity/client-id"
	tokenAudience      = "api://AzureADTokenExchange"
)

// managedIdentity is a user-assigned identity.
type managedIdentity struct {
	pulumi.CustomResourceState

	ClientID    pulumi.StringOutput `pulumi:"clientId"`
	PrincipalID pulumi.StringOutput `pulumi:"principalId"`
}

// newBucketAccess registers the rights to the containers with weights: of each server to read, and of what fills the folder to write. Each
// ServiceAccount gets an identity of its own through workload identity. Azure has no rights to a folder short of a hierarchical namespace.
func (b *builder) newBucketAccess(plane *controlPlane) (map[string]providers.BucketIdentity, error) {
	identities := map[string]providers.BucketIdentity{}
	for _, access := range b.args.Buckets {
		reader, readerAccess, err := b.newContainerIdentity(plane, access, "reader", access.Reader, blobDataReader)
		if err != nil {
			return nil, err
		}
		writer, writerAccess, err := b.newContainerIdentity(plane, access, "writer", access.Writer, blobDataContributor)
		if err != nil {
			return nil, err
		}
		identities[access.Server] = providers.BucketIdentity{
			ReaderAnnotations: pulumi.StringMap{clientIDAnnotation: reader.ClientID},
			WriterAnnotations: pulumi.StringMap{clientIDAnnotation: writer.ClientID},
			Access:            append(readerAccess, writerAccess...),
		}
	}
	return identities, nil
}

// newContainerIdentity registers an identity with a role on a container, which the pods of a ServiceAccount act as.
func (b *builder) newContainerIdentity(plane *controlPlane, access providers.BucketAccess, purpose string, account providers.ServiceAccount, role string,
) (*managedIdentity, []pulumi.Resource, error) {
	suffix := fmt.Sprintf("weights-%s-%s", access.Server, purpose)
	failed := func(what string, err error) error {
		return fmt.Errorf("registering %s of ServiceAccount %s/%s: %w", what, account.Namespace, account.Name, err)
	}
	register := func(resourceType string, inputs pulumi.Map, made pulumi.CustomResource, more ...pulumi.ResourceOption) error {
		return b.ctx.RegisterResource(resourceType, b.name+"-"+suffix, inputs, made, utilities.PkgResourceDefaultOpts(b.options(more...))...)
	}
	identity := &managedIdentity{}
	inputs := pulumi.Map{
		"resourceGroupName": plane.resourceGroup, "resourceName": pulumi.String(b.args.ClusterName() + "-" + suffix), "location": pulumi.String(b.args.Location),
	}
	if tags := b.args.tags(); tags != nil {
		inputs["tags"] = tags
	}
	if err := register(identityType, inputs, identity); err != nil {
		return nil, nil, failed("the identity", err)
	}
	credential := &smallResource{}
	if err := register(federatedCredentialType, pulumi.Map{
		"resourceGroupName": plane.resourceGroup,
		// Waits for the identity, whose name is known.
		"resourceName": after(identity, b.args.ClusterName()+"-"+suffix),
		"federatedIdentityCredentialResourceName": pulumi.String(account.Name),
		"issuer":    plane.issuer,
		"subject":   pulumi.Sprintf("system:serviceaccount:%s:%s", account.Namespace, account.Name),
		"audiences": pulumi.ToStringArray([]string{tokenAudience}),
	}, credential); err != nil {
		return nil, nil, failed("the credential", err)
	}
	subscription := plane.id.ApplyT(subscriptionOf).(pulumi.StringOutput)
	assignment := &smallResource{}
	if err := register(roleAssignmentType, pulumi.Map{
		"scope": pulumi.Sprintf("%s/resourceGroups/%s/providers/Microsoft.Storage/storageAccounts/%s/blobServices/default/containers/%s",
			subscription, b.args.StorageResourceGroup, access.Bucket.Account, access.Bucket.Name),
		"roleDefinitionId": pulumi.Sprintf("%s/providers/Microsoft.Authorization/roleDefinitions/%s", subscription, role),
		"principalId":      identity.PrincipalID,
		// Without it, Azure may not find the identity yet.
		"principalType": pulumi.String("ServicePrincipal"),
	}, assignment); err != nil {
		return nil, nil, failed("the role", err)
	}
	return identity, []pulumi.Resource{credential, assignment}, nil
}

// issuerOf returns the issuer of the tokens of a cluster's ServiceAccounts. It is part of an object of which the inputs have another part, so
// that the preview of a change lacks it; then it is that of the cluster as it is.
func issuerOf(cluster *containerservice.ManagedCluster, found *live) pulumi.StringOutput {
	return pulumi.All(cluster.ID(), cluster.OidcIssuerProfile.IssuerURL()).ApplyT(func(values []any) string {
		if url, ok := values[1].(*string); ok && url != nil && *url != "" {
			return *url
		}
		return found.issuer()
	}).(pulumi.StringOutput)
}

// issuer returns the issuer of the tokens of the ServiceAccounts; "" where it is not known.
func (l *live) issuer() string {
	if l == nil || l.LookupManagedClusterResult == nil || l.OidcIssuerProfile == nil {
		return ""
	}
	return l.OidcIssuerProfile.IssuerURL
}

// subscriptionOf returns the beginning of a resource's id that names its subscription.
func subscriptionOf(id string) string {
	subscription, _, _ := strings.Cut(strings.TrimPrefix(id, "/subscriptions/"), "/")
	return "/subscriptions/" + subscription
}

// validateBuckets requires the resource group of the storage accounts, which the rights to them name.
func (a *Args) validateBuckets(p *providers.Problems) {
	const key = "aks.storageResourceGroup"
	switch {
	case len(a.Buckets) > 0 && a.StorageResourceGroup == "":
		p.Add(key, nil, "the resource group of the storage account "+a.Buckets[0].Bucket.Account+", in the cluster's subscription",
			"`az storage account show --name "+a.Buckets[0].Bucket.Account+" --query resourceGroup` shows it")
	case len(a.Buckets) == 0 && a.StorageResourceGroup != "":
		p.Add(key, a.StorageResourceGroup, "only with model.source bucket", "remove the key")
	}
}
