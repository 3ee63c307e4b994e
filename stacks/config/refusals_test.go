package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestNoRefusalOfACloudIsLost checks that some rule refuses what a cloud does not support: the tag of a key, a scope, or the
// cloud's package. Each row was once checked by a cloud's package only.
func TestNoRefusalOfACloudIsLost(t *testing.T) {
	const guid, role = "00000000-0000-0000-0000-000000000001", "arn:aws:iam::123456789012:role/x"
	type keys = map[string]any
	for cloud, rows := range map[string][]struct {
		name  string
		given keys
		key   string
	}{
		CloudGKE: {
			{"name", keys{"cluster.name": "Serving"}, "cluster.name"},
			{"name for the account", keys{"cluster.name": strings.Repeat("a", 25)}, "cluster.name"},
			{"project", keys{"gke.project": nil}, "gke.project"},
			{"no project ID", keys{"gke.project": "My Project"}, "gke.project"},
			{"location", keys{"gke.location": "us"}, "gke.location"},
			{"no location", keys{"gke.location": nil}, "gke.location"},
			{"existing", keys{"cluster.existing": "A", "cluster.apiAccessCidrs": nil}, "cluster.existing"},
			{"autopilot", keys{"gke.autopilot": true}, "gke.autopilot"},
			{"autopilot attached", keys{"gke.autopilot": true, "cluster.existing": "theirs", "cluster.apiAccessCidrs": nil}, "gke.autopilot"},
			{"key", keys{"gke.diskKmsKey": "mine"}, "gke.diskKmsKey"},
			{"channel", keys{"gke.releaseChannel": "stable"}, "gke.releaseChannel"},
			{"profile", keys{"gke.autoscalingProfile": "X"}, "gke.autoscalingProfile"},
			{"nobody", keys{"cluster.apiAccessCidrs": []any{}}, "cluster.apiAccessCidrs"},
			{"nobody asked", keys{"cluster.apiAccessCidrs": nil}, "cluster.apiAccessCidrs"},
			{"address without mask", keys{"cluster.apiAccessCidrs": []any{"1.2.3.4"}}, "cluster.apiAccessCidrs[0]"},
			{"bits outside the mask", keys{"cluster.apiAccessCidrs": []any{"1.2.3.4/24"}}, "cluster.apiAccessCidrs[0]"},
			{"IPv6", keys{"cluster.apiAccessCidrs": []any{"2001:db8::/32"}}, "cluster.apiAccessCidrs[0]"},
			{"control plane size", keys{"gke.controlPlaneCidr": "172.16.0.0/24"}, "gke.controlPlaneCidr"},
			{"control plane bits", keys{"gke.controlPlaneCidr": "172.16.0.1/28"}, "gke.controlPlaneCidr"},
			{"overlap", keys{"gke.nodesCidr": "10.5.0.0/20"}, "gke.podsCidr"},
			{"subnetwork alone", keys{"gke.subnetwork": "sub"}, "gke.subnetwork"},
			{"pods alone", keys{"gke.podsRange": "p"}, "gke.podsRange"},
			{"services alone", keys{"gke.servicesRange": "s"}, "gke.servicesRange"},
			{"network alone", keys{"gke.network": "vpc"}, "gke.subnetwork"},
			{"one range", keys{"gke.network": "v", "gke.subnetwork": "s", "gke.podsRange": "p"}, "gke.podsRange"},
			{"ranges of a given network", keys{"gke.network": "v", "gke.subnetwork": "s", "gke.podsCidr": "10.4.0.0/14"}, "gke.podsCidr"},
			{"no system nodes", keys{"nodePools.system.minNodes": -1}, "nodePools.system.minNodes"},
			{"system nodes of 0", keys{"nodePools.system.minNodes": 0}, "nodePools.system.minNodes"},
			{"system disk", keys{"nodePools.system.diskGiB": 19}, "nodePools.system.diskGiB"},
			{"system disk of 0", keys{"nodePools.system.diskGiB": 0}, "nodePools.system.diskGiB"},
			{"fewer nodes than zones", keys{"gke.location": "us-central1", "nodePools.gpu.zones": []any{"us-central1-a"}, "nodePools.system.maxNodes": 2},
				"nodePools.system.maxNodes"},
			{"limits", keys{"nodePools.gpu.minNodes": 5, "nodePools.gpu.maxNodes": 4}, "nodePools.gpu.maxNodes"},
			{"no GPU nodes", keys{"nodePools.gpu.maxNodes": 0}, "nodePools.gpu.maxNodes"},
			{"negative", keys{"nodePools.gpu.minNodes": -1}, "nodePools.gpu.minNodes"},
			{"disk", keys{"nodePools.gpu.diskGiB": 59}, "nodePools.gpu.diskGiB"},
			{"disk of 0", keys{"nodePools.gpu.diskGiB": 0}, "nodePools.gpu.diskGiB"},
			{"zone elsewhere", keys{"nodePools.gpu.zones": []any{"us-east1-b"}}, "nodePools.gpu.zones[0]"},
			{"zone twice", keys{"nodePools.gpu.zones": []any{"us-central1-a", "us-central1-a"}}, "nodePools.gpu.zones[1]"},
			{"region without zones", keys{"gke.location": "us-central1"}, "nodePools.gpu.zones"},
			{"no machine", keys{"nodePools.gpu.accelerator": "nvidia-t4", "model.dtype": "float32", "gpu.memoryGiB": 16}, "nodePools.gpu.machineType"},
			{"driver", keys{"gke.gpuDriver": "none"}, "gke.gpuDriver"},
			{"no pool", keys{"nodePools.gpu.create": false}, "nodePools.gpu.create"},
			{"accelerator", keys{"nodePools.gpu.accelerator": "nvidia-k80", "nodePools.gpu.machineType": "n1-standard-8"}, "nodePools.gpu.accelerator"},
			{"machine without it", keys{"nodePools.gpu.accelerator": "nvidia-l4", "nodePools.gpu.machineType": "e2-standard-4",
				"nodePools.gpu.gpusPerNode": 1}, "nodePools.gpu.machineType"},
			{"N1 GPU elsewhere", keys{"nodePools.gpu.accelerator": "nvidia-t4", "nodePools.gpu.machineType": "e2-standard-8", "nodePools.gpu.gpusPerNode": 1,
				"model.dtype": "float32"}, "nodePools.gpu.machineType"},
			{"number on N1", keys{"nodePools.gpu.accelerator": "nvidia-t4", "nodePools.gpu.machineType": "n1-standard-8", "nodePools.gpu.gpusPerNode": 3,
				"model.dtype": "float32"}, "nodePools.gpu.gpusPerNode"},
			{"number of the machine", keys{"nodePools.gpu.gpusPerNode": 2}, "nodePools.gpu.gpusPerNode"},
			{"replica too large", keys{"gpu.perReplica": 2, "nodePools.gpu.machineType": "g2-standard-4"}, "gpu.perReplica"},
			{"negative replica", keys{"gpu.perReplica": -1}, "gpu.perReplica"},
			{"choice beside a pool", keys{"gke.existingAccelerator": "nvidia-l4"}, "gke.existingAccelerator"},
			{"choice beside a pool, attached", keys{"gke.existingAccelerator": "nvidia-l4", "cluster.existing": "theirs", "cluster.apiAccessCidrs": nil},
				"gke.existingAccelerator"},
		},
		CloudEKS: {
			{"no region", keys{"eks.region": nil}, "eks.region"},
			{"a zone for it", keys{"eks.region": "eu-central-1a"}, "eks.region"},
			{"China", keys{"eks.region": "cn-north-1", "eks.zones": []any{"cn-north-1a", "cn-north-1b"}}, "eks.region"},
			{"account", keys{"eks.accountId": "1234"}, "eks.accountId"},
			{"role", keys{"eks.roleArn": "deploy"}, "eks.roleArn"},
			{"name tag", keys{"eks.tags": keys{"Name": "x"}}, "eks.tags"},
			{"cluster name", keys{"cluster.name": "-llm"}, "cluster.name"},
			{"a long name", keys{"cluster.name": strings.Repeat("n", 101)}, "cluster.name"},
			{"two clusters", keys{"cluster.name": "mine", "cluster.existing": "theirs", "cluster.apiAccessCidrs": nil, "eks.zones": nil}, "cluster.name"},
			{"version", keys{"cluster.kubernetesVersion": "v1.34.1"}, "cluster.kubernetesVersion"},
			{"one zone", keys{"eks.zones": []any{"us-east-1a"}}, "eks.zones"},
			{"five zones", keys{"eks.zones": []any{"us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e"}}, "eks.zones"},
			{"elsewhere's zone", keys{"eks.zones": []any{"us-east-1a", "eu-west-1a"}}, "eks.zones[1]"},
			{"a zone twice", keys{"eks.zones": []any{"us-east-1a", "us-east-1a"}}, "eks.zones[1]"},
			{"network", keys{"eks.vpcCidr": "10.0.0.1/16"}, "eks.vpcCidr"},
			{"network too small", keys{"eks.vpcCidr": "10.0.0.0/24"}, "eks.vpcCidr"},
			{"one subnet", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a"}}, "eks.subnetIds"},
			{"a subnet twice", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0a"}}, "eks.subnetIds[1]"},
			{"no subnet's id", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "private"}}, "eks.subnetIds[1]"},
			{"subnets and zones", keys{"eks.subnetIds": []any{"subnet-0a", "subnet-0b"}}, "eks.zones"},
			{"subnets and NAT", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}, "eks.natPerZone": true}, "eks.natPerZone"},
			{"subnets and a range", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}, "eks.vpcCidr": "10.0.0.0/16"}, "eks.vpcCidr"},
			{"public networks", keys{"cluster.apiAccessCidrs": []any{"1.2.3.4"}}, "cluster.apiAccessCidrs[0]"},
			{"logs", keys{"eks.controlPlaneLogs": []any{"kubelet"}}, "eks.controlPlaneLogs[0]"},
			{"log retention", keys{"eks.logRetentionDays": 31}, "eks.logRetentionDays"},
			{"log retention of 0", keys{"eks.logRetentionDays": 0}, "eks.logRetentionDays"},
			{"key", keys{"eks.secretsKeyArn": "alias/mine"}, "eks.secretsKeyArn"},
			{"add-on", keys{"eks.addonVersions": keys{"adot": "v1"}}, "eks.addonVersions"},
			{"admin", keys{"eks.admins": []any{"root"}}, "eks.admins[0]"},
			{"assumed role", keys{"eks.viewers": []any{"arn:aws:sts::123456789012:assumed-role/x/y"}}, "eks.viewers[0]"},
			{"admin and viewer", keys{"eks.admins": []any{role}, "eks.viewers": []any{role}}, "eks.viewers[0]"},
			{"the creator, again", keys{"eks.roleArn": role, "eks.admins": []any{role}}, "eks.admins[0]"},
			{"autoscaler", keys{"eks.nodeAutoscalerInstalled": true}, "eks.nodeAutoscalerInstalled"},
			{"device plugin", keys{"eks.devicePluginInstalled": true}, "eks.devicePluginInstalled"},
			{"system pool of nothing", keys{"nodePools.system.minNodes": -1}, "nodePools.system.minNodes"},
			{"too many system nodes", keys{"nodePools.system.maxNodes": 451}, "nodePools.system.maxNodes"},
			{"system pool on ARM", keys{"nodePools.system.machineType": "m7g.large"}, "nodePools.system.machineType"},
			{"system pool with GPUs", keys{"nodePools.system.machineType": "g6.xlarge"}, "nodePools.system.machineType"},
			{"no system type", keys{"nodePools.system.machineType": "large"}, "nodePools.system.machineType"},
			{"system disk", keys{"nodePools.system.diskGiB": 10}, "nodePools.system.diskGiB"},
			{"system zones", keys{"nodePools.system.zones": []any{"us-east-1c"}}, "nodePools.system.zones[0]"},
			{"no GPU pool", keys{"nodePools.gpu.create": false}, "nodePools.gpu.create"},
			{"min above max", keys{"nodePools.gpu.minNodes": 3, "nodePools.gpu.maxNodes": 2, "autoscaling.maxReplicas": 2}, "nodePools.gpu.maxNodes"},
			{"small disk", keys{"nodePools.gpu.diskGiB": 49}, "nodePools.gpu.diskGiB"},
			{"large disk", keys{"nodePools.gpu.diskGiB": 16385}, "nodePools.gpu.diskGiB"},
			{"no type", keys{"nodePools.gpu.machineType": "l4", "nodePools.gpu.accelerator": "nvidia-l4", "nodePools.gpu.gpusPerNode": 1}, "nodePools.gpu.machineType"},
			{"ARM GPU", keys{"nodePools.gpu.machineType": "g5g.xlarge", "nodePools.gpu.accelerator": "nvidia-x1", "nodePools.gpu.gpusPerNode": 1},
				"nodePools.gpu.machineType"},
			{"no GPU", keys{"nodePools.gpu.machineType": "m6i.large"}, "nodePools.gpu.machineType"},
			{"another accelerator", keys{"nodePools.gpu.machineType": "g6.xlarge", "nodePools.gpu.accelerator": "nvidia-a10g"}, "nodePools.gpu.accelerator"},
			{"another number", keys{"nodePools.gpu.machineType": "g6.xlarge", "nodePools.gpu.gpusPerNode": 4}, "nodePools.gpu.gpusPerNode"},
			{"image", keys{"eks.amiType": "al2"}, "eks.amiType"},
			{"no image", keys{"eks.amiType": ""}, "eks.amiType"},
			{"idle time", keys{"eks.idleTime": "1500ms"}, "eks.idleTime"},
			{"negative idle time", keys{"eks.idleTime": "-1s"}, "eks.idleTime"},
			{"pool's zone", keys{"nodePools.gpu.zones": []any{"us-east-1f"}}, "nodePools.gpu.zones[0]"},
			{"pool's subnets", keys{"eks.gpuSubnetIds": []any{"subnet-0a"}}, "eks.gpuSubnetIds"},
			{"no pool's subnet", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}, "eks.gpuSubnetIds": []any{"x"}}, "eks.gpuSubnetIds[0]"},
			{"zones of given subnets", keys{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}, "nodePools.gpu.zones": []any{"us-east-1a"}},
				"nodePools.gpu.zones"},
			{"too many GPUs", keys{"gpu.perReplica": 2, "nodePools.gpu.machineType": "g6.xlarge"}, "gpu.perReplica"},
			{"a smaller alternative", keys{"eks.alternativeInstanceTypes": []any{"g4dn.xlarge"}}, "eks.alternativeInstanceTypes[0]"},
			{"more GPUs", keys{"eks.alternativeInstanceTypes": []any{"g6.12xlarge"}}, "eks.alternativeInstanceTypes[0]"},
			{"no alternative", keys{"eks.alternativeInstanceTypes": []any{"x"}}, "eks.alternativeInstanceTypes[0]"},
			{"itself, again", keys{"eks.alternativeInstanceTypes": []any{"g6.xlarge"}}, "eks.alternativeInstanceTypes[0]"},
		},
		CloudAKS: {
			{"a bad name", keys{"cluster.name": "serving-"}, "cluster.name"},
			{"a long name", keys{"cluster.name": strings.Repeat("n", 64)}, "cluster.name"},
			{"both names", keys{"cluster.name": "mine", "cluster.existing": "theirs", "cluster.apiAccessCidrs": nil, "aks.location": nil,
				"aks.resourceGroup": "rg"}, "cluster.name"},
			{"a bad subscription", keys{"aks.subscriptionId": "mine"}, "aks.subscriptionId"},
			{"a bad tenant", keys{"aks.tenantId": "mine"}, "aks.tenantId"},
			{"a bad group", keys{"aks.resourceGroup": "a/b"}, "aks.resourceGroup"},
			{"no location", keys{"aks.location": nil}, "aks.location"},
			{"a displayed location", keys{"aks.location": "East US"}, "aks.location"},
			{"a patch version", keys{"cluster.kubernetesVersion": "1.35.2"}, "cluster.kubernetesVersion"},
			{"a version that moves", keys{"cluster.kubernetesVersion": "1.35", "aks.upgradeChannel": "stable"}, "cluster.kubernetesVersion"},
			{"a channel", keys{"aks.upgradeChannel": "fast"}, "aks.upgradeChannel"},
			{"an OS channel", keys{"aks.nodeOSUpgradeChannel": "none"}, "aks.nodeOSUpgradeChannel"},
			{"a tier", keys{"aks.tier": "Gold"}, "aks.tier"},
			{"a node group", keys{"aks.nodeResourceGroup": "serving-RG", "aks.resourceGroup": "serving-rg"}, "aks.nodeResourceGroup"},
			{"a long node group", keys{"aks.nodeResourceGroup": strings.Repeat("n", 81)}, "aks.nodeResourceGroup"},
			{"an identity", keys{"aks.userAssignedIdentityId": "me"}, "aks.userAssignedIdentityId"},
			{"a subnet", keys{"aks.vnetSubnetId": "subnet"}, "aks.vnetSubnetId"},
			{"routing of no subnet", keys{"aks.outboundType": "userDefinedRouting"}, "aks.outboundType"},
			{"an outbound type", keys{"aks.outboundType": "nat"}, "aks.outboundType"},
			{"a policy", keys{"aks.networkPolicy": "weave"}, "aks.networkPolicy"},
			{"pods' network", keys{"aks.podCidr": "10.244.0.1/16"}, "aks.podCidr"},
			{"overlap", keys{"aks.podCidr": "10.0.0.0/8"}, "aks.podCidr"},
			{"services' size", keys{"aks.serviceCidr": "172.16.0.0/30"}, "aks.serviceCidr"},
			{"DNS elsewhere", keys{"aks.dnsServiceIP": "10.1.0.10"}, "aks.dnsServiceIP"},
			{"DNS on the first", keys{"aks.dnsServiceIP": "10.0.0.1"}, "aks.dnsServiceIP"},
			{"everyone unasked", keys{"cluster.apiAccessCidrs": nil}, "cluster.apiAccessCidrs"},
			{"an empty list", keys{"cluster.apiAccessCidrs": []any{}}, "cluster.apiAccessCidrs"},
			{"everyone and one", keys{"cluster.apiAccessCidrs": []any{"0.0.0.0/0", "1.2.3.0/24"}}, "cluster.apiAccessCidrs"},
			{"an address", keys{"cluster.apiAccessCidrs": []any{"1.2.3.4"}}, "cluster.apiAccessCidrs[0]"},
			{"a range twice", keys{"cluster.apiAccessCidrs": []any{"1.2.3.0/24", "1.2.3.0/24"}}, "cluster.apiAccessCidrs[1]"},
			{"ranges of a private", keys{"aks.privateCluster": true}, "cluster.apiAccessCidrs"},
			{"no administrator", keys{"aks.entra.enabled": true}, "aks.entra"},
			{"Entra that is off", keys{"aks.entra.login": "spn"}, "aks.entra.enabled"},
			{"a group's name", keys{"aks.entra.enabled": true, "aks.entra.adminGroupObjectIDs": []any{"admins"}}, "aks.entra.adminGroupObjectIDs[0]"},
			{"a tenant of users", keys{"aks.entra.enabled": true, "aks.entra.enableAzureRBAC": true, "aks.entra.tenantID": "x"}, "aks.entra.tenantID"},
			{"a person's login", keys{"aks.entra.enabled": true, "aks.entra.enableAzureRBAC": true, "aks.entra.login": "devicecode"}, "aks.entra.login"},
			{"seconds", keys{"aks.idleTime": "90s"}, "aks.idleTime"},
			{"too short", keys{"aks.idleTime": "0s"}, "aks.idleTime"},
			{"a device plugin", keys{"aks.devicePluginInstalled": true}, "aks.devicePluginInstalled"},
			{"a small system", keys{"nodePools.system.machineType": "Standard_D2s_v5"}, "nodePools.system.machineType"},
			{"a constrained system", keys{"nodePools.system.machineType": "Standard_E8-2s_v5"}, "nodePools.system.machineType"},
			{"a GPU in the system", keys{"nodePools.system.machineType": "Standard_NC24ads_A100_v4"}, "nodePools.system.machineType"},
			{"an ARM system", keys{"nodePools.system.machineType": "Standard_D4pds_v5"}, "nodePools.system.machineType"},
			{"not a size", keys{"nodePools.system.machineType": "m6i.large"}, "nodePools.system.machineType"},
			{"a small system disk", keys{"nodePools.system.diskGiB": 29}, "nodePools.system.diskGiB"},
			{"no system", keys{"nodePools.system.minNodes": -1}, "nodePools.system.minNodes"},
			{"no GPU pool", keys{"nodePools.gpu.create": false}, "nodePools.gpu.create"},
			{"a long pool name", keys{"aks.gpuPoolName": "abcdefghijklm"}, "aks.gpuPoolName"},
			{"a pool with a dash", keys{"aks.gpuPoolName": "gpu-pool"}, "aks.gpuPoolName"},
			{"a pool in capitals", keys{"aks.gpuPoolName": "GPU"}, "aks.gpuPoolName"},
			{"a digit first", keys{"aks.gpuPoolName": "1gpu"}, "aks.gpuPoolName"},
			{"the system's name", keys{"aks.gpuPoolName": "system"}, "aks.gpuPoolName"},
			{"a small GPU disk", keys{"nodePools.gpu.diskGiB": 99}, "nodePools.gpu.diskGiB"},
			{"a large GPU disk", keys{"nodePools.gpu.diskGiB": 2049}, "nodePools.gpu.diskGiB"},
			{"max under min", keys{"nodePools.gpu.minNodes": 3, "nodePools.gpu.maxNodes": 2, "autoscaling.maxReplicas": 2}, "nodePools.gpu.maxNodes"},
			{"a zone's name", keys{"nodePools.gpu.zones": []any{"eastus-1"}}, "nodePools.gpu.zones[0]"},
			{"a zone twice", keys{"nodePools.gpu.zones": []any{"1", "1"}}, "nodePools.gpu.zones[1]"},
			{"a part of a GPU", keys{"nodePools.gpu.machineType": "Standard_NV6ads_A10_v5", "nodePools.gpu.accelerator": "nvidia-a10",
				"nodePools.gpu.gpusPerNode": 1}, "nodePools.gpu.machineType"},
			{"another accelerator", keys{"nodePools.gpu.machineType": "Standard_NC24ads_A100_v4", "nodePools.gpu.accelerator": "nvidia-l4"},
				"nodePools.gpu.accelerator"},
			{"another number", keys{"nodePools.gpu.machineType": "Standard_NC24ads_A100_v4", "nodePools.gpu.gpusPerNode": 2}, "nodePools.gpu.gpusPerNode"},
			{"no GPU", keys{"nodePools.gpu.machineType": "Standard_D4s_v5"}, "nodePools.gpu.machineType"},
			{"too many GPUs", keys{"gpu.perReplica": 2, "nodePools.gpu.machineType": "Standard_NC24ads_A100_v4"}, "gpu.perReplica"},
			{"a tenant that is none", keys{"aks.tenantId": guid + "0"}, "aks.tenantId"},
		},
	} {
		for _, row := range rows {
			t.Run(cloud+"/"+row.name, func(t *testing.T) {
				given := onCloud(cloud, row.given)
				for key, value := range given {
					if value == nil {
						delete(given, key)
					}
				}
				refused := problemsOf(t, source(t, cloud, given))
				assert.True(t, slices.ContainsFunc(refused.Problems, func(p Problem) bool { return p.Key == project+":"+row.key }), "%s: %v", row.key, refused)
			})
		}
	}
}

// TestWhatIsTheirsIsRefused checks that settings of an existing cluster itself are refused, on every cloud.
func TestWhatIsTheirsIsRefused(t *testing.T) {
	for cloud, given := range map[string]map[string]any{
		CloudGKE: {
			"gke.releaseChannel": "STABLE", "gke.autoscalingProfile": "BALANCED", "gke.network": "vpc", "gke.controlPlaneCidr": "172.16.1.0/28",
			"cluster.deletionProtection": true, "cluster.apiAccessCidrs": []any{"1.2.3.0/24"}, "nodePools.system.maxNodes": 3,
		},
		CloudEKS: {
			"cluster.kubernetesVersion": "1.34", "eks.extendedSupport": true, "eks.secretsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/x",
			"cluster.apiAccessCidrs": []any{"1.2.3.0/24"}, "eks.admins": []any{"arn:aws:iam::123456789012:role/x"},
			"eks.viewers": []any{"arn:aws:iam::123456789012:role/y"}, "eks.controlPlaneLogs": []any{"api"}, "eks.logRetentionDays": 30,
			"eks.addonVersions": map[string]any{"coredns": "v1"}, "cluster.deletionProtection": true, "eks.zones": []any{"us-east-1a"},
			"eks.vpcCidr": "10.0.0.0/16", "eks.natPerZone": true, "nodePools.system.maxNodes": 3,
		},
		CloudAKS: {
			"aks.location": "eastus", "cluster.kubernetesVersion": "1.34", "aks.upgradeChannel": "patch", "aks.nodeOSUpgradeChannel": "None",
			"aks.tier": "Free", "aks.nodeResourceGroup": "nodes", "cluster.apiAccessCidrs": []any{"1.2.3.0/24"}, "aks.privateCluster": true,
			"aks.userAssignedIdentityId": "x", "cluster.deletionProtection": true, "aks.idleTime": "10m", "aks.podCidr": "10.244.0.0/16",
			"aks.serviceCidr": "10.0.0.0/16", "aks.dnsServiceIP": "10.0.0.10", "aks.networkPolicy": "cilium", "aks.outboundType": "loadBalancer",
			"aks.entra.tenantID": "00000000-0000-0000-0000-000000000001", "aks.entra.enableAzureRBAC": true, "aks.entra.disableLocalAccounts": true,
			"aks.entra.adminGroupObjectIDs": []any{"00000000-0000-0000-0000-000000000001"}, "nodePools.system.maxNodes": 3,
		},
	} {
		for key, value := range given {
			t.Run(key, func(t *testing.T) {
				refused := problemsOf(t, source(t, cloud, attached(cloud, map[string]any{key: value})))
				i := slices.IndexFunc(refused.Problems, func(p Problem) bool { return strings.HasPrefix(project+":"+key, p.Key) })
				assert.GreaterOrEqual(t, i, 0, "%v", refused)
				assert.Contains(t, refused.Problems[max(0, i)].Allowed, "stays its owner's")
			})
		}
	}
	refused := problemsOf(t, source(t, CloudAKS, attached(CloudAKS, map[string]any{"nodePools.gpu.create": false, "aks.gpuPoolName": "gpu"})))
	assert.Equal(t, project+":aks.gpuPoolName", refused.Problems[0].Key)
	without := attached(CloudAKS, nil)
	delete(without, "aks.resourceGroup")
	assert.Equal(t, project+":aks.resourceGroup", problemsOf(t, source(t, CloudAKS, without)).Problems[0].Key)
}
