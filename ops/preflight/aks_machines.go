package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Names of quotas that are no machine family's.
const (
	aksAllCores  = "cores"            // Total Regional vCPUs.
	aksSpotCores = "lowPriorityCores" // Total Regional Spot vCPUs.
)

// vmSize is an entry of the CLI's list of machine sizes.
type vmSize struct {
	Name         string `json:"name"`
	Family       string `json:"family"`
	LocationInfo []struct {
		Location string   `json:"location"`
		Zones    []string `json:"zones"`
	} `json:"locationInfo"`
	Capabilities []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"capabilities"`
	Restrictions []struct {
		ReasonCode      string `json:"reasonCode"`
		Type            string `json:"type"`
		RestrictionInfo struct {
			Zones []string `json:"zones"`
		} `json:"restrictionInfo"`
	} `json:"restrictions"`
}

// vcpus returns the vCPUs that count in a quota.
func (s vmSize) vcpus() int {
	for _, capability := range s.Capabilities {
		if capability.Name == "vCPUs" {
			n, _ := strconv.Atoi(capability.Value)
			return n
		}
	}
	return 0
}

// zones returns the zones that the size can be used in.
func (s vmSize) zones() []string {
	var zones, closed []string
	for _, info := range s.LocationInfo {
		zones = append(zones, info.Zones...)
	}
	for _, restriction := range s.Restrictions {
		if restriction.Type == "Zone" {
			closed = append(closed, restriction.RestrictionInfo.Zones...)
		}
	}
	return unique(slices.DeleteFunc(zones, func(zone string) bool { return slices.Contains(closed, zone) }))
}

// closed returns why the subscription cannot use the size anywhere in the region; "" if it can.
func (s vmSize) closed() string {
	for _, restriction := range s.Restrictions {
		if restriction.Type == "Location" {
			return restriction.ReasonCode
		}
	}
	return ""
}

// find returns a machine size of the region; false if the region does not have it.
func (a *aksPlan) find(ctx context.Context, c *cli, location, name string) (vmSize, bool, error) {
	var sizes []vmSize
	// --all includes sizes that the subscription may not use, with the reason; --size matches parts of names.
	err := c.read(ctx, &sizes, a.az("vm", "list-skus", "--location", location, "--resource-type", "virtualMachines", "--size", name, "--all")...)
	i := slices.IndexFunc(sizes, func(s vmSize) bool { return strings.EqualFold(s.Name, name) })
	if err != nil || i < 0 {
		return vmSize{}, false, err
	}
	return sizes[i], true, nil
}

// sizes checks that region and zones have the pools' machine sizes.
func (a *aksPlan) sizes(ctx context.Context, c *cli) []Check {
	location, placeErr := a.place(ctx, c)
	var checks []Check
	for _, pool := range a.pools {
		name, zones := pool.text("vmSize"), knownList(pool.Resource, pool.at+"availabilityZones")
		asked := fmt.Sprintf("%s in %s", name, location)
		if len(zones) > 0 {
			asked += " zones " + strings.Join(zones, ", ")
		}
		size, ok, err := vmSize{}, false, placeErr
		if err == nil {
			size, ok, err = a.find(ctx, c, location, name)
		}
		without := slices.DeleteFunc(slices.Clone(zones), func(zone string) bool { return slices.Contains(size.zones(), zone) })
		list := fmt.Sprintf("az vm list-skus --location %s --size %s --all --output table", location, name)
		switch {
		case err != nil:
			checks = append(checks, unknown(asked, err))
		case !ok:
			checks = append(checks, failed(asked, "the region does not have it", "set the pool's machineType to another, or aks.location"))
		case size.closed() != "":
			checks = append(checks, failed(asked, "the subscription may not use it ("+size.closed()+")",
				"ask Azure's support for it, or set the pool's machineType or aks.location to another"))
		case len(without) > 0:
			checks = append(checks, failed(asked, "not in zones "+strings.Join(without, ", ")+"; "+orNone(size.zones())+" have it", "choose zones of `"+list+"`"))
		default:
			checks = append(checks, passed(asked, "offered"))
		}
	}
	return checks
}

// aksUsage is an entry of the CLI's list of usages.
type aksUsage struct {
	Name struct {
		Value     string `json:"value"`
		Localized string `json:"localizedValue"`
	} `json:"name"`
	Current number `json:"currentValue"`
	Limit   number `json:"limit"`
}

// quotas compares the pools' vCPUs with the quota of each machine family and with the region's.
func (a *aksPlan) quotas(ctx context.Context, c *cli) []Check {
	location, err := a.place(ctx, c)
	if err != nil {
		return []Check{unknown("vCPUs of the pools' machine sizes", err)}
	}
	needs := map[string]*need{}
	var order []string
	add := func(quota string, one, all int, grown bool) {
		if needs[quota] == nil {
			needs[quota] = &need{unit: "vCPUs"}
			order = append(order, quota)
		}
		needs[quota].add(one, all, grown)
	}
	for _, pool := range a.pools {
		if pool.text("capacityReservationGroupID") != "" {
			continue // The reservation has taken the quota already.
		}
		size, ok, err := a.find(ctx, c, location, pool.text("vmSize"))
		if err != nil {
			return []Check{unknown("vCPUs of the pools' machine sizes", err)}
		}
		if !ok || size.vcpus() == 0 {
			continue // The size is reported on its own.
		}
		first, most := pool.nodes()
		first, most = first*size.vcpus(), most*size.vcpus()
		if pool.text("scaleSetPriority") == "Spot" {
			add(aksSpotCores, first, most, !pool.created())
			continue
		}
		add(strings.ToLower(size.Family), first, most, !pool.created())
		add(aksAllCores, first, most, !pool.created())
	}
	if len(order) == 0 {
		return nil
	}
	var usages []aksUsage
	err = c.read(ctx, &usages, a.az("vm", "list-usage", "--location", location)...)
	var checks []Check
	for _, quota := range order {
		i := slices.IndexFunc(usages, func(u aksUsage) bool { return strings.EqualFold(u.Name.Value, quota) })
		switch {
		case err != nil:
			checks = append(checks, unknown(fmt.Sprintf("quota %s in %s", quota, location), err))
		case i < 0:
			checks = append(checks, unknown(fmt.Sprintf("quota %s in %s", quota, location), errors.New("`az vm list-usage` lists no such quota")))
		default:
			u := usages[i]
			asked := fmt.Sprintf("%s (%s) in %s", u.Name.Localized, u.Name.Value, location)
			checks = append(checks, needs[quota].against(asked, float64(u.Limit), float64(u.Current), a.raise(u.Name.Value, location)))
		}
	}
	return checks
}

// raise returns the command that asks for a higher quota. It needs the extension quota of the CLI.
func (a *aksPlan) raise(quota, location string) func(int) string {
	kind := "dedicated"
	if quota == aksSpotCores {
		kind = "lowPriority"
	}
	return func(value int) string {
		return fmt.Sprintf("az quota update --resource-name %s --resource-type %s --limit-object value=%d "+
			"--scope /subscriptions/%s/providers/Microsoft.Compute/locations/%s", quota, kind, value, a.subscription, location)
	}
}
