// Package aks runs the pipeline on Azure Kubernetes Service: on a cluster that it creates with a GPU node pool, or on an
// existing one, to which it adds the pool. AKS brings the GPU driver and the node autoscaler; the pipeline installs device
// plugin and GPU metrics exporter.
package aks
