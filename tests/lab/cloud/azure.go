package cloud

import (
	"fmt"
	"slices"
)

// The types of Azure's resources.
const (
	AKSCluster         = "azure-native:containerservice/v20240901:ManagedCluster"
	AKSAgentPool       = "azure-native:containerservice/v20240901:AgentPool"
	aksMaintenance     = "azure-native:containerservice/v20240901:MaintenanceConfiguration"
	AzureResourceGroup = "azure-native:resources:ResourceGroup"
	azureLock          = "azure-native:authorization:ManagementLockByScope"

	// AzureSubscription and AzureTenant are those of the simulated Azure.
	AzureSubscription = "00000000-0000-4000-8000-00000000000a"
	AzureTenant       = "00000000-0000-4000-8000-00000000000b"

	// aksServerApplication is the Entra application of all AKS API servers (Azure/kubelogin's documentation).
	aksServerApplication = "6dae42f8-4368-4678-94ff-3960e28e3630"

	aksVersion = "1.34.1"
)

// azureDouble describes the simulated Azure.
func azureDouble() *double {
	return &double{
		name: "azure-native", sdk: "github.com/pulumi/pulumi-azure-native-sdk/v2", version: "2.82.0",
		settings:      []string{"subscriptionId", "tenantId", "location", "environment", "useOidc", "useMsi", "clientId"},
		updateForgets: true, comparesByIndex: true, drainStrictly: true,
		kinds: azureKinds(), invokes: azureInvokes(),
		program: "kubelogin", token: (*Cloud).aksToken, cli: "az", answers: azureAnswers,
		cluster: AKSCluster, machineSize: azureMachineSize,
		storage: storage{class: "default", driver: "disk.csi.azure.com"},
	}
}

// azureKinds lists the simulated resource types of Azure.
func azureKinds() []*kind {
	return slices.Concat(azureResourcesKinds(), azureAuthorizationKinds(), azureIdentityKinds(), azureContainerServiceKinds())
}

func azureError(code, message string) error {
	return fmt.Errorf("code=%q message=%q", code, message)
}

// azureID returns the id of a resource in a group.
func azureID(s Settings, group, rest string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s%s", orElse(s["subscriptionId"], AzureSubscription), group, rest)
}
