// Package configdocs generates the documentation of the configuration from the Go types of package
// stacks/config and of the packages that it takes keys from: the JSON Schema of the stack files, for
// completion in editors, the reference page, and the config section of Pulumi.yaml. A key is described
// in one place, at its field; what a change of it does is measured in the Pulumi engine (tests/engine).
package configdocs
