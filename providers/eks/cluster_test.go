package eks

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCluster(t *testing.T) {
	r, _ := run(t, created())
	cluster := r.One(t, clusterType, "llm-cluster")
	inputs := plain(cluster)
	assert.Equal(t, "llm", inputs["name"])
	assert.Equal(t, map[string]any{"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": true}, inputs["accessConfig"])
	assert.Equal(t, false, inputs["bootstrapSelfManagedAddons"], "they would stand in the way of the add-ons")
	assert.Equal(t, map[string]any{
		"subnetIds": []any{"llm-private-a-id", "llm-private-b-id"}, "endpointPrivateAccess": true, "endpointPublicAccess": true,
		"publicAccessCidrs": []any{"1.2.3.4/32"},
	}, inputs["vpcConfig"])
	assert.Equal(t, []any{"api", "audit", "authenticator"}, inputs["enabledClusterLogTypes"])
	assert.Equal(t, []any{"secrets"}, inputs["encryptionConfig"].(map[string]any)["resources"])
	assert.Equal(t, map[string]any{"keyArn": "arn:aws:kms:eu-central-1:123456789012:key/created"}, inputs["encryptionConfig"].(map[string]any)["provider"])
	assert.Equal(t, map[string]any{"supportType": "STANDARD"}, inputs["upgradePolicy"])
	assert.NotContains(t, inputs, "version", "EKS' own choice")
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
	assert.Equal(t, "1.34", plain(r.One(t, nodeGroupType, "llm-gpu-a"))["version"], "nodes follow the control plane")
	assert.Equal(t, "v1.12.1-eksbuild.2", plain(r.One(t, addonType, "llm-coredns"))["addonVersion"])
	assert.NotContains(t, plain(r.One(t, addonType, "llm-vpc-cni")), "addonVersion")
}

// TestPrivateEndpointOnly checks that a cluster in given subnets has no public endpoint unless networks are named.
func TestPrivateEndpointOnly(t *testing.T) {
	args := created()
	args.Zones, args.SubnetIDs, args.APIAccessCIDRs = nil, []string{"subnet-0a", "subnet-0b"}, []string{}
	r, _ := run(t, args)
	assert.Equal(t, map[string]any{
		"subnetIds": []any{"subnet-0a", "subnet-0b"}, "endpointPrivateAccess": true, "endpointPublicAccess": false,
	}, plain(r.One(t, clusterType, "llm-cluster"))["vpcConfig"])
}

// TestLogGroupThatIsLeft checks that a log group which EKS has created again is used, and not created.
func TestLogGroupThatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		tags       map[string]any
		registered int
	}{
		"left from an earlier cluster": {nil, 0},
		"the stack's own":              {map[string]any{"Name": "llm-logs", "team": "ml"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := &record{answers: map[string]func(resource.PropertyMap) (resource.PropertyMap, error){
				"aws:cloudwatch/getLogGroups:getLogGroups": answer(map[string]any{"logGroupNames": []any{"/aws/eks/llm/cluster", "/aws/eks/llm/cluster2"}}),
				"aws:cloudwatch/getLogGroup:getLogGroup":   answer(map[string]any{"tags": test.tags}),
			}}
			_, err := r.run(created())
			require.NoError(t, err)
			assert.Len(t, r.All(logGroupType), test.registered)
			warned := strings.Join(r.Warnings, "\n")
			if test.registered > 0 {
				assert.Empty(t, warned)
				return
			}
			assert.Contains(t, warned, "aws logs put-retention-policy --region eu-central-1 --log-group-name /aws/eks/llm/cluster --retention-in-days 30")
		})
	}
}

// TestZonesWithoutEKS checks that zones and subnets in which EKS creates no cluster are refused before anything is created.
func TestZonesWithoutEKS(t *testing.T) {
	given := created()
	given.Zones, given.SubnetIDs = nil, []string{"subnet-0a", "subnet-0b"}
	for name, test := range map[string]struct {
		args *Args
		key  string
	}{"zones": {created(), "eks.zones[1]"}, "subnets": {given, "eks.subnetIds[1]"}} {
		t.Run(name, func(t *testing.T) {
			r := &record{answers: map[string]func(resource.PropertyMap) (resource.PropertyMap, error){}}
			for token, answer := range lookups {
				r.answers[token] = func(args resource.PropertyMap) (resource.PropertyMap, error) {
					found, err := answer(args)
					for _, key := range []resource.PropertyKey{"zoneId", "availabilityZoneId"} {
						if id, ok := found[key]; ok && id.StringValue() == "euc1-azb" {
							found[key] = resource.NewProperty("cac1-az3")
						}
					}
					return found, err
				}
			}
			_, err := r.run(test.args)
			require.ErrorContains(t, err, test.key)
			require.ErrorContains(t, err, "any zone but cac1-az3")
			for _, reg := range r.Registered {
				assert.False(t, strings.HasPrefix(reg.Type, "aws:"), "created in spite of it: %s %q", reg.Type, reg.Name)
			}
		})
	}
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
