package preflight

import (
	"context"
	"fmt"
	"slices"

	"vllm-autoscaling/ops/preview/plan"
	amazon "vllm-autoscaling/providers/eks"
)

// Values of a Capacity Reservation.
const (
	eksBlock     = "capacity-block"
	eksActive    = "active"
	eksScheduled = "scheduled"
)

// eksReservation is a Capacity Reservation, or a Capacity Block for ML, as the CLI describes it.
type eksReservation struct {
	State     string `json:"State"`
	Type      string `json:"ReservationType"`
	Machine   string `json:"InstanceType"`
	Zone      string `json:"AvailabilityZone"`
	Total     number `json:"TotalInstanceCount"`
	Available number `json:"AvailableInstanceCount"`
	Start     string `json:"StartDate"`
	End       string `json:"EndDate"`
}

// templateOf returns the launch template of a pool's node group; one without inputs if it is not in the plan.
func (e *eksPlan) templateOf(pool planned) plan.Resource {
	i := slices.IndexFunc(e.templates, func(template plan.Resource) bool {
		return amazon.IsTemplateOf(template.Name, pool.Name, known(pool.Resource, `tags["`+amazon.PoolTag+`"]`))
	})
	if i < 0 {
		return plan.Resource{}
	}
	return e.templates[i]
}

// reserved returns the id of the Capacity Reservation that a pool's machines come from; "" for none, and for a group of several.
func (e *eksPlan) reserved(pool planned) string {
	return known(e.templateOf(pool), "capacityReservationSpecification.capacityReservationTarget.capacityReservationId")
}

// fromReservation reports whether a pool's machines come from a reservation, or a group of them, which has taken their quota already. A
// Capacity Block takes none.
func (e *eksPlan) fromReservation(pool planned) bool {
	return e.templateOf(pool).Has("capacityReservationSpecification.capacityReservationTarget")
}

// machineTypes returns the instance types of a pool. Those of a Capacity Block are in its launch template.
func (e *eksPlan) machineTypes(pool planned) []string {
	if types := knownList(pool.Resource, "instanceTypes"); len(types) > 0 {
		return types
	}
	return unique([]string{known(e.templateOf(pool), "instanceType")})
}

// reservations checks that the pools' reservations are there, for the pool's instance type and zone, and have room.
func (e *eksPlan) reservations(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, pool := range e.pools {
		id := e.reserved(pool)
		if id == "" {
			continue
		}
		asked := fmt.Sprintf("reservation %s in %s", id, e.region)
		zones, err := e.zonesOf(ctx, c, pool)
		if err != nil {
			checks = append(checks, unknown(asked, err))
			continue
		}
		var answer struct {
			Reservations []eksReservation `json:"CapacityReservations"`
		}
		err = c.read(ctx, &answer, e.aws("ec2", "describe-capacity-reservations", "--capacity-reservation-ids", id)...)
		if err != nil || len(answer.Reservations) == 0 {
			checks = append(checks, exists(asked, err, fmt.Sprintf("set eks.capacityReservation or eks.capacityBlock to one of "+
				"`aws ec2 describe-capacity-reservations --region %s`", e.region)))
			continue
		}
		checks = append(checks, e.reservation(pool, asked, zones, answer.Reservations[0]))
	}
	return checks
}

// reservation compares a pool with the reservation that its machines come from.
func (e *eksPlan) reservation(pool planned, asked string, zones []string, found eksReservation) Check {
	block := pool.Text("capacityType") == "CAPACITY_BLOCK"
	first, most := min(max(1, count(pool.Resource, "scalingConfig.minSize")), max(1, count(pool.Resource, "scalingConfig.maxSize"))),
		count(pool.Resource, "scalingConfig.maxSize")
	switch {
	case block != (found.Type == eksBlock):
		return failed(asked, "its type is "+found.Type, "name a Capacity Block in eks.capacityBlock, and any other reservation in eks.capacityReservation")
	case !slices.Contains(e.machineTypes(pool), found.Machine):
		return failed(asked, "is for "+found.Machine, "set nodePools.gpu.machineType to "+found.Machine)
	case len(zones) > 0 && !slices.Contains(zones, found.Zone):
		return failed(asked, "is in "+found.Zone, "set nodePools.gpu.zones, or eks.gpuSubnetIds, to that zone")
	case found.State == eksScheduled && block:
		return warning(asked, fmt.Sprintf("begins at %s: no replica starts before", found.Start), "update at that time, or set vllm.readyTimeout to 0s")
	case found.State != eksActive:
		return failed(asked, "is "+found.State, "name an active one")
	case block && most > int(found.Total):
		return warning(asked, fmt.Sprintf("has %s machines and ends at %s: the pool's maximum is %d", amount(float64(found.Total)), found.End, most),
			fmt.Sprintf("set nodePools.gpu.maxNodes to %s", amount(float64(found.Total))))
	}
	room := need{unit: "machines"}
	room.add(first, most, !pool.created())
	return room.against(asked, float64(found.Total), float64(found.Total-found.Available), func(value int) string {
		return fmt.Sprintf("aws ec2 modify-capacity-reservation --region %s --capacity-reservation-id %s --instance-count %d, or lower nodePools.gpu.maxNodes",
			e.region, e.reserved(pool), value)
	})
}
