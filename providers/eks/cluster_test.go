package eks

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/providers"
)

func TestEveryResourceHasParentAndProvider(t *testing.T) {
	withEverything := created()
	withEverything.Admins = []string{"arn:aws:iam::123456789012:role/ops"}
	for name, args := range map[string]*Args{"created": withEverything, "attached": attached()} {
		t.Run(name, func(t *testing.T) {
			r := &record{calls: existingCluster(nil)}
			_, err := r.run(args)
			require.NoError(t, err)
			checked := 0
			for _, reg := range r.registrations {
				if reg.Type == componentType {
					continue
				}
				assert.True(t, strings.HasSuffix(reg.Parent, "::"+componentType+"::llm"), "parent of %s %q: %s", reg.Type, reg.Name, reg.Parent)
				if !strings.HasPrefix(reg.Type, "pulumi:providers:") {
					checked++
					assert.Contains(t, reg.Provider, awsProviderType+"::llm-aws::", "provider of %s %q", reg.Type, reg.Name)
				}
			}
			assert.Greater(t, checked, 10)
		})
	}
}

func TestAWSProviderIsTheStacks(t *testing.T) {
	args := created()
	args.Profile, args.AccountID, args.RoleARN = "work", "123456789012", "arn:aws:iam::123456789012:role/deploy"
	args.Tags = map[string]string{"team": "ml"}
	r, _ := run(t, args)
	inputs := plain(r.get(t, awsProviderType, "llm-aws"))
	assert.Equal(t, "eu-central-1", inputs["region"])
	assert.Equal(t, "work", inputs["profile"])
	assert.Equal(t, []any{"123456789012"}, inputs["allowedAccountIds"])
	assert.Equal(t, map[string]any{"roleArn": "arn:aws:iam::123456789012:role/deploy"}, inputs["assumeRole"])
	assert.Equal(t, map[string]any{"tags": map[string]any{"team": "ml"}}, inputs["defaultTags"])
}

func TestNetwork(t *testing.T) {
	args := created()
	args.Network.Zones = append(args.Network.Zones, "eu-central-1c")
	r, _ := run(t, args)

	vpc := plain(r.get(t, vpcType, "llm-vpc"))
	assert.Equal(t, "10.0.0.0/16", vpc["cidrBlock"])
	assert.Equal(t, true, vpc["enableDnsHostnames"], "the private endpoint is a name")

	type subnet struct{ zone, cidr string }
	want := map[string]subnet{
		"llm-private-a": {"eu-central-1a", "10.0.0.0/19"}, "llm-public-a": {"eu-central-1a", "10.0.128.0/22"},
		"llm-private-b": {"eu-central-1b", "10.0.32.0/19"}, "llm-public-b": {"eu-central-1b", "10.0.132.0/22"},
		"llm-private-c": {"eu-central-1c", "10.0.64.0/19"}, "llm-public-c": {"eu-central-1c", "10.0.136.0/22"},
	}
	assert.Len(t, r.all(subnetType), len(want))
	for name, w := range want {
		inputs := plain(r.get(t, subnetType, name))
		assert.Equal(t, w, subnet{inputs["availabilityZone"].(string), inputs["cidrBlock"].(string)}, name)
		assert.Equal(t, false, inputs["mapPublicIpOnLaunch"], "nodes must not get public addresses: %s", name)
		role := "kubernetes.io/role/elb"
		if strings.Contains(name, "private") {
			role = "kubernetes.io/role/internal-elb"
		}
		assert.Equal(t, "1", inputs["tags"].(map[string]any)[role], name)
	}

	assert.Equal(t, []string{"llm-nat-a"}, r.names(natType), "one NAT gateway unless asked for more")
	nat := r.get(t, natType, "llm-nat-a")
	assert.Equal(t, "llm-public-a-id", plain(nat)["subnetId"])
	assert.Equal(t, "llm-nat-a-id", plain(nat)["allocationId"])
	assert.True(t, r.waitsFor(nat, internetType, "llm-internet"), "the internet gateway cannot be detached before it goes")
	assert.Equal(t, "vpc", plain(r.get(t, eipType, "llm-nat-a"))["domain"])

	assert.Equal(t, "llm-internet-id", plain(r.get(t, routeType, "llm-public"))["gatewayId"])
	for _, letter := range []string{"a", "b", "c"} {
		route := plain(r.get(t, routeType, "llm-private-"+letter))
		assert.Equal(t, "llm-nat-a-id", route["natGatewayId"])
		assert.Equal(t, "0.0.0.0/0", route["destinationCidrBlock"])
		assert.Equal(t, "llm-private-"+letter+"-id", route["routeTableId"])
		private := plain(r.get(t, associationType, "llm-private-"+letter))
		assert.Equal(t, []any{"llm-private-" + letter + "-id", "llm-private-" + letter + "-id"}, []any{private["subnetId"], private["routeTableId"]})
		public := plain(r.get(t, associationType, "llm-public-"+letter))
		assert.Equal(t, []any{"llm-public-" + letter + "-id", "llm-public-id"}, []any{public["subnetId"], public["routeTableId"]})
	}
	assert.Len(t, r.all(routeTableType), 4)
}

func TestNATInEveryZone(t *testing.T) {
	args := created()
	args.Network.NATPerZone = true
	r, _ := run(t, args)
	assert.Equal(t, []string{"llm-nat-a", "llm-nat-b"}, r.names(natType))
	assert.Equal(t, "llm-nat-b-id", plain(r.get(t, routeType, "llm-private-b"))["natGatewayId"])
	assert.Equal(t, "llm-public-b-id", plain(r.get(t, natType, "llm-nat-b"))["subnetId"])
}

// TestBlocksNeverOverlap holds for each size of VPC and number of zones that Validate allows.
func TestBlocksNeverOverlap(t *testing.T) {
	for vpc, want := range map[string]blocks{
		"10.0.0.0/16":      {"10.0.96.0/19", "10.0.140.0/22"},
		"172.16.16.0/20":   {"172.16.22.0/23", "172.16.24.192/26"},
		"192.168.128.0/18": {"192.168.152.0/21", "192.168.163.0/24"},
	} {
		last, err := zoneBlocks(vpc, maxZones-1)
		require.NoError(t, err)
		assert.Equal(t, want, last, vpc)
	}
}

func TestGivenSubnetsMakeNoNetwork(t *testing.T) {
	args := created()
	args.Network = Network{SubnetIDs: []string{"subnet-0a", "subnet-0b"}}
	args.GPUPool.SubnetIDs = []string{"subnet-0b"}
	r, _ := run(t, args)
	for _, reg := range r.registrations {
		if strings.HasPrefix(reg.Type, "aws:ec2/") {
			assert.Equal(t, templateType, reg.Type, "the network is not ours: %s", reg.Name)
		}
	}
	vpc := plain(r.get(t, clusterType, "llm-cluster"))["vpcConfig"].(map[string]any)
	assert.Equal(t, []any{"subnet-0a", "subnet-0b"}, vpc["subnetIds"])
	assert.Equal(t, []any{"subnet-0a", "subnet-0b"}, plain(r.get(t, nodeGroupType, "llm-system"))["subnetIds"])
	assert.Equal(t, []any{"subnet-0b"}, plain(r.get(t, nodeGroupType, "llm-gpu"))["subnetIds"])
}

func TestCluster(t *testing.T) {
	r, _ := run(t, created())
	cluster := r.get(t, clusterType, "llm-cluster")
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
	assert.False(t, cluster.Protect)

	assert.True(t, r.waitsFor(cluster, attachmentType, "llm-cluster-AmazonEKSClusterPolicy"),
		"without its permissions EKS cannot delete what it made in the subnets")
	assert.True(t, r.waitsFor(cluster, logGroupType, "llm-logs"), "EKS would make a log group of its own that destroy leaves behind")

	key := plain(r.get(t, keyType, "llm-secrets"))
	assert.Equal(t, true, key["enableKeyRotation"])
	assert.Equal(t, 7.0, key["deletionWindowInDays"])
	logs := plain(r.get(t, logGroupType, "llm-logs"))
	assert.Equal(t, []any{"/aws/eks/llm/cluster", 30.0}, []any{logs["name"], logs["retentionInDays"]})
}

func TestClusterAsAsked(t *testing.T) {
	args := created()
	args.Version, args.ExtendedSupport = "1.34", true
	args.PublicAccessCIDRs = []string{"203.0.113.0/24"}
	args.ControlPlaneLogs = []string{}
	args.SecretsKeyARN = "arn:aws:kms:eu-central-1:123456789012:key/given"
	args.DeletionProtection = true
	args.AddonVersions = map[string]string{"coredns": "v1.12.1-eksbuild.2"}
	r, _ := run(t, args)
	cluster := r.get(t, clusterType, "llm-cluster")
	assert.True(t, cluster.Protect)
	inputs := plain(cluster)
	assert.Equal(t, "1.34", inputs["version"])
	assert.Equal(t, map[string]any{"supportType": "EXTENDED"}, inputs["upgradePolicy"])
	vpc := inputs["vpcConfig"].(map[string]any)
	assert.Equal(t, []any{true, true, []any{"203.0.113.0/24"}}, []any{vpc["endpointPublicAccess"], vpc["endpointPrivateAccess"], vpc["publicAccessCidrs"]})
	assert.Equal(t, map[string]any{"keyArn": args.SecretsKeyARN}, inputs["encryptionConfig"].(map[string]any)["provider"])
	assert.Empty(t, r.all(keyType))
	assert.Empty(t, r.all(logGroupType))
	assert.Empty(t, inputs["enabledClusterLogTypes"])
	assert.Equal(t, "1.34", plain(r.get(t, nodeGroupType, "llm-gpu"))["version"], "nodes follow the control plane")
	assert.Equal(t, "v1.12.1-eksbuild.2", plain(r.get(t, addonType, "llm-coredns"))["addonVersion"])
	assert.NotContains(t, plain(r.get(t, addonType, "llm-vpc-cni")), "addonVersion")
}

func TestTheKeyIsProtectedWithTheCluster(t *testing.T) {
	args := created()
	args.DeletionProtection = true
	r, _ := run(t, args)
	key := r.get(t, keyType, "llm-secrets")
	assert.True(t, key.Protect, "a cluster without its key has lost its Secrets")
	assert.Equal(t, 30.0, plain(key)["deletionWindowInDays"])
}

func TestAccess(t *testing.T) {
	args := created()
	args.Admins = []string{"arn:aws:iam::123456789012:role/team/ops"}
	args.Viewers = []string{"arn:aws:iam::210987654321:user/auditor"}
	r, _ := run(t, args)
	assert.Equal(t, []string{"llm-admin-123456789012-role-team-ops", "llm-viewer-210987654321-user-auditor"}, r.names(accessEntryType))
	for name, policy := range map[string]string{
		"llm-admin-123456789012-role-team-ops": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
		"llm-viewer-210987654321-user-auditor": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
	} {
		association := r.get(t, accessPolicyType, name)
		inputs := plain(association)
		assert.Equal(t, policy, inputs["policyArn"])
		assert.Equal(t, plain(r.get(t, accessEntryType, name))["principalArn"], inputs["principalArn"])
		assert.Equal(t, map[string]any{"type": "cluster"}, inputs["accessScope"])
		assert.True(t, r.waitsFor(association, accessEntryType, name))
	}
}

// policyOf reads a policy document.
func policyOf(t *testing.T, document any) []statement {
	t.Helper()
	var policy struct {
		Version   string
		Statement []statement
	}
	require.NoError(t, json.Unmarshal([]byte(document.(string)), &policy))
	assert.Equal(t, "2012-10-17", policy.Version)
	return policy.Statement
}

func TestRoles(t *testing.T) {
	r, _ := run(t, created())
	for name, want := range map[string]struct {
		service  string
		actions  []string
		policies []string
	}{
		"llm-cluster":     {"eks.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEKSClusterPolicy"}},
		"llm-system-node": {"ec2.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"}},
		"llm-gpu-node":    {"ec2.amazonaws.com", []string{"sts:AssumeRole"}, []string{"AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"}},
		"llm-ebs-csi":     {"pods.eks.amazonaws.com", []string{"sts:AssumeRole", "sts:TagSession"}, []string{"service-role/AmazonEBSCSIDriverPolicy"}},
		"llm-autoscaler":  {"pods.eks.amazonaws.com", []string{"sts:AssumeRole", "sts:TagSession"}, nil},
	} {
		trust := policyOf(t, plain(r.get(t, roleType, name))["assumeRolePolicy"])
		assert.Equal(t, []statement{{Effect: "Allow", Action: want.actions, Principal: map[string]string{"Service": want.service}}}, trust, name)
		var attached []string
		for _, attachment := range r.all(attachmentType) {
			if inputs := plain(attachment); inputs["role"] == name+"-name" {
				attached = append(attached, strings.TrimPrefix(inputs["policyArn"].(string), "arn:aws:iam::aws:policy/"))
			}
		}
		slices.Sort(attached)
		assert.Equal(t, want.policies, attached, "policies of %s", name)
	}
	assert.Len(t, r.all(roleType), 5)
	assert.Equal(t, []string{"llm-autoscaler", "llm-cluster-secrets"}, r.names(rolePolicyType))
	assert.Equal(t, []statement{
		allow([]string{"kms:DescribeKey", "kms:Encrypt", "kms:Decrypt", "kms:ListGrants"}, "arn:aws:kms:eu-central-1:123456789012:key/created"),
	}, policyOf(t, plain(r.get(t, rolePolicyType, "llm-cluster-secrets"))["policy"]))
}

func TestAddons(t *testing.T) {
	r, _ := run(t, created())
	assert.Equal(t, []string{"llm-aws-ebs-csi-driver", "llm-coredns", "llm-eks-pod-identity-agent", "llm-kube-proxy", "llm-vpc-cni"}, r.names(addonType))
	system := r.get(t, nodeGroupType, "llm-system")
	for _, name := range []string{"llm-vpc-cni", "llm-kube-proxy", "llm-eks-pod-identity-agent"} {
		addon := r.get(t, addonType, name)
		assert.True(t, r.waitsFor(system, addonType, name), "nodes are never ready without %s", name)
		assert.False(t, r.waitsFor(addon, nodeGroupType, "llm-system"), "a circle")
		assert.NotContains(t, plain(addon), "preserve", name)
	}
	for _, name := range []string{"llm-coredns", "llm-aws-ebs-csi-driver"} {
		assert.True(t, r.waitsFor(r.get(t, addonType, name), nodeGroupType, "llm-system"), "%s is degraded without a node", name)
	}
	assert.JSONEq(t, `{"enableNetworkPolicy":"true"}`, plain(r.get(t, addonType, "llm-vpc-cni"))["configurationValues"].(string),
		"vLLM's NetworkPolicy would be ignored")
	driver := plain(r.get(t, addonType, "llm-aws-ebs-csi-driver"))
	assert.JSONEq(t, `{"defaultStorageClass":{"enabled":true}}`, driver["configurationValues"].(string))
	assert.Equal(t, []any{map[string]any{"serviceAccount": "ebs-csi-controller-sa", "roleArn": "arn:aws:iam::123456789012:role/llm-ebs-csi"}},
		driver["podIdentityAssociations"])
	assert.Equal(t, true, driver["preserve"], "volumes whose claims were just deleted would stay")
	assert.True(t, r.waitsFor(system, attachmentType, "llm-ebs-csi-AmazonEBSCSIDriverPolicy"), "the driver needs its role as long as it runs")
}

func TestGPUPool(t *testing.T) {
	args := created()
	args.Tags = map[string]string{"team": "ml"}
	r, _ := run(t, args)
	group := r.get(t, nodeGroupType, "llm-gpu")
	inputs := plain(group)
	assert.Equal(t, "llm", inputs["clusterName"])
	assert.Equal(t, "gpu-", inputs["nodeGroupNamePrefix"])
	assert.NotContains(t, inputs, "nodeGroupName", "a replacement comes before its predecessor goes")
	assert.Equal(t, "AL2023_x86_64_NVIDIA", inputs["amiType"])
	assert.Equal(t, "ON_DEMAND", inputs["capacityType"])
	assert.Equal(t, []any{"g6.xlarge"}, inputs["instanceTypes"])
	assert.Equal(t, map[string]any{"nvidia.com/gpu.present": "true", "k8s.amazonaws.com/accelerator": "nvidia-l4"}, inputs["labels"])
	assert.Equal(t, []any{map[string]any{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}}, inputs["taints"])
	assert.Equal(t, map[string]any{"minSize": 0.0, "maxSize": 4.0, "desiredSize": 0.0}, inputs["scalingConfig"])
	assert.Equal(t, []string{"scalingConfig.desiredSize"}, group.IgnoreChanges)
	assert.Equal(t, map[string]any{"id": "llm-gpu-id", "version": "3"}, inputs["launchTemplate"], "a new version of the template must roll the nodes")
	assert.NotContains(t, inputs, "diskSize", "EKS refuses it beside a launch template")
	for _, policy := range []string{"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"} {
		assert.True(t, r.waitsFor(group, attachmentType, "llm-gpu-node-"+policy), policy)
	}
	assert.True(t, r.waitsFor(group, routeType, "llm-private-a"), "a node without a route joins nothing")
	for typ, name := range map[string]string{routeType: "llm-public", associationType: "llm-public-a", internetType: "llm-internet", natType: "llm-nat-a"} {
		assert.True(t, r.waitsFor(group, typ, name), "a node is cut off while %s %q goes first", typ, name)
	}
	assert.True(t, r.waitsFor(group, clusterType, "llm-cluster"))

	template := plain(r.get(t, templateType, "llm-gpu"))
	assert.Equal(t, []any{map[string]any{"deviceName": "/dev/xvda", "ebs": map[string]any{
		"volumeType": "gp3", "volumeSize": 100.0, "encrypted": "true", "deleteOnTermination": "true", "throughput": 500.0,
	}}}, template["blockDeviceMappings"])
	assert.Equal(t, map[string]any{"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1.0}, template["metadataOptions"])
	assert.NotContains(t, template, "networkInterfaces")
	kinds := map[any]any{}
	for _, specification := range template["tagSpecifications"].([]any) {
		kinds[specification.(map[string]any)["resourceType"]] = specification.(map[string]any)["tags"]
	}
	tags := map[string]any{"team": "ml", "Name": "llm-gpu"}
	assert.Equal(t, map[any]any{"instance": tags, "volume": tags, "network-interface": tags}, kinds)
}

func TestGPUPoolAsAsked(t *testing.T) {
	args := created()
	args.GPUPool = &GPUPool{
		GPUPool: providers.GPUPool{NodePool: providers.NodePool{
			MachineType: "g6.12xlarge", MinNodes: 1, MaxNodes: 3, DiskGiB: 200, Spot: true, Zones: []string{"eu-central-1b"},
		}},
		AlternativeTypes: []string{"g5.12xlarge"}, Image: Bottlerocket, IdleTime: 2 * time.Minute,
	}
	args.GPUsPerReplica = 4
	r, cluster := run(t, args)
	inputs := plain(r.get(t, nodeGroupType, "llm-gpu"))
	assert.Equal(t, "BOTTLEROCKET_x86_64_NVIDIA", inputs["amiType"])
	assert.Equal(t, "SPOT", inputs["capacityType"])
	assert.Equal(t, []any{"g6.12xlarge", "g5.12xlarge"}, inputs["instanceTypes"])
	assert.Equal(t, []any{"llm-private-b-id"}, inputs["subnetIds"])
	assert.Equal(t, map[string]any{"minSize": 1.0, "maxSize": 3.0, "desiredSize": 1.0}, inputs["scalingConfig"])
	disks := plain(r.get(t, templateType, "llm-gpu"))["blockDeviceMappings"].([]any)
	require.Len(t, disks, 2)
	for i, want := range []struct {
		device string
		size   any
	}{{"/dev/xvda", nil}, {"/dev/xvdb", 200.0}} {
		disk := disks[i].(map[string]any)
		ebs := disk["ebs"].(map[string]any)
		assert.Equal(t, []any{want.device, want.size, "true", "gp3"}, []any{disk["deviceName"], ebs["volumeSize"], ebs["encrypted"], ebs["volumeType"]})
	}
	assert.False(t, cluster.InstallDevicePlugin, "Bottlerocket has one")
	assert.Equal(t, 4, cluster.GPU.PerReplica)
	assert.Equal(t, "4", asgTags(t, r)["resources/nvidia.com/gpu"])
	assert.Equal(t, "160Gi", asgTags(t, r)["resources/ephemeral-storage"])
	assert.Equal(t, "2m0s", asgTags(t, r)["autoscaling-options/scaledownunneededtime"])
}

func TestSystemPool(t *testing.T) {
	r, _ := run(t, created())
	group := r.get(t, nodeGroupType, "llm-system")
	inputs := plain(group)
	assert.Equal(t, "AL2023_x86_64_STANDARD", inputs["amiType"])
	assert.Equal(t, []any{"m6i.large"}, inputs["instanceTypes"])
	assert.Equal(t, map[string]any{"minSize": 2.0, "maxSize": 4.0, "desiredSize": 2.0}, inputs["scalingConfig"])
	assert.Equal(t, []string{"scalingConfig.desiredSize"}, group.IgnoreChanges)
	assert.Empty(t, inputs["taints"], "hooks and DNS need a node without a taint")
	assert.Equal(t, []any{"llm-private-a-id", "llm-private-b-id"}, inputs["subnetIds"])
	ebs := plain(r.get(t, templateType, "llm-system"))["blockDeviceMappings"].([]any)[0].(map[string]any)["ebs"].(map[string]any)
	assert.Equal(t, "true", ebs["encrypted"])
}

// asgTags are the tags on the Auto Scaling group, by the rest of their key.
func asgTags(t *testing.T, r *record) map[string]string {
	t.Helper()
	tags := map[string]string{}
	for _, reg := range r.all(asgTagType) {
		inputs := plain(reg)
		assert.Equal(t, autoscalingOfPool, inputs["autoscalingGroupName"])
		tag := inputs["tag"].(map[string]any)
		assert.Equal(t, false, tag["propagateAtLaunch"])
		key, found := strings.CutPrefix(tag["key"].(string), "k8s.io/cluster-autoscaler/node-template/")
		require.True(t, found, "%v", tag)
		tags[key] = tag["value"].(string)
	}
	return tags
}

func TestScaleFromZeroTags(t *testing.T) {
	r, _ := run(t, created())
	assert.Equal(t, map[string]string{
		"label/nvidia.com/gpu.present":              "true",
		"label/k8s.amazonaws.com/accelerator":       "nvidia-l4",
		"taint/nvidia.com/gpu":                      "present:NoSchedule",
		"resources/nvidia.com/gpu":                  "1",
		"resources/ephemeral-storage":               "80Gi",
		"autoscaling-options/scaledownunneededtime": "10m0s",
	}, asgTags(t, r))
}

// TestTagsDescribeTheNodes keeps the tags, by which a pod is judged before there is a node, in step
// with what nodes carry and with what vLLM selects.
func TestTagsDescribeTheNodes(t *testing.T) {
	r, cluster := run(t, created())
	tags := asgTags(t, r)
	labels := plain(r.get(t, nodeGroupType, "llm-gpu"))["labels"].(map[string]any)
	for key, value := range cluster.GPU.NodeSelector {
		assert.Equal(t, value, labels[key], "no node has what vLLM selects")
		assert.Equal(t, value, tags["label/"+key], "no pod would make the pool grow from zero")
	}
	for key := range labels {
		assert.Contains(t, tags, "label/"+key)
	}
}

func TestNodeAutoscalerPermissions(t *testing.T) {
	r, cluster := run(t, created())
	assert.Equal(t, &providers.NodeAutoscaler{
		CloudProvider: "aws", ClusterName: "llm", Region: "eu-central-1", Namespace: "kube-system", ServiceAccount: "cluster-autoscaler",
	}, cluster.NodeAutoscaler)
	association := r.get(t, podIdentityType, "llm-autoscaler")
	inputs := plain(association)
	assert.Equal(t, []any{"llm", "kube-system", "cluster-autoscaler", "arn:aws:iam::123456789012:role/llm-autoscaler"},
		[]any{inputs["clusterName"], inputs["namespace"], inputs["serviceAccount"], inputs["roleArn"]})
	assert.True(t, r.waitsFor(association, rolePolicyType, "llm-autoscaler"))

	statements := policyOf(t, plain(r.get(t, rolePolicyType, "llm-autoscaler"))["policy"])
	changing := 0
	for _, s := range statements {
		for _, action := range s.Action {
			assert.NotContains(t, action, "*", "every permission is named")
			verb := action[strings.Index(action, ":")+1:]
			if strings.HasPrefix(verb, "Describe") || strings.HasPrefix(verb, "Get") {
				continue
			}
			changing++
			assert.Equal(t, map[string]map[string]string{"StringEquals": {
				"aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
				"aws:ResourceTag/k8s.io/cluster-autoscaler/llm":     "owned",
			}}, s.Condition, "%s must not reach another cluster's nodes", action)
		}
	}
	assert.Equal(t, 2, changing, "SetDesiredCapacity and TerminateInstanceInAutoScalingGroup, and no more")
}

func TestKubernetesProvider(t *testing.T) {
	args := created()
	args.Profile, args.RoleARN = "work", "arn:aws:iam::123456789012:role/deploy"
	r, cluster := run(t, args)
	provider := r.get(t, kubeProviderType, "llm-kubernetes")
	assert.Equal(t, "arn:aws:eks:eu-central-1:123456789012:cluster/llm", plain(provider)["clusterIdentifier"],
		"without it a changed kubeconfig replaces every object")
	assert.Equal(t, true, plain(provider)["enableServerSideApply"])
	assert.Equal(t, true, plain(provider)["enableConfigMapMutable"])
	for _, waited := range []struct{ typ, name string }{
		{nodeGroupType, "llm-system"}, {nodeGroupType, "llm-gpu"}, {addonType, "llm-aws-ebs-csi-driver"}, {addonType, "llm-coredns"},
		{podIdentityType, "llm-autoscaler"}, {rolePolicyType, "llm-autoscaler"}, {asgTagType, "llm-gpu-taint-nvidia-com-gpu"},
		{natType, "llm-nat-a"},
	} {
		assert.True(t, r.waitsFor(provider, waited.typ, waited.name), "objects go before %s %q does", waited.typ, waited.name)
	}

	require.True(t, provider.Inputs["kubeconfig"].IsSecret(), "kubeconfig")
	text := provider.Inputs["kubeconfig"].SecretValue().Element.StringValue()
	assert.NotContains(t, text, "token:")
	var file kubeconfigFile
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &file))
	require.Len(t, file.Clusters, 1)
	assert.Equal(t, createdEndpoint, file.Clusters[0].Cluster.Server)
	_, err := base64.StdEncoding.DecodeString(file.Clusters[0].Cluster.CertificateAuthorityData)
	require.NoError(t, err)
	assert.Equal(t, certificate, file.Clusters[0].Cluster.CertificateAuthorityData)
	assert.Equal(t, []string{file.Clusters[0].Name, file.Users[0].Name, file.Contexts[0].Name},
		[]string{file.Contexts[0].Context.Cluster, file.Contexts[0].Context.User, file.CurrentContext})
	assert.Equal(t, execPlugin{
		APIVersion: "client.authentication.k8s.io/v1beta1", Command: "aws", InteractiveMode: "Never",
		Args: []string{
			"--region", "eu-central-1", "eks", "get-token", "--cluster-name", "llm", "--output", "json",
			"--role-arn", "arn:aws:iam::123456789012:role/deploy", "--profile", "work",
		},
	}, file.Users[0].User.Exec)

	assert.Equal(t, "llm", cluster.Name)
	assert.Equal(t, providers.DCGMChart, cluster.GPUMetrics.Source)
	assert.True(t, cluster.InstallDevicePlugin, "Amazon Linux has none")
	assert.False(t, cluster.ControlPlaneScrapes)
	assert.Equal(t, 10250, cluster.AggregatedAPIPort)
	assert.Equal(t, []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, cluster.GPU.Tolerations)
}

// existingCluster answers look-ups of a cluster that will do; change alters the answers.
func existingCluster(change func(calls map[string]map[string]any)) map[string]func(resource.PropertyMap) (resource.PropertyMap, error) {
	answers := map[string]map[string]any{
		"aws:eks/getCluster:getCluster": {
			"name": "theirs", "arn": "arn:aws:eks:eu-central-1:123456789012:cluster/theirs", "endpoint": "https://theirs.example", "status": "ACTIVE",
			"version": "1.33", "certificateAuthorities": []any{map[string]any{"data": certificate}},
			"vpcConfig": map[string]any{"subnetIds": []any{"subnet-0c", "subnet-0a"}, "vpcId": "vpc-1"},
		},
		"aws:eks/getAddon:getAddon":           {"addonName": "eks-pod-identity-agent", "addonVersion": "v1"},
		"aws:eks/getNodeGroups:getNodeGroups": {"names": []any{"theirs-gpu"}},
		"aws:eks/getNodeGroup:getNodeGroup": {
			"nodeGroupName": "theirs-gpu", "amiType": "AL2023_x86_64_NVIDIA", "labels": map[string]any{"nvidia.com/gpu.present": "true"},
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
	r := &record{calls: existingCluster(nil)}
	cluster, err := r.run(attached())
	require.NoError(t, err)
	for _, typ := range []string{clusterType, vpcType, addonType, keyType, logGroupType, accessEntryType} {
		assert.Empty(t, r.all(typ), "%s stays the owner's", typ)
	}
	assert.Equal(t, []string{"llm-gpu"}, r.names(nodeGroupType))
	inputs := plain(r.get(t, nodeGroupType, "llm-gpu"))
	assert.Equal(t, "theirs", inputs["clusterName"])
	assert.Equal(t, []any{"subnet-0a", "subnet-0c"}, inputs["subnetIds"], "always in the same order")
	assert.NotContains(t, inputs, "version")
	provider := r.get(t, kubeProviderType, "llm-kubernetes")
	assert.Equal(t, "arn:aws:eks:eu-central-1:123456789012:cluster/theirs", plain(provider)["clusterIdentifier"])
	assert.Contains(t, plain(provider)["kubeconfig"], "https://theirs.example")
	assert.True(t, r.waitsFor(provider, nodeGroupType, "llm-gpu"))
	assert.Equal(t, "theirs", cluster.Name)
	assert.Equal(t, "theirs", cluster.NodeAutoscaler.ClusterName)
	statements := policyOf(t, plain(r.get(t, rolePolicyType, "llm-autoscaler"))["policy"])
	assert.Contains(t, statements[2].Condition["StringEquals"], "aws:ResourceTag/k8s.io/cluster-autoscaler/theirs")
}

func TestAttachToAClusterThatHasItsOwn(t *testing.T) {
	args := attached()
	args.NodeAutoscalerInstalled, args.DevicePluginInstalled = true, true
	args.Network.SubnetIDs = []string{"subnet-0f"}
	calls := existingCluster(nil)
	delete(calls, "aws:eks/getAddon:getAddon") // Nothing of ours needs the agent: asking would be an error.
	r := &record{calls: calls}
	cluster, err := r.run(args)
	require.NoError(t, err)
	assert.Nil(t, cluster.NodeAutoscaler)
	assert.False(t, cluster.InstallDevicePlugin)
	assert.Empty(t, r.all(podIdentityType))
	assert.Equal(t, []any{"subnet-0f"}, plain(r.get(t, nodeGroupType, "llm-gpu"))["subnetIds"])
	assert.NotEmpty(t, r.all(asgTagType), "their autoscaler reads the same tags")
}

func TestAttachWithoutAPool(t *testing.T) {
	r := &record{calls: existingCluster(nil)}
	cluster, err := r.run(&Args{Region: "eu-central-1", Existing: "theirs"})
	require.NoError(t, err)
	for _, reg := range r.registrations {
		assert.False(t, strings.HasPrefix(reg.Type, "aws:"), "nothing to create: %s %q", reg.Type, reg.Name)
	}
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true"}, cluster.GPU.NodeSelector)
	assert.False(t, cluster.InstallDevicePlugin)
	assert.Nil(t, cluster.NodeAutoscaler)
	assert.Empty(t, cluster.Ready)
}

func TestAttachRefuses(t *testing.T) {
	withoutPool := &Args{Region: "eu-central-1", Existing: "theirs"}
	for name, test := range map[string]struct {
		args   *Args
		change func(answers map[string]map[string]any)
		fail   string
		want   []string
	}{
		"a cluster that is not there": {attached(), nil, "aws:eks/getCluster:getCluster", []string{`"theirs"`, "eu-central-1", "check Existing"}},
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
			[]string{"aws eks create-addon --region eu-central-1 --cluster-name theirs --addon-name eks-pod-identity-agent", "NodeAutoscalerInstalled"}},
		"no node groups": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroups:getNodeGroups"]["names"] = []any{}
		}, "", []string{"there are none", "set GPUPool"}},
		"no driver": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroup:getNodeGroup"]["amiType"] = "AL2023_x86_64_STANDARD"
		}, "", []string{"theirs-gpu has image AL2023_x86_64_STANDARD without NVIDIA's driver", "set GPUPool"}},
		"no label": {withoutPool, func(a map[string]map[string]any) {
			delete(a["aws:eks/getNodeGroup:getNodeGroup"], "labels")
		}, "", []string{"lacks the label nvidia.com/gpu.present=true"}},
		"another taint": {withoutPool, func(a map[string]map[string]any) {
			a["aws:eks/getNodeGroup:getNodeGroup"]["taints"] = []any{map[string]any{"key": "team", "effect": "NO_SCHEDULE"}}
		}, "", []string{"has the taint team"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &record{calls: existingCluster(test.change)}
			if test.fail != "" {
				r.calls[test.fail] = func(resource.PropertyMap) (resource.PropertyMap, error) {
					return nil, errors.New("ResourceNotFoundException")
				}
			}
			_, err := r.run(test.args)
			require.Error(t, err)
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			for _, reg := range r.registrations {
				assert.False(t, strings.HasPrefix(reg.Type, "aws:"), "created in spite of it: %s %q", reg.Type, reg.Name)
			}
		})
	}
}

// TestNewLeavesItsArgumentsAlone guards against defaults that leak into the caller's configuration.
func TestNewLeavesItsArgumentsAlone(t *testing.T) {
	args := created()
	run(t, args)
	assert.Equal(t, created(), args)
}
