package eks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCluster(t *testing.T) {
	r, _ := run(t, created())
	cluster := r.One(t, clusterType, "llm-cluster")
	inputs := plain(cluster)
	assert.Equal(t, "llm", inputs["name"])
	assert.Equal(t, map[string]any{"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": true}, inputs["accessConfig"])
	assert.Equal(t, false, inputs["bootstrapSelfManagedAddons"], "they would stand in the way of the add-ons")
	assert.Equal(t, map[string]any{
		"subnetIds": []any{"llm-private-a-id", "llm-private-b-id"}, "endpointPrivateAccess": true, "endpointPublicAccess": false,
	}, inputs["vpcConfig"], "no public endpoint unless networks are named")
	assert.Equal(t, []any{"api", "audit", "authenticator"}, inputs["enabledClusterLogTypes"])
	assert.Equal(t, []any{"secrets"}, inputs["encryptionConfig"].(map[string]any)["resources"])
	assert.Equal(t, map[string]any{"keyArn": "arn:aws:kms:eu-central-1:123456789012:key/created"}, inputs["encryptionConfig"].(map[string]any)["provider"])
	assert.Equal(t, map[string]any{"supportType": "STANDARD"}, inputs["upgradePolicy"])
	assert.NotContains(t, inputs, "version", "EKS' newest")
	assert.False(t, cluster.Args.RegisterRPC.GetProtect())

	assert.True(t, r.WaitsFor(cluster, attachmentType, "llm-cluster-AmazonEKSClusterPolicy"),
		"without its permissions EKS cannot delete what it made in the subnets")
	assert.True(t, r.WaitsFor(cluster, logGroupType, "llm-logs"), "EKS would make a log group of its own that destroy leaves behind")

	key := plain(r.One(t, keyType, "llm-secrets"))
	assert.Equal(t, true, key["enableKeyRotation"])
	assert.Equal(t, 7.0, key["deletionWindowInDays"])
	logs := plain(r.One(t, logGroupType, "llm-logs"))
	assert.Equal(t, []any{"/aws/eks/llm/cluster", 30.0}, []any{logs["name"], logs["retentionInDays"]})
}

func TestClusterAsAsked(t *testing.T) {
	args := created()
	args.KubernetesVersion, args.ExtendedSupport = "1.34", true
	args.APIAccessCIDRs = []string{"1.2.3.0/24"}
	args.ControlPlaneLogs = []string{}
	args.SecretsKeyARN = "arn:aws:kms:eu-central-1:123456789012:key/given"
	args.DeletionProtection = true
	args.AddonVersions = map[string]string{"coredns": "v1.12.1-eksbuild.2"}
	r, _ := run(t, args)
	cluster := r.One(t, clusterType, "llm-cluster")
	assert.True(t, cluster.Args.RegisterRPC.GetProtect())
	inputs := plain(cluster)
	assert.Equal(t, "1.34", inputs["version"])
	assert.Equal(t, map[string]any{"supportType": "EXTENDED"}, inputs["upgradePolicy"])
	vpc := inputs["vpcConfig"].(map[string]any)
	assert.Equal(t, []any{true, true, []any{"1.2.3.0/24"}}, []any{vpc["endpointPublicAccess"], vpc["endpointPrivateAccess"], vpc["publicAccessCidrs"]})
	assert.Equal(t, map[string]any{"keyArn": args.SecretsKeyARN}, inputs["encryptionConfig"].(map[string]any)["provider"])
	assert.Empty(t, r.All(keyType))
	assert.Empty(t, r.All(logGroupType))
	assert.Empty(t, inputs["enabledClusterLogTypes"])
	assert.Equal(t, "1.34", plain(r.One(t, nodeGroupType, "llm-gpu"))["version"], "nodes follow the control plane")
	assert.Equal(t, "v1.12.1-eksbuild.2", plain(r.One(t, addonType, "llm-coredns"))["addonVersion"])
	assert.NotContains(t, plain(r.One(t, addonType, "llm-vpc-cni")), "addonVersion")
}

func TestTheKeyIsProtectedWithTheCluster(t *testing.T) {
	args := created()
	args.DeletionProtection = true
	r, _ := run(t, args)
	key := r.One(t, keyType, "llm-secrets")
	assert.True(t, key.Args.RegisterRPC.GetProtect(), "a cluster without its key has lost its Secrets")
	assert.Equal(t, 30.0, plain(key)["deletionWindowInDays"])
}

func TestAccess(t *testing.T) {
	args := created()
	args.Admins = []string{"arn:aws:iam::123456789012:role/team/ops"}
	args.Viewers = []string{"arn:aws:iam::210987654321:user/auditor"}
	r, _ := run(t, args)
	assert.Equal(t, []string{"llm-admin-123456789012-role-team-ops", "llm-viewer-210987654321-user-auditor"}, r.NamesOf(accessEntryType))
	for name, policy := range map[string]string{
		"llm-admin-123456789012-role-team-ops": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
		"llm-viewer-210987654321-user-auditor": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
	} {
		association := r.One(t, accessPolicyType, name)
		inputs := plain(association)
		assert.Equal(t, policy, inputs["policyArn"])
		assert.Equal(t, plain(r.One(t, accessEntryType, name))["principalArn"], inputs["principalArn"])
		assert.Equal(t, map[string]any{"type": "cluster"}, inputs["accessScope"])
		assert.True(t, r.WaitsFor(association, accessEntryType, name))
	}
}
