package preflight

import (
	"context"
	"fmt"
	"strings"
)

// reserved returns the reservation that a pool's machines come from, and its project; "" for none.
func (g *gkePlan) reserved(pool planned) (name, project string) {
	if known(pool.Resource, "nodeConfig.reservationAffinity.consumeReservationType") != "SPECIFIC_RESERVATION" {
		return "", ""
	}
	name, project = known(pool.Resource, "nodeConfig.reservationAffinity.values[0]"), g.project
	if path, shared := strings.CutPrefix(name, "projects/"); shared {
		project, name, _ = strings.Cut(path, "/reservations/")
	}
	return name, project
}

// ownReservation reports whether a pool's machines come from a reservation of the stack's project, which has taken their quota
// already. Machines from a reservation that another project shares take the quota of both.
func (g *gkePlan) ownReservation(pool planned) bool {
	name, project := g.reserved(pool)
	return name != "" && project == g.project
}

// gkeReservation is a reservation as gcloud describes it.
type gkeReservation struct {
	Status   string `json:"status"`
	Required bool   `json:"specificReservationRequired"`
	Specific struct {
		Count      number `json:"count"`
		InUse      number `json:"inUseCount"`
		Properties struct {
			MachineType string `json:"machineType"`
		} `json:"instanceProperties"`
	} `json:"specificReservation"`
}

// reservations checks that the pools' reservations are there in each zone, for the pool's machine type, and have room.
func (g *gkePlan) reservations(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, pool := range g.pools {
		name, project := g.reserved(pool)
		if name == "" {
			continue
		}
		machineType := known(pool.Resource, "nodeConfig.machineType")
		var total, used float64
		problems := len(checks)
		for _, zone := range g.zones(pool) {
			var found gkeReservation
			asked := fmt.Sprintf("reservation %s in %s", name, zone)
			// Project and format are last, as with every other command.
			err := c.read(ctx, &found, "compute", "reservations", "describe", name, "--zone", zone, "--project", project, "--format", "json")
			list := fmt.Sprintf("set gke.reservation or nodePools.gpu.zones to one of `gcloud compute reservations list --project %s`", project)
			switch {
			case err != nil:
				checks = append(checks, exists(asked, err, list))
			case found.Status != "" && found.Status != "READY":
				checks = append(checks, failed(asked, "is "+found.Status, "wait until `gcloud compute reservations describe` shows READY"))
			// Of a reservation that another project shares, the machine type may be left out.
			case found.Specific.Properties.MachineType != "" && found.Specific.Properties.MachineType != machineType:
				checks = append(checks, failed(asked, fmt.Sprintf("is for %s, the pool has %s", found.Specific.Properties.MachineType, machineType),
					"set nodePools.gpu.machineType to "+found.Specific.Properties.MachineType+", or "+list))
			case !found.Required:
				checks = append(checks, warning(asked, "is not a specific one: machines of others can use it up",
					"create it again with --require-specific-reservation"))
			}
			total, used = total+float64(found.Specific.Count), used+float64(found.Specific.InUse)
		}
		if len(checks) > problems || len(g.zones(pool)) == 0 {
			continue
		}
		first, most := gkeNodes(pool)
		room := need{unit: "machines"}
		room.add(first, most, !pool.created())
		zone := g.zones(pool)[0]
		checks = append(checks, room.against(fmt.Sprintf("reservation %s in %s", name, strings.Join(g.zones(pool), ", ")), total, used, func(value int) string {
			return fmt.Sprintf("gcloud compute reservations update %s --zone %s --project %s --vm-count %d, or lower nodePools.gpu.maxNodes",
				name, zone, project, value)
		}))
	}
	return checks
}
