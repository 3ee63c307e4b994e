// Package eks runs the pipeline on Amazon EKS: on a cluster that it creates with everything around it, or on an existing
// one, to which it adds a GPU node group. EKS brings neither GPU metrics nor a node autoscaler; the pipeline installs
// both.
package eks
