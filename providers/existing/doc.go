// Package existing uses a cluster that already stands and that a kubeconfig reaches: kind,
// minikube, or any other. It creates no infrastructure.
package existing
