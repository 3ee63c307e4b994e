package aks

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

const (
	groupToken       = "azure-native:resources:ResourceGroup"
	clusterToken     = "azure-native:containerservice/v20240901:ManagedCluster"
	poolToken        = "azure-native:containerservice/v20240901:AgentPool"
	maintenanceToken = "azure-native:containerservice/v20240901:MaintenanceConfiguration"
	lockToken        = "azure-native:authorization:ManagementLockByScope"
	kubeToken        = "pulumi:providers:kubernetes"
	azureToken       = "pulumi:providers:azure-native"
	lookUp           = "azure-native:containerservice/v20240901:getManagedCluster"
	userListing      = "azure-native:containerservice/v20240901:listManagedClusterUserCredentials"
	adminListing     = "azure-native:containerservice/v20240901:listManagedClusterAdminCredentials"
	idOfCluster      = "/subscriptions/0/resourceGroups/Serving-rg/providers/Microsoft.ContainerService/managedClusters/serving"
	idOfPool         = idOfCluster + "/agentPools/vllm"
	serverAddress    = "https://serving-1234.hcp.eastus.azmk8s.io:443"
)

// What AKS lists: with Entra ID an exec plugin, for the administrator a certificate and a token.
const (
	userKubeconfig = `
apiVersion: v1
kind: Config
current-context: serving
clusters:
- name: serving
  cluster: {certificate-authority-data: Y2E=, server: "` + serverAddress + `"}
contexts:
- name: serving
  context: {cluster: serving, user: clusterUser_rg_serving}
users:
- name: clusterUser_rg_serving
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: kubelogin
      args: [get-token, --environment, AzurePublicCloud, --server-id, listed-server, --client-id, listed-client, --tenant-id, listed-tenant, --login, devicecode]
      env: null
`
	adminKubeconfig = `
apiVersion: v1
kind: Config
current-context: serving-admin
clusters:
- name: serving
  cluster: {certificate-authority-data: Y2E=, server: "` + serverAddress + `"}
contexts:
- name: serving-admin
  context: {cluster: serving, user: clusterAdmin_rg_serving}
users:
- name: clusterAdmin_rg_serving
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5, token: canary-token}
`
)

// recorder stands for Azure.
type recorder struct {
	providertest.Recorder
	// existing answers a look-up of a cluster; nil means that there is none.
	existing resource.PropertyMap
	// lookUpFails is the error of a look-up; "" for none.
	lookUpFails string
	// listed is the kubeconfig of a listing; "" means the usual one.
	listed string
}

func created(args pulumi.MockResourceArgs) (string, resource.PropertyMap) {
	switch args.TypeToken {
	case clusterToken:
		outputs := args.Inputs.Copy()
		outputs["oidcIssuerProfile"] = resource.NewPropertyMapFromMap(map[string]any{"p": map[string]any{"enabled": true, "issuerURL": "https://issuer.example/serving"}})["p"]
		return idOfCluster, outputs
	case identityType:
		return "", resource.NewPropertyMapFromMap(map[string]any{"clientId": "client of " + args.Name, "principalId": "principal of " + args.Name})
	case poolToken:
		return idOfPool, nil
	}
	return "", nil
}

func (r *recorder) answer(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	switch args.Token {
	case lookUp:
		if r.lookUpFails != "" {
			return nil, errors.New(r.lookUpFails)
		}
		if r.existing == nil {
			return nil, errors.New("ResourceNotFound")
		}
		return r.existing, nil
	case userListing:
		return listing(r.listed, userKubeconfig), nil
	case adminListing:
		return listing(r.listed, adminKubeconfig), nil
	}
	return nil, errors.New("unexpected call of " + args.Token)
}

func listing(given, usual string) resource.PropertyMap {
	if given == "" {
		given = usual
	}
	return resource.NewPropertyMapFromMap(map[string]any{"kubeconfigs": []any{
		map[string]any{"name": "clusterUser", "value": base64.StdEncoding.EncodeToString([]byte(given))},
	}})
}

// run runs New, waits for everything that it registered, and returns what came of it.
func (r *recorder) run(args *Args, options ...pulumi.RunOption) (*providers.Cluster, error) {
	r.Created, r.Answer = created, r.answer
	return r.Run("aks", func(ctx *pulumi.Context) (*providers.Cluster, error) { return New(ctx, "aks", args) }, options...)
}

// provision runs New and expects it to work.
func provision(t *testing.T, args *Args) (*recorder, *providers.Cluster) {
	t.Helper()
	r := &recorder{}
	cluster, err := r.run(args)
	require.NoError(t, err)
	return r, cluster
}

// validArgs returns the arguments that the tests start from.
func validArgs() *Args {
	return &Args{
		Request: providers.Request{Name: "serving", APIAccessCIDRs: []string{"1.2.3.4/32"}, GPUPool: &providers.GPUPool{}},
		Keys:    Keys{Location: "eastus"},
	}
}

// attachArgs returns arguments that attach to a cluster and add a GPU pool.
func attachArgs() *Args {
	return &Args{
		Request: providers.Request{Existing: "serving", GPUPool: &providers.GPUPool{}},
		Keys:    Keys{ResourceGroup: "theirs"},
	}
}
