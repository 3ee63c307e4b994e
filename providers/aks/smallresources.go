package aks

import (
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The types that are registered without the SDK's packages for them. Each of these has dozens of types and costs
// some 10 CPU seconds of a cold build; here, one of each is used, with a few inputs and no output but its id.
const (
	resourceGroupType = "azure-native:resources:ResourceGroup"
	lockType          = "azure-native:authorization:ManagementLockByScope"
)

// smallResource is a resource of which only the id is used.
type smallResource struct {
	pulumi.CustomResourceState
}

// newSmallResource registers a resource of one of the types above, with inputs by their names in Azure's provider.
func (b *builder) newSmallResource(resourceType string, inputs pulumi.Map, more ...pulumi.ResourceOption) (*smallResource, error) {
	made := &smallResource{}
	if err := b.ctx.RegisterResource(resourceType, b.name, inputs, made, utilities.PkgResourceDefaultOpts(b.options(more...))...); err != nil {
		return nil, err
	}
	return made, nil
}
