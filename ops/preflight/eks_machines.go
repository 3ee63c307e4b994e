package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	eksprovider "vllm-autoscaling/providers/eks"
)

// awsQuota is a quota of the CLI's service-quotas.
type awsQuota struct{ service, code, name string }

// EC2's quotas count the vCPUs of running machines, by kind of machine (EC2 user guide, "On-Demand Instance quotas" and "Spot
// Instance quotas").
var (
	onDemandG        = awsQuota{"ec2", "L-DB2E81BA", "Running On-Demand G and VT instances"}
	onDemandP        = awsQuota{"ec2", "L-417A185B", "Running On-Demand P instances"}
	onDemandStandard = awsQuota{"ec2", "L-1216C47A", "Running On-Demand Standard instances"}
	spotG            = awsQuota{"ec2", "L-3819A6DF", "All G and VT Spot Instance Requests"}
	spotP            = awsQuota{"ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"}
	spotP5           = awsQuota{"ec2", "L-C4BD4855", "All P5 Spot Instance Requests"}
	spotStandard     = awsQuota{"ec2", "L-34B43A08", "All Standard Spot Instance Requests"}

	vpcsPerRegion  = awsQuota{"vpc", "L-F678F1CE", "VPCs per Region"}
	elasticAddress = awsQuota{"ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"}
)

// quotaOf returns the quota that a machine counts in; false for a kind that is not known here.
func quotaOf(machineType string, spot bool) (awsQuota, bool) {
	family, _, _ := strings.Cut(machineType, ".")
	letters := strings.TrimRight(family[:strings.IndexFunc(family+"0", func(r rune) bool { return r >= '0' && r <= '9' })], "-")
	switch {
	case letters == "g" || letters == "gr" || letters == "vt":
		return choose(spot, spotG, onDemandG), true
	case letters == "p" && spot && strings.HasPrefix(family, "p5"):
		return spotP5, true
	case letters == "p" && spot && !slices.Contains([]string{"p2", "p3", "p3dn", "p4d", "p4de"}, family):
		return awsQuota{}, false
	case letters == "p":
		return choose(spot, spotP, onDemandP), true
	case letters != "" && strings.Contains("acdhimrtz", letters[:1]) && letters != "inf" && letters != "trn" && letters != "hpc" && letters != "dl":
		return choose(spot, spotStandard, onDemandStandard), true
	}
	return awsQuota{}, false
}

func choose(spot bool, yes, no awsQuota) awsQuota {
	if spot {
		return yes
	}
	return no
}

// limit returns a quota's value in the account; AWS' default where the account has none of its own.
func (e *eksPlan) limit(ctx context.Context, c *cli, q awsQuota) (float64, error) {
	var answer struct {
		Quota struct {
			Value number `json:"Value"`
		} `json:"Quota"`
	}
	flags := []string{"--service-code", q.service, "--quota-code", q.code}
	err := c.read(ctx, &answer, e.aws(append([]string{"service-quotas", "get-service-quota"}, flags...)...)...)
	if errors.Is(err, errMissing) {
		err = c.read(ctx, &answer, e.aws(append([]string{"service-quotas", "get-aws-default-service-quota"}, flags...)...)...)
	}
	return float64(answer.Quota.Value), err
}

// raise returns the command that asks for a higher quota.
func (e *eksPlan) raise(q awsQuota) func(int) string {
	return func(value int) string {
		return fmt.Sprintf("aws service-quotas request-service-quota-increase --region %s --service-code %s --quota-code %s --desired-value %d",
			e.region, q.service, q.code, value)
	}
}

// running is a machine of the account.
type running struct {
	InstanceType string `json:"InstanceType"`
	// Lifecycle is spot, or "" on demand.
	Lifecycle string `json:"InstanceLifecycle"`
	CPU       struct {
		Cores   int `json:"CoreCount"`
		Threads int `json:"ThreadsPerCore"`
	} `json:"CpuOptions"`
}

// usage returns the vCPUs that running machines take of a quota.
func (e *eksPlan) usage(ctx context.Context, c *cli, q awsQuota) (float64, error) {
	var answer struct {
		Reservations []struct {
			Instances []running `json:"Instances"`
		} `json:"Reservations"`
	}
	err := c.read(ctx, &answer, e.aws("ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=pending,running")...)
	total := 0
	for _, reservation := range answer.Reservations {
		for _, machine := range reservation.Instances {
			if counts, ok := quotaOf(machine.InstanceType, machine.Lifecycle == "spot"); ok && counts == q {
				total += machine.CPU.Cores * machine.CPU.Threads
			}
		}
	}
	return float64(total), err
}

// cpus returns the vCPUs of the pools' machine types.
func (e *eksPlan) cpus(ctx context.Context, c *cli) (map[string]int, error) {
	var names []string
	for _, pool := range e.pools {
		names = append(names, knownList(pool.Resource, "instanceTypes")...)
	}
	var answer struct {
		InstanceTypes []struct {
			InstanceType string `json:"InstanceType"`
			VCPUInfo     struct {
				Default int `json:"DefaultVCpus"`
			} `json:"VCpuInfo"`
		} `json:"InstanceTypes"`
	}
	err := c.read(ctx, &answer, e.aws(append([]string{"ec2", "describe-instance-types", "--instance-types"}, unique(names)...)...)...)
	cpus := map[string]int{}
	for _, t := range answer.InstanceTypes {
		cpus[t.InstanceType] = t.VCPUInfo.Default
	}
	return cpus, err
}

// vcpuQuotas compares the pools' vCPUs with the account's quotas. A pool of several machine types needs as much as the largest.
func (e *eksPlan) vcpuQuotas(ctx context.Context, c *cli) []Check {
	cpus, err := e.cpus(ctx, c)
	if errors.Is(err, errMissing) {
		return nil // The machine type is reported on its own.
	}
	if err != nil {
		return []Check{unknown("vCPUs of the pools' machine types", err)}
	}
	var order []awsQuota
	var checks []Check
	needs := map[awsQuota]*need{}
	for _, pool := range e.pools {
		spot := pool.Text("capacityType") == "SPOT"
		largest := map[awsQuota]int{}
		for _, machineType := range knownList(pool.Resource, "instanceTypes") {
			q, ok := quotaOf(machineType, spot)
			if !ok {
				checks = append(checks, unknown("quota of "+machineType, errors.New("the quota of this kind of machine is not known here: see Service Quotas")))
				continue
			}
			largest[q] = max(largest[q], cpus[machineType])
		}
		most := count(pool.Resource, "scalingConfig.maxSize")
		first := min(max(1, count(pool.Resource, "scalingConfig.minSize")), max(1, most))
		for _, machineType := range knownList(pool.Resource, "instanceTypes") {
			q, ok := quotaOf(machineType, spot)
			if largest[q] == 0 || !ok {
				continue
			}
			if needs[q] == nil {
				needs[q] = &need{unit: "vCPUs"}
				order = append(order, q)
			}
			needs[q].add(first*largest[q], most*largest[q], !pool.created())
			largest[q] = 0
		}
	}
	for _, q := range order {
		checks = append(checks, e.compare(ctx, c, q, *needs[q], e.usage))
	}
	return checks
}

// compare compares a need with a quota and its usage.
func (e *eksPlan) compare(ctx context.Context, c *cli, q awsQuota, n need, usage func(context.Context, *cli, awsQuota) (float64, error)) Check {
	asked := fmt.Sprintf("%s (%s) in %s", q.name, q.code, e.region)
	limit, err := e.limit(ctx, c, q)
	if err != nil {
		return unknown(asked, err)
	}
	used, err := usage(ctx, c, q)
	if err != nil {
		// Without the usage, only the limit is compared.
		n.grown = true
	}
	return n.against(asked, limit, used, e.raise(q))
}

// networkQuotas compares the VPC and the addresses of NAT gateways with the account's quotas.
func (e *eksPlan) networkQuotas(ctx context.Context, c *cli) []Check {
	var checks []Check
	compare := func(q awsQuota, n int, unit string, used func() (int, error)) {
		if n > 0 {
			checks = append(checks, e.compare(ctx, c, q, need{unit: unit, one: n, all: n}, func(context.Context, *cli, awsQuota) (float64, error) {
				usage, err := used()
				return float64(usage), err
			}))
		}
	}
	compare(vpcsPerRegion, len(e.vpcs), "VPCs", func() (int, error) {
		var answer struct {
			VPCs []struct{} `json:"Vpcs"`
		}
		err := c.read(ctx, &answer, e.aws("ec2", "describe-vpcs")...)
		return len(answer.VPCs), err
	})
	compare(elasticAddress, len(e.addresses), "addresses", func() (int, error) {
		var answer struct {
			Addresses []struct{} `json:"Addresses"`
		}
		err := c.read(ctx, &answer, e.aws("ec2", "describe-addresses")...)
		return len(answer.Addresses), err
	})
	return checks
}

// instanceTypes checks that the pools' zones have their machine types.
func (e *eksPlan) instanceTypes(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, pool := range e.pools {
		zones, err := e.zonesOf(ctx, c, pool)
		for _, machineType := range knownList(pool.Resource, "instanceTypes") {
			asked := fmt.Sprintf("%s in %s", machineType, strings.Join(zones, ", "))
			if len(zones) == 0 {
				asked = fmt.Sprintf("%s in %s", machineType, e.region)
			}
			if err != nil {
				checks = append(checks, unknown(asked, err))
				continue
			}
			checks = append(checks, e.offered(ctx, c, asked, machineType, zones))
		}
	}
	return checks
}

// offered compares the zones that have a machine type with those of a pool; without any, with the region.
func (e *eksPlan) offered(ctx context.Context, c *cli, asked, machineType string, zones []string) Check {
	var answer struct {
		InstanceTypeOfferings []struct {
			Location string `json:"Location"`
		} `json:"InstanceTypeOfferings"`
	}
	err := c.read(ctx, &answer, e.aws("ec2", "describe-instance-type-offerings", "--location-type", "availability-zone",
		"--filters", "Name=instance-type,Values="+machineType)...)
	if err != nil {
		return unknown(asked, err)
	}
	var at []string
	for _, offering := range answer.InstanceTypeOfferings {
		at = append(at, offering.Location)
	}
	at = unique(at)
	without := slices.DeleteFunc(slices.Clone(zones), func(zone string) bool { return slices.Contains(at, zone) })
	fix := "set the pool's machineType to another, or eks.zones or eks.subnetIds to zones that have it"
	switch {
	case len(at) == 0:
		return failed(asked, "no zone of the region has it", "set the pool's machineType to another, or eks.region")
	case len(zones) > 0 && len(without) == len(zones):
		return failed(asked, "none of the zones has it; "+strings.Join(at, ", ")+" have", fix)
	case len(without) > 0:
		return warning(asked, fmt.Sprintf("%s does not have it, and node groups over such zones can fail", strings.Join(without, ", ")),
			"leave them out of the pool's zones under nodePools, or of eks.gpuSubnetIds")
	}
	return passed(asked, "offered")
}

// zonesOf returns the zones of a pool; none if they are not known before the update.
func (e *eksPlan) zonesOf(ctx context.Context, c *cli, pool planned) ([]string, error) {
	gpu, stated := strings.Contains(pool.Text("amiType"), "NVIDIA"), e.gpuZones
	if zones, own := e.ownZones[pool.Text(`tags["`+eksprovider.PoolTag+`"]`)]; own {
		stated = zones
	}
	if gpu && len(stated) > 0 {
		return stated, nil
	}
	if zones := e.plannedZones(); len(zones) > 0 {
		return zones, nil
	}
	ids := knownList(pool.Resource, "subnetIds")
	if len(ids) == 0 {
		return nil, nil
	}
	subnets, err := e.subnetsOf(ctx, c, unique(ids))
	if errors.Is(err, errMissing) {
		return nil, nil // The subnets are reported on their own.
	}
	var zones []string
	for _, s := range subnets {
		zones = append(zones, s.Zone)
	}
	return unique(zones), err
}
