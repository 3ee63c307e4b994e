package aks

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

const (
	groupToken    = "azure-native:resources:ResourceGroup"
	clusterToken  = "azure-native:containerservice/v20240901:ManagedCluster"
	poolToken     = "azure-native:containerservice/v20240901:AgentPool"
	lockToken     = "azure-native:authorization:ManagementLockByScope"
	kubeToken     = "pulumi:providers:kubernetes"
	azureToken    = "pulumi:providers:azure-native"
	lookUp        = "azure-native:containerservice/v20240901:getManagedCluster"
	userListing   = "azure-native:containerservice/v20240901:listManagedClusterUserCredentials"
	adminListing  = "azure-native:containerservice/v20240901:listManagedClusterAdminCredentials"
	idOfCluster   = "/subscriptions/0/resourceGroups/Serving-rg/providers/Microsoft.ContainerService/managedClusters/serving"
	idOfPool      = idOfCluster + "/agentPools/vllm"
	serverAddress = "https://serving-1234.hcp.eastus.azmk8s.io:443"
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

// registration is one registered resource, as the engine sees it.
type registration struct {
	token, name string
	inputs      resource.PropertyMap
	args        pulumi.MockResourceArgs
}

// field is an input by its path, in plain values.
func (r registration) field(t *testing.T, path string) any {
	t.Helper()
	properties, err := resource.ParsePropertyPath(path)
	require.NoError(t, err)
	value, ok := properties.Get(resource.NewProperty(r.inputs))
	if !ok {
		return nil
	}
	return value.Mappable()
}

// dependsOn says whether the registration waits for a resource of this token and name.
func (r registration) dependsOn(token, name string) bool {
	return contains(r.args.RegisterRPC.GetDependencies(), token, name)
}

// propertyDependsOn says whether an input is made of a resource of this token and name.
func (r registration) propertyDependsOn(property, token, name string) bool {
	return contains(r.args.RegisterRPC.GetPropertyDependencies()[property].GetUrns(), token, name)
}

func contains(urns []string, token, name string) bool {
	return slices.ContainsFunc(urns, func(urn string) bool { return strings.HasSuffix(urn, token+"::"+name) })
}

// recorder records what a program registers and asks for, and stands for Azure.
type recorder struct {
	sync.Mutex
	registered []registration
	calls      []pulumi.MockCallArgs
	// existing answers a look-up of a cluster; nil means that there is none.
	existing resource.PropertyMap
	// listed is the kubeconfig of a listing; "" means the usual one.
	listed string
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.Lock()
	defer r.Unlock()
	r.registered = append(r.registered, registration{token: args.TypeToken, name: args.Name, inputs: args.Inputs, args: args})
	switch args.TypeToken {
	case clusterToken:
		return idOfCluster, args.Inputs, nil
	case poolToken:
		return idOfPool, args.Inputs, nil
	}
	return args.Name + "-id", args.Inputs, nil
}

func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.Lock()
	defer r.Unlock()
	r.calls = append(r.calls, args)
	switch args.Token {
	case lookUp:
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
func (r *recorder) run(args *Args, options ...pulumi.RunOption) (cluster *providers.Cluster, err error) {
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		var newErr error
		cluster, newErr = New(ctx, "aks", args)
		return newErr
	}, append(options, pulumi.WithMocks("vllm-autoscaling", "aks", r))...)
	return cluster, err
}

// provision runs New and expects it to work.
func provision(t *testing.T, args *Args) (*recorder, *providers.Cluster) {
	t.Helper()
	r := &recorder{}
	cluster, err := r.run(args)
	require.NoError(t, err)
	return r, cluster
}

// one is the only registration of a token.
func (r *recorder) one(t *testing.T, token string) registration {
	t.Helper()
	var found []registration
	for _, one := range r.registered {
		if one.token == token {
			found = append(found, one)
		}
	}
	require.Len(t, found, 1, "%s in %v", token, r.names())
	return found[0]
}

// names lists what was registered.
func (r *recorder) names() []string {
	var names []string
	for _, one := range r.registered {
		names = append(names, one.token+" "+one.name)
	}
	slices.Sort(names)
	return names
}

// called lists the tokens of what was asked for.
func (r *recorder) called() []string {
	var tokens []string
	for _, call := range r.calls {
		tokens = append(tokens, call.Token)
	}
	return tokens
}

// validArgs are the arguments that the tests start from.
func validArgs() *Args {
	return &Args{
		Name: "serving", Location: "eastus",
		AuthorizedIPRanges: []string{"203.0.113.7/32"},
		GPUPool:            &providers.GPUPool{},
	}
}

// attachArgs attach to a cluster and add a GPU pool.
func attachArgs() *Args {
	return &Args{Existing: "serving", ResourceGroup: "theirs", GPUPool: &providers.GPUPool{}}
}
