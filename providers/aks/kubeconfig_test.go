package aks

import (
	"encoding/base64"
	"strings"
	"testing"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// kubeconfigIn is the kubeconfig that the Kubernetes provider got, which has to be a secret.
func kubeconfigIn(t *testing.T, r *recorder) (string, kubeconfigFile) {
	t.Helper()
	property := r.one(t, kubeToken).inputs["kubeconfig"]
	require.True(t, property.IsSecret(), "the kubeconfig is a secret")
	content := property.SecretValue().Element.StringValue()
	var file kubeconfigFile
	require.NoError(t, yaml.UnmarshalStrict([]byte(content), &file))
	return content, file
}

func TestKubeconfigOfTheAdministrator(t *testing.T) {
	r, cluster := provision(t, validArgs())
	assert.Equal(t, []string{adminListing}, r.called())
	assert.Equal(t, "serving-rg", r.calls[0].Args["resourceGroupName"].StringValue())
	assert.Equal(t, "serving", r.calls[0].Args["resourceName"].StringValue())

	content, file := kubeconfigIn(t, r)
	assert.NotContains(t, content, "canary-token", "a token that never ends stays with AKS")
	assert.Equal(t, "serving", file.CurrentContext)
	require.Len(t, file.Contexts, 1)
	assert.Equal(t, cluster.Name, file.Contexts[0].Name, "the context that the outputs name")
	require.Len(t, file.Clusters, 1)
	assert.Equal(t, serverAddress, file.Clusters[0].Cluster.Server)
	assert.Equal(t, "Y2E=", file.Clusters[0].Cluster.CertificateAuthorityData)
	require.Len(t, file.Users, 1)
	assert.Equal(t, user{ClientCertificateData: "Y2VydA==", ClientKeyData: "a2V5"}, file.Users[0].User)
}

func TestKubeconfigWithEntra(t *testing.T) {
	args := validArgs()
	args.Entra = &Entra{AzureRBAC: true, DisableLocalAccounts: true, Login: LoginWorkloadIdentity}
	r, _ := provision(t, args)
	assert.Equal(t, []string{userListing}, r.called(), "the administrator's listing is refused without local accounts")
	assert.Equal(t, "exec", r.calls[0].Args["format"].StringValue())

	content, file := kubeconfigIn(t, r)
	assert.Equal(t, serverAddress, file.Clusters[0].Cluster.Server)
	assert.Equal(t, user{Exec: &execPlugin{
		APIVersion: "client.authentication.k8s.io/v1beta1",
		Command:    "kubelogin",
		Args: []string{"get-token", "--login", "workloadidentity", "--server-id", "listed-server",
			"--tenant-id", "listed-tenant", "--environment", "AzurePublicCloud"},
		InteractiveMode: "Never",
	}}, file.Users[0].User)
	assert.NotContains(t, content, "listed-client", "the client of the device code is not the caller")
}

func TestKubeloginDefaults(t *testing.T) {
	args := (&Args{Existing: "serving", Entra: &Entra{}}).withDefaults()
	plugin, err := args.kubelogin(&execPlugin{Args: []string{"get-token", "--login"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"get-token", "--login", "azurecli", "--server-id", aksServerID}, plugin.Args)
}

func TestKubeconfigErrors(t *testing.T) {
	entra := &Entra{AzureRBAC: true}
	encode := func(content string) []containerservice.CredentialResultResponse {
		return []containerservice.CredentialResultResponse{{Value: base64.StdEncoding.EncodeToString([]byte(content))}}
	}
	for name, test := range map[string]struct {
		entra  *Entra
		listed []containerservice.CredentialResultResponse
		want   string
	}{
		"nothing listed":        {nil, nil, "the credentials need the Azure Kubernetes Service Cluster User Role"},
		"not base64":            {nil, []containerservice.CredentialResultResponse{{Value: "***"}}, "not base64"},
		"not YAML":              {nil, encode("canary\n  ::"), "is not one"},
		"empty":                 {nil, encode("{}"), "has no server"},
		"no authority":          {nil, encode(strings.ReplaceAll(adminKubeconfig, "Y2E=", "")), "has no server, certificate authority"},
		"no certificate":        {nil, encode(strings.ReplaceAll(adminKubeconfig, "a2V5", "")), "Then set Entra"},
		"a person's login":      {nil, encode(userKubeconfig), "Then set Entra"},
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
