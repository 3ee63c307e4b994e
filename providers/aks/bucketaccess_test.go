package aks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

// TestBucketAccess checks that a server may read its container and its stager may write to it, each as an identity of its own.
func TestBucketAccess(t *testing.T) {
	args := validArgs()
	args.StorageResourceGroup = "models-rg"
	args.Buckets = []providers.BucketAccess{{
		Server: "chat", Bucket: providers.Bucket{Scheme: "az", Account: "account", Name: "weights", Folder: "gemma"},
		Reader: providers.ServiceAccount{Namespace: "vllm", Name: "chat"}, Writer: providers.ServiceAccount{Namespace: "vllm", Name: "chat-stager"},
	}}
	r, cluster := provision(t, args)
	for purpose, want := range map[string]struct{ account, role string }{
		"reader": {"chat", blobDataReader}, "writer": {"chat-stager", blobDataContributor},
	} {
		name := "aks-weights-chat-" + purpose
		assert.Equal(t, "serving-weights-chat-"+purpose, r.One(t, identityType, name).Field("resourceName"))
		credential := r.One(t, federatedCredentialType, name)
		assert.Equal(t, "system:serviceaccount:vllm:"+want.account, credential.Field("subject"))
		assert.Equal(t, "https://issuer.example/serving", credential.Field("issuer"))
		assert.Equal(t, []any{"api://AzureADTokenExchange"}, credential.Field("audiences"))
		assert.True(t, credential.PropertyDependsOn("resourceName", identityType, name))
		assignment := r.One(t, roleAssignmentType, name)
		assert.Equal(t, "/subscriptions/0/resourceGroups/models-rg/providers/Microsoft.Storage/storageAccounts/account/blobServices/default/containers/weights",
			assignment.Field("scope"), "the container, not the account")
		assert.Equal(t, "/subscriptions/0/providers/Microsoft.Authorization/roleDefinitions/"+want.role, assignment.Field("roleDefinitionId"))
		assert.Equal(t, "principal of "+name, assignment.Field("principalId"))
		assert.Equal(t, "ServicePrincipal", assignment.Field("principalType"))
	}
	assert.Len(t, cluster.Buckets["chat"].Access, 4)
	assert.Contains(t, cluster.Buckets["chat"].ReaderAnnotations, "azure.workload.identity/client-id")

	args.StorageResourceGroup = ""
	providertest.Only(t, args.Validate(), "aks.storageResourceGroup", "storage account account")
	_, cluster = provision(t, validArgs())
	assert.Empty(t, cluster.Buckets)
}
