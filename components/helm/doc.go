// Package helm registers Helm releases of the Kubernetes provider. The SDK's own package for them
// imports every Kubernetes API group and makes up most of a cold build; this one registers the same
// resource with the same inputs.
package helm
