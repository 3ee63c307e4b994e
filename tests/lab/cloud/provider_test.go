package cloud

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
)

func urnOf(token string) string { return "urn:pulumi:s::p::" + token + "::res" }

func properties(t *testing.T, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := marshal(resource.NewPropertyMapFromMap(m))
	require.NoError(t, err)
	return s
}

func newProvider(t *testing.T, c *Cloud, name string, config map[string]any) *Provider {
	t.Helper()
	p, err := c.Provider(name)
	require.NoError(t, err)
	_, err = p.Configure(t.Context(), &pulumirpc.ConfigureRequest{Args: properties(t, config)})
	require.NoError(t, err)
	return p
}

func TestUnknownTokens(t *testing.T) {
	c, _ := newTestCloud(t)
	_, err := c.Provider("oci")
	require.ErrorContains(t, err, `"oci"`)
	p := newProvider(t, c, "gcp", nil)
	for _, token := range []string{"gcp:container/registry:Registry", EKSCluster, "azure-native:containerservice/v20240902preview:ManagedCluster"} {
		_, err := p.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(token)})
		require.ErrorContains(t, err, token, "of another version, or another provider")
	}
	_, err = p.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "gcp:container/getEngineVersions:getEngineVersions"})
	require.ErrorContains(t, err, "getEngineVersions")
}

func TestConfiguration(t *testing.T) {
	c, _ := newTestCloud(t)
	p, err := c.Provider("aws")
	require.NoError(t, err)
	for message, config := range map[string]map[string]any{
		"Region":                     {},
		"AWS account ID not allowed": {"region": "eu-west-1", "allowedAccountIds": `["000000000000"]`},
	} {
		_, err := p.Configure(t.Context(), &pulumirpc.ConfigureRequest{Args: properties(t, config)})
		require.ErrorContains(t, err, message)
	}
	checked, err := p.CheckConfig(t.Context(), &pulumirpc.CheckRequest{News: properties(t, map[string]any{"region": "eu-west-1", "regoin": "x"})})
	require.NoError(t, err)
	require.Len(t, checked.GetFailures(), 1)
	assert.Equal(t, "regoin", checked.GetFailures()[0].GetProperty())
}

func TestCheck(t *testing.T) {
	c, _ := newTestCloud(t)
	p := newProvider(t, c, "aws", map[string]any{"region": "eu-west-1"})
	check := func(token string, inputs, olds map[string]any, seed []byte) *pulumirpc.CheckResponse {
		response, err := p.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(token), News: properties(t, inputs), Olds: properties(t, olds), RandomSeed: seed})
		require.NoError(t, err)
		return response
	}
	role := map[string]any{"assumeRolePolicy": trust}
	first := check(AWSRole, role, nil, []byte{1, 2, 3, 4})
	require.Empty(t, first.GetFailures())
	name := first.GetInputs().GetFields()["name"].GetStringValue()
	assert.Regexp(t, `^res-[0-9a-f]{7}$`, name, "a role without a name gets one")
	assert.Equal(t, name, check(AWSRole, role, nil, []byte{1, 2, 3, 4}).GetInputs().GetFields()["name"].GetStringValue(), "the same in preview and update")
	assert.Equal(t, "kept-1", check(AWSRole, role, map[string]any{"name": "kept-1"}, []byte{9, 9, 9, 9}).GetInputs().GetFields()["name"].GetStringValue())

	failures := check(EKSNodeGroup, map[string]any{"clusterName": "c", "nodeRoleArn": "r", "scalingConfig": map[string]any{"minSize": 0, "maxSize": 1},
		"colour": "red"}, nil, nil).GetFailures()
	var reasons []string
	for _, failure := range failures {
		reasons = append(reasons, failure.GetReason())
	}
	assert.ElementsMatch(t, []string{`invalid or unknown key "colour"`, `scalingConfig lacks the required property "desiredSize"`,
		`missing required property "subnetIds"`}, reasons)

	// Values that are unknown in a preview are accepted.
	unknown, err := marshal(resource.PropertyMap{
		"assumeRolePolicy": resource.MakeComputed(resource.NewStringProperty("")), "description": resource.MakeSecret(resource.NewStringProperty("x")),
	})
	require.NoError(t, err)
	response, err := p.Check(t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(AWSRole), News: unknown})
	require.NoError(t, err)
	assert.Empty(t, response.GetFailures())
}

// TestDiffReplacesWhatTheCloudCannotChange compares the doubles with the documented behavior of the real providers.
func TestDiffReplacesWhatTheCloudCannotChange(t *testing.T) {
	gke := func(config map[string]any) map[string]any { return gkePoolOf("p", config) }
	for name, test := range map[string]struct {
		provider, token string
		before, after   map[string]any
		replaces        []string
	}{
		"limits of a GKE pool": {"gcp", GKENodePool, gke(nil), with(gke(nil),
			map[string]any{"autoscaling": map[string]any{"totalMinNodeCount": 0.0, "totalMaxNodeCount": 9.0}}), nil},
		"taint": {"gcp", GKENodePool, gke(map[string]any{"taints": []any{gpuTaint}}), gke(map[string]any{"taints": []any{otherTaint}}), nil},
		"driver": {"gcp", GKENodePool, gke(map[string]any{"guestAccelerators": l4("DEFAULT")}),
			gke(map[string]any{"guestAccelerators": l4("LATEST")}), []string{"nodeConfig"}},
		"spot": {"gcp", GKENodePool, gke(map[string]any{"spot": false}), gke(map[string]any{"spot": true}), []string{"nodeConfig"}},
		"labels": {"gcp", GKENodePool, gke(map[string]any{"labels": map[string]any{"a": "b"}}),
			gke(map[string]any{"labels": map[string]any{"a": "c"}}), nil},
		"monitoring of a cluster": {"gcp", GKECluster, with(gkeCluster, map[string]any{"monitoringConfig": map[string]any{"enableComponents": []any{"DCGM"}}}),
			with(gkeCluster, map[string]any{"monitoringConfig": map[string]any{"enableComponents": []any{"HPA"}}}), nil},
		"place of a cluster": {"gcp", GKECluster, gkeCluster, with(gkeCluster, map[string]any{"location": "x"}), []string{"location"}},

		"size of a node group": {"aws", EKSNodeGroup, map[string]any{"scalingConfig": map[string]any{"maxSize": 1.0}},
			map[string]any{"scalingConfig": map[string]any{"maxSize": 2.0}}, nil},
		"image of a node group": {"aws", EKSNodeGroup, map[string]any{"amiType": "a"}, map[string]any{"amiType": "b"}, []string{"amiType"}},
		"template's version": {"aws", EKSNodeGroup, map[string]any{"launchTemplate": map[string]any{"id": "l", "version": "1"}},
			map[string]any{"launchTemplate": map[string]any{"id": "l", "version": "2"}}, nil},
		"another template": {"aws", EKSNodeGroup, map[string]any{"launchTemplate": map[string]any{"id": "l"}},
			map[string]any{"launchTemplate": map[string]any{"id": "m"}}, []string{"launchTemplate"}},
		"key of a cluster": {"aws", EKSCluster, map[string]any{"name": "c", "encryptionConfig": map[string]any{"resources": []any{"secrets"},
			"provider": map[string]any{"keyArn": "a"}}},
			map[string]any{"name": "c", "encryptionConfig": map[string]any{"resources": []any{"secrets"}, "provider": map[string]any{"keyArn": "b"}}},
			[]string{"encryptionConfig"}},
		"public networks": {"aws", EKSCluster, map[string]any{"vpcConfig": map[string]any{"publicAccessCidrs": []any{"10.0.0.0/8"}}},
			map[string]any{"vpcConfig": map[string]any{"publicAccessCidrs": []any{"10.0.0.0/9"}}}, nil},

		// Azure's provider tries to change it, and Azure refuses.
		"VM size": {"azure-native", AKSAgentPool, agentPool, with(agentPool, map[string]any{"vmSize": "Standard_NV36ads_A10_v5"}), nil},
		"name":    {"azure-native", AKSAgentPool, agentPool, with(agentPool, map[string]any{"agentPoolName": "other"}), []string{"agentPoolName"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			p := newProvider(t, c, test.provider, map[string]any{"region": "eu-west-1"})
			d, err := p.Diff(t.Context(), &pulumirpc.DiffRequest{Urn: urnOf(test.token), OldInputs: properties(t, test.before),
				News: properties(t, test.after), Olds: properties(t, test.before)})
			require.NoError(t, err)
			assert.Equal(t, pulumirpc.DiffResponse_DIFF_SOME, d.GetChanges())
			assert.Equal(t, test.replaces, d.GetReplaces())
			same, err := p.Diff(t.Context(), &pulumirpc.DiffRequest{Urn: urnOf(test.token), OldInputs: properties(t, test.before),
				News: properties(t, test.before), Olds: properties(t, test.before)})
			require.NoError(t, err)
			assert.Equal(t, pulumirpc.DiffResponse_DIFF_NONE, same.GetChanges())
		})
	}
}

func TestAzureRefusesWhatItCannotChange(t *testing.T) {
	c, _ := newTestCloud(t)
	aksScene(t, c)
	pool := mustMake(t, c, AKSAgentPool, agentPool)
	p := newProvider(t, c, "azure-native", nil)
	update := func(changes map[string]any) error {
		_, err := p.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(AKSAgentPool), Id: pool.ID, Olds: properties(t, pool.Outputs),
			News: properties(t, with(agentPool, changes))})
		return err
	}
	require.ErrorContains(t, update(map[string]any{"vmSize": "Standard_NV36ads_A10_v5"}), "PropertyChangeNotAllowed")
	require.NoError(t, update(map[string]any{"maxCount": 5.0}))
	assert.EqualValues(t, 5, c.Find(AKSAgentPool, "name", "gpu").Inputs["maxCount"])
}

// TestPreviews checks that the outputs which a preview shows as known do not change.
func TestPreviews(t *testing.T) {
	c, _ := newTestCloud(t)
	aws := newProvider(t, c, "aws", map[string]any{"region": "eu-west-1"})
	created, err := aws.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(AWSTemplate), Properties: properties(t, map[string]any{"name": "t"}),
		Preview: true})
	require.NoError(t, err)
	outputs, err := unmarshal(created.GetProperties())
	require.NoError(t, err)
	assert.True(t, outputs["latestVersion"].IsComputed())
	assert.Equal(t, "t", outputs["name"].StringValue())
	assert.Zero(t, c.Operations())

	template := mustMake(t, c, AWSTemplate, map[string]any{"name": "t"})
	updated, err := aws.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(AWSTemplate), Id: template.ID, Preview: true,
		Olds: properties(t, template.Outputs), News: properties(t, map[string]any{"name": "t", "description": "d"})})
	require.NoError(t, err)
	outputs, err = unmarshal(updated.GetProperties())
	require.NoError(t, err)
	assert.True(t, outputs["latestVersion"].IsComputed(), "a changed template has another version")
	assert.Equal(t, template.Outputs["arn"], outputs["arn"].StringValue())

	aksScene(t, c)
	azure := newProvider(t, c, "azure-native", nil)
	cluster := c.Find(AKSCluster, "name", "c")
	updated, err = azure.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(AKSCluster), Id: cluster.ID, Preview: true,
		Olds: properties(t, cluster.Outputs), News: properties(t, cluster.Inputs)})
	require.NoError(t, err)
	outputs, err = unmarshal(updated.GetProperties())
	require.NoError(t, err)
	assert.True(t, outputs["fqdn"].IsComputed(), "azure-native returns no outputs in the preview of an update")
}

func TestReadTellsWhatIsThere(t *testing.T) {
	c, _ := newTestCloud(t)
	gkeScene(t, c)
	p := newProvider(t, c, "gcp", map[string]any{"project": "p"})
	cluster := c.Find(GKECluster, "name", "c")
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(GKECluster), Id: cluster.ID})
	require.NoError(t, err)
	assert.Equal(t, cluster.ID, read.GetId())
	assert.Equal(t, "c", read.GetInputs().GetFields()["name"].GetStringValue(), "inputs too, for what is adopted")
	assert.NotEmpty(t, read.GetProperties().GetFields()["endpoint"].GetStringValue())
	require.NoError(t, c.Remove(GKECluster, cluster.ID))
	read, err = p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(GKECluster), Id: cluster.ID})
	require.NoError(t, err)
	assert.Empty(t, read.GetId())
	_, err = p.Delete(t.Context(), &pulumirpc.DeleteRequest{Urn: urnOf(GKECluster), Id: cluster.ID})
	require.NoError(t, err, "what is gone is deleted")
}

// TestSecretsStaySecret checks that secret inputs are secret outputs.
func TestSecretsStaySecret(t *testing.T) {
	c, _ := newTestCloud(t)
	p := newProvider(t, c, "aws", map[string]any{"region": "eu-west-1"})
	inputs, err := marshal(resource.PropertyMap{
		"name": resource.NewStringProperty("r"), "assumeRolePolicy": resource.NewStringProperty(trust),
		"description": resource.MakeSecret(resource.NewStringProperty("hidden")),
	})
	require.NoError(t, err)
	created, err := p.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(AWSRole), Properties: inputs})
	require.NoError(t, err)
	outputs, err := unmarshal(created.GetProperties())
	require.NoError(t, err)
	assert.True(t, outputs["description"].IsSecret())
}

func TestCredentials(t *testing.T) {
	c, _ := newTestCloud(t)
	gkeScene(t, c)
	eksScene(t, c)
	mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
	mustMake(t, c, AKSCluster, with(aksInputs, map[string]any{"aadProfile": map[string]any{"managed": true}}))
	endpoint := c.Find(GKECluster, "name", "c").Outputs["endpoint"].(string)
	info := func(server string) string { return `{"spec":{"cluster":{"server":"` + server + `"}}}` }
	eks := func(args ...string) []string { return append([]string{"eks", "get-token"}, args...) }
	kubelogin := func(args ...string) []string { return append([]string{"get-token"}, args...) }
	const good, refused = "admin-token", "refused-"
	for name, test := range map[string]struct {
		call Call
		// token is in the credential, message in the error.
		token, message string
	}{
		"gke":                  {Call{Program: "gke-gcloud-auth-plugin", Info: info("https://" + endpoint)}, good, ""},
		"gke, another cluster": {Call{Program: "gke-gcloud-auth-plugin", Info: info("https://192.0.2.1")}, refused, ""},
		"gke, no cluster info": {Call{Program: "gke-gcloud-auth-plugin"}, "", "provideClusterInfo"},
		"gke, arguments": {Call{Program: "gke-gcloud-auth-plugin", Args: []string{"--cluster=c"}, Info: info("https://" + endpoint)}, "",
			"unknown argument"},
		"eks": {Call{Program: "aws", Args: append([]string{"--region", "eu-west-1"},
			eks("--cluster-name", "c", "--output", "json")...)}, good, ""},
		"eks, joined flags":    {Call{Program: "aws", Args: eks("--cluster-name=c", "--region=eu-west-1", "--profile=p")}, good, ""},
		"eks, another cluster": {Call{Program: "aws", Args: eks("--cluster-name", "d", "--region", "eu-west-1")}, refused, ""},
		"eks, another region":  {Call{Program: "aws", Args: eks("--cluster-name", "c", "--region", "us-east-1")}, refused, ""},
		"eks, no region":       {Call{Program: "aws", Args: eks("--cluster-name", "c")}, "", "specify a region"},
		"eks, no name":         {Call{Program: "aws", Args: eks("--region", "eu-west-1")}, "", "--cluster-name"},
		"eks, another output":  {Call{Program: "aws", Args: eks("--cluster-name", "c", "--region", "eu-west-1", "--output", "text")}, "", "text"},
		"eks, another command": {Call{Program: "aws", Args: []string{"eks", "create-cluster"}}, "", "Invalid choice"},
		"eks, an unknown flag": {Call{Program: "aws", Args: eks("--cluster", "c")}, "", "unknown flag: --cluster"},
		"aks": {Call{Program: "kubelogin", Args: kubelogin("--login", "azurecli", "--server-id", aksServerApplication, "--tenant-id",
			AzureTenant)}, good, ""},
		"aks, another tenant": {Call{Program: "kubelogin", Args: kubelogin("--login", "spn", "--server-id", aksServerApplication, "--tenant-id",
			"x")}, refused, ""},
		"aks, another application": {Call{Program: "kubelogin", Args: kubelogin("--login", "msi", "--server-id", "x")}, refused, ""},
		"aks, interactive login":   {Call{Program: "kubelogin", Args: kubelogin("--login", "devicecode", "--server-id", aksServerApplication)}, "", "is interactive"},
		"aks, no server":           {Call{Program: "kubelogin", Args: kubelogin("--login", "azurecli")}, "", "--server-id is required"},
		"aks, a login too few":     {Call{Program: "kubelogin", Args: kubelogin("--login")}, "", "flag needs an argument"},
		"another program":          {Call{Program: "oci"}, "", "no program"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := c.credentials(test.call)
			if test.message != "" {
				assert.NotZero(t, answer.Code)
				assert.Contains(t, answer.Stderr, test.message)
				assert.Empty(t, answer.Stdout)
				return
			}
			assert.Zero(t, answer.Code, answer.Stderr)
			assert.Contains(t, answer.Stdout, `"token":"`+test.token)
		})
	}
}

// TestAKSListings checks that there are no administrator's credentials with local accounts disabled, and a plugin with Entra.
func TestAKSListings(t *testing.T) {
	c, _ := newTestCloud(t)
	aksScene(t, c)
	mustMake(t, c, AKSCluster, with(aksInputs, map[string]any{"resourceName": "closed", "disableLocalAccounts": true,
		"aadProfile": map[string]any{"managed": true}}))
	p := newProvider(t, c, "azure-native", nil)
	list := func(function, cluster string) (*pulumirpc.InvokeResponse, error) {
		return p.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "azure-native:containerservice/v20240901:" + function,
			Args: properties(t, map[string]any{"resourceGroupName": "g", "resourceName": cluster})})
	}
	for _, function := range []string{"listManagedClusterAdminCredentials", "listManagedClusterUserCredentials"} {
		answer, err := list(function, "c")
		require.NoError(t, err)
		assert.Len(t, answer.GetReturn().GetFields()["kubeconfigs"].GetListValue().GetValues(), 1)
		_, err = list(function, "nope")
		require.ErrorContains(t, err, "nope")
	}
	_, err := list("listManagedClusterAdminCredentials", "closed")
	require.ErrorContains(t, err, "static credential")
	_, err = list("listManagedClusterUserCredentials", "closed")
	require.NoError(t, err)
}

func TestEveryTypeIsOfAKnownProvider(t *testing.T) {
	c, _ := newTestCloud(t)
	kinds := c.kinds
	for token, k := range kinds {
		assert.NotNil(t, c.doubleOf(token), token)
		for _, ref := range k.references {
			assert.Contains(t, kinds, ref.token, token)
			assert.NotEmpty(t, ref.by, token)
		}
		for _, path := range slices.Concat(k.replace, k.drifts) {
			top, _, _ := cut(path)
			assert.Contains(t, k.schema.Properties, top, "%s: %s", token, path)
		}
	}
}

func cut(path string) (string, string, bool) {
	for i, r := range path {
		if r == '.' {
			return path[:i], path[i+1:], true
		}
	}
	return path, "", false
}
