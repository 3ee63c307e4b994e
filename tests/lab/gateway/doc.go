// Package gateway makes the lab's cluster serve the Gateway API: with the CRDs of its standard channel, a GatewayClass, and Traefik,
// the upstream program, as controller and data plane on a port of 127.0.0.1.
//
// Traefik runs beside the cluster, not in a pod. It reaches the pods by their addresses through a SOCKS proxy of the lab (HTTP_PROXY),
// because these addresses do not exist on the machine.
package gateway
