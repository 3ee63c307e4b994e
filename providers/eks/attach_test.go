package eks

import (
	"errors"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// existingCluster answers look-ups of a cluster that will do; change alters the answers.
func existingCluster(change func(calls map[string]map[string]any)) map[string]func(resource.PropertyMap) (resource.PropertyMap, error) {
	answers := map[string]map[string]any{
		"aws:eks/getCluster:getCluster": {
			"name": "theirs", "arn": "arn:aws:eks:eu-central-1:123456789012:cluster/theirs", "endpoint": "https://theirs.example", "status": "ACTIVE",
			"version": "1.33", "certificateAuthorities": []any{map[string]any{"data": certificate}},
			"vpcConfig": map[string]any{"subnetIds": []any{"subnet-0c", "subnet-0a", "subnet-1a"}, "vpcId": "vpc-1",
				"clusterSecurityGroupId": "sg-0c"},
		},
		"aws:eks/getAddon:getAddon":                   {"addonName": "eks-pod-identity-agent", "addonVersion": "v1"},
		"aws:eks/getNodeGroups:getNodeGroups":         {"names": []any{"theirs-gpu"}},
		"aws:ec2/getLaunchTemplate:getLaunchTemplate": {"id": "lt-1", "vpcSecurityGroupIds": []any{}},
		"aws:eks/getNodeGroup:getNodeGroup": {
			"nodeGroupName": "theirs-gpu", "launchTemplates": []any{map[string]any{"id": "lt-1"}}, "amiType": "AL2023_x86_64_NVIDIA",
			"labels": map[string]any{"nvidia.com/gpu.present": "true"},
			"taints": []any{map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}},
		},
	}
	if change != nil {
		change(answers)
	}
	calls := map[string]func(resource.PropertyMap) (resource.PropertyMap, error){}
	for token, values := range answers {
		calls[token] = answer(values)
	}
	return calls
}

func TestAttach(t *testing.T) {
	r := &record{answers: existingCluster(nil)}
	cluster, err := r.run(attached())
	require.NoError(t, err)
	for _, typ := range []string{clusterType, vpcType, addonType, keyType, logGroupType, accessEntryType} {
		assert.Empty(t, r.All(typ), "%s stays the owner's", typ)
	}
	assert.Equal(t, []string{"llm-gpu-a", "llm-gpu-c"}, r.NamesOf(nodeGroupType), "a group for each zone of the cluster's subnets")
	inputs := plain(r.One(t, nodeGroupType, "llm-gpu-a"))
	assert.Equal(t, "theirs", inputs["clusterName"])
	assert.Equal(t, []any{"subnet-0a", "subnet-1a"}, inputs["subnetIds"], "always in the same order")
	assert.Equal(t, []any{"subnet-0c"}, plain(r.One(t, nodeGroupType, "llm-gpu-c"))["subnetIds"])
	assert.NotContains(t, inputs, "version")
	assert.NotContains(t, plain(r.One(t, templateType, "llm-gpu")), "vpcSecurityGroupIds", "EKS gives nodes the cluster's")
	provider := r.One(t, kubeProviderType, "llm-kubernetes")
	assert.Equal(t, "arn:aws:eks:eu-central-1:123456789012:cluster/theirs", plain(provider)["clusterIdentifier"])
	assert.Contains(t, plain(provider)["kubeconfig"], "https://theirs.example")
	assert.True(t, r.WaitsFor(provider, nodeGroupType, "llm-gpu-a"))
	assert.Equal(t, "theirs", cluster.Name)
	assert.Equal(t, "theirs", cluster.NodeAutoscaler.ClusterName)
	assert.Equal(t, pulumi.String("1.33"), cluster.NodeAutoscaler.KubernetesVersion)
	statements := policyOf(t, plain(r.One(t, rolePolicyType, "llm-autoscaler"))["policy"])
	assert.Contains(t, statements[2].Condition["StringEquals"], "aws:ResourceTag/k8s.io/cluster-autoscaler/theirs")
}

func TestAttachToAClusterThatHasItsOwn(t *testing.T) {
	args := attached()
	args.NodeAutoscalerInstalled, args.DevicePluginInstalled = true, true
	args.SubnetIDs = []string{"subnet-0f"}
	calls := existingCluster(nil)
	delete(calls, "aws:eks/getAddon:getAddon") // Nothing of ours needs the agent: asking would be an error.
	r := &record{answers: calls}
	cluster, err := r.run(args)
	require.NoError(t, err)
	assert.Nil(t, cluster.NodeAutoscaler)
	assert.False(t, cluster.InstallDevicePlugin)
	assert.Empty(t, r.All(podIdentityType))
	assert.Equal(t, []any{"subnet-0f"}, plain(r.One(t, nodeGroupType, "llm-gpu-f"))["subnetIds"])
	assert.NotEmpty(t, r.All(asgTagType), "their autoscaler reads the same tags")
}

// TestSecurityGroupsOfTheOwnersNodes checks what is made of node groups whose nodes lack the cluster's security group.
func TestSecurityGroupsOfTheOwnersNodes(t *testing.T) {
	for name, test := range map[string]struct {
		theirs, given []any
		warned        bool
		groups        any
	}{
		"the cluster's":       {nil, nil, false, nil},
		"the cluster's, too":  {[]any{"sg-0a", "sg-0c"}, nil, false, nil},
		"their own":           {[]any{"sg-0a"}, nil, true, nil},
		"their own, and ours": {[]any{"sg-0a"}, []any{"sg-0a"}, false, []any{"sg-0c", "sg-0a"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &record{answers: existingCluster(func(a map[string]map[string]any) {
				a["aws:ec2/getLaunchTemplate:getLaunchTemplate"]["vpcSecurityGroupIds"] = test.theirs
			})}
			args := attached()
			for _, id := range test.given {
				args.NodeSecurityGroupIDs = append(args.NodeSecurityGroupIDs, id.(string))
			}
			_, err := r.run(args)
			require.NoError(t, err)
			assert.Equal(t, test.groups, plain(r.One(t, templateType, "llm-gpu"))["vpcSecurityGroupIds"])
			warned := strings.Join(r.Warnings, "\n")
			if !test.warned {
				assert.Empty(t, warned)
				return
			}
			assert.Contains(t, warned, `"theirs-gpu"`)
			assert.Contains(t, warned, "set eks.nodeSecurityGroupIds: [sg-0a]")
		})
	}
}

func TestAttachWithoutAPool(t *testing.T) {
	r := &record{answers: existingCluster(nil)}
	cluster, err := r.run(&Args{Request: providers.Request{Existing: "theirs"}, Keys: Keys{Region: "eu-central-1", AMIType: AL2023}})
	require.NoError(t, err)
	for _, reg := range r.Registered {
		assert.False(t, strings.HasPrefix(reg.Type, "aws:"), "nothing to create: %s %q", reg.Type, reg.Name)
	}
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, cluster.GPU.NodeSelector)
	assert.False(t, cluster.InstallDevicePlugin)
	assert.Nil(t, cluster.NodeAutoscaler)
	assert.Empty(t, cluster.Ready)
}

func TestAttachRefuses(t *testing.T) {
	withoutPool := &Args{Request: providers.Request{Existing: "theirs"}, Keys: Keys{Region: "eu-central-1", AMIType: AL2023}}
	for name, test := range map[string]struct {
		args   *Args
		change func(answers map[string]map[string]any)
		fail   string
		want   []string
	}{
		"a cluster that is not there": {attached(), nil, "aws:eks/getCluster:getCluster", []string{`"theirs"`, "eu-central-1", "check cluster.existing"}},
		"a cluster that is being deleted": {attached(), func(a map[string]map[string]any) {
			a["aws:eks/getCluster:getCluster"]["status"] = "DELETING"
		}, "", []string{"DELETING", "ACTIVE"}},
		"Auto Mode": {attached(), func(a map[string]map[string]any) {
			a["aws:eks/getCluster:getCluster"]["computeConfigs"] = []any{map[string]any{"enabled": true}}
		}, "", []string{"Auto Mode", "computeConfig.enabled"}},
		"no endpoint": {attached(), func(a map[string]map[string]any) {
			a["aws:eks/getCluster:getCluster"]["certificateAuthorities"] = []any{}
		}, "", []string{"no endpoint or certificate"}},
		"no Pod Identity": {attached(), nil, "aws:eks/getAddon:getAddon",
			[]string{"aws eks create-addon --region eu-central-1 --cluster-name theirs --addon-name eks-pod-identity-agent", "eks.nodeAutoscalerInstalled"}},
		"no node groups": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroups:getNodeGroups"]["names"] = []any{}
		}, "", []string{"there are none", "set nodePools.gpu"}},
		"no driver": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroup:getNodeGroup"]["amiType"] = "AL2023_x86_64_STANDARD"
		}, "", []string{"theirs-gpu has image AL2023_x86_64_STANDARD without NVIDIA's driver", "set nodePools.gpu"}},
		"no label": {withoutPool, func(a map[string]map[string]any) {
			delete(a["aws:eks/getNodeGroup:getNodeGroup"], "labels")
		}, "", []string{"lacks the label nvidia.com/gpu.present=true"}},
		"another taint": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroup:getNodeGroup"]["taints"] = []any{map[string]any{"key": "team", "effect": "NO_SCHEDULE"}}
		}, "", []string{"has the taint team"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &record{answers: existingCluster(test.change)}
			if test.fail != "" {
				r.answers[test.fail] = func(resource.PropertyMap) (resource.PropertyMap, error) {
					return nil, errors.New("ResourceNotFoundException")
				}
			}
			_, err := r.run(test.args)
			require.Error(t, err)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			for _, reg := range r.Registered {
				assert.False(t, strings.HasPrefix(reg.Type, "aws:"), "created in spite of it: %s %q", reg.Type, reg.Name)
			}
		})
	}
}
