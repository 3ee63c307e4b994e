// Package gke runs the pipeline on Google Kubernetes Engine: on a Standard cluster that it creates
// with everything around it, or on an existing one, to which it adds a GPU node pool. GKE brings the
// GPU driver, the device plugin, the GPU metrics exporter and the node autoscaler.
package gke
