package gke

import (
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// reservationKey is the label by which Compute Engine finds a reservation by its name
// (https://cloud.google.com/kubernetes-engine/docs/how-to/consuming-reservations).
const reservationKey = "compute.googleapis.com/reservation-name"

// reservationAffinity returns the affinity of the nodes of a pool to one reservation: they come from it, or not at all. It is nil
// without a reservation, which leaves the choice to GKE, and for a server's own pool, whose machines may be others.
func (a *Args) reservationAffinity(pool *providers.ServingPool) container.NodePoolNodeConfigReservationAffinityPtrInput {
	if a.Reservation == "" || pool.Own() {
		return nil
	}
	return container.NodePoolNodeConfigReservationAffinityArgs{
		ConsumeReservationType: pulumi.String("SPECIFIC_RESERVATION"),
		Key:                    pulumi.String(reservationKey),
		Values:                 pulumi.ToStringArray([]string{a.Reservation}),
	}
}

// validateReservation adds the problems of a reservation that the GPU pool cannot use.
func (a *Args) validateReservation(p *providers.Problems) {
	switch {
	case a.Reservation == "":
		return
	case a.GPUPool == nil:
		p.Add("gke.reservation", a.Reservation, "only with a GPU pool that is created", "remove it, or set "+providers.KeyCreateGPUPool+" to true")
		return
	case a.GPUPool.Spot:
		p.Add("gke.reservation", a.Reservation, "only without "+providers.KeyGPUPool+providers.KeySpot+": spot machines never come from a reservation",
			"remove one of the two")
	}
	if project, shared := strings.CutPrefix(a.Reservation, "projects/"); shared && strings.HasPrefix(project, a.Project+"/") {
		p.Add("gke.reservation", a.Reservation, "the name alone for a reservation of gke.project; the long form is for one that another project shares",
			"write "+a.Reservation[strings.LastIndex(a.Reservation, "/")+1:])
	}
}
