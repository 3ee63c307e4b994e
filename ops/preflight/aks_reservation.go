package preflight

import (
	"context"
	"fmt"
	"strings"
)

// aksReservation is an entry of the CLI's list of the reservations of a group.
type aksReservation struct {
	Name string `json:"name"`
	SKU  struct {
		Name     string `json:"name"`
		Capacity number `json:"capacity"`
	} `json:"sku"`
	Zones      []string   `json:"zones"`
	Associated []struct{} `json:"virtualMachinesAssociated"`
}

// reservations checks that the pools' capacity reservation groups are there, and have machines of the pool's size. AKS adds a pool to
// the cluster without the group where they have none.
func (a *aksPlan) reservations(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, pool := range a.pools {
		id := pool.text("capacityReservationGroupID")
		parts := strings.Split(id, "/")
		if len(parts) != 9 {
			continue
		}
		subscription, group, name := parts[2], parts[4], parts[8]
		asked := fmt.Sprintf("capacity reservation group %s in %s", name, group)
		var all []aksReservation
		err := c.read(ctx, &all, "capacity", "reservation", "list", "--capacity-reservation-group", name, "--resource-group", group,
			"--subscription", subscription, "--output", "json")
		if err != nil {
			checks = append(checks, exists(asked, err, "set aks.capacityReservationGroupId to an id of `az capacity reservation group list`"))
			continue
		}
		var total, used float64
		for _, r := range all {
			if strings.EqualFold(r.SKU.Name, pool.text("vmSize")) {
				total, used = total+float64(r.SKU.Capacity), used+float64(len(r.Associated))
			}
		}
		update := func(value int) string {
			return fmt.Sprintf("az capacity reservation update --capacity-reservation-group %s --resource-group %s --subscription %s --name RESERVATION --capacity %d, "+
				"or lower nodePools.gpu.maxNodes", name, group, subscription, value)
		}
		if total == 0 {
			checks = append(checks, failed(asked, "has no machines of "+pool.text("vmSize"), "reserve some, or set aks.capacityReservationGroupId to another group"))
			continue
		}
		first, most := pool.nodes()
		room := need{unit: "machines"}
		room.add(first, most, !pool.created())
		check := room.against(asked, total, used, update)
		if check.Outcome == Failed {
			// Azure takes further machines on demand, as far as there are any.
			check.Outcome = Warning
		}
		checks = append(checks, check)
	}
	return checks
}
