// Package lab runs a Kubernetes cluster with simulated GPUs on this machine, and the real Pulumi CLI against it.
//
// The control plane, the metrics pipeline and the autoscaler are the upstream programs. Nodes and pods are simulated; the
// programs in the pods run as local processes (package podruntime). Charts come from a local repository (package
// chartrepository), and Google Cloud, AWS and Azure can be simulated as well (package cloud).
//
// Start starts a lab, Lab.Stack deploys a Pulumi project to it, and Lab.Stop ends every process and removes all files.
package lab
