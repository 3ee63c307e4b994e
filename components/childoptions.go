package components

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// childOptions are the options of a component's child: the component as its parent, which also
// hands down the provider, and what the child itself has to wait for. The dependencies are stated
// on every child, so that the order of creation and of deletion stands in the state of each
// object.
func childOptions(parent pulumi.Resource, dependsOn []pulumi.Resource, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	opts := []pulumi.ResourceOption{pulumi.Parent(parent)}
	if len(dependsOn) > 0 {
		opts = append(opts, pulumi.DependsOn(slices.Clone(dependsOn)))
	}
	return append(opts, more...)
}
