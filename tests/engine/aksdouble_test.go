package engine

import (
	"encoding/base64"
	"fmt"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// aks is Azure.
var aks = &cloudDouble{
	stack:    "aks",
	keys:     map[string]any{"aks.location": "eastus"},
	provider: "azure-native", version: semver.MustParse("2.82.0"),
	updateForgets: true,
	kinds: map[tokens.Type]cloudKind{
		"azure-native:resources:ResourceGroup": {
			replaces: []string{"resourceGroupName", "location"},
			id:       func(in resource.PropertyMap) string { return azureID(in) },
		},
		"azure-native:containerservice/v20240901:ManagedCluster": {
			outlives: true, replaces: []string{"resourceGroupName", "resourceName"},
			id: func(in resource.PropertyMap) string {
				return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName")
			},
			outputs: func(resource.PropertyMap, string) map[string]any {
				return map[string]any{"provisioningState": "Succeeded"}
			},
		},
		"azure-native:containerservice/v20240901:AgentPool": {
			outlives: true, replaces: []string{"resourceGroupName", "resourceName", "agentPoolName"},
			id: func(in resource.PropertyMap) string {
				return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName") + "/agentPools/" + text(in, "agentPoolName")
			},
			outputs: func(resource.PropertyMap, string) map[string]any {
				return map[string]any{"provisioningState": "Succeeded"}
			},
		},
		"azure-native:authorization:ManagementLockByScope": {replaces: []string{"scope", "lockName"}},
	},
	answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){
		"azure-native:containerservice/v20240901:listManagedClusterAdminCredentials": azureKubeconfig("clusterAdmin",
			fmt.Sprintf(`"client-certificate-data": %q, "client-key-data": "a2V5", "token": "canary-azure-5e"`, caCertificate)),
		"azure-native:containerservice/v20240901:listManagedClusterUserCredentials": azureKubeconfig("clusterUser",
			`"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token", "--tenant-id", "t", "--server-id", "s"]}`),
	},
	cluster: "ManagedCluster cluster", kubernetes: "kubernetes cluster-kubernetes", gpuPool: "AgentPool cluster-gpu",
	component: "AKSCluster", credentials: "client-certificate-data",
	login: "az aks get-credentials --resource-group vllm-autoscaling-aks-rg --name vllm-autoscaling-aks && kubectl --context vllm-autoscaling-aks",
	existing: map[string]map[string]any{"azure-native:containerservice/v20240901:getManagedCluster": {
		"id":   "/subscriptions/s/resourceGroups/theirs-rg/providers/Microsoft.ContainerService/managedClusters/theirs",
		"name": "theirs", "provisioningState": "Succeeded", "powerState": map[string]any{"code": "Running"},
		"agentPoolProfiles": []any{
			map[string]any{"name": "system", "mode": "System", "vmSize": "Standard_D4s_v5"},
			map[string]any{"name": "gpu", "mode": "User", "vmSize": "Standard_NC24ads_A100_v4", "nodeLabels": map[string]any{"nvidia.com/gpu.present": "true"},
				"nodeTaints": []any{"nvidia.com/gpu=present:NoSchedule"}},
		},
	}},
	existingKeys: map[string]any{"aks.location": nil, "aks.resourceGroup": "theirs-rg"},
	attached:     []string{"AgentPool cluster-gpu"},
	order: [][][2]string{
		{{"ResourceGroup", "cluster"}, {"ManagedCluster", "cluster"}, {"AgentPool", "cluster-gpu"}, {"Release", "nvidia-device-plugin"},
			{"Release", "dcgm-exporter"}},
		{{"AgentPool", "cluster-gpu"}, {"Namespace", "vllm"}, {"Deployment", "vllm"}},
		{{"Release", "nvidia-device-plugin"}, {"Deployment", "vllm"}},
		{{"AgentPool", "cluster-gpu"}, {"kubernetes", "cluster-kubernetes"}},
	},
	everyUp: 1, everyDestroy: 2,
	allowed: map[string]bool{"disks-encrypted": true},
}

func azureID(in resource.PropertyMap) string {
	return "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/" + text(in, "resourceGroupName")
}

// azureKubeconfig answers a listing with a kubeconfig that has these credentials.
func azureKubeconfig(name, user string) func(resource.PropertyMap) (map[string]any, error) {
	return func(args resource.PropertyMap) (map[string]any, error) {
		kubeconfig := fmt.Sprintf(`{"clusters": [{"name": "c", "cluster": {"server": "https://%s.hcp.eastus.azmk8s.io:443", "certificate-authority-data": %q}}],
"users": [{"name": "u", "user": {%s}}]}`, text(args, "resourceName"), caCertificate, user)
		return map[string]any{"kubeconfigs": []any{map[string]any{"name": name, "value": base64.StdEncoding.EncodeToString([]byte(kubeconfig))}}}, nil
	}
}
