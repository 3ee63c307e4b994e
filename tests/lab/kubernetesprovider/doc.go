// Package kubernetesprovider is the lab's double of the Pulumi Kubernetes provider, whose own source is not available as a
// Go module.
//
// It implements the provider protocol against a real API server: strict validation by a server-side dry run, server-side
// apply, waiting until objects are ready, deletion, and Helm releases with the Helm SDK. It covers what the program's stacks
// use. YAML directories, Kustomize, Patch resources and invokes are not supported and fail with an error.
package kubernetesprovider
