// Package kubelet serves port-forwarding and logs in place of the kubelets of the lab's simulated nodes.
//
// It uses the streaming server of the upstream kubelet, so that "kubectl port-forward" and client-go reach the local
// process behind a pod through the real API server.
package kubelet
