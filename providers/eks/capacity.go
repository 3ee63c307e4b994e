package eks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// EKS' names of kinds of capacity, and EC2's name of the market of Capacity Blocks.
const (
	capacityOnDemand = "ON_DEMAND"
	capacitySpot     = "SPOT"
	// CapacityBlock is the kind of a node group in a Capacity Block for ML.
	CapacityBlock       = "CAPACITY_BLOCK"
	marketCapacityBlock = "capacity-block"
)

// blockFamilies are the families of instance types that AWS sells as Capacity Blocks for ML and that have GPUs of NVIDIA
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-using.html, Prerequisites).
var blockFamilies = []string{"p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300"}

// capacity is where the nodes of a pool come from.
type capacity struct {
	spot bool
	// reservation is the id of a Capacity Reservation or the ARN of a group of them; "" for none.
	reservation string
	// block is the id of a Capacity Block for ML; "" for none.
	block string
}

// gpuCapacity returns where the nodes of a GPU pool come from. A reservation is for the main pool: the machines of a server's own
// pool may be others.
func (a *Args) gpuCapacity(pool *providers.ServingPool) capacity {
	if pool.Own() {
		return capacity{spot: pool.Spot}
	}
	return capacity{spot: pool.Spot, reservation: a.CapacityReservation, block: a.CapacityBlock}
}

// kind returns EKS' name of the kind of capacity.
func (c capacity) kind() string {
	switch {
	case c.block != "":
		return CapacityBlock
	case c.spot:
		return capacitySpot
	}
	return capacityOnDemand
}

// addTo adds to a launch template what EKS has no setting for: the reservation to use, and for a Capacity Block the market and
// the instance type. EKS refuses a group of the kind CAPACITY_BLOCK without all three
// (https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html).
func (c capacity) addTo(template *ec2.LaunchTemplateArgs, instanceType string) {
	target := ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs{}
	switch {
	case c.block != "":
		target.CapacityReservationId = pulumi.String(c.block)
		template.InstanceMarketOptions = ec2.LaunchTemplateInstanceMarketOptionsArgs{MarketType: pulumi.String(marketCapacityBlock)}
		template.InstanceType = pulumi.String(instanceType)
	case reservation{id: c.reservation}.single():
		target.CapacityReservationId = pulumi.String(c.reservation)
	case c.reservation != "":
		target.CapacityReservationResourceGroupArn = pulumi.String(c.reservation)
	default:
		return
	}
	template.CapacityReservationSpecification = ec2.LaunchTemplateCapacityReservationSpecificationArgs{CapacityReservationTarget: target}
}

// groupTypes returns the instance types that the node group states. The launch template of a Capacity Block has the only one, and
// EKS refuses to read it from both.
func (c capacity) groupTypes(types []string) pulumi.StringArrayInput {
	if c.block != "" {
		return nil
	}
	return pulumi.ToStringArray(types)
}

// reservation is a reservation with the key that names it.
type reservation struct{ key, id string }

// IsTemplateOf reports whether a launch template is that of a node group, given the names of both in the program and the value of the
// group's PoolTag.
func IsTemplateOf(template, group, pool string) bool {
	return strings.HasSuffix(template, "-"+pool) && strings.HasPrefix(group+"-", template+"-")
}

// single reports whether it is one reservation, in one zone and of one instance type, and not a group of several.
func (r reservation) single() bool { return strings.HasPrefix(r.id, "cr-") }

// reservations returns the reservations that the stack's file names.
func (a *Args) reservations() []reservation {
	all := []reservation{{"eks.capacityReservation", a.CapacityReservation}, {"eks.capacityBlock", a.CapacityBlock}}
	return slices.DeleteFunc(all, func(r reservation) bool { return r.id == "" })
}

// validateCapacity adds the problems of a pool that cannot use its reservation or Capacity Block.
func (a *Args) validateCapacity(p *providers.Problems) {
	pool := a.GPUPool
	for _, given := range a.reservations() {
		switch {
		case pool == nil:
			p.Add(given.key, given.id, "only with a GPU pool that is created", "remove it, or set "+providers.KeyCreateGPUPool+" to true")
			continue
		case pool.Spot:
			p.Add(given.key, given.id, "only without "+providers.KeyGPUPool+providers.KeySpot+": spot machines never come from a reservation", "remove one of the two")
		}
		if !given.single() {
			continue // Its reservations may be in several zones and of several types.
		}
		a.validateOneZone(p, given.key, given.id)
		if len(a.AlternativeInstanceTypes) > 0 {
			p.Add("eks.alternativeInstanceTypes", a.AlternativeInstanceTypes, fmt.Sprintf("none with %s, which has one instance type", given.key),
				"remove it, or one of the two")
		}
	}
	if pool == nil || a.CapacityBlock == "" {
		return
	}
	if a.CapacityReservation != "" {
		p.Add("eks.capacityBlock", a.CapacityBlock, "only without eks.capacityReservation", "keep the one that is yours: the ReservationType of "+
			"`aws ec2 describe-capacity-reservations` is capacity-block for a Capacity Block")
	}
	if family, _, _ := strings.Cut(pool.MachineType, "."); !slices.Contains(blockFamilies, family) {
		p.Add(providers.KeyGPUPool+providers.KeyMachineType, pool.MachineType, "the type of the Capacity Block; AWS sells blocks of the families "+strings.Join(blockFamilies, ", "),
			"set it to the InstanceType of `aws ec2 describe-capacity-reservations --capacity-reservation-ids "+a.CapacityBlock+"`")
	}
	if pool.MinNodes > 0 {
		p.Add(providers.KeyGPUPool+providers.KeyMinNodes, pool.MinNodes, "0 with eks.capacityBlock: a block has a start and an end, machines cannot start "+
			"outside of them, and EKS upgrades a group of a block only without nodes", "remove the key; the first replica asks for the first node")
	}
}

// validateOneZone adds a problem where the GPU pool is not in one zone, that of its reservation. checkOneZone does so for given
// subnets, whose zones are not known here.
func (a *Args) validateOneZone(p *providers.Problems, key, id string) {
	if a.createsVPC() && len(a.GPUPool.Zones) != 1 {
		p.Add(providers.KeyGPUPool+providers.KeyZones, a.GPUPool.Zones, fmt.Sprintf("one zone, that of %s %s", key, id),
			"set it to the AvailabilityZone of `aws ec2 describe-capacity-reservations --capacity-reservation-ids "+id+"`")
	}
}

// checkOneZone refuses GPU subnets in several zones for a reservation, which is in one.
func (a *Args) checkOneZone(zones []string) error {
	var p providers.Problems
	for _, given := range a.reservations() {
		if given.single() && len(zones) != 1 {
			p.Add("eks.gpuSubnetIds", nil, fmt.Sprintf("subnets in one zone, that of %s %s; these are in %s", given.key, given.id, strings.Join(zones, ", ")),
				"list the subnets in the AvailabilityZone of `aws ec2 describe-capacity-reservations --capacity-reservation-ids "+given.id+"`")
		}
	}
	return p.Err()
}
