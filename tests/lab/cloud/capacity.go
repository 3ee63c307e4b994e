package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Reservation is a reservation of machines in the account.
type Reservation struct {
	// MachineType and Zone are those of its machines, Machines is how many it has.
	MachineType, Zone string
	Machines          int
	// Block reports whether it is a Capacity Block for ML of AWS.
	Block bool
}

// Reserve adds a reservation to the account, by its name on Google Cloud, its id on AWS, or the name of its group on Azure. Only the
// clouds' CLIs are asked for it; the doubles of the providers take any reservation of the right form.
func (c *Cloud) Reserve(name string, r Reservation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reservations == nil {
		c.reservations = map[string]Reservation{}
	}
	c.reservations[name] = r
}

// choice returns one of two texts.
func choice(yes bool, ifYes, ifNo string) string {
	if yes {
		return ifYes
	}
	return ifNo
}

// checkGKEReservation returns the reason why GKE refuses the reservation affinity of a node configuration.
func checkGKEReservation(config object) error {
	affinity := object(config.objectAt("reservationAffinity"))
	if affinity == nil {
		return nil
	}
	specific, named := affinity.text("consumeReservationType") == "SPECIFIC_RESERVATION", len(affinity.texts("values")) > 0
	switch {
	case specific && (affinity.text("key") != "compute.googleapis.com/reservation-name" || !named):
		return errors.New("googleapi: Error 400: SPECIFIC_RESERVATION needs the key compute.googleapis.com/reservation-name and the reservation's name as value")
	case !specific && (named || affinity.has("key")):
		return fmt.Errorf("googleapi: Error 400: reservation affinity %s takes neither key nor values", affinity.text("consumeReservationType"))
	case config.flag("spot") && affinity.text("consumeReservationType") != "NO_RESERVATION":
		return errors.New("googleapi: Error 400: spot VMs cannot consume reservations")
	}
	return nil
}

// validateReservation lists what the provider refuses of the reservation in a launch template.
func validateReservation(in object) []string {
	const specification = "capacityReservationSpecification."
	wrong := slices.Concat(oneOf(in, "instanceMarketOptions.marketType", "spot", "capacity-block"),
		oneOf(in, specification+"capacityReservationPreference", "open", "none", "capacity-reservations-only"))
	if in.has(specification+"capacityReservationPreference") && in.has(specification+"capacityReservationTarget") {
		wrong = append(wrong, "capacityReservationPreference conflicts with capacityReservationTarget")
	}
	if target := specification + "capacityReservationTarget."; in.has(target+"capacityReservationId") && in.has(target+"capacityReservationResourceGroupArn") {
		wrong = append(wrong, "capacityReservationId conflicts with capacityReservationResourceGroupArn")
	}
	return wrong
}

// blockForm begins the instance types of Capacity Blocks for ML.
var blockForm = []string{"p4d.", "p4de.", "p5.", "p5e.", "p5en.", "p6-b200.", "p6-b300.", "trn1.", "trn2."}

// checkNodeGroupCapacity returns the reason why EKS refuses the kind of capacity of a node group with its launch template
// (https://docs.aws.amazon.com/eks/latest/userguide/capacity-blocks-mng.html, launch-templates.html).
func (c *Cloud) checkNodeGroupCapacity(in object) error {
	template := object{}
	if found := c.find(AWSTemplate, "", in.text("launchTemplate.id")); found != nil {
		template = object(found.Inputs)
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("api error InvalidParameterException: "+format, args...)
	}
	const target = "capacityReservationSpecification.capacityReservationTarget."
	reserved := template.has(target+"capacityReservationId") || template.has(target+"capacityReservationResourceGroupArn")
	inTemplate, market := template.text("instanceType"), template.text("instanceMarketOptions.marketType")
	switch {
	case inTemplate != "" && len(in.texts("instanceTypes")) > 0:
		return refuse("You cannot specify instance types in both the launch template and the request")
	case in.text("capacityType") != "CAPACITY_BLOCK" && market != "":
		return refuse("Launch template must not have instance market options with the capacity type %s", orElse(in.text("capacityType"), "ON_DEMAND"))
	case in.text("capacityType") == "SPOT" && reserved:
		return refuse("Spot instances cannot target a capacity reservation")
	case in.text("capacityType") != "CAPACITY_BLOCK":
		return nil
	case market != "capacity-block":
		return refuse("Capacity type CAPACITY_BLOCK needs a launch template with the market type capacity-block")
	case !template.has(target + "capacityReservationId"):
		return refuse("Capacity type CAPACITY_BLOCK needs a launch template with a capacity reservation id")
	case !slices.ContainsFunc(blockForm, func(form string) bool { return strings.HasPrefix(inTemplate, form) }):
		return refuse("Capacity type CAPACITY_BLOCK needs a launch template with an instance type of Capacity Blocks, not %q", inTemplate)
	case len(c.zonesOfSubnets(in)) > 1:
		return refuse("Capacity type CAPACITY_BLOCK needs subnets in the zone of the reservation only, not in %s", strings.Join(c.zonesOfSubnets(in), ", "))
	}
	return nil
}

// zonesOfSubnets returns the zones of a node group, each once.
func (c *Cloud) zonesOfSubnets(in object) []string {
	var zones []string
	for _, id := range in.texts("subnetIds") {
		if subnet := c.find(AWSSubnet, "", id); subnet != nil {
			zones = append(zones, object(subnet.Inputs).text("availabilityZone"))
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// instanceTypeOf returns the first instance type of a node group: its own, or that of its launch template.
func (c *Cloud) instanceTypeOf(in object) string {
	if types := in.texts("instanceTypes"); len(types) > 0 {
		return types[0]
	}
	if template := c.find(AWSTemplate, "", in.text("launchTemplate.id")); template != nil {
		return orElse(object(template.Inputs).text("instanceType"), "t3.medium")
	}
	return "t3.medium"
}

// checkAKSCapacity returns the reason why AKS refuses the capacity of an agent pool
// (https://learn.microsoft.com/azure/aks/use-capacity-reservation-groups, spot-node-pool).
func checkAKSCapacity(cluster *Resource, in object) error {
	spot := in.text("scaleSetPriority") == "Spot"
	if price := in.at("spotMaxPrice"); price != nil && !spot {
		return azureError("InvalidParameter", "spotMaxPrice can only be set for pools of priority Spot")
	}
	group := in.text("capacityReservationGroupID")
	switch {
	case group == "":
		return nil
	case !strings.Contains(strings.ToLower(group), "/providers/microsoft.compute/capacityreservationgroups/"):
		return azureError("InvalidParameter", fmt.Sprintf("capacityReservationGroupID %q is not the id of a capacity reservation group", group))
	case spot:
		return azureError("InvalidParameter", "Pools of priority Spot cannot be associated with a capacity reservation group")
	case object(cluster.Inputs).text("identity.type") != "UserAssigned":
		return azureError("InvalidParameter", "A capacity reservation group needs a cluster with a user-assigned identity")
	}
	return nil
}
