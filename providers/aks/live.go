package aks

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// settingsTag is the tag that holds the stack and a digest of the settings with which the program last created or
// changed a cluster or its GPU pool. It shows while planning whether an update of them follows.
const settingsTag = "vllm-autoscaling-settings"

// live is the cluster as Azure describes it; nil before it exists.
//
// Azure takes the number of nodes in an update literally, and Pulumi would send the one of the state, from the creation or
// the last refresh. Therefore an update sends the number of nodes that is found here. Without an update, the number is
// ignored, and with it whatever else a refresh has copied into the state: Azure lists the pools by name, and the provider
// compares them by their place in that list.
type live struct {
	*containerservice.LookupManagedClusterResult
}

// missing matches Azure's answers about a cluster, or its resource group, that does not exist.
var missing = regexp.MustCompile(`ResourceNotFound|ResourceGroupNotFound|\b404\b`)

// lookUp returns the cluster in a resource group, nil if there is none.
func (b *builder) lookUp(resourceGroup, name string) (*live, error) {
	found, err := containerservice.LookupManagedCluster(b.ctx, &containerservice.LookupManagedClusterArgs{
		ResourceGroupName: resourceGroup, ResourceName: name,
	}, pulumi.Parent(b.component), pulumi.Provider(b.azure))
	switch {
	case err == nil:
		return &live{found}, nil
	case missing.MatchString(err.Error()):
		return nil, nil
	}
	return nil, fmt.Errorf("looking up AKS cluster %q in resource group %q: %w", name, resourceGroup, err)
}

// pool returns the pool of a name, nil if there is none.
func (l *live) pool(name string) *containerservice.ManagedClusterAgentPoolProfileResponse {
	if l == nil {
		return nil
	}
	for i := range l.AgentPoolProfiles {
		if l.AgentPoolProfiles[i].Name == name {
			return &l.AgentPoolProfiles[i]
		}
	}
	return nil
}

// formerPool returns the name of a GPU pool of the stack that has none of the names that its pools are to have; "" if there is
// none.
func (l *live) formerPool(stack string, names []string) string {
	if l == nil {
		return ""
	}
	for _, pool := range l.AgentPoolProfiles {
		if !slices.Contains(names, pool.Name) && strings.HasPrefix(pool.Tags[settingsTag], stack+"/") {
			return pool.Name
		}
	}
	return ""
}

// nodes returns the number of nodes to send for a pool: what it has, within its bounds, or the minimum for a new one.
func nodes(pool *containerservice.ManagedClusterAgentPoolProfileResponse, bounds providers.NodePool) int {
	if pool == nil {
		return bounds.MinNodes
	}
	return min(max(value(pool.Count), bounds.MinNodes), bounds.MaxNodes)
}

// bounded reports whether a pool has the bounds that it is to have.
func bounded(pool *containerservice.ManagedClusterAgentPoolProfileResponse, bounds providers.NodePool) bool {
	return pool != nil && value(pool.MinCount) == bounds.MinNodes && value(pool.MaxCount) == bounds.MaxNodes
}

// settled reports whether the cluster has the settings of a digest, so that no update follows. What is most often changed by
// hand is compared as well.
func (l *live) settled(a *Args, digest string) bool {
	if l == nil || l.Tags[settingsTag] != digest || !bounded(l.pool(systemPoolName), a.SystemPool) {
		return false
	}
	upgrades, access := value(l.AutoUpgradeProfile), value(l.ApiServerAccessProfile)
	return value(value(l.Sku).Tier) == a.Tier &&
		value(upgrades.UpgradeChannel) == a.UpgradeChannel && value(upgrades.NodeOSUpgradeChannel) == a.NodeOSUpgradeChannel &&
		value(l.DisableLocalAccounts) == (a.Entra.Enabled && a.Entra.DisableLocalAccounts) &&
		(a.PrivateCluster || sameValues(access.AuthorizedIPRanges, a.authorizedRanges()))
}

func sameValues(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// replacingPool returns the properties of the system pool that differ from the configuration and that Azure cannot change.
func (l *live) replacingPool(a *Args) []string {
	pool := l.pool(systemPoolName)
	if pool == nil {
		return nil
	}
	var names []string
	for name, differs := range map[string]bool{
		"vmSize":                 !strings.EqualFold(value(pool.VmSize), a.SystemPool.MachineType),
		"osDiskSizeGB":           value(pool.OsDiskSizeGB) != a.SystemPool.DiskGiB,
		"availabilityZones":      !sameValues(pool.AvailabilityZones, a.SystemPool.Zones),
		"vnetSubnetID":           !strings.EqualFold(value(pool.VnetSubnetID), a.VnetSubnetID),
		"enableEncryptionAtHost": value(pool.EnableEncryptionAtHost) != a.EncryptionAtHost,
	} {
		if differs {
			names = append(names, fmt.Sprintf("agentPoolProfiles[0].%s", name))
		}
	}
	slices.Sort(names)
	return names
}

// checkLive returns what AKS would refuse to change in the middle of an update.
func (a *Args) checkLive(l *live) providers.Problems {
	var p providers.Problems
	if l == nil {
		return p
	}
	if l.pool(systemPoolName) == nil {
		p.Add(providers.KeyName, a.Name, fmt.Sprintf("a cluster with the pool %q, which is part of its definition; Azure adds no pool to a cluster that way", systemPoolName),
			fmt.Sprintf("run `az aks nodepool add --resource-group %s --cluster-name %s --name %s --mode System --node-count 1`",
				a.resourceGroup(), a.Name, systemPoolName))
	}
	if network := value(l.NetworkProfile); !canMigrate(value(network.OutboundType), a.OutboundType, a.VnetSubnetID != "") {
		p.Add("aks.outboundType", a.OutboundType, fmt.Sprintf("%s, which the cluster has: AKS cannot change it to this one", value(network.OutboundType)),
			"set it back, or create a cluster of another name")
	}
	return p
}

// canMigrate reports whether AKS changes the outbound type of a cluster
// (https://learn.microsoft.com/azure/aks/egress-outboundtype, Supported migration paths).
func canMigrate(from, to string, ownSubnet bool) bool {
	switch {
	case from == to || from == "":
		return true
	case ownSubnet:
		return from != "managedNATGateway" && to != "managedNATGateway"
	}
	return from == "loadBalancer" && to == "managedNATGateway"
}

// digest returns the value of settingsTag for settings, which must not contain outputs.
func (b *builder) digest(settings any) (string, error) {
	text, err := json.Marshal(settings)
	if err != nil {
		return "", fmt.Errorf("AKS cluster %q: %w", b.args.ClusterName(), err)
	}
	return fmt.Sprintf("%s/%x", b.ctx.Stack(), sha256.Sum256(text))[:len(b.ctx.Stack())+9], nil
}
