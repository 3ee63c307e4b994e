package aks

import (
	"encoding/base64"
	"strings"
	"testing"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/providers/kubeconfig"
)

// kubeconfigIn is the kubeconfig that the Kubernetes provider got, which has to be a secret.
func kubeconfigIn(t *testing.T, r *recorder) (string, kubeconfig.File) {
	t.Helper()
	property := r.One(t, kubeToken).Inputs["kubeconfig"]
	require.True(t, property.IsSecret(), "the kubeconfig is a secret")
	content := property.SecretValue().Element.StringValue()
	var file kubeconfig.File
	require.NoError(t, yaml.UnmarshalStrict([]byte(content), &file))
	return content, file
}

func TestKubeconfigOfTheAdministrator(t *testing.T) {
	r, cluster := provision(t, validArgs())
	assert.Equal(t, []string{lookUp, adminListing}, r.Called())
	for _, call := range r.Calls {
		assert.Equal(t, "serving-rg", call.Args["resourceGroupName"].StringValue())
		assert.Equal(t, "serving", call.Args["resourceName"].StringValue())
	}

	content, file := kubeconfigIn(t, r)
	assert.NotContains(t, content, "canary-token", "a token that never ends stays with AKS")
	assert.Equal(t, "serving", file.CurrentContext)
	require.Len(t, file.Contexts, 1)
	assert.Equal(t, cluster.Name, file.Contexts[0].Name, "the context that the outputs name")
	require.Len(t, file.Clusters, 1)
	assert.Equal(t, serverAddress, file.Clusters[0].Cluster["server"])
	assert.Equal(t, "Y2E=", file.Clusters[0].Cluster["certificate-authority-data"])
	require.Len(t, file.Users, 1)
	assert.Equal(t, kubeconfig.Object{"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}, file.Users[0].User)
}

func TestKubeconfigWithEntra(t *testing.T) {
	args := validArgs()
	args.Entra = Entra{Enabled: true, EnableAzureRBAC: true, DisableLocalAccounts: true, Login: LoginWorkloadIdentity}
	r, _ := provision(t, args)
	assert.Equal(t, []string{lookUp, userListing}, r.Called(), "the administrator's listing is refused without local accounts")
	assert.Equal(t, "exec", r.Calls[1].Args["format"].StringValue())

	content, file := kubeconfigIn(t, r)
	assert.Equal(t, serverAddress, file.Clusters[0].Cluster["server"])
	assert.Equal(t, kubeconfig.Object{"exec": kubeconfig.Object{
		"apiVersion": "client.authentication.k8s.io/v1beta1",
		"command":    "kubelogin",
		"args": []any{"get-token", "--login", "workloadidentity", "--server-id", "listed-server",
			"--tenant-id", "listed-tenant", "--environment", "AzurePublicCloud"},
		"interactiveMode": "Never",
	}}, file.Users[0].User)
	assert.NotContains(t, content, "listed-client", "the client of the device code is not the caller")
}

func TestKubeloginDefaults(t *testing.T) {
	args := attachArgs()
	args.Entra.Enabled = true
	plugin, err := args.withDefaults().kubelogin(kubeconfig.User{User: kubeconfig.Object{
		"exec": kubeconfig.Object{"args": []any{"get-token", "--login"}},
	}})
	require.NoError(t, err)
	assert.Equal(t, []string{"get-token", "--login", "azurecli", "--server-id", aksServerID}, plugin["exec"].(kubeconfig.Exec).Args)
}

func TestKubeconfigErrors(t *testing.T) {
	entra := Entra{Enabled: true, EnableAzureRBAC: true}
	encode := func(content string) []containerservice.CredentialResultResponse {
		return []containerservice.CredentialResultResponse{{Value: base64.StdEncoding.EncodeToString([]byte(content))}}
	}
	for name, test := range map[string]struct {
		entra  Entra
		listed []containerservice.CredentialResultResponse
		want   string
	}{
		"nothing listed":        {Entra{}, nil, "the credentials need the Azure Kubernetes Service Cluster User Role"},
		"not base64":            {Entra{}, []containerservice.CredentialResultResponse{{Value: "***"}}, "not base64"},
		"not YAML":              {Entra{}, encode("canary\n  ::"), "is not one"},
		"empty":                 {Entra{}, encode("{}"), "has no server"},
		"no authority":          {Entra{}, encode(strings.ReplaceAll(adminKubeconfig, "Y2E=", "")), "has no server, certificate authority"},
		"no certificate":        {Entra{}, encode(strings.ReplaceAll(adminKubeconfig, "a2V5", "")), "Then set aks.entra"},
		"a person's login":      {Entra{}, encode(userKubeconfig), "Then set aks.entra"},
		"no Entra, but set":     {entra, encode(adminKubeconfig), "does not use Microsoft Entra ID"},
		"no error for a secret": {entra, encode("users: [canary"), "is not one"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.Entra = test.entra
			_, err := args.withDefaults().kubeconfigOf(test.listed)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, `cluster "serving"`)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestUnusableListingStopsTheProgram(t *testing.T) {
	r := &recorder{listed: "{}"}
	_, err := r.run(validArgs())
	require.ErrorContains(t, err, "has no server, certificate authority or user")
}
