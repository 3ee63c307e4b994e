package aks

import (
	"slices"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// apiServerAccess returns who reaches the API server.
func (a *Args) apiServerAccess() containerservice.ManagedClusterAPIServerAccessProfileArgs {
	if a.PrivateCluster {
		return containerservice.ManagedClusterAPIServerAccessProfileArgs{EnablePrivateCluster: pulumi.Bool(true)}
	}
	ranges := a.APIAccessCIDRs
	if slices.Equal(ranges, []string{anywhere}) {
		// An empty list, not none, takes an earlier list away.
		ranges = nil
	}
	return containerservice.ManagedClusterAPIServerAccessProfileArgs{
		EnablePrivateCluster: pulumi.Bool(false),
		AuthorizedIPRanges:   pulumi.ToStringArray(ranges),
	}
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
