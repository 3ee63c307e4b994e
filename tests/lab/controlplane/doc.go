// Package controlplane runs a Kubernetes control plane as plain processes on 127.0.0.1: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, and kwok, which simulates the nodes.
//
// Nothing needs root. Nothing that affects scaling is tuned: managed clouds run the same defaults. Each part has its own
// identity, so that the upstream RBAC rules apply to it.
package controlplane
