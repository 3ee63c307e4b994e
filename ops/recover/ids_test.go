package recover

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCloudResources(t *testing.T) {
	azure := object{"urn": urnOf("azure-native:resources:ResourceGroup", "rg"), "type": "azure-native:resources:ResourceGroup", "custom": true,
		"id": "/subscriptions/1-2/resourceGroups/rg", "outputs": object{"name": "rg"}, "inputs": object{}}
	google := object{"urn": urnOf("pulumi:providers:gcp", "gcp"), "type": "pulumi:providers:gcp", "custom": true, "id": "5", "inputs": object{"project": "p", "region": "r"}}
	for typ, test := range map[string]struct {
		inputs object
		want   string
	}{
		"gcp:container/cluster:Cluster":                          {object{"location": "us-central1-a", "name": "c"}, "projects/p/locations/us-central1-a/clusters/c"},
		"gcp:container/nodePool:NodePool":                        {object{"project": "q", "location": "z", "name": "gpu", "cluster": "projects/q/locations/z/clusters/c"}, "projects/q/locations/z/clusters/c/nodePools/gpu"},
		"gcp:compute/network:Network":                            {object{"name": "n"}, "projects/p/global/networks/n"},
		"gcp:compute/routerNat:RouterNat":                        {object{"name": "nat", "router": "router"}, "p/r/router/nat"},
		"gcp:projects/iAMMember:IAMMember":                       {object{"project": "p", "role": "roles/x", "member": "serviceAccount:a"}, "p roles/x serviceAccount:a"},
		"gcp:serviceaccount/account:Account":                     {object{"accountId": "nodes"}, "projects/p/serviceAccounts/nodes@p.iam.gserviceaccount.com"},
		"aws:eks/cluster:Cluster":                                {object{"name": "c"}, "c"},
		"aws:eks/nodeGroup:NodeGroup":                            {object{"clusterName": "c", "nodeGroupName": "gpu-1"}, "c:gpu-1"},
		"aws:iam/rolePolicyAttachment:RolePolicyAttachment":      {object{"role": "r", "policyArn": "arn:aws:iam::aws:policy/P"}, "r/arn:aws:iam::aws:policy/P"},
		"aws:autoscaling/tag:Tag":                                {object{"autoscalingGroupName": "asg", "tag": object{"key": "k"}}, "asg,k"},
		"aws:ec2/vpc:Vpc":                                        {object{"cidrBlock": "10.0.0.0/16"}, ""},
		"aws:eks/podIdentityAssociation:PodIdentityAssociation":  {object{"clusterName": "c"}, ""},
		"azure-native:containerservice/v20240901:ManagedCluster": {object{"resourceGroupName": "rg", "resourceName": "c"}, "/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c"},
		"azure-native:containerservice/v20240901:AgentPool":      {object{"resourceGroupName": "rg", "resourceName": "c", "agentPoolName": "gpu"}, "/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c/agentPools/gpu"},
		"azure-native:authorization:ManagementLockByScope":       {object{"scope": "/subscriptions/1-2/resourceGroups/rg", "lockName": "keep"}, "/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.Authorization/locks/keep"},
		"gcp:storage/bucketIAMMember:BucketIAMMember":            {object{"bucket": "models", "role": "roles/x", "member": "principal://a"}, "b/models roles/x principal://a"},
		"azure-native:managedidentity:UserAssignedIdentity":      {object{"resourceGroupName": "rg", "resourceName": "i"}, "/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"},
		"azure-native:managedidentity:FederatedIdentityCredential": {object{"resourceGroupName": "rg", "resourceName": "i", "federatedIdentityCredentialResourceName": "c"},
			"/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i/federatedIdentityCredentials/c"},
		"azure-native:authorization:RoleAssignment": {object{"scope": "/s", "roleAssignmentName": "n"}, "/s/providers/Microsoft.Authorization/roleAssignments/n"},
		"somebody:else:Thing":                       {object{"name": "x"}, ""},
	} {
		t.Run(typ, func(t *testing.T) {
			resource := resourceOf(typ, "it", test.inputs)
			resource["provider"] = google["urn"].(string) + "::5"
			cli := &fakeCLI{state: exported(t, []any{azure, google}, creation(resource))}
			r := newRecovery(t, cli, fakeCluster())
			plan, err := r.Look(t.Context())
			require.NoError(t, err)
			require.Len(t, plan.Findings, 1)
			f := plan.Findings[0]
			assert.Equal(t, test.want, f.ID)
			if test.want != "" {
				assert.Equal(t, Adopt, f.Action)
				return
			}
			assert.Equal(t, Ask, f.Action)
			assert.Contains(t, f.Do, "--id '"+urnOf(typ, "it")+"=")
			_, err = r.Apply(t.Context(), plan)
			require.ErrorIs(t, err, ErrBlocked)
			assert.Empty(t, cli.calls, "nothing is begun without the answer")

			r.IDs = map[string]string{"it": "id-1"}
			plan, err = r.Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "id-1", plan.Findings[0].ID)
			r.IDs, r.Dropped = nil, []string{urnOf(typ, "it")}
			plan, err = r.Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, Drop, plan.Findings[0].Action)
		})
	}
}

// The engine may have had the answer of the cloud, and not the time to store it as a resource.
func TestAdoptsWithTheIDOfTheCloud(t *testing.T) {
	member := inState(resourceOf("gcp:projects/iAMMember:IAMMember", "viewer",
		object{"project": "p", "role": "roles/x", "member": "serviceAccount:a"}), "p/roles/x/serviceAccount:a")
	cli := &fakeCLI{state: exported(t, nil, creation(member))}
	r := newRecovery(t, cli, fakeCluster())
	plan, err := r.Look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"adopt IAMMember viewer p/roles/x/serviceAccount:a"}, found(plan))
	state, err := ParseState(cli.state)
	require.NoError(t, err)
	urn := plan.Findings[0].URN
	require.NoError(t, state.Adopt(urn, plan.Findings[0].ID))
	assert.NotNil(t, state.Find(urn)["outputs"])

	state, err = ParseState(cli.state)
	require.NoError(t, err)
	require.NoError(t, state.Adopt(urn, "p roles/x serviceAccount:a"))
	assert.Nil(t, state.Find(urn)["outputs"], "a provider imports by another id only without outputs")
}
