// Package neighbours finds what a cluster that others use too already has of what a stack would install: the metrics APIs, the
// cluster-wide roles, node exporters, kube-state-metrics, the Prometheus Operator and its CRDs.
//
// An object belongs to the stack if its Helm release, or the Service of its API, is in the stack's monitoring namespace: two stacks
// have different ones. Everything else is somebody else's.
package neighbours
