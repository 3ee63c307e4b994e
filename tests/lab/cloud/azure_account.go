package cloud

import (
	"errors"
	"strconv"
)

// azureFamily is the family of every machine size of the simulated Azure.
const azureFamily = "standardLabFamily"

// azureAnswers are the answers of the Azure CLI: a subscription that has everything, and what stacks have created in it.
var azureAnswers = answers{
	"account show": func(_ *Cloud, q question) (any, error) {
		return map[string]any{"id": orElse(q.flag("--subscription"), AzureSubscription), "tenantId": AzureTenant, "state": "Enabled"}, nil
	},
	"provider list": func(*Cloud, question) (any, error) {
		list := []any{}
		for _, name := range []string{"Microsoft.ContainerService", "Microsoft.Compute", "Microsoft.Network", "Microsoft.Storage"} {
			list = append(list, map[string]any{"namespace": name, "registrationState": "Registered"})
		}
		return list, nil
	},
	"feature show": func(*Cloud, question) (any, error) {
		return map[string]any{"properties": map[string]any{"state": "Registered"}}, nil
	},
	"vm list-skus": func(_ *Cloud, q question) (any, error) {
		name, location := q.flag("--size"), q.flag("--location")
		cpus, _ := azureMachineSize(name)
		return []any{map[string]any{
			"name": name, "family": azureFamily, "resourceType": "virtualMachines", "restrictions": []any{},
			"locationInfo": []any{map[string]any{"location": location, "zones": []string{"1", "2", "3"}}},
			"capabilities": []any{map[string]any{"name": "vCPUs", "value": strconv.Itoa(cpus)}},
		}}, nil
	},
	"vm list-usage": func(*Cloud, question) (any, error) {
		list := []any{}
		for _, name := range []string{"cores", "lowPriorityCores", azureFamily} {
			// The CLI prints these numbers as strings.
			list = append(list, map[string]any{
				"name": map[string]any{"value": name, "localizedValue": name}, "currentValue": "0", "limit": strconv.Itoa(plenty),
			})
		}
		return list, nil
	},
	"aks get-versions": func(*Cloud, question) (any, error) {
		versions := []any{}
		for _, version := range []string{"1.36", "1.35", "1.34"} {
			versions = append(versions, map[string]any{
				"version": version, "capabilities": map[string]any{"supportPlan": []string{"KubernetesOfficial"}},
				"patchVersions": map[string]any{version + ".1": map[string]any{}},
			})
		}
		return map[string]any{"values": versions}, nil
	},
	"aks show": func(c *Cloud, q question) (any, error) {
		cluster := c.find(AKSCluster, "name", q.flag("--name"))
		if cluster == nil {
			return nil, errors.New("(ResourceNotFound) The Resource 'Microsoft.ContainerService/managedClusters/" + q.flag("--name") + "' was not found.")
		}
		return map[string]any{"name": q.flag("--name"), "location": object(cluster.Inputs).text("location")}, nil
	},
	"capacity reservation list": func(c *Cloud, q question) (any, error) {
		r, ok := c.reservations[q.flag("--capacity-reservation-group")]
		if !ok {
			return nil, errors.New("(ResourceNotFound) The Resource 'Microsoft.Compute/capacityReservationGroups/" + q.flag("--capacity-reservation-group") +
				"' was not found.")
		}
		return []any{map[string]any{"name": "reservation", "sku": map[string]any{"name": r.MachineType, "capacity": r.Machines}, "zones": []string{r.Zone},
			"virtualMachinesAssociated": nil}}, nil
	},
	"group exists": func(c *Cloud, q question) (any, error) {
		return c.hasName(AzureResourceGroup, "resourceGroupName", q.flag("--name")), nil
	},
	// The doubles take any group, subnet and identity that are given.
	"group show":               func(_ *Cloud, q question) (any, error) { return map[string]any{"name": q.flag("--name")}, nil },
	"network vnet subnet show": func(_ *Cloud, q question) (any, error) { return map[string]any{"id": q.flag("--ids")}, nil },
	"identity show":            func(_ *Cloud, q question) (any, error) { return map[string]any{"id": q.flag("--ids")}, nil },
}
