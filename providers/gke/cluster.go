package gke

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// monitoringComponents are the metrics that GKE collects. The provider sends the list as it is, so
// a list without DCGM switches the GPU exporter off.
var monitoringComponents = []string{"SYSTEM_COMPONENTS", "DCGM"}

// dataplaneV2 is the value of a cluster's datapath provider with Dataplane V2.
const dataplaneV2 = "ADVANCED_DATAPATH"

// clusterLabels returns the labels of the cluster; nil for none.
func (a *Args) clusterLabels() pulumi.StringMapInput {
	if len(a.ResourceLabels) == 0 {
		return nil
	}
	return pulumi.ToStringMap(a.ResourceLabels)
}

// newCluster registers a Standard cluster without nodes.
func (b *builder) newCluster(at *placement, identity *nodeIdentity) (*container.Cluster, error) {
	a := b.args
	cidrs := container.ClusterMasterAuthorizedNetworksConfigCidrBlockArray{}
	for _, cidr := range a.APIAccessCIDRs {
		cidrs = append(cidrs, container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs{CidrBlock: pulumi.String(cidr)})
	}
	cluster, err := container.NewCluster(b.ctx, b.name, &container.ClusterArgs{
		Name:               pulumi.String(a.Name),
		Project:            pulumi.String(a.Project),
		Location:           pulumi.String(a.Location),
		DeletionProtection: pulumi.Bool(a.DeletionProtection),
		// GKE makes no cluster without a pool; ours are resources of their own, so its is removed.
		InitialNodeCount:      pulumi.Int(1),
		RemoveDefaultNodePool: pulumi.Bool(true),
		// For the minutes that the default pool lives: its nodes would otherwise run as the project's
		// default service account, which may be missing, or be an editor of the project.
		NodeConfig: container.ClusterNodeConfigArgs{
			MachineType:    pulumi.String(a.SystemPool.MachineType),
			DiskSizeGb:     pulumi.Int(a.SystemPool.DiskGiB),
			DiskType:       pulumi.String(diskTypeOf(a.SystemPool.MachineType)),
			ServiceAccount: identity.Email,
			OauthScopes:    pulumi.StringArray{pulumi.String("https://www.googleapis.com/auth/cloud-platform")},
			ShieldedInstanceConfig: container.ClusterNodeConfigShieldedInstanceConfigArgs{
				EnableSecureBoot: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
			},
		},
		Network:        at.Network.ToStringOutput().ToStringPtrOutput(),
		Subnetwork:     at.Subnetwork.ToStringOutput().ToStringPtrOutput(),
		NetworkingMode: pulumi.String("VPC_NATIVE"),
		IpAllocationPolicy: container.ClusterIpAllocationPolicyArgs{
			ClusterSecondaryRangeName: at.PodsRange, ServicesSecondaryRangeName: at.ServicesRange,
		},
		// GKE switches subsetting on by itself, and it cannot be switched off again. Left out, this version of the provider
		// treats it as false, and replaces the cluster to get there.
		EnableL4IlbSubsetting: pulumi.Bool(true),
		// Dataplane V2 is what enforces the server's NetworkPolicy.
		DatapathProvider: pulumi.String(dataplaneV2),
		PrivateClusterConfig: container.ClusterPrivateClusterConfigArgs{
			EnablePrivateNodes: pulumi.Bool(true),
			// The endpoint stays public but for its list of networks: Pulumi has to reach it too.
			EnablePrivateEndpoint: pulumi.Bool(false),
			MasterIpv4CidrBlock:   pulumi.String(a.ControlPlaneCIDR),
		},
		MasterAuthorizedNetworksConfig: container.ClusterMasterAuthorizedNetworksConfigArgs{
			CidrBlocks: cidrs,
			// Otherwise every machine in Google Cloud, of any customer, would be let in.
			GcpPublicCidrsAccessEnabled: pulumi.Bool(false),
		},
		ReleaseChannel:         container.ClusterReleaseChannelArgs{Channel: pulumi.String(a.ReleaseChannel)},
		EnableShieldedNodes:    pulumi.Bool(true),
		WorkloadIdentityConfig: container.ClusterWorkloadIdentityConfigArgs{WorkloadPool: pulumi.String(a.Project + ".svc.id.goog")},
		MonitoringConfig: container.ClusterMonitoringConfigArgs{
			EnableComponents: pulumi.ToStringArray(monitoringComponents),
			// With either pipeline: one reads from it, and nobody has shown that the GPU exporter runs without it.
			ManagedPrometheus: container.ClusterMonitoringConfigManagedPrometheusArgs{Enabled: pulumi.Bool(true)},
		},
		ClusterAutoscaling: container.ClusterClusterAutoscalingArgs{AutoscalingProfile: pulumi.String(a.AutoscalingProfile)},
		MaintenancePolicy:  a.maintenancePolicy(),
		ResourceLabels:     a.clusterLabels(),
		// Bills then show namespaces, at no cost of its own.
		CostManagementConfig: container.ClusterCostManagementConfigArgs{Enabled: pulumi.Bool(true)},
		GatewayApiConfig:     a.gatewayAPI(),
	}, b.options(
		// Nodes that start before they may write logs and pull images have to be repaired.
		pulumi.DependsOn(slices.Concat(identity.Grants, at.Egress)),
		pulumi.IgnoreChanges([]string{
			// Both describe the default pool, which is gone: GKE then reports another pool's
			// configuration, or none, and a difference would replace the cluster.
			"nodeConfig", "initialNodeCount",
			// For clusters that were created without it.
			"enableL4IlbSubsetting",
		}),
		// The name is fixed, and the range of the control plane can be used once.
		pulumi.DeleteBeforeReplace(true),
	)...)
	if err != nil {
		return nil, fmt.Errorf("creating GKE cluster %q: %w", a.Name, err)
	}
	return cluster, nil
}
