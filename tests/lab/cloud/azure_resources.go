package cloud

// azureResourcesKinds lists the simulated resource types of Azure Resource Manager.
func azureResourcesKinds() []*kind {
	return []*kind{azureResourceGroupKind()}
}

// azureGroupReference is the input of what lies in a resource group and is deleted with it.
var azureGroupReference = reference{path: "resourceGroupName", token: AzureResourceGroup, by: []string{"name"}, then: follows}

func azureResourceGroupKind() *kind {
	return &kind{
		token: AzureResourceGroup, name: "resourceGroupName", replace: []string{"resourceGroupName", "location"}, computed: []string{"name", "properties", "type"},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			name := object(r.Inputs).text("resourceGroupName")
			r.ID, r.Region = azureID(s, name, ""), object(r.Inputs).text("location")
			r.Outputs["name"], r.Outputs["type"] = name, "Microsoft.Resources/resourceGroups"
			return nil
		},
	}
}
