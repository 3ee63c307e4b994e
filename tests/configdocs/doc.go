// Package configdocs generates the documentation of the configuration from the Go types of package stacks/config and of the
// packages that declare its cloud-specific keys: the JSON Schema of the stack files, for completion in editors, the reference
// page, and the config section of Pulumi.yaml. The comment of a field describes its key; the effect of changing a key is
// measured in the Pulumi engine (tests/engine).
package configdocs
