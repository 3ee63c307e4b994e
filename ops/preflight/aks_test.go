package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/ops/preview/plan"
)

const (
	aksClusterType   = "azure-native:containerservice/v20240901:ManagedCluster"
	aksPoolType      = "azure-native:containerservice/v20240901:AgentPool"
	aksGroupType     = "azure-native:resources:ResourceGroup"
	aksClusterInputs = `{"resourceName": "vllm-aks", "resourceGroupName": "UNKNOWN", "location": "eastus", "identity": {"type": "SystemAssigned"},
		"agentPoolProfiles": [{"name": "system", "vmSize": "Standard_D4s_v5", "count": 1, "minCount": 1, "maxCount": 3, "enableEncryptionAtHost": false}]}`
	aksPoolInputs = `{"agentPoolName": "vllm", "resourceGroupName": "UNKNOWN", "resourceName": "UNKNOWN", "vmSize": "Standard_NC24ads_A100_v4",
		"count": 0, "minCount": 0, "maxCount": 4, "scaleSetPriority": "Regular", "enableEncryptionAtHost": false}`
)

// aksSteps are the steps that create a stack on Azure, as its recorded preview has them.
func aksSteps(t *testing.T) []plan.Step {
	return []plan.Step{
		create(t, "pulumi:providers:azure-native", "cluster-azure", `{"environment": "public"}`),
		create(t, aksGroupType, "group", `{"resourceGroupName": "vllm-aks-rg", "location": "eastus"}`),
		create(t, aksClusterType, "cluster", aksClusterInputs),
		create(t, aksPoolType, "cluster-gpu", aksPoolInputs),
	}
}

// aksSku has the form of `az vm list-skus`, which prints the entries of
// https://learn.microsoft.com/en-us/rest/api/compute/resource-skus/list.
func aksSku(name, family, vcpus, restrictions string) string {
	return `{"resourceType": "virtualMachines", "name": "` + name + `", "family": "` + family + `", "locations": ["eastus"],
		"locationInfo": [{"location": "eastus", "zones": ["3", "1", "2"]}],
		"capabilities": [{"name": "vCPUs", "value": "` + vcpus + `"}, {"name": "GPUs", "value": "1"}], "restrictions": [` + restrictions + `]}`
}

// aksUsages has the form of `az vm list-usage`, which prints the entries of
// https://learn.microsoft.com/en-us/rest/api/compute/usage/list with their numbers as strings.
const aksUsages = `[
	{"currentValue": "0", "limit": "350", "localName": "Total Regional vCPUs", "name": {"localizedValue": "Total Regional vCPUs", "value": "cores"}},
	{"currentValue": "0", "limit": "3", "name": {"localizedValue": "Total Regional Low-priority vCPUs", "value": "lowPriorityCores"}},
	{"currentValue": "4", "limit": "100", "name": {"localizedValue": "Standard DSv5 Family vCPUs", "value": "standardDSv5Family"}},
	{"currentValue": "0", "limit": "96", "name": {"localizedValue": "Standard NCADS_A100_v4 Family vCPUs", "value": "StandardNCADSA100v4Family"}}]`

// aksVersions has the form of `az aks get-versions`
// (https://learn.microsoft.com/en-us/rest/api/aks/managed-clusters/list-kubernetes-versions).
const aksVersions = `{"values": [
	{"version": "1.34", "isPreview": null, "capabilities": {"supportPlan": ["KubernetesOfficial", "AKSLongTermSupport"]},
		"patchVersions": {"1.34.1": {"upgrades": []}}},
	{"version": "1.30", "capabilities": {"supportPlan": ["AKSLongTermSupport"]}, "patchVersions": {"1.30.100": {"upgrades": ["1.31.1"]}}}]}`

// aksProviders has the form of `az provider list` (https://learn.microsoft.com/en-us/rest/api/resources/providers/list).
const aksProviders = `[{"namespace": "Microsoft.ContainerService", "registrationState": "Registered"}, 
	{"namespace": "microsoft.compute", "registrationState": "Registered"}, {"namespace": "Microsoft.Network", "registrationState": "Registered"}, {"namespace": "Microsoft.Storage", "registrationState": "Registered"}]`

// aksMissing is the message of the Azure CLI for something that does not exist.
const aksMissing = "error: ERROR: (ResourceNotFound) The Resource 'x' under resource group 'g' was not found."

// aksAccount answers for a subscription that has everything.
func aksAccount(t *testing.T) *fake {
	return (&fake{t: t, programs: []string{"az", kubelogin}}).with(map[string]string{
		// https://learn.microsoft.com/en-us/cli/azure/account#az-account-show
		"account show":                          `{"id": "00000000-0000-0000-0000-000000000001", "name": "team", "state": "Enabled", "tenantId": "t"}`,
		"--size Standard_NC24ads_A100_v4":       "[" + aksSku("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", "24", "") + "]",
		"--size Standard_D4s_v5":                "[" + aksSku("Standard_D4s_v5", "standardDSv5Family", "4", "") + "]",
		"vm list-usage":                         aksUsages,
		"aks get-versions":                      aksVersions,
		"provider list":                         aksProviders,
		"group exists --name":                   "false\n",
		"group show --name shared":              `{"name": "shared", "location": "eastus"}`,
		"aks show --resource-group shared":      aksMissing,
		"feature show":                          `{"name": "Microsoft.Compute/EncryptionAtHost", "properties": {"state": "Registered"}}`,
		"network vnet subnet show":              `{"name": "nodes"}`,
		"identity show":                         `{"name": "identity"}`,
		"aks show --resource-group g --name x ": `{"name": "x", "location": "eastus"}`,
	})
}

func TestAKSAccountWithEverything(t *testing.T) {
	account := aksAccount(t)
	result := check(t, planOf(nil, aksSteps(t)...), account)
	assert.Empty(t, result.problems())
	assert.Equal(t, []string{"login", "machine-types", "names-free", "services", "vcpu-quota"}, result.names())
	for _, call := range account.calls[1:] {
		assert.Regexp(t, `^az ([a-z]+ )+(show|list|exists|list-skus|list-usage|get-versions) .*--output json$`, call, "only reading")
		assert.Contains(t, call, "--subscription 00000000-0000-0000-0000-000000000001", "the one that was shown")
	}
	assert.Len(t, account.calls, len(unique(account.calls)), "the same question once")
}

func TestAKS(t *testing.T) {
	const scope = "--scope /subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Compute/locations/eastus"
	const restricted = `{"reasonCode": "NotAvailableForSubscription", "type": "Location", "values": ["eastus"],
		"restrictionInfo": {"locations": ["eastus"], "zones": null}}`
	const zoneClosed = `{"reasonCode": "NotAvailableForSubscription", "type": "Zone", "values": ["eastus"],
		"restrictionInfo": {"locations": ["eastus"], "zones": ["2"]}}`
	shared := strings.Replace(aksClusterInputs, "UNKNOWN", "shared", 1)
	for name, test := range map[string]struct {
		resource, inputs string
		withoutGroup     bool
		answers          map[string]string
		check            string
		want             []string
	}{
		"no vCPUs of the family": {
			answers: map[string]string{"vm list-usage": strings.Replace(aksUsages, `"limit": "96"`, `"limit": "0"`, 1)}, check: "vcpu-quota",
			want: []string{"failed Standard NCADS_A100_v4 Family vCPUs (StandardNCADSA100v4Family) in eastus: 0 vCPUs of 0 free: " +
				"the first nodes need 24, the pools at their maximum 96; az quota update --resource-name StandardNCADSA100v4Family --resource-type dedicated " +
				"--limit-object value=96 " + scope},
		},
		"few vCPUs of the region": {
			answers: map[string]string{"vm list-usage": strings.Replace(aksUsages, `"limit": "350"`, `"limit": "50"`, 1)}, check: "vcpu-quota",
			want: []string{"warning Total Regional vCPUs (cores) in eastus: 50 vCPUs of 50 free: enough to start, but the pools at their maximum need 108; " +
				"az quota update --resource-name cores --resource-type dedicated --limit-object value=108 " + scope},
		},
		"spot machines": {
			resource: "cluster-gpu", inputs: strings.Replace(aksPoolInputs, "Regular", "Spot", 1), check: "vcpu-quota",
			want: []string{"failed Total Regional Low-priority vCPUs (lowPriorityCores) in eastus: 3 vCPUs of 3 free: the first nodes need 24, the pools at " +
				"their maximum 96; " +
				"az quota update --resource-name lowPriorityCores --resource-type lowPriority --limit-object value=96 " + scope},
		},
		"size that the subscription may not use": {
			answers: map[string]string{"--size Standard_NC24ads_A100_v4": "[" + aksSku("Standard_NC24ads_A100_v4", "f", "24", restricted) + "]"},
			check:   "machine-types",
			want: []string{"failed Standard_NC24ads_A100_v4 in eastus: the subscription may not use it (NotAvailableForSubscription); " +
				"ask Azure's support for it, or set the pool's machineType or aks.location to another"},
		},
		"size that the region lacks": {
			answers: map[string]string{"--size Standard_NC24ads_A100_v4": "[" + aksSku("Standard_NC24ads_A100_v4_Spot", "f", "24", "") + "]"}, check: "machine-types",
			want: []string{"failed Standard_NC24ads_A100_v4 in eastus: the region does not have it; set the pool's machineType to another, or aks.location"},
		},
		"zone that is closed": {
			resource: "cluster-gpu", inputs: strings.Replace(aksPoolInputs, `"count"`, `"availabilityZones": ["1", "2"], "count"`, 1),
			answers: map[string]string{"--size Standard_NC24ads_A100_v4": "[" + aksSku("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", "24", zoneClosed) + "]"},
			check:   "machine-types",
			want: []string{"failed Standard_NC24ads_A100_v4 in eastus zones 1, 2: not in zones 2; 1, 3 have it; " +
				"choose zones of `az vm list-skus --location eastus --size Standard_NC24ads_A100_v4 --all --output table`"},
		},
		"providers that are not registered": {
			answers: map[string]string{"provider list": `[{"namespace": "Microsoft.ContainerService", "registrationState": "Registering"}]`}, check: "services",
			want: []string{
				"failed resource provider Microsoft.ContainerService: is Registering; az provider register --wait --namespace Microsoft.ContainerService " +
					"--subscription 00000000-0000-0000-0000-000000000001",
				"failed resource provider Microsoft.Compute: is NotRegistered; az provider register --wait --namespace Microsoft.Compute --subscription " +
					"00000000-0000-0000-0000-000000000001",
				"failed resource provider Microsoft.Network: is NotRegistered; az provider register --wait --namespace Microsoft.Network --subscription " +
					"00000000-0000-0000-0000-000000000001",
				"failed resource provider Microsoft.Storage: is NotRegistered; az provider register --wait --namespace Microsoft.Storage --subscription " +
					"00000000-0000-0000-0000-000000000001",
			},
		},
		"feature that is not registered": {
			resource: "cluster-gpu", inputs: strings.Replace(aksPoolInputs, `"enableEncryptionAtHost": false`, `"enableEncryptionAtHost": true`, 1),
			answers: map[string]string{"feature show": `{"properties": {"state": "NotRegistered"}}`}, check: "features",
			want: []string{"failed feature EncryptionAtHost of Microsoft.Compute: is NotRegistered; " +
				"az feature register --namespace Microsoft.Compute --name EncryptionAtHost --subscription 00000000-0000-0000-0000-000000000001"},
		},
		"version that is not offered": {
			resource: "cluster", inputs: strings.Replace(aksClusterInputs, `"location"`, `"kubernetesVersion": "1.28", "location"`, 1), check: "kubernetes-version",
			want: []string{"failed Kubernetes 1.28 in eastus: not offered for new clusters; set cluster.kubernetesVersion to one of: 1.34"},
		},
		"patch version": {
			resource: "cluster", inputs: strings.Replace(aksClusterInputs, `"location"`, `"kubernetesVersion": "1.34.1", "location"`, 1), check: "kubernetes-version",
		},
		"version with long-term support only": {
			resource: "cluster", inputs: strings.Replace(aksClusterInputs, `"location"`, `"kubernetesVersion": "1.30.100", "location"`, 1),
			check: "kubernetes-version",
			want:  []string{"failed Kubernetes 1.30.100 in eastus: offered with long-term support only; set cluster.kubernetesVersion to one of: 1.34"},
		},
		"resource group that is there": {
			answers: map[string]string{"group exists": "true\n"}, check: "names-free",
			want: []string{"failed resource group vllm-aks-rg: there is one already, which the stack does not own; set aks.resourceGroup to use it, " +
				"or `az group delete --name vllm-aks-rg --subscription 00000000-0000-0000-0000-000000000001` if it is a leftover"},
		},
		"given resource group": {resource: "cluster", inputs: shared, withoutGroup: true, check: "names-exist"},
		"given resource group that does not exist": {
			resource: "cluster", inputs: shared, withoutGroup: true, check: "names-exist",
			answers: map[string]string{"group show": "error: ERROR: (ResourceGroupNotFound) Resource group 'shared' could not be found."},
			want: []string{"failed resource group shared: does not exist; " +
				"az group create --name shared --location eastus --subscription 00000000-0000-0000-0000-000000000001"},
		},
		"cluster that is there": {
			resource: "cluster", inputs: shared, withoutGroup: true, check: "names-free",
			answers: map[string]string{"aks show --resource-group shared": `{"name": "vllm-aks"}`},
			want: []string{"failed cluster vllm-aks: there is one already, which the stack does not own; set another cluster.name, or attach to it with " +
				"cluster.existing"},
		},
		"subnet that does not exist": {
			resource: "cluster-gpu",
			inputs: strings.Replace(aksPoolInputs, `"count"`,
				`"vnetSubnetID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/nodes", "count"`, 1),
			answers: map[string]string{"network vnet subnet show": aksMissing}, check: "names-exist",
			want: []string{"failed subnet nodes: does not exist; set aks.vnetSubnetId to an id of `az network vnet subnet list --resource-group GROUP " +
				"--vnet-name NETWORK`"},
		},
		"Microsoft Entra ID": {
			resource: "cluster", inputs: strings.Replace(aksClusterInputs, `"location"`, `"aadProfile": {"managed": true}, "location"`, 1),
			check: "kubeconfig-program",
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps := aksSteps(t)
			if test.resource != "" {
				steps = edited(aksSteps, t, test.resource, test.inputs)
			}
			if test.withoutGroup {
				steps = append(steps[:1:1], steps[2:]...)
			}
			result := check(t, planOf(nil, steps...), aksAccount(t).with(test.answers))
			assert.Equal(t, test.want, result.lines(test.check))
			assert.Contains(t, result.names(), test.check)
		})
	}
}

func TestAKSLogin(t *testing.T) {
	account := aksAccount(t).with(map[string]string{"account show": "error: ERROR: Please run 'az login' to setup account.\n"})
	result := check(t, planOf(nil, aksSteps(t)...), account)
	assert.Equal(t, []string{"unknown login: az account show: az is not logged in: run `az login`"}, result.problems())
	assert.Len(t, account.calls, 1, "nothing else is asked")

	account = aksAccount(t).with(map[string]string{"account show": `{"id": "s", "state": "Disabled"}`})
	result = check(t, planOf(nil, edited(aksSteps, t, "cluster-azure", `{"subscriptionId": "s"}`)...), account)
	assert.Equal(t, []string{"failed login: az account show: subscription s is Disabled; enable it in the portal, or set aks.subscriptionId to " +
		"another"}, result.problems())
	assert.Equal(t, []string{"az account show --subscription s --output json"}, account.calls)
}

// A pool that is added to an existing cluster is in the cluster's region.
func TestAKSAttached(t *testing.T) {
	steps := []plan.Step{
		create(t, "pulumi:providers:azure-native", "cluster-azure", `{"environment": "public"}`),
		create(t, aksPoolType, "cluster-gpu", strings.NewReplacer(`"resourceGroupName": "UNKNOWN"`, `"resourceGroupName": "g"`,
			`"resourceName": "UNKNOWN"`, `"resourceName": "x"`).Replace(aksPoolInputs)),
	}
	result := check(t, planOf(nil, steps...), aksAccount(t))
	assert.Empty(t, result.problems())
	assert.Equal(t, []string{"login", "machine-types", "vcpu-quota"}, result.names())
}
