package gke

import (
	"strings"

	"vllm-autoscaling/providers"
)

// Args describe a cluster to create, or one to attach to: the request and GKE's own keys. All of it is known when a
// preview starts.
type Args struct {
	providers.Request
	Keys
}

// argsOf returns the arguments of a request.
func argsOf(r *providers.Request) *Args {
	args := &Args{Request: *r}
	if keys, ok := r.CloudKeys.(*Keys); ok {
		args.Keys = *keys
	}
	return args
}

// createsNetwork reports whether the network is created here.
func (a *Args) createsNetwork() bool { return a.Network == "" }

// regional reports whether the location is a region.
func (a *Args) regional() bool { return strings.Count(a.Location, "-") == 1 }

// region returns the region of the location.
func (a *Args) region() string {
	if a.regional() {
		return a.Location
	}
	return a.Location[:strings.LastIndex(a.Location, "-")]
}

// poolZones returns how many zones a pool spreads over. A region gives a pool three unless told otherwise.
func (a *Args) poolZones(pool providers.NodePool) int {
	switch {
	case len(pool.Zones) > 0:
		return len(pool.Zones)
	case a.regional():
		return 3
	default:
		return 1
	}
}
