package aks

import (
	"time"

	"vllm-autoscaling/providers"
)

// Values of the key aks.tier.
const (
	// TierFree has no promise of availability.
	TierFree = "Free"
	// TierStandard has one, for a price per hour.
	TierStandard = "Standard"
	// TierPremium adds long-term support of old versions.
	TierPremium = "Premium"
)

// Values of the key aks.entra.login: ways of kubelogin to get a token; all of them work without a person.
const (
	// LoginAzureCLI uses the account of `az login`, which is also what azure/login sets up in CI.
	LoginAzureCLI = "azurecli"
	// LoginWorkloadIdentity exchanges a federated token (AZURE_CLIENT_ID, AZURE_TENANT_ID,
	// AZURE_FEDERATED_TOKEN_FILE).
	LoginWorkloadIdentity = "workloadidentity"
	// LoginServicePrincipal uses a client secret or certificate (AZURE_CLIENT_ID,
	// AZURE_CLIENT_SECRET).
	LoginServicePrincipal = "spn"
	// LoginManagedIdentity uses the identity of the virtual machine that it runs on.
	LoginManagedIdentity = "msi"
)

const (
	systemPoolName     = "system"
	defaultGPUPoolName = "vllm"
	// digestLength is the number of digits after aks.gpuPoolName in the name of the GPU pool.
	digestLength   = 4
	defaultGPUSize = "Standard_NC24ads_A100_v4"
	defaultGPUMax  = 5
	// defaultIdleTime is AKS' own.
	defaultIdleTime = 10 * time.Minute
	// spotNotice is Azure's half minute.
	spotNotice = 30 * time.Second

	// anywhere is what has to be written to leave the API server open to the internet.
	anywhere = "0.0.0.0/0"
)

var (
	defaultSystemPool = providers.NodePool{MachineType: "Standard_D4s_v5", MinNodes: 1, MaxNodes: 3, DiskGiB: 64}
	// defaultGPUPool has room for the vLLM image, which unpacks to tens of GB, and the weights of a model beside it.
	defaultGPUPool = providers.NodePool{DiskGiB: 128}
)

// withDefaults returns a copy with every default filled in.
func (a *Args) withDefaults() *Args {
	c := *a
	providers.Fill(&c.GPUsPerReplica, 1)
	if c.Entra.Enabled {
		providers.Fill(&c.Entra.Login, LoginAzureCLI)
	}
	if !c.Attaches() {
		providers.Fill(&c.UpgradeChannel, "patch")
		providers.Fill(&c.NodeOSUpgradeChannel, "NodeImage")
		providers.Fill(&c.Tier, TierFree)
		providers.Fill(&c.IdleTime, defaultIdleTime)
		providers.Fill(&c.PodCIDR, "10.244.0.0/16")
		providers.Fill(&c.ServiceCIDR, "10.0.0.0/16")
		providers.Fill(&c.DNSServiceIP, tenthAddress(c.ServiceCIDR))
		providers.Fill(&c.NetworkPolicy, "cilium")
		providers.Fill(&c.OutboundType, "loadBalancer")
		if window := &c.MaintenanceWindow; window.Day != "" {
			providers.Fill(&window.Start, "00:00")
			providers.Fill(&window.Hours, 4)
			providers.Fill(&window.UTCOffset, "+00:00")
		}
		providers.FillPool(&c.SystemPool, defaultSystemPool)
	}
	if c.GPUPool != nil {
		providers.Fill(&c.GPUPoolName, defaultGPUPoolName)
	}
	c.FillGPUPools(func(pool *providers.GPUPool) {
		providers.Fill(&pool.MachineType, defaultGPUSize)
		providers.Fill(&pool.MaxNodes, max(defaultGPUMax, pool.MinNodes))
		providers.Fill(&pool.DiskGiB, defaultGPUPool.DiskGiB)
		if known, ok := machines.Find(pool.MachineType); ok {
			providers.Fill(&pool.Accelerator, known.Accelerator)
			providers.Fill(&pool.GPUsPerNode, known.GPUs)
		}
	})
	return &c
}
