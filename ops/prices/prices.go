package prices

import (
	"maps"
	"slices"
	"strings"

	"vllm-autoscaling/stacks/config"
)

// Price is a list price.
type Price struct {
	// USDPerHour is the price in US dollars for one hour, on demand, Linux.
	USDPerHour float64
	// Region is where the price applies; other regions differ, most by less than a third.
	Region string
	// Source is the cloud's page with the authoritative price, Date the day on which the number was read (YYYY-MM-DD):
	// from public tables generated from the clouds' price APIs, not from the page itself.
	Source, Date string
}

// table has the prices of one source.
type table struct {
	region, source, date string
	usd                  map[string]float64
}

// Sources of machine prices. The numbers were read from tables that others generated from the clouds' price APIs,
// SkyPilot's catalogue first; prices on which those tables differ are left out. G2 machines above the smallest are
// computed from their parts, and fees come from public descriptions. SkyPilot's catalogue lacks the machines with Blackwell: AWS' are in
// Karpenter's table of 2026-07-20 (github.com/aws/karpenter-provider-aws 1d92708: pkg/providers/pricing/zz_generated.pricing_aws.go), the G4
// machines in dstack's of 2025-10-22 (github.com/dstackai/dstack/pull/3213).
const (
	readOn          = "2026-11-22"
	blackwellReadOn = "2026-11-30"

	awsRegion, gcpRegion, azureRegion = "us-east-1", "us-central1", "eastus"

	awsSource   = "https://aws.amazon.com/ec2/pricing/on-demand/"
	gcpSource   = "https://cloud.google.com/compute/vm-instance-pricing"
	azureSource = "https://azure.microsoft.com/pricing/details/virtual-machines/linux/"
)

// machines are the prices by cloud: on demand, Linux. Spot machines have no list price; they cost at most this.
var machines = map[string][]table{
	config.CloudGKE: {{
		region: gcpRegion, source: gcpSource, date: readOn,
		usd: map[string]float64{
			"e2-standard-2": 0.06701, "e2-standard-4": 0.13402, "e2-standard-8": 0.26805, "e2-standard-16": 0.53609,
			// vCPUs and memory, and 0.56004 for each L4.
			"g2-standard-4": 0.70683, "g2-standard-8": 0.85362, "g2-standard-12": 1.00041, "g2-standard-16": 1.14720,
			"g2-standard-24": 2.00081, "g2-standard-32": 1.73436, "g2-standard-48": 4.00163, "g2-standard-96": 8.00326,
			// vCPUs and memory (0.73948 for 12 and 85 GiB), and 2.93391 for each A100.
			"a2-highgpu-1g": 3.67339, "a2-highgpu-2g": 7.34678, "a2-highgpu-4g": 14.69354, "a2-highgpu-8g": 29.38708,
			"a2-megagpu-16g": 55.73950,
			// With the local SSDs that come with them.
			"a2-ultragpu-1g": 5.06880, "a2-ultragpu-2g": 10.13760, "a2-ultragpu-4g": 20.27519, "a2-ultragpu-8g": 40.55038,
			"a3-highgpu-1g": 11.0612, "a3-highgpu-2g": 22.1225, "a3-highgpu-4g": 44.245, "a3-highgpu-8g": 88.49,
		},
	}, {
		region: gcpRegion, source: gcpSource, date: blackwellReadOn,
		usd: map[string]float64{
			"g4-standard-48": 4.5001, "g4-standard-96": 9.0002, "g4-standard-192": 18.0003, "g4-standard-384": 36.0006,
		},
	}},
	config.CloudEKS: {{
		region: awsRegion, source: awsSource, date: readOn,
		usd: map[string]float64{
			"m6i.large": 0.096, "m6i.xlarge": 0.192, "m6i.2xlarge": 0.384, "m5.large": 0.096, "m5.xlarge": 0.192, "m5.2xlarge": 0.384,
			"p3.2xlarge": 3.06, "p3.8xlarge": 12.24, "p3.16xlarge": 24.48,
			"g4dn.xlarge": 0.526, "g4dn.2xlarge": 0.752, "g4dn.4xlarge": 1.204, "g4dn.8xlarge": 2.176, "g4dn.16xlarge": 4.352,
			"g4dn.12xlarge": 3.912, "g4dn.metal": 7.824,
			"g5.xlarge": 1.006, "g5.2xlarge": 1.212, "g5.4xlarge": 1.624, "g5.8xlarge": 2.448, "g5.16xlarge": 4.096,
			"g5.12xlarge": 5.672, "g5.24xlarge": 8.144, "g5.48xlarge": 16.288,
			"g6.xlarge": 0.8048, "g6.2xlarge": 0.9776, "g6.4xlarge": 1.3232, "g6.8xlarge": 2.0144, "g6.16xlarge": 3.3968,
			"g6.12xlarge": 4.6016, "g6.24xlarge": 6.6752, "g6.48xlarge": 13.3504,
			"g6e.xlarge": 1.861, "g6e.2xlarge": 2.24208, "g6e.4xlarge": 3.00424, "g6e.8xlarge": 4.52856, "g6e.16xlarge": 7.57719,
			"g6e.12xlarge": 10.49264, "g6e.24xlarge": 15.06559, "g6e.48xlarge": 30.13118,
			"p4d.24xlarge": 21.957642,
		},
	}, {
		region: awsRegion, source: awsSource, date: blackwellReadOn,
		usd: map[string]float64{
			"g7.2xlarge": 2.52, "g7.4xlarge": 3.04208, "g7.8xlarge": 4.08624, "g7.12xlarge": 7.12832, "g7.24xlarge": 14.25664,
			"g7.48xlarge": 28.51328,
			"g7e.2xlarge": 3.36312, "g7e.4xlarge": 3.99816, "g7e.8xlarge": 5.26824, "g7e.12xlarge": 8.28608, "g7e.24xlarge": 16.57216,
			"g7e.48xlarge":     33.14432,
			"p6-b200.48xlarge": 113.9328, "p6-b300.48xlarge": 142.416,
		},
	}},
	config.CloudAKS: {{
		region: azureRegion, source: azureSource, date: readOn,
		usd: map[string]float64{
			"standard_d2s_v5": 0.096, "standard_d4s_v5": 0.192, "standard_d8s_v5": 0.384, "standard_d16s_v5": 0.768,
			"standard_nc4as_t4_v3": 0.526, "standard_nc8as_t4_v3": 0.752, "standard_nc16as_t4_v3": 1.204, "standard_nc64as_t4_v3": 4.352,
			"standard_nd40rs_v2":       22.032,
			"standard_nv36ads_a10_v5":  3.20,
			"standard_nc24ads_a100_v4": 3.673, "standard_nc48ads_a100_v4": 7.346, "standard_nc96ads_a100_v4": 14.692,
			"standard_nd96asr_v4": 27.197, "standard_nd96amsr_a100_v4": 32.77,
			"standard_nd96isr_h100_v5": 98.32,
		},
	}},
}

// Fee is an hourly price of something other than machines.
type Fee string

// The fees of the table.
const (
	// ControlPlane is that of a cluster; on AKS that of the tier Standard, while Free costs nothing.
	ControlPlane Fee = "control plane"
	// ControlPlanePremium is that of AKS' tier Premium.
	ControlPlanePremium Fee = "control plane, Premium"
	// NATGateway is one gateway, without the traffic through it.
	NATGateway Fee = "NAT gateway"
	// NATPerNode is Google's price for each node behind a NAT, without the traffic, up to NATMost.
	NATPerNode Fee = "NAT, per node"
	// NATMost is Google's maximum for a NAT, independent of the number of nodes.
	NATMost Fee = "NAT, at most"
	// PublicIPv4 is a public address in use.
	PublicIPv4 Fee = "public IPv4 address"
)

var fees = map[string]map[Fee]Price{
	config.CloudGKE: {
		ControlPlane: {0.10, "every region", "https://cloud.google.com/kubernetes-engine/pricing", readOn},
		NATPerNode:   {0.0014, "every region", "https://cloud.google.com/nat/pricing", readOn},
		NATMost:      {0.044, "every region", "https://cloud.google.com/nat/pricing", readOn},
	},
	config.CloudEKS: {
		ControlPlane: {0.10, "every region", "https://aws.amazon.com/eks/pricing/", readOn},
		NATGateway:   {0.045, awsRegion, "https://aws.amazon.com/vpc/pricing/", readOn},
		PublicIPv4:   {0.005, "every region", "https://aws.amazon.com/vpc/pricing/", readOn},
	},
	config.CloudAKS: {
		ControlPlane:        {0.10, azureRegion, "https://azure.microsoft.com/pricing/details/kubernetes-service/", readOn},
		ControlPlanePremium: {0.60, azureRegion, "https://azure.microsoft.com/pricing/details/kubernetes-service/", readOn},
	},
}

// Machine returns the price of a machine type of a cloud, one of config.CloudGKE, EKS and AKS; false if the table has
// none. Azure's names are not case-sensitive.
func Machine(cloud, machineType string) (Price, bool) {
	if cloud == config.CloudAKS {
		machineType = strings.ToLower(machineType)
	}
	for _, t := range machines[cloud] {
		if usd, ok := t.usd[machineType]; ok {
			return Price{USDPerHour: usd, Region: t.region, Source: t.source, Date: t.date}, true
		}
	}
	return Price{}, false
}

// FeeOf returns the price of something other than machines; false if the table has none.
func FeeOf(cloud string, fee Fee) (Price, bool) {
	price, ok := fees[cloud][fee]
	return price, ok
}

// Machines lists the machine types of a cloud that have a price, sorted.
func Machines(cloud string) []string {
	var all []string
	for _, t := range machines[cloud] {
		all = slices.AppendSeq(all, maps.Keys(t.usd))
	}
	slices.Sort(all)
	return all
}
