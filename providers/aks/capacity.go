package aks

import (
	"fmt"
	"regexp"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// reservationGroupForm matches the id of a capacity reservation group.
var reservationGroupForm = regexp.MustCompile(
	`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/capacityReservationGroups/[^/]+$`)

// onDemandPrice is Azure's value for spot machines that are never evicted for their price.
const onDemandPrice = -1

// spotPrice returns the highest price of a spot machine of a pool. aks.spotMaxPrice is that of the main pool: the machines of a
// server's own pool may cost more.
func (a *Args) spotPrice(pool *providers.ServingPool) float64 {
	if a.SpotMaxPrice == 0 || pool.Own() {
		return onDemandPrice
	}
	return a.SpotMaxPrice
}

// capacityDigest returns what of the capacity of a GPU pool Azure cannot change, for the digest in the pool's name; "" where the
// stack's file has none of it. A pool of zones could get another group in a preview of Azure's API only
// (https://learn.microsoft.com/azure/aks/use-capacity-reservation-groups).
func (a *Args) capacityDigest() string {
	if a.CapacityReservationGroupID == "" && a.SpotMaxPrice == 0 {
		return ""
	}
	return fmt.Sprint(strings.ToLower(a.CapacityReservationGroupID), a.SpotMaxPrice)
}

// reservationGroup returns the capacity reservation group that the nodes of a pool come from; nil for none, and for a server's own
// pool, whose machines may be others.
func (a *Args) reservationGroup(pool *providers.ServingPool) pulumi.StringPtrInput {
	if pool.Own() {
		return nil
	}
	return optional(a.CapacityReservationGroupID)
}

// validateCapacity adds the problems of a capacity reservation group or a spot price that the GPU pool cannot use.
func (a *Args) validateCapacity(p *providers.Problems) {
	pool := a.GPUPool
	if a.SpotMaxPrice != 0 && (pool == nil || !pool.Spot) {
		p.Add("aks.spotMaxPrice", a.SpotMaxPrice, "only with "+providers.KeyGPUPool+providers.KeySpot, "remove it, or set "+providers.KeyGPUPool+providers.KeySpot+" to true")
	}
	if a.CapacityReservationGroupID == "" {
		return
	}
	const key = "aks.capacityReservationGroupId"
	switch {
	case !reservationGroupForm.MatchString(a.CapacityReservationGroupID):
		p.Add(key, a.CapacityReservationGroupID, "a capacity reservation group's resource id "+
			"(/subscriptions/.../providers/Microsoft.Compute/capacityReservationGroups/<name>)",
			"`az capacity reservation group list --query [].id` shows yours")
	case pool == nil:
		p.Add(key, a.CapacityReservationGroupID, "only with a GPU pool that is created", "remove it, or set "+providers.KeyCreateGPUPool+" to true")
	case pool.Spot:
		p.Add(key, a.CapacityReservationGroupID, "only without "+providers.KeyGPUPool+providers.KeySpot+": spot machines never come from a reservation", "remove one of the two")
	case !a.Attaches() && a.UserAssignedIdentityID == "":
		p.Add("aks.userAssignedIdentityId", nil, "with "+key+" an identity of yours that has the role Contributor on the group's resource group: "+
			"AKS does not use a reservation with the cluster's own identity", "create one as docs/aks.md shows, and set the key to its id")
	}
}

// checkReservationIdentity adds what an existing cluster lacks to use a capacity reservation group.
func (a *Args) checkReservationIdentity(p *providers.Lacks, found *containerservice.LookupManagedClusterResult) {
	if a.CapacityReservationGroupID == "" || found.Identity != nil && strings.EqualFold(value(found.Identity.Type), "UserAssigned") {
		return
	}
	p.Add("its identity is not a user-assigned one, without which AKS does not use aks.capacityReservationGroupId: run `az aks update --resource-group %s "+
		"--name %s --enable-managed-identity --assign-identity IDENTITY` with an identity that has the role Contributor on the group's resource group",
		a.ResourceGroup, a.Existing)
}
