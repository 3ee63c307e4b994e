package aks

import (
	"fmt"
	"slices"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// apiServerAccess returns who reaches the API server.
func (a *Args) apiServerAccess() containerservice.ManagedClusterAPIServerAccessProfileArgs {
	if a.PrivateCluster {
		return containerservice.ManagedClusterAPIServerAccessProfileArgs{EnablePrivateCluster: pulumi.Bool(true)}
	}
	return containerservice.ManagedClusterAPIServerAccessProfileArgs{
		EnablePrivateCluster: pulumi.Bool(false),
		AuthorizedIPRanges:   pulumi.ToStringArray(a.authorizedRanges()),
	}
}

// authorizedRanges returns the networks that reach the API server. An empty list, not none, takes an earlier list away.
func (a *Args) authorizedRanges() []string {
	if slices.Equal(a.APIAccessCIDRs, []string{anywhere}) {
		return nil
	}
	return a.APIAccessCIDRs
}

// warnOfEgress warns of nodes that might not reach the API server: AKS admits the addresses by which nodes leave the network
// only where it manages them.
func (b *builder) warnOfEgress() error {
	own := b.args.OutboundType == "userDefinedRouting" || b.args.OutboundType == "userAssignedNATGateway"
	if !own || b.args.PrivateCluster || len(b.args.authorizedRanges()) == 0 {
		return nil
	}
	return b.warn("aks.outboundType", b.args.OutboundType, fmt.Sprintf("nodes reach the API server by the address of your firewall or NAT gateway, "+
		"which has to be in %s as well; without it, no node joins the cluster", providers.KeyAPIAccessCIDRs))
}

// networkProfile returns where pods and Services live. The network plugin is azure in overlay mode: pods have addresses of
// their own range and take none from the nodes' network.
func (a *Args) networkProfile() containerservice.ContainerServiceNetworkProfileArgs {
	dataplane := "azure"
	if a.NetworkPolicy == "cilium" {
		dataplane = "cilium"
	}
	return containerservice.ContainerServiceNetworkProfileArgs{
		NetworkPlugin: pulumi.String("azure"),
		// Without it, every pod would take an address of the nodes' subnet.
		NetworkPluginMode: pulumi.String("overlay"),
		NetworkDataplane:  pulumi.String(dataplane),
		NetworkPolicy:     pulumi.String(a.NetworkPolicy),
		LoadBalancerSku:   pulumi.String("standard"),
		OutboundType:      pulumi.String(a.OutboundType),
		PodCidr:           pulumi.String(a.PodCIDR),
		ServiceCidr:       pulumi.String(a.ServiceCIDR),
		DnsServiceIP:      pulumi.String(a.DNSServiceIP),
	}
}
