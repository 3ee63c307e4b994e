package gke

import (
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// gateways are those of GKE's Gateway controller. A Gateway on the internet is global by default: a regional one needs a
// proxy-only subnet in the network.
var gateways = providers.Gateways{
	Class:         "gke-l7-global-external-managed",
	InternalClass: "gke-l7-rilb",
	DataPlane:     providers.GoogleLoadBalancer,
	Sources:       gatewaySources,
}

// gatewayRanges are the addresses of Google's front ends and health checks
// (https://cloud.google.com/load-balancing/docs/firewall-rules).
var gatewayRanges = []string{"130.211.0.0/22", "35.191.0.0/16"}

// gatewaySources returns the networks from which a load balancer reaches pods. The proxies of regional classes are in the proxy-only
// subnet of the region.
func gatewaySources(_ *providers.Request, class string) (cidrs []string, unknown string) {
	for _, global := range []string{"gke-l7-global-", "gke-l7-gxlb"} {
		if strings.HasPrefix(class, global) {
			return gatewayRanges, ""
		}
	}
	return gatewayRanges, "the proxy-only subnet of the region, from which a load balancer of class " + class + " reaches the pods"
}

// gatewayAPI returns the configuration of GKE's Gateway controller; nil leaves it to GKE.
func (a *Args) gatewayAPI() container.ClusterGatewayApiConfigPtrInput {
	if !a.GatewayAPI {
		return nil
	}
	return container.ClusterGatewayApiConfigArgs{Channel: pulumi.String("CHANNEL_STANDARD")}
}
