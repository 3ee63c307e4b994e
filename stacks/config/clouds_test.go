package config

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/gke"
)

// onCloud returns the minimal configuration of a stack that creates a cluster, with more keys.
func onCloud(cloud string, more map[string]any) map[string]any {
	keys := map[string]any{
		"cloud": cloud, "huggingFaceToken": hidden("hf_token"), "cluster.apiAccessCidrs": []any{"1.2.3.4/32"},
		"vllm.clientNamespaces": []any{"apps"},
	}
	maps.Copy(keys, map[string]map[string]any{
		CloudGKE: {"gke.project": "my-project", "gke.location": "us-central1-a"},
		CloudEKS: {"eks.region": "us-east-1", "eks.zones": []any{"us-east-1a", "us-east-1b"}},
		CloudAKS: {"aks.location": "eastus"},
	}[cloud])
	maps.Copy(keys, more)
	return keys
}

// attached returns the minimal configuration of a stack on an existing cluster, with more keys.
func attached(cloud string, more map[string]any) map[string]any {
	keys := onCloud(cloud, map[string]any{"cluster.existing": "theirs"})
	delete(keys, "cluster.apiAccessCidrs")
	delete(keys, "eks.zones")
	if cloud == CloudAKS {
		delete(keys, "aks.location")
		keys["aks.resourceGroup"] = "theirs-rg"
	}
	maps.Copy(keys, more)
	return keys
}

func read(t *testing.T, cloud string, keys map[string]any) *Config {
	t.Helper()
	config, err := Read(source(t, cloud, keys))
	require.NoError(t, err)
	return config
}

func TestDefaultsOfClouds(t *testing.T) {
	for cloud, want := range map[string]struct {
		accelerator, machine string
		memory               float64
	}{
		CloudGKE: {"nvidia-l4", "g2-standard-4", 24},
		CloudEKS: {"nvidia-l4", "g6.xlarge", 24},
		CloudAKS: {"nvidia-a100-80gb", "Standard_NC24ads_A100_v4", 80},
	} {
		c := read(t, cloud, onCloud(cloud, nil))
		assert.Equal(t, "vllm-autoscaling-"+cloud, c.Cluster.Name)
		assert.Equal(t, GPUPool{Create: true, Accelerator: want.accelerator, MachineType: want.machine, GPUsPerNode: 1, MaxNodes: 5},
			c.NodePools.GPU)
		assert.InDelta(t, want.memory, c.GPU.MemoryGiB, 0)
		assert.Equal(t, GPUNvidia, c.GPU.Mode)
		assert.Equal(t, imageVLLM, c.VLLM.Image)
		assert.Equal(t, Quantity("20Gi"), c.Monitoring.Storage)
		assert.False(t, c.Cluster.DeletionProtection)
		assert.Empty(t, c.GPU.NodeSelector, "the cluster says so")
	}
	assert.Equal(t, "vllm-production", read(t, CloudGKE, onCloud(CloudGKE, nil)).renamed("production"))

	// Accelerator, machine type and number follow from each other.
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		want  GPUPool
	}{
		"by machine": {CloudGKE, map[string]any{"nodePools.gpu.machineType": "a2-ultragpu-2g"},
			GPUPool{Accelerator: "nvidia-a100-80gb", MachineType: "a2-ultragpu-2g", GPUsPerNode: 2}},
		"by accelerator": {CloudEKS, map[string]any{"nodePools.gpu.accelerator": "nvidia-l40s"},
			GPUPool{Accelerator: "nvidia-l40s", MachineType: "g6e.xlarge", GPUsPerNode: 1}},
		"by replica": {CloudGKE, map[string]any{"gpu.perReplica": 2}, GPUPool{Accelerator: "nvidia-l4", MachineType: "g2-standard-24", GPUsPerNode: 2}},
		"unknown type of GKE": {CloudGKE, map[string]any{"nodePools.gpu.machineType": "g9-standard-48", "nodePools.gpu.accelerator": "nvidia-x1",
			"nodePools.gpu.gpusPerNode": 1, "gpu.memoryGiB": 96}, GPUPool{Accelerator: "nvidia-x1", MachineType: "g9-standard-48", GPUsPerNode: 1}},
		"unknown type of GKE with many": {CloudGKE, map[string]any{"nodePools.gpu.machineType": "a9-highgpu-8g", "nodePools.gpu.accelerator": "nvidia-x1",
			"nodePools.gpu.gpusPerNode": 8, "gpu.perReplica": 4, "gpu.memoryGiB": 180}, GPUPool{Accelerator: "nvidia-x1", MachineType: "a9-highgpu-8g", GPUsPerNode: 8}},
		"unknown type with a known GPU": {CloudGKE, map[string]any{"nodePools.gpu.machineType": "a9-highgpu-1g", "nodePools.gpu.accelerator": "nvidia-h200-141gb",
			"nodePools.gpu.gpusPerNode": 1}, GPUPool{Accelerator: "nvidia-h200-141gb", MachineType: "a9-highgpu-1g", GPUsPerNode: 1}},
		"unknown type of AKS": {CloudAKS, map[string]any{"nodePools.gpu.machineType": "Standard_NC36ads_RTX6000_v6", "nodePools.gpu.accelerator": "nvidia-rtx-pro-6000",
			"nodePools.gpu.gpusPerNode": 1}, GPUPool{Accelerator: "nvidia-rtx-pro-6000", MachineType: "Standard_NC36ads_RTX6000_v6", GPUsPerNode: 1}},
		"unknown type": {CloudEKS, map[string]any{"nodePools.gpu.machineType": "g9.xlarge", "nodePools.gpu.accelerator": "nvidia-x1",
			"nodePools.gpu.gpusPerNode": 1, "gpu.memoryGiB": 24}, GPUPool{Accelerator: "nvidia-x1", MachineType: "g9.xlarge", GPUsPerNode: 1}},
		"any case": {CloudAKS, map[string]any{"nodePools.gpu.machineType": "Standard_nc48ads_a100_v4"},
			GPUPool{Accelerator: "nvidia-a100-80gb", MachineType: "Standard_nc48ads_a100_v4", GPUsPerNode: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := read(t, test.cloud, onCloud(test.cloud, test.keys)).NodePools.GPU
			test.want.Create, test.want.MinNodes, test.want.MaxNodes = true, 0, 5
			assert.Equal(t, test.want, pool)
		})
	}
}

func (c *Config) renamed(stack string) string {
	renamed := *c
	renamed.Stack = stack
	return renamed.defaultClusterName()
}

// ownKeys returns the keys of a stack's own cloud.
func ownKeys(c *Config) any { return c.CloudKeys[c.Cloud] }

// CRDs are the cluster's. Only in a cluster of the stack's own are they the stack's.
func TestCRDsAreUpgradedInClustersOfTheStack(t *testing.T) {
	for _, cloud := range []string{CloudGKE, CloudEKS, CloudAKS} {
		assert.True(t, read(t, cloud, onCloud(cloud, nil)).Monitoring.UpgradeCRDs, cloud)
		assert.False(t, read(t, cloud, attached(cloud, nil)).Monitoring.UpgradeCRDs, cloud)
		assert.True(t, read(t, cloud, attached(cloud, map[string]any{"monitoring.upgradeCRDs": true})).Monitoring.UpgradeCRDs, cloud)
	}
	assert.False(t, read(t, CloudLocal, nil).Monitoring.UpgradeCRDs)
}

// fromInside returns the keys of an EKS cluster whose API server is reached from inside its network only.
func fromInside() map[string]any {
	keys := onCloud(CloudEKS, map[string]any{"cluster.apiAccessCidrs": []any{}, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}})
	delete(keys, "eks.zones")
	return keys
}

// TestRequest checks that a cloud's package receives every key: the shared ones in the request, its own unchanged.
func TestRequest(t *testing.T) {
	c := read(t, CloudGKE, onCloud(CloudGKE, map[string]any{
		"cluster.name": "prod", "cluster.deletionProtection": true, "monitoring.storageClass": "fast",
		"gke.location": "us-central1", "gke.network": "vpc", "gke.subnetwork": "sub", "gke.podsRange": "p", "gke.servicesRange": "s",
		"gke.controlPlaneCidr": "172.16.1.0/28", "gke.releaseChannel": "STABLE", "gke.autoscalingProfile": "BALANCED",
		"gke.diskKmsKey": "projects/P/locations/L/keyRings/R/cryptoKeys/K", "gke.gpuDriver": "LATEST", "gke.leaveGpuTaintToGke": true,
		"nodePools.system.machineType": "e2-standard-8", "nodePools.system.minNodes": 3, "nodePools.system.maxNodes": 6,
		"nodePools.system.diskGiB": 80, "nodePools.system.zones": []any{"us-central1-a"},
		"nodePools.gpu.minNodes": 0, "nodePools.gpu.maxNodes": 8, "nodePools.gpu.diskGiB": 200, "nodePools.gpu.zones": []any{"us-central1-b"},
		"nodePools.gpu.spot": true, "gpu.perReplica": 2,
	}))
	own := &gke.Keys{
		Project: "my-project", Location: "us-central1", Network: "vpc", Subnetwork: "sub", PodsRange: "p", ServicesRange: "s",
		ControlPlaneCIDR: "172.16.1.0/28", ReleaseChannel: "STABLE", AutoscalingProfile: "BALANCED",
		DiskKMSKey: "projects/P/locations/L/keyRings/R/cryptoKeys/K", GPUDriver: "LATEST", LeaveGPUTaintToGKE: true,
	}
	got := c.request(nil)
	got.Local = providers.Local{}
	assert.Equal(t, &providers.Request{
		Namespace: project, CloudKeys: own, Name: "prod", APIAccessCIDRs: []string{"1.2.3.4/32"}, DeletionProtection: true, StorageClass: "fast",
		SystemPool: providers.NodePool{MachineType: "e2-standard-8", MinNodes: 3, MaxNodes: 6, DiskGiB: 80, Zones: []string{"us-central1-a"}},
		GPUPool: &providers.GPUPool{
			NodePool:    providers.NodePool{MachineType: "g2-standard-24", MinNodes: 0, MaxNodes: 8, DiskGiB: 200, Zones: []string{"us-central1-b"}, Spot: true},
			Accelerator: "nvidia-l4", GPUsPerNode: 2, MemoryGiB: 24,
		},
		GPUsPerReplica: 2,
	}, got)

	attachedTo := read(t, CloudGKE, attached(CloudGKE, map[string]any{"nodePools.gpu.create": false, "gke.existingAccelerator": "nvidia-tesla-a100"}))
	got = attachedTo.request(nil)
	assert.Equal(t, "vllm-autoscaling-gke", got.Name, "what is added is named after it")
	assert.Equal(t, "theirs", got.ClusterName())
	assert.Nil(t, got.APIAccessCIDRs)
	assert.Nil(t, got.GPUPool, "the cluster's own nodes are used")
	assert.Equal(t, &gke.Keys{Project: "my-project", Location: "us-central1-a", ExistingAccelerator: "nvidia-tesla-a100"}, got.CloudKeys)

	assert.Equal(t, "1.34", read(t, CloudEKS, onCloud(CloudEKS, map[string]any{"cluster.kubernetesVersion": "1.34"})).request(nil).KubernetesVersion)
	assert.NotNil(t, read(t, CloudEKS, fromInside()).request(nil).APIAccessCIDRs,
		"an empty list is not the same as none")

	local := read(t, CloudLocal, map[string]any{"cluster.kubeconfig": "file", "cluster.context": "kind", "autoscaling.adapterPort": 6443}).request(nil)
	assert.Equal(t, providers.Local{
		Kubeconfig: "file", Context: "kind", GPUMetrics: providers.GPUMetrics{Source: providers.Simulated}, AggregatedAPIPort: 6443,
	}, local.Local)
}

func TestOwnKeysOfClouds(t *testing.T) {
	assert.Equal(t, &eks.Keys{AMIType: eks.AL2023}, newCloudKeys()[CloudEKS], "a default that the reference shows")
	assert.Equal(t, &eks.Keys{
		Region: "us-east-1", AccountID: "123456789012", Profile: "work", RoleARN: "arn:aws:iam::123456789012:role/deploy",
		Tags: map[string]string{"team": "ml"}, ExtendedSupport: true, VPCCIDR: "10.1.0.0/16", Zones: []string{"us-east-1a", "us-east-1b"},
		NATPerZone: true, Admins: []string{"arn:aws:iam::123456789012:role/admins"}, Viewers: []string{"arn:aws:iam::123456789012:role/viewers"},
		ControlPlaneLogs: []string{"audit"}, LogRetentionDays: 7, SecretsKeyARN: "arn:aws:kms:us-east-1:123456789012:key/k",
		AddonVersions: map[string]string{"vpc-cni": "v1.20.4-eksbuild.1"}, AMIType: eks.Bottlerocket,
		AlternativeInstanceTypes: []string{"g5.xlarge"}, IdleTime: 5 * time.Minute,
	}, ownKeys(read(t, CloudEKS, onCloud(CloudEKS, map[string]any{
		"eks.accountId": "123456789012", "eks.profile": "work",
		"eks.roleArn": "arn:aws:iam::123456789012:role/deploy", "eks.tags": map[string]any{"team": "ml"}, "eks.extendedSupport": true,
		"eks.vpcCidr": "10.1.0.0/16", "eks.natPerZone": true, "eks.admins": []any{"arn:aws:iam::123456789012:role/admins"},
		"eks.viewers": []any{"arn:aws:iam::123456789012:role/viewers"}, "eks.controlPlaneLogs": []any{"audit"}, "eks.logRetentionDays": 7,
		"eks.secretsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k", "eks.addonVersions": map[string]any{"vpc-cni": "v1.20.4-eksbuild.1"},
		"eks.amiType": eks.Bottlerocket, "eks.alternativeInstanceTypes": []any{"g5.xlarge"}, "eks.idleTime": "5m",
	}))))
	assert.Equal(t, &eks.Keys{
		Region: "us-east-1", SubnetIDs: []string{"subnet-a", "subnet-b"}, GPUSubnetIDs: []string{"subnet-a"}, AMIType: eks.AL2023,
		NodeAutoscalerInstalled: true, DevicePluginInstalled: true,
	}, ownKeys(read(t, CloudEKS, attached(CloudEKS, map[string]any{
		"eks.subnetIds": []any{"subnet-a", "subnet-b"}, "eks.gpuSubnetIds": []any{"subnet-a"},
		"eks.nodeAutoscalerInstalled": true, "eks.devicePluginInstalled": true,
	}))))

	const guid, subnet = "00000000-0000-0000-0000-000000000001", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/s"
	const identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	keys := onCloud(CloudAKS, map[string]any{
		"cluster.kubernetesVersion": "1.35", "cluster.deletionProtection": true, "aks.subscriptionId": guid, "aks.tenantId": guid,
		"aks.tags": map[string]any{"team": "ml"}, "aks.resourceGroup": "rg", "aks.upgradeChannel": "none", "aks.nodeOSUpgradeChannel": "None",
		"aks.tier": "Standard", "aks.nodeResourceGroup": "nodes", "aks.userAssignedIdentityId": identity, "aks.vnetSubnetId": subnet,
		"aks.podCidr": "10.200.0.0/16", "aks.serviceCidr": "10.201.0.0/16", "aks.dnsServiceIP": "10.201.0.10", "aks.networkPolicy": "calico",
		"aks.outboundType": "userDefinedRouting", "aks.privateCluster": true, "aks.encryptionAtHost": true, "aks.gpuPoolName": "gpu",
		"aks.idleTime": "20m", "aks.entra.enabled": true, "aks.entra.tenantID": guid, "aks.entra.adminGroupObjectIDs": []any{guid},
		"aks.entra.enableAzureRBAC": true, "aks.entra.disableLocalAccounts": true, "aks.entra.login": "spn",
	})
	delete(keys, "cluster.apiAccessCidrs")
	assert.Equal(t, &aks.Keys{
		SubscriptionID: guid, TenantID: guid, Tags: map[string]string{"team": "ml"}, ResourceGroup: "rg",
		Location: "eastus", UpgradeChannel: "none", NodeOSUpgradeChannel: "None", Tier: "Standard",
		NodeResourceGroup: "nodes", UserAssignedIdentityID: identity, VnetSubnetID: subnet, PodCIDR: "10.200.0.0/16",
		ServiceCIDR: "10.201.0.0/16", DNSServiceIP: "10.201.0.10", NetworkPolicy: "calico", OutboundType: "userDefinedRouting",
		PrivateCluster: true, EncryptionAtHost: true, GPUPoolName: "gpu", IdleTime: 20 * time.Minute,
		Entra: aks.Entra{Enabled: true, TenantID: guid, AdminGroupObjectIDs: []string{guid}, EnableAzureRBAC: true, DisableLocalAccounts: true, Login: "spn"},
	}, ownKeys(read(t, CloudAKS, keys)))
	assert.Equal(t, &aks.Keys{ResourceGroup: "theirs-rg", DevicePluginInstalled: true, Entra: aks.Entra{Enabled: true, Login: "msi"}},
		ownKeys(read(t, CloudAKS, attached(CloudAKS, map[string]any{
			"nodePools.gpu.create": false, "aks.devicePluginInstalled": true, "aks.entra.enabled": true, "aks.entra.login": "msi",
		}))))
}

// TestRulesOfClouds breaks each rule once and expects one problem with the right key and fix.
func TestRulesOfClouds(t *testing.T) {
	without := func(keys map[string]any, key string) map[string]any {
		delete(keys, key)
		return keys
	}
	for name, test := range map[string]struct {
		cloud string
		wrong map[string]any
		key   string
		says  []string
	}{
		// Scopes.
		"another cloud's object": {CloudGKE, onCloud(CloudGKE, map[string]any{"eks.region": "us-east-1", "eks.profile": "x"}), "eks",
			[]string{"only with cloud eks; this stack's cloud is gke", "remove"}},
		"a cloud's key on local": {CloudLocal, map[string]any{"cluster.deletionProtection": true}, "cluster.deletionProtection", []string{"gke, eks, aks", "local"}},
		"node pools on local":    {CloudLocal, map[string]any{"nodePools.gpu.maxNodes": 2}, "nodePools", []string{"gke, eks, aks"}},
		"kubeconfig on a cloud": {CloudAKS, onCloud(CloudAKS, map[string]any{"cluster.kubeconfig": "x"}), "cluster.kubeconfig",
			[]string{"only with cloud local", "how to reach"}},
		"version on GKE": {CloudGKE, onCloud(CloudGKE, map[string]any{"cluster.kubernetesVersion": "1.34"}), "cluster.kubernetesVersion",
			[]string{"eks, aks", "gke.releaseChannel"}},
		"selector on a cloud": {CloudEKS, onCloud(CloudEKS, map[string]any{"gpu.nodeSelector": map[string]any{"a": "b"}}), "gpu.nodeSelector",
			[]string{"vllm.nodeSelector"}},
		"tolerations on a cloud": {CloudEKS, onCloud(CloudEKS, map[string]any{"gpu.tolerations": []any{map[string]any{"operator": "Exists"}}}),
			"gpu.tolerations", []string{"GPU pool"}},
		"metrics on a cloud":      {CloudGKE, onCloud(CloudGKE, map[string]any{"gpu.metrics": "dcgm-chart"}), "gpu.metrics", []string{"cloud decides"}},
		"adapter port on a cloud": {CloudGKE, onCloud(CloudGKE, map[string]any{"autoscaling.adapterPort": 6443}), "autoscaling.adapterPort", []string{"10250"}},
		"creating, attached": {CloudEKS, attached(CloudEKS, map[string]any{"eks.vpcCidr": "10.0.0.0/16"}), "eks.vpcCidr",
			[]string{`existing cluster "theirs"`, "or cluster.existing"}},
		"system pool, attached": {CloudGKE, attached(CloudGKE, map[string]any{"nodePools.system.maxNodes": 3}), "nodePools.system", []string{"stays its owner's"}},
		"access, attached": {CloudGKE, attached(CloudGKE, map[string]any{"cluster.apiAccessCidrs": []any{"1.2.3.4/32"}}),
			"cluster.apiAccessCidrs", []string{"stays its owner's"}},
		"name, attached": {CloudEKS, attached(CloudEKS, map[string]any{"cluster.name": "mine"}), "cluster.name", []string{"cluster.existing"}},
		"attaching, created": {CloudAKS, onCloud(CloudAKS, map[string]any{"aks.devicePluginInstalled": true}), "aks.devicePluginInstalled",
			[]string{"set cluster.existing"}},
		"no GPU pool, created": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.create": false}), "nodePools.gpu.create",
			[]string{"set cluster.existing"}},
		"simulated GPUs": {CloudGKE, onCloud(CloudGKE, map[string]any{"gpu.mode": "simulated"}), "gpu.mode", []string{"stand idle", "cloud local"}},
		// Required keys.
		"nobody may reach it": {CloudGKE, without(onCloud(CloudGKE, nil), "cluster.apiAccessCidrs"), "cluster.apiAccessCidrs",
			[]string{"checkip.amazonaws.com", "0.0.0.0/0 opens it to everyone"}},
		"nobody on EKS": {CloudEKS, without(onCloud(CloudEKS, nil), "cluster.apiAccessCidrs"), "cluster.apiAccessCidrs",
			[]string{"pulumi config set --path"}},
		"nobody on AKS": {CloudAKS, without(onCloud(CloudAKS, nil), "cluster.apiAccessCidrs"), "cluster.apiAccessCidrs",
			[]string{"pulumi config set --path"}},
		"empty list on EKS": {CloudEKS, onCloud(CloudEKS, map[string]any{"cluster.apiAccessCidrs": []any{}}), "cluster.apiAccessCidrs",
			[]string{"nothing is there to install", "set eks.subnetIds"}},
		"an address of the examples": {CloudGKE, onCloud(CloudGKE, map[string]any{"cluster.apiAccessCidrs": []any{"203.0.113.7/32"}}), "cluster.apiAccessCidrs[0]",
			[]string{"documentation", "checkip.amazonaws.com"}},
		"a private network": {CloudAKS, onCloud(CloudAKS, map[string]any{"cluster.apiAccessCidrs": []any{"10.0.0.0/8"}}), "cluster.apiAccessCidrs[0]",
			[]string{"private", "checkip.amazonaws.com"}},
		"empty list on GKE": {CloudGKE, onCloud(CloudGKE, map[string]any{"cluster.apiAccessCidrs": []any{}}), "cluster.apiAccessCidrs",
			[]string{"nobody could reach the API server"}},
		"project": {CloudGKE, without(onCloud(CloudGKE, nil), "gke.project"), "gke.project", []string{"project ID", "docs/gke.md"}},
		"region": {CloudEKS, without(onCloud(CloudEKS, map[string]any{"eks.region": "us-east",
			"eks.subnetIds": []any{"subnet-a", "subnet-b"}}), "eks.zones"), "eks.region", []string{"an AWS region such as eu-central-1"}},
		"location": {CloudAKS, without(onCloud(CloudAKS, nil), "aks.location"), "aks.location", []string{"Azure region"}},
		"zones of the GPUs": {CloudGKE, onCloud(CloudGKE, map[string]any{"gke.location": "us-central1"}), "nodePools.gpu.zones",
			[]string{"not every zone has every GPU"}},
		"zones of the VPC":      {CloudEKS, without(onCloud(CloudEKS, nil), "eks.zones"), "eks.zones", []string{"2 to 4"}},
		"group of the existing": {CloudAKS, without(attached(CloudAKS, nil), "aks.resourceGroup"), "aks.resourceGroup", []string{`existing cluster "theirs"`}},
		"Autopilot":             {CloudGKE, onCloud(CloudGKE, map[string]any{"gke.autopilot": true}), "gke.autopilot", []string{"one of: false", "Standard"}},
		"length of the name":    {CloudGKE, onCloud(CloudGKE, map[string]any{"cluster.name": strings.Repeat("n", 30)}), "cluster.name", []string{"2 to 24"}},
		"no nodes":              {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.maxNodes": 0}), "nodePools.gpu.maxNodes", []string{"1 or more"}},
		"negative nodes":        {CloudAKS, onCloud(CloudAKS, map[string]any{"nodePools.gpu.minNodes": -1}), "nodePools.gpu.minNodes", []string{"0 or more nodes"}},
		"disk":                  {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.diskGiB": 59}), "nodePools.gpu.diskGiB", []string{"at least 60 GiB"}},
		"image of the nodes": {CloudEKS, onCloud(CloudEKS, map[string]any{"eks.amiType": "AL2_x86_64_GPU"}), "eks.amiType",
			[]string{eks.AL2023, eks.Bottlerocket}},
		"Entra that is off": {CloudAKS, onCloud(CloudAKS, map[string]any{"aks.entra.enableAzureRBAC": true}), "aks.entra.enabled",
			[]string{"aks.entra.enabled' true"}},
		"Entra without anyone": {CloudAKS, onCloud(CloudAKS, map[string]any{"aks.entra.enabled": true}), "aks.entra",
			[]string{"aks.entra.enableAzureRBAC or aks.entra.adminGroupObjectIDs"}},
		"chart of the plugin": {CloudAKS, onCloud(CloudAKS, map[string]any{"charts.devicePlugin.version": "0.x"}), "charts.devicePlugin.version",
			[]string{"exact"}},
		"chart of the nodes": {CloudEKS, onCloud(CloudEKS, map[string]any{"charts.clusterAutoscaler.repository": "x"}),
			"charts.clusterAutoscaler.repository", []string{"oci://"}},
		// The managed pipeline.
		"managed metrics on local": {CloudLocal, map[string]any{"metrics": "google-managed"}, "metrics",
			[]string{"only with cloud gke; this stack's cloud is local", "workload identity", "remove"}},
		"managed metrics on EKS": {CloudEKS, onCloud(CloudEKS, map[string]any{"metrics": "google-managed"}), "metrics", []string{"cloud is eks", "parts of GKE"}},
		"managed metrics on AKS": {CloudAKS, onCloud(CloudAKS, map[string]any{"metrics": "google-managed"}), "metrics", []string{"cloud is aks", "parts of GKE"}},
		"no such pipeline":       {CloudGKE, onCloud(CloudGKE, map[string]any{"metrics": "datadog"}), "metrics", []string{"prometheus-operator, google-managed"}},
		"faster than it stores": {CloudGKE, onCloud(CloudGKE, map[string]any{"metrics": "google-managed", "monitoring.signalInterval": "2s"}),
			"monitoring.signalInterval", []string{"at least 5s", "signalInterval' 5s"}},
		"adapter of no version": {CloudGKE, onCloud(CloudGKE, map[string]any{"autoscaling.adapterImage": "example.com/adapter"}),
			"autoscaling.adapterImage", []string{"no tag", imageStackdriverAdapter}},
		"adapter on another cloud": {CloudEKS, onCloud(CloudEKS, map[string]any{"autoscaling.adapterImage": imageStackdriverAdapter}),
			"autoscaling.adapterImage", []string{"only with cloud gke"}},
		// Accelerator and model.
		"T4 on EKS": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g4dn.xlarge"}), "nodePools.gpu.machineType",
			[]string{"capability 8.0", "nvidia-t4 has 7.5", "nvidia-l4 (g6.xlarge, g6.2xlarge, g6.4xlarge, ...)", "nvidia-a10g (g5.xlarge"}},
		"T4 on AKS": {CloudAKS, onCloud(CloudAKS, map[string]any{"nodePools.gpu.accelerator": "nvidia-t4"}), "nodePools.gpu.accelerator",
			[]string{"nvidia-a10 (Standard_NV36ads_A10_v5, ", "nvidia-a100-80gb (Standard_NC24ads_A100_v4, "}},
		"V100 on GKE": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.accelerator": "nvidia-v100",
			"nodePools.gpu.machineType": "n1-standard-8"}), "nodePools.gpu.accelerator", []string{"nvidia-v100 has 7.0", "nvidia-l4 (g2-standard-4"}},
		"bfloat16 by dtype": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "a/b",
			"model.dtype": "bfloat16"}), "nodePools.gpu.machineType", []string{"bfloat16"}},
		"too little memory": {CloudGKE, onCloud(CloudGKE, map[string]any{"model.id": "google/gemma-3-27b-it"}), "model.id",
			[]string{"on nvidia-l4", "52.6 GiB", "nvidia-a100-80gb (a2-ultragpu-1g", "gpu.perReplica 4 with nodePools.gpu.machineType g2-standard-48"}},
		"GKE's own name": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "n1-standard-8",
			"nodePools.gpu.accelerator": "nvidia-tesla-t4", "nodePools.gpu.gpusPerNode": 1}), "nodePools.gpu.accelerator", []string{"nvidia-t4"}},
		"GPU of no cloud": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.accelerator": "nvidia-l44"}), "nodePools.gpu.accelerator",
			[]string{"a GPU that the program knows: ", "nvidia-l4,", "nodePools.gpu.machineType, nodePools.gpu.gpusPerNode and gpu.memoryGiB too"}},
		"GPU of no cloud on EKS": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.accelerator": "nvidia-l44"}), "nodePools.gpu.accelerator",
			[]string{"a GPU that the program knows: ", "nvidia-l4,", "nodePools.gpu.machineType, nodePools.gpu.gpusPerNode and gpu.memoryGiB too"}},
		"GPU of no cloud on AKS": {CloudAKS, onCloud(CloudAKS, map[string]any{"nodePools.gpu.accelerator": "nvidia-l44"}), "nodePools.gpu.accelerator",
			[]string{"a GPU that the program knows: ", "nvidia-l4,", "nodePools.gpu.machineType, nodePools.gpu.gpusPerNode and gpu.memoryGiB too"}},
		"machine alone": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "g9-standard-48"}), "nodePools.gpu.machineType",
			[]string{"set nodePools.gpu.accelerator, nodePools.gpu.gpusPerNode, gpu.memoryGiB"}},
		"machine alone on EKS": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g9.2xlarge"}), "nodePools.gpu.machineType",
			[]string{"set nodePools.gpu.accelerator, nodePools.gpu.gpusPerNode, gpu.memoryGiB"}},
		"machine alone on AKS": {CloudAKS, onCloud(CloudAKS, map[string]any{"nodePools.gpu.machineType": "Standard_NC36ads_RTX6000_v6"}),
			"nodePools.gpu.machineType", []string{"set nodePools.gpu.accelerator, nodePools.gpu.gpusPerNode, gpu.memoryGiB"}},
		"machine and GPU": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "a9-highgpu-8g", "nodePools.gpu.accelerator": "nvidia-b200"}),
			"nodePools.gpu.machineType", []string{"set nodePools.gpu.gpusPerNode"}},
		"machine and GPUs": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g9.2xlarge", "nodePools.gpu.accelerator": "nvidia-x1",
			"nodePools.gpu.gpusPerNode": 1}), "nodePools.gpu.machineType", []string{"set gpu.memoryGiB (the memory of one GPU)"}},
		"machine with ARM": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "a4x-highgpu-4g", "nodePools.gpu.accelerator": "nvidia-gb200",
			"nodePools.gpu.gpusPerNode": 4}), "nodePools.gpu.machineType", []string{"ARM"}},
		"another name": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g6.xlarge", "nodePools.gpu.accelerator": "l4"}),
			"nodePools.gpu.accelerator", []string{"nvidia-l4"}},
		"unlike the machine": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g6.xlarge",
			"nodePools.gpu.accelerator": "nvidia-a10g"}), "nodePools.gpu.accelerator", []string{"carries nvidia-l4"}},
		"memory of its own": {CloudGKE, onCloud(CloudGKE, map[string]any{"gpu.memoryGiB": 80}), "gpu.memoryGiB", []string{"24, the memory of nvidia-l4"}},
		// Replicas and nodes.
		"more replicas than nodes": {CloudGKE, onCloud(CloudGKE, map[string]any{"autoscaling.maxReplicas": 6}), "autoscaling.maxReplicas",
			[]string{"at most 5", "nodePools.gpu.maxNodes' 6", "autoscaling.maxReplicas' 5"}},
		"what is left on a node": {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "g2-standard-96", "gpu.perReplica": 4,
			"nodePools.gpu.maxNodes": 1, "autoscaling.maxReplicas": 3}),
			"autoscaling.maxReplicas", []string{"at most 2", "nodePools.gpu.maxNodes' 2"}},
		"replica larger than a node": {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g6.xlarge", "gpu.perReplica": 4,
			"autoscaling.maxReplicas": 1}),
			"gpu.perReplica", []string{"at most 1, the GPUs of one g6.xlarge", "g6.12xlarge"}},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, test.cloud, test.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			got := refused.Problems[0]
			assert.Equal(t, project+":"+test.key, got.Key)
			for _, says := range test.says {
				assert.Contains(t, got.Allowed+"; "+got.Fix, says)
			}
		})
	}
}

func TestAllowedOnClouds(t *testing.T) {
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
	}{
		"T4 in float32":         {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g4dn.xlarge", "model.dtype": "float32"})},
		"T4, another model":     {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.machineType": "g4dn.xlarge", "model.id": "a/b"})},
		"27b over four L4":      {CloudGKE, onCloud(CloudGKE, map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.perReplica": 4})},
		"EKS from inside only":  {CloudEKS, fromInside()},
		"open to everyone":      {CloudAKS, onCloud(CloudAKS, map[string]any{"cluster.apiAccessCidrs": []any{"0.0.0.0/0"}})},
		"from zero":             {CloudEKS, onCloud(CloudEKS, map[string]any{"nodePools.gpu.minNodes": 0})},
		"no pool, any replicas": {CloudGKE, attached(CloudGKE, map[string]any{"nodePools.gpu.create": false, "autoscaling.maxReplicas": 50})},
		"named, attached":       {CloudGKE, attached(CloudGKE, map[string]any{"cluster.name": "mine"})},
		"two on a node":         {CloudGKE, onCloud(CloudGKE, map[string]any{"nodePools.gpu.machineType": "g2-standard-24", "autoscaling.maxReplicas": 8})},
		"attached to EKS":       {CloudEKS, attached(CloudEKS, nil)},
		"attached to AKS":       {CloudAKS, attached(CloudAKS, nil)},
	} {
		t.Run(name, func(t *testing.T) { read(t, test.cloud, test.keys) })
	}
}

// TestKeysThatProvidersName checks that every key named in a problem or in an error at run time exists.
func TestKeysThatProvidersName(t *testing.T) {
	named := regexp.MustCompile(`"((?:cluster|nodePools|gke|eks|aks|gpu)\.[A-Za-z.]+)"`)
	inText := regexp.MustCompile(`\b((?:nodePools|gke|eks|aks)\.[a-z][A-Za-z]+(?:\.[a-z][A-Za-z]+)*)\b`)
	files, err := filepath.Glob("../../providers/*/*.go")
	require.NoError(t, err)
	own, err := filepath.Glob("../../providers/*.go")
	require.NoError(t, err)
	found := 0
	for _, path := range append(files, own...) {
		if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/prices/") {
			continue
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, match := range append(named.FindAllStringSubmatch(string(content), -1), inText.FindAllStringSubmatch(string(content), -1)...) {
			key := strings.TrimSuffix(match[1], ".") // The first part of a key that is put together.
			if strings.HasSuffix(key, ".md") || strings.HasSuffix(key, ".com") || strings.HasSuffix(key, ".aws") {
				continue // A page, a service of AWS, or a group of its APIs.
			}
			found++
			assert.True(t, slices.Contains(knownKeys(), key), "%s names %s, which is no key", path, key)
		}
	}
	assert.Greater(t, found, 50)
}

// keyInText matches a key of the configuration in a page.
var keyInText = regexp.MustCompile("`((?:cluster|nodePools|gke|eks|aks|gpu|autoscaling)\\.[A-Za-z.]+)`")

// TestPagesOfClouds checks that the page of each cloud names only keys that exist, and all keys that only this cloud has.
func TestPagesOfClouds(t *testing.T) {
	for _, cloud := range []string{CloudGKE, CloudEKS, CloudAKS} {
		content, err := os.ReadFile("../../docs/" + cloud + ".md")
		require.NoError(t, err)
		var named []string
		for _, match := range keyInText.FindAllStringSubmatch(string(content), -1) {
			named = append(named, match[1])
			assert.True(t, slices.Contains(knownKeys(), match[1]), "docs/%s.md: there is no key %s", cloud, match[1])
		}
		for _, key := range Keys() {
			if strings.HasPrefix(key, cloud+".") {
				object := key[:strings.LastIndex(key, ".")]
				assert.True(t, slices.Contains(named, key) || strings.Contains(string(content), "`"+object+".*`"), "docs/%s.md does not say anything about %s", cloud, key)
			}
		}
	}
}
