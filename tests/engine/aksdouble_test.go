package engine

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

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
				return map[string]any{
					"provisioningState": "Succeeded", "oidcIssuerProfile": map[string]any{"enabled": true, "issuerURL": "https://issuer.example.com/"},
				}
			},
		},
		"azure-native:containerservice/v20240901:AgentPool": {
			outlives: true, replaces: []string{"resourceGroupName", "resourceName", "agentPoolName"},
			id: func(in resource.PropertyMap) string {
				return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName") + "/agentPools/" + text(in, "agentPoolName")
			},
			refuses: refuseAgentPool,
			outputs: func(resource.PropertyMap, string) map[string]any {
				return map[string]any{"provisioningState": "Succeeded"}
			},
		},
		"azure-native:containerservice/v20240901:MaintenanceConfiguration": {
			replaces: []string{"resourceGroupName", "resourceName", "configName"},
			id: func(in resource.PropertyMap) string {
				return azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName") +
					"/maintenanceConfigurations/" + text(in, "configName")
			},
		},
		"azure-native:authorization:ManagementLockByScope": {replaces: []string{"scope", "lockName"}},
		"azure-native:authorization:RoleAssignment": {
			replaces: []string{"scope", "roleAssignmentName", "roleDefinitionId", "principalId"}, autonamed: "roleAssignmentName",
		},
		"azure-native:managedidentity:UserAssignedIdentity": {
			replaces: []string{"resourceGroupName", "resourceName", "location"},
			outputs: func(in resource.PropertyMap, _ string) map[string]any {
				name := text(in, "resourceName")
				return map[string]any{"clientId": "client-" + name, "principalId": "principal-" + name}
			},
		},
		"azure-native:managedidentity:FederatedIdentityCredential": {
			replaces: []string{"resourceGroupName", "resourceName", "federatedIdentityCredentialResourceName"},
		},
	},
	answers: map[tokens.ModuleMember]func(resource.PropertyMap) (map[string]any, error){
		"azure-native:containerservice/v20240901:listManagedClusterAdminCredentials": azureKubeconfig("clusterAdmin",
			fmt.Sprintf(`"client-certificate-data": %q, "client-key-data": "a2V5", "token": "canary-azure-5e"`, caCertificate)),
		"azure-native:containerservice/v20240901:listManagedClusterUserCredentials": azureKubeconfig("clusterUser",
			`"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token", "--tenant-id", "t", "--server-id", "s"]}`),
	},
	looks: map[tokens.ModuleMember]func(*fakeCloud, resource.PropertyMap) (map[string]any, error){
		"azure-native:containerservice/v20240901:getManagedCluster": aksLook,
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
	newPoolFirst: true,
	everyUp:      1, everyDestroy: 2,
	allowed: map[string]bool{"disks-encrypted": true},
}

// aksLook returns the cluster as Azure describes it, with all pools by name.
func aksLook(c *fakeCloud, args resource.PropertyMap) (map[string]any, error) {
	id := azureID(args) + "/providers/Microsoft.ContainerService/managedClusters/" + text(args, "resourceName")
	inputs, exists := c.inputs[resource.ID(id)]
	if _, there := c.things[resource.ID(id)]; !there || !exists {
		return nil, fmt.Errorf(`Code="ResourceNotFound" Message="The Resource %s was not found."`, id)
	}
	found := inputs.Mappable()
	pools := found["agentPoolProfiles"].([]any)
	for poolID := range c.things {
		if strings.HasPrefix(string(poolID), id+"/agentPools/") {
			pool := c.inputs[poolID].Mappable()
			pool["name"] = pool["agentPoolName"]
			pools = append(pools, pool)
		}
	}
	slices.SortFunc(pools, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})
	for _, pool := range pools {
		if n, scaled := c.scaled[pool.(map[string]any)["name"].(string)]; scaled {
			pool.(map[string]any)["count"] = float64(n)
		}
	}
	found["id"], found["agentPoolProfiles"] = id, pools
	found["powerState"], found["provisioningState"] = map[string]any{"code": "Running"}, "Succeeded"
	return found, nil
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
