package cloud

import (
	"fmt"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

const (
	azureIdentity       = "azure-native:managedidentity:UserAssignedIdentity"
	azureCredential     = "azure-native:managedidentity:FederatedIdentityCredential"
	azureRoleAssignment = "azure-native:authorization:RoleAssignment"
)

// textProperty and requiredProperty are schemas of properties that the program sets.
var (
	textProperty     = &schema.Type{Kind: schema.String}
	requiredProperty = &schema.Type{Kind: schema.String, Required: true}
)

// azureIdentityKinds lists the simulated resource types of managed identities. Their schemas are those of Azure's reference
// (https://learn.microsoft.com/azure/templates/microsoft.managedidentity/userassignedidentities), because the SDK's module is not used.
func azureIdentityKinds() []*kind { return []*kind{azureIdentityKind(), azureCredentialKind()} }

func azureIdentityKind() *kind {
	return &kind{
		token: azureIdentity, name: "resourceName", replace: []string{"resourceGroupName", "resourceName", "location"},
		computed:   []string{"name", "clientId", "principalId", "tenantId", "type"},
		references: []reference{azureGroupReference},
		schema: &schema.Type{Kind: schema.Object, Properties: map[string]*schema.Type{
			"resourceGroupName": requiredProperty, "resourceName": textProperty, "location": textProperty, "tags": {Kind: schema.Map, Items: textProperty},
		}},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			name := in.text("resourceName")
			r.ID = azureID(s, in.text("resourceGroupName"), "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"+name)
			r.Region = in.text("location")
			r.Outputs["name"], r.Outputs["clientId"], r.Outputs["principalId"] = name, "client-"+name, "principal-"+name
			r.Outputs["tenantId"], r.Outputs["type"] = AzureTenant, "Microsoft.ManagedIdentity/userAssignedIdentities"
			return nil
		},
	}
}

func azureCredentialKind() *kind {
	return &kind{
		token: azureCredential, name: "federatedIdentityCredentialResourceName",
		replace:  []string{"resourceGroupName", "resourceName", "federatedIdentityCredentialResourceName"},
		computed: []string{"name", "type"},
		references: []reference{
			azureGroupReference, {path: "resourceName", token: azureIdentity, by: []string{"name"}, then: follows},
		},
		schema: &schema.Type{Kind: schema.Object, Properties: map[string]*schema.Type{
			"resourceGroupName": requiredProperty, "resourceName": requiredProperty, "federatedIdentityCredentialResourceName": textProperty,
			"issuer": requiredProperty, "subject": requiredProperty, "audiences": {Kind: schema.Array, Items: textProperty},
		}},
		create: func(c *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			if !strings.HasPrefix(in.text("subject"), "system:serviceaccount:") || len(in.list("audiences")) == 0 {
				return azureError("BadRequest", "subject and audiences of a federated credential are those of a token")
			}
			if len(c.all(AKSCluster, func(cluster *Resource) bool { return aksIssuer(cluster) == in.text("issuer") })) == 0 || in.text("issuer") == "" {
				return azureError("BadRequest", "issuer "+in.text("issuer")+" is that of no cluster")
			}
			name := in.text("federatedIdentityCredentialResourceName")
			r.ID = azureID(s, in.text("resourceGroupName"), "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"+in.text("resourceName")+
				"/federatedIdentityCredentials/"+name)
			r.Outputs["name"], r.Outputs["type"] = name, "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
			return nil
		},
	}
}

func azureRoleAssignmentKind() *kind {
	return &kind{
		token: azureRoleAssignment, name: "roleAssignmentName",
		replace:    []string{"scope", "roleAssignmentName", "roleDefinitionId", "principalId", "principalType"},
		computed:   []string{"name", "type"},
		references: []reference{{path: "principalId", token: azureIdentity, by: []string{"principalId"}, then: stays}},
		create: func(c *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			if _, known := azureBlobRoles[roleOf(in)]; !known {
				return azureError("RoleDefinitionDoesNotExist", "The specified role definition with ID '"+roleOf(in)+"' does not exist.")
			}
			if location, ok := containerOf(in.text("scope")); c.stores != nil && (!ok || !c.stores.has(location)) {
				return azureError("ResourceNotFound", "The Resource '"+in.text("scope")+"' was not found.")
			}
			r.ID = in.text("scope") + "/providers/Microsoft.Authorization/roleAssignments/" + in.text("roleAssignmentName")
			r.Outputs["name"], r.Outputs["type"] = in.text("roleAssignmentName"), "Microsoft.Authorization/roleAssignments"
			return nil
		},
	}
}

// azureBlobRoles are the roles on blobs by their id: whether they allow to write.
var azureBlobRoles = map[string]bool{"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": false, "ba92f5b4-2d11-453d-a403-e96b0029c9fe": true}

func roleOf(in object) string {
	id := in.text("roleDefinitionId")
	return id[strings.LastIndexByte(id, '/')+1:]
}

// containerOf returns the container that a scope names.
func containerOf(scope string) (Location, bool) {
	_, rest, found := strings.Cut(scope, "/providers/Microsoft.Storage/storageAccounts/")
	account, container, of := strings.Cut(rest, "/blobServices/default/containers/")
	return Location{Scheme: "az", Account: account, Bucket: container}, found && of
}

// aksIssuer returns the issuer of the tokens of a cluster's ServiceAccounts; "" for a cluster without.
func aksIssuer(cluster *Resource) string {
	if !object(cluster.Inputs).flag("oidcIssuerProfile.enabled") {
		return ""
	}
	return fmt.Sprintf("https://%s.oic.prod-aks.azure.com/%s/%s/", cluster.Region, AzureTenant, named(cluster, "name"))
}

// azureRefusal returns why a ServiceAccount may not do something with a container; nil where it may. client is the identity that the
// ServiceAccount's annotation selects, and labelled reports whether the pod has the label with which AKS gives it a token. The caller holds
// the lock.
func (c *Cloud) azureRefusal(access Access, client string, labelled bool) *StoreError {
	identity := c.find(azureIdentity, "clientId", client)
	subject := fmt.Sprintf("system:serviceaccount:%s:%s", access.Namespace, access.ServiceAccount)
	trusted := identity != nil && labelled && len(c.all(azureCredential, func(r *Resource) bool {
		in := object(r.Inputs)
		return in.text("resourceName") == named(identity, "name") && in.text("subject") == subject
	})) > 0
	if client == "" || !trusted {
		return &StoreError{Exception: "azure.core.exceptions.ClientAuthenticationError",
			Message: "DefaultAzureCredential failed to retrieve a token from the included credentials."}
	}
	for _, assignment := range c.all(azureRoleAssignment, func(r *Resource) bool {
		location, ok := containerOf(object(r.Inputs).text("scope"))
		return ok && location.Account == access.Location.Account && location.Bucket == access.Location.Bucket &&
			object(r.Inputs).text("principalId") == named(identity, "principalId")
	}) {
		if access.Action != Write || azureBlobRoles[roleOf(assignment.Inputs)] {
			return nil
		}
	}
	return &StoreError{Exception: "azure.core.exceptions.HttpResponseError",
		Message: "This request is not authorized to perform this operation using this permission. ErrorCode:AuthorizationPermissionMismatch"}
}
