// Package hpacontroller compares the decisions of package ops/simulate/hpa with those of the HorizontalPodAutoscaler
// controller of Kubernetes, run under virtual time on random scenarios.
package hpacontroller
