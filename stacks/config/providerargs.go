package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/existing"
	"vllm-autoscaling/providers/gke"
)

// systemPool is the system pool as the provider packages take it.
func (c *Config) systemPool() providers.NodePool {
	p := c.NodePools.System
	return providers.NodePool{
		MachineType: p.MachineType, MinNodes: p.MinNodes, MaxNodes: p.MaxNodes, DiskGiB: p.DiskGiB, Zones: p.Zones,
	}
}

// gpuPool is the GPU pool as the provider packages take it; nil when none is created.
func (c *Config) gpuPool() *providers.GPUPool {
	p := c.NodePools.GPU
	if !p.Create {
		return nil
	}
	return &providers.GPUPool{
		NodePool: providers.NodePool{
			MachineType: p.MachineType, MinNodes: p.MinNodes, MaxNodes: p.MaxNodes, DiskGiB: p.DiskGiB, Zones: p.Zones, Spot: p.Spot,
		},
		Accelerator: p.Accelerator, GPUsPerNode: p.GPUsPerNode,
	}
}

// nameToCreate is the cluster's name, and none beside the name of an existing cluster.
func (c *Config) nameToCreate() string { return choose(c.attaches(), "", c.Cluster.Name) }

func (c *Config) gkeArgs() *gke.Args {
	g := c.GKE
	return &gke.Args{
		// With an existing cluster, too: it names the pool and the account that are added.
		Name: c.Cluster.Name, Existing: c.Cluster.Existing,
		Project: g.Project, Location: g.Location, Autopilot: g.Autopilot,
		Network: gke.Network{
			Name: g.Network, Subnetwork: g.Subnetwork, PodsRange: g.PodsRange, ServicesRange: g.ServicesRange,
			NodesCIDR: g.NodesCIDR, PodsCIDR: g.PodsCIDR, ServicesCIDR: g.ServicesCIDR, ControlPlaneCIDR: g.ControlPlaneCIDR,
		},
		AuthorizedCIDRs: c.Cluster.APIAccessCIDRs, ReleaseChannel: g.ReleaseChannel,
		DeletionProtection: c.Cluster.DeletionProtection, AutoscalingProfile: g.AutoscalingProfile, DiskKMSKey: g.DiskKMSKey,
		SystemPool: c.systemPool(), GPUPool: c.gpuPool(),
		GPUDriver: g.GPUDriver, LeaveGPUTaintToGKE: g.LeaveGPUTaintToGKE, GPUsPerReplica: c.GPU.PerReplica,
		ExistingAccelerator: g.ExistingAccelerator, MetricsReader: c.metricsReader(),
	}
}

func (c *Config) eksArgs() *eks.Args {
	e := c.EKS
	args := &eks.Args{
		Region: e.Region, AccountID: e.AccountID, Profile: e.Profile, RoleARN: e.RoleARN, Tags: e.Tags,
		Name: c.nameToCreate(), Existing: c.Cluster.Existing,
		Version: c.Cluster.KubernetesVersion, ExtendedSupport: e.ExtendedSupport,
		Network:           eks.Network{CIDR: e.VPCCIDR, Zones: e.Zones, NATPerZone: e.NATPerZone, SubnetIDs: e.SubnetIDs},
		PublicAccessCIDRs: c.Cluster.APIAccessCIDRs, Admins: e.Admins, Viewers: e.Viewers,
		ControlPlaneLogs: e.ControlPlaneLogs, LogRetentionDays: e.LogRetentionDays,
		SecretsKeyARN: e.SecretsKeyARN, AddonVersions: e.AddonVersions, DeletionProtection: c.Cluster.DeletionProtection,
		SystemPool: c.systemPool(), GPUsPerReplica: c.GPU.PerReplica,
		NodeAutoscalerInstalled: e.NodeAutoscalerInstalled, DevicePluginInstalled: e.DevicePluginInstalled,
		StorageClass: c.Monitoring.StorageClass,
	}
	if pool := c.gpuPool(); pool != nil {
		args.GPUPool = &eks.GPUPool{
			GPUPool: *pool, AlternativeTypes: e.AlternativeInstanceTypes,
			Image: choose(e.AMIType == amiBottlerocket, eks.Bottlerocket, eks.AL2023), IdleTime: e.IdleTime, SubnetIDs: e.GPUSubnetIDs,
		}
	}
	return args
}

func (c *Config) aksArgs() *aks.Args {
	a := c.AKS
	args := &aks.Args{
		SubscriptionID: a.SubscriptionID, TenantID: a.TenantID, Tags: a.Tags,
		Name: c.nameToCreate(), Existing: c.Cluster.Existing, ResourceGroup: a.ResourceGroup, Location: a.Location,
		KubernetesVersion: c.Cluster.KubernetesVersion, UpgradeChannel: a.UpgradeChannel, NodeOSUpgradeChannel: a.NodeOSUpgradeChannel,
		Tier: a.Tier, NodeResourceGroup: a.NodeResourceGroup, UserAssignedIdentityID: a.UserAssignedIdentityID,
		Network: aks.Network{
			NodeSubnetID: a.VnetSubnetID, PodCIDR: a.PodCIDR, ServiceCIDR: a.ServiceCIDR, DNSServiceIP: a.DNSServiceIP,
			Policy: a.NetworkPolicy, OutboundType: a.OutboundType,
		},
		AuthorizedIPRanges: c.Cluster.APIAccessCIDRs, PrivateCluster: a.PrivateCluster,
		EncryptionAtHost: a.EncryptionAtHost, DeletionProtection: c.Cluster.DeletionProtection,
		SystemPool: c.systemPool(), GPUPool: c.gpuPool(), GPUPoolName: a.GPUPoolName, GPUsPerReplica: c.GPU.PerReplica,
		IdleTime: a.IdleTime, DevicePluginInstalled: a.DevicePluginInstalled, StorageClass: c.Monitoring.StorageClass,
	}
	if a.Entra.Enabled {
		args.Entra = &aks.Entra{
			TenantID: a.Entra.TenantID, AdminGroupIDs: a.Entra.AdminGroupObjectIDs, AzureRBAC: a.Entra.EnableAzureRBAC,
			DisableLocalAccounts: a.Entra.DisableLocalAccounts, Login: a.Entra.Login,
		}
	}
	return args
}

// commonKeys are the keys behind fields that all provider packages have, by the field's name.
var commonKeys = map[string]string{
	"Name": "cluster.name", "Existing": "cluster.existing", "DeletionProtection": "cluster.deletionProtection",
	"SystemPool": "nodePools.system", "SystemPool.MachineType": "nodePools.system.machineType",
	"SystemPool.MinNodes": "nodePools.system.minNodes", "SystemPool.MaxNodes": "nodePools.system.maxNodes",
	"SystemPool.DiskGiB": "nodePools.system.diskGiB", "SystemPool.Zones": "nodePools.system.zones",
	"GPUPool": "nodePools.gpu", "GPUPool.MachineType": "nodePools.gpu.machineType", "GPUPool.Accelerator": "nodePools.gpu.accelerator",
	"GPUPool.GPUsPerNode": "nodePools.gpu.gpusPerNode", "GPUPool.MinNodes": "nodePools.gpu.minNodes",
	"GPUPool.MaxNodes": "nodePools.gpu.maxNodes", "GPUPool.DiskGiB": "nodePools.gpu.diskGiB",
	"GPUPool.Zones": "nodePools.gpu.zones", "GPUPool.Spot": "nodePools.gpu.spot",
	"GPUsPerReplica": "gpu.perReplica", "MinNodes": "minNodes",
}

// providerKeys are the keys behind the other fields, by cloud and the field's name.
var providerKeys = map[string]map[string]string{
	CloudGKE: {
		"Project": "gke.project", "Location": "gke.location", // With its value, because the errors also speak of GKE Autopilot.
		"Autopilot true": "gke.autopilot true", "Autopilot false": "gke.autopilot false",
		"Network.Name": "gke.network", "Network.Subnetwork": "gke.subnetwork", "Network.PodsRange": "gke.podsRange",
		"Network.ServicesRange": "gke.servicesRange", "Network.NodesCIDR": "gke.nodesCidr", "Network.PodsCIDR": "gke.podsCidr",
		"Network.ServicesCIDR": "gke.servicesCidr", "Network.ControlPlaneCIDR": "gke.controlPlaneCidr",
		"AuthorizedCIDRs": "cluster.apiAccessCidrs", "ReleaseChannel": "gke.releaseChannel",
		"AutoscalingProfile": "gke.autoscalingProfile", "DiskKMSKey": "gke.diskKmsKey", "GPUDriver": "gke.gpuDriver",
		"LeaveGPUTaintToGKE": "gke.leaveGpuTaintToGke", "ExistingAccelerator": "gke.existingAccelerator",
	},
	CloudEKS: {
		"Region": "eks.region", "AccountID": "eks.accountId", "Profile": "eks.profile", "RoleARN": "eks.roleArn", "Tags": "eks.tags",
		"Version": "cluster.kubernetesVersion", "ExtendedSupport": "eks.extendedSupport",
		"Network.CIDR": "eks.vpcCidr", "Network.Zones": "eks.zones", "Network.NATPerZone": "eks.natPerZone",
		"Network.SubnetIDs": "eks.subnetIds", "PublicAccessCIDRs": "cluster.apiAccessCidrs", "Admins": "eks.admins",
		"Viewers": "eks.viewers", "ControlPlaneLogs": "eks.controlPlaneLogs", "LogRetentionDays": "eks.logRetentionDays",
		"SecretsKeyARN": "eks.secretsKeyArn", "AddonVersions": "eks.addonVersions",
		"GPUPool.AlternativeTypes": "eks.alternativeInstanceTypes", "GPUPool.Image": "eks.amiType",
		"GPUPool.IdleTime": "eks.idleTime", "GPUPool.SubnetIDs": "eks.gpuSubnetIds",
		"NodeAutoscalerInstalled": "eks.nodeAutoscalerInstalled", "DevicePluginInstalled": "eks.devicePluginInstalled",
	},
	CloudAKS: {
		"SubscriptionID": "aks.subscriptionId", "TenantID": "aks.tenantId", "Tags": "aks.tags",
		"ResourceGroup": "aks.resourceGroup", "Location": "aks.location", "KubernetesVersion": "cluster.kubernetesVersion",
		"UpgradeChannel": "aks.upgradeChannel", "NodeOSUpgradeChannel": "aks.nodeOSUpgradeChannel", "Tier": "aks.tier",
		"NodeResourceGroup": "aks.nodeResourceGroup", "UserAssignedIdentityID": "aks.userAssignedIdentityId",
		"Network.NodeSubnetID": "aks.vnetSubnetId", "Network.PodCIDR": "aks.podCidr", "Network.ServiceCIDR": "aks.serviceCidr",
		"Network.DNSServiceIP": "aks.dnsServiceIP", "Network.Policy": "aks.networkPolicy", "Network.OutboundType": "aks.outboundType",
		"AuthorizedIPRanges": "cluster.apiAccessCidrs", "PrivateCluster": "aks.privateCluster",
		"Entra": "aks.entra", "Entra.Login": "aks.entra.login", "Entra.TenantID": "aks.entra.tenantID",
		"Entra.AdminGroupIDs": "aks.entra.adminGroupObjectIDs", "AzureRBAC": "enableAzureRBAC", "AdminGroupIDs": "adminGroupObjectIDs",
		"Login": "login", "EncryptionAtHost": "aks.encryptionAtHost", "GPUPoolName": "aks.gpuPoolName", "IdleTime": "aks.idleTime",
		"DevicePluginInstalled": "aks.devicePluginInstalled",
	},
}

// validateProvider adds what the provider package finds wrong, in terms of keys.
func (c *Config) validateProvider(r *report) {
	var err error
	switch c.Cloud {
	case CloudGKE:
		err = c.gkeArgs().Validate()
	case CloudEKS:
		err = c.eksArgs().Validate()
	case CloudAKS:
		err = c.aksArgs().Validate()
	}
	for _, text := range problemsIn(err) {
		text = c.inKeys(text)
		key, _, _ := strings.Cut(text, " ")
		key = strings.TrimSuffix(key, ":")
		if !slices.Contains(knownKeys(), key) {
			key = c.Cloud
		}
		full := r.source.Project + ":" + key
		// One problem of a key, or of an object, is enough: what was found before says more.
		if slices.ContainsFunc(r.problems, func(p Problem) bool {
			return p.Key == full || strings.HasPrefix(p.Key, full+"[") || strings.HasPrefix(p.Key, full+".")
		}) {
			continue
		}
		r.problems = append(r.problems, Problem{Key: full, Allowed: text, Fix: "see docs/" + c.Cloud + ".md"})
	}
}

// problemsIn takes a provider package's error apart.
func problemsIn(err error) []string {
	var list providers.Problems
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &list):
		return list
	case errors.As(err, &joined):
		var texts []string
		for _, one := range joined.Unwrap() {
			texts = append(texts, one.Error())
		}
		return texts
	default:
		return []string{err.Error()}
	}
}

// plainWords are names of fields that clouds use for things of their own in their messages.
var plainWords = []string{"Name", "Project", "Location", "Tags", "Version", "Tier", "Profile", "Login"}

// inKeys puts keys in the place of the names of a provider package's fields, but for the excepted ones.
func (c *Config) inKeys(text string, except ...string) string {
	keys := maps.Clone(commonKeys)
	maps.Copy(keys, providerKeys[c.Cloud])
	for _, field := range except {
		delete(keys, field)
	}
	var fields []string
	for field := range keys {
		fields = append(fields, regexp.QuoteMeta(field))
	}
	// The longest first, or GPUPool would be found in GPUPool.MaxNodes.
	slices.SortFunc(fields, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	// Microsoft's product is spelt like the field.
	names := regexp.MustCompile(`Microsoft Entra ID|Entra ID|\b(` + strings.Join(fields, "|") + `)\b`)
	return names.ReplaceAllStringFunc(text, func(name string) string {
		if key, ok := keys[name]; ok {
			return key
		}
		return name
	})
}

// NewCluster returns the place that the configuration chooses.
func (c *Config) NewCluster(ctx *pulumi.Context) (*providers.Cluster, error) {
	switch c.Cloud {
	case CloudLocal:
		return existing.New(ctx, "cluster", existing.Args{
			Kubeconfig:        c.Cluster.Kubeconfig,
			Context:           c.Cluster.Context,
			GPU:               c.gpuScheduling(),
			GPUMetrics:        providers.GPUMetrics{Source: providers.GPUMetricsSource(c.GPU.Metrics)},
			StorageClass:      c.Monitoring.StorageClass,
			AggregatedAPIPort: c.Autoscaling.AdapterPort,
		})
	case CloudGKE:
		cluster, err := gke.New(ctx, "cluster", c.gkeArgs())
		return cluster, c.explain(err)
	case CloudEKS:
		cluster, err := eks.New(ctx, "cluster", c.eksArgs())
		return cluster, c.explain(err)
	case CloudAKS:
		cluster, err := aks.New(ctx, "cluster", c.aksArgs())
		return cluster, c.explain(err)
	default:
		return nil, fmt.Errorf("cloud %q not supported (%s)", c.Cloud, oneOf(Clouds))
	}
}

// explain puts the keys of the configuration into an error of a provider package, which names its own
// fields.
func (c *Config) explain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(c.inKeys(err.Error(), plainWords...))
}

// gpuScheduling says how a replica gets its GPUs; a simulated one requests none.
func (c *Config) gpuScheduling() providers.GPUScheduling {
	scheduling := providers.GPUScheduling{NodeSelector: c.GPU.NodeSelector}
	if c.GPU.Mode == GPUNvidia {
		scheduling.ResourceName, scheduling.PerReplica = "nvidia.com/gpu", c.GPU.PerReplica
	}
	for _, t := range c.GPU.Tolerations {
		scheduling.Tolerations = append(scheduling.Tolerations, providers.Toleration(t))
	}
	return scheduling
}
