package components

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// childOptions returns the options of a component's child: the component as its parent, from which it
// inherits the provider, and the dependencies of the child itself. Every child has them explicitly, so
// that the state of each object contains the order of creation and deletion.
func childOptions(parent pulumi.Resource, dependsOn []pulumi.Resource, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	opts := []pulumi.ResourceOption{pulumi.Parent(parent)}
	if len(dependsOn) > 0 {
		opts = append(opts, pulumi.DependsOn(slices.Clone(dependsOn)))
	}
	return append(opts, more...)
}
