package gke

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers"
)

var (
	namePattern     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,22}[a-z0-9]$`)
	existingPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,38}[a-z0-9]$`)
	projectPattern  = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	locationPattern = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+(-[a-z0-9]+)?$`)
	kmsKeyPattern   = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)
)

// minDiskGiB is the least disk that is taken: the operating system and the images of the smallest
// pool. minGPUDiskGiB adds the server's image and a model.
const (
	minDiskGiB    = 20
	minGPUDiskGiB = 60
)

// Validate reports everything that is wrong, as one error that joins one error for each problem.
// Each names the field, what was found and what is allowed. It looks at nothing but the arguments.
func (a *Args) Validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	filled := a.withDefaults()
	p := &problems{}
	filled.validateIdentity(p)
	if filled.Autopilot {
		p.add("Autopilot true is not supported: Autopilot denies what the pipeline needs (node-exporter's host paths, Services in kube-system, " +
			"GPU node pools of one's own); create a Standard cluster with Autopilot false")
	}
	if filled.Existing == "" {
		filled.validateNewCluster(p)
	}
	filled.validateGPU(p)
	return errors.Join(p.found...)
}

type problems struct{ found []error }

func (p *problems) add(format string, values ...any) {
	p.found = append(p.found, fmt.Errorf(format, values...))
}

func (p *problems) match(field, value string, pattern *regexp.Regexp, allowed string) {
	if !pattern.MatchString(value) {
		p.add("%s %q is not %s", field, value, allowed)
	}
}

func (p *problems) oneOf(field, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.add("%s %q not supported (one of: %s)", field, value, strings.Join(allowed, ", "))
	}
}

func (a *Args) validateIdentity(p *problems) {
	p.match("Name", a.Name, namePattern, "2 to 24 lower-case letters, digits and dashes that begin with a letter and do not end with a dash")
	p.match("Project", a.Project, projectPattern, "a project ID (6 to 30 lower-case letters, digits and dashes; `gcloud projects list` shows yours)")
	p.match("Location", a.Location, locationPattern, "a zone such as us-central1-a or a region such as us-central1")
	if a.Existing != "" {
		p.match("Existing", a.Existing, existingPattern, "a cluster's name (`gcloud container clusters list` shows yours)")
	}
	if a.DiskKMSKey != "" {
		p.match("DiskKMSKey", a.DiskKMSKey, kmsKeyPattern, "a key's path projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
}

func (a *Args) validateNewCluster(p *problems) {
	p.oneOf("ReleaseChannel", a.ReleaseChannel, ChannelRapid, ChannelRegular, ChannelStable)
	p.oneOf("AutoscalingProfile", a.AutoscalingProfile, ProfileOptimizeUtilization, ProfileBalanced)
	if len(a.AuthorizedCIDRs) == 0 {
		p.add("AuthorizedCIDRs is empty, so that nobody could reach the API server: list the addresses that may, " +
			"such as your own as 203.0.113.7/32 (0.0.0.0/0 opens it to everyone)")
	}
	for _, cidr := range a.AuthorizedCIDRs {
		p.cidr("AuthorizedCIDRs", cidr)
	}
	a.validateNetwork(p)
	a.validatePool(p, "SystemPool", a.SystemPool, 1, minDiskGiB)
	// The first nodes are one in each zone, before the autoscaler takes over.
	if zones := a.poolZones(a.SystemPool); a.SystemPool.MaxNodes < zones {
		p.add("SystemPool.MaxNodes %d is less than the %d zones that the pool spreads over, each of which starts with a node: allow %d nodes or set SystemPool.Zones",
			a.SystemPool.MaxNodes, zones, zones)
	}
}

func (a *Args) validateNetwork(p *problems) {
	n := a.Network
	ranges := map[string]netip.Prefix{}
	keep := func(field, cidr string) {
		if prefix, ok := p.cidr(field, cidr); ok {
			ranges[field] = prefix
		}
	}
	keep("Network.ControlPlaneCIDR", n.ControlPlaneCIDR)
	if prefix, ok := ranges["Network.ControlPlaneCIDR"]; ok && prefix.Bits() != 28 {
		p.add("Network.ControlPlaneCIDR %q is not a /28, the only size that GKE takes", n.ControlPlaneCIDR)
	}
	if n.creates() {
		for _, field := range []struct{ name, value string }{
			{"Subnetwork", n.Subnetwork}, {"PodsRange", n.PodsRange}, {"ServicesRange", n.ServicesRange},
		} {
			if field.value != "" {
				p.add("Network.%s %q belongs to an existing network: set Network.Name as well, or remove it", field.name, field.value)
			}
		}
		keep("Network.NodesCIDR", n.NodesCIDR)
		keep("Network.PodsCIDR", n.PodsCIDR)
		keep("Network.ServicesCIDR", n.ServicesCIDR)
	} else {
		if n.Subnetwork == "" {
			p.add("Network.Subnetwork must be set with Network.Name %q: the name of its subnetwork in %s", n.Name, a.Location)
		}
		if (n.PodsRange == "") != (n.ServicesRange == "") {
			p.add("Network.PodsRange %q and Network.ServicesRange %q go together: set both or neither", n.PodsRange, n.ServicesRange)
		}
		for _, field := range []struct{ name, value string }{
			{"NodesCIDR", n.NodesCIDR}, {"PodsCIDR", n.PodsCIDR}, {"ServicesCIDR", n.ServicesCIDR},
		} {
			if field.value != "" {
				p.add("Network.%s %q belongs to a network to create: remove it, or remove Network.Name", field.name, field.value)
			}
		}
	}
	fields := []string{"Network.ControlPlaneCIDR", "Network.NodesCIDR", "Network.PodsCIDR", "Network.ServicesCIDR"}
	for i, one := range fields {
		for _, other := range fields[i+1:] {
			first, ok1 := ranges[one]
			second, ok2 := ranges[other]
			if ok1 && ok2 && first.Overlaps(second) {
				p.add("%s %s overlaps %s %s: choose ranges that do not", one, first, other, second)
			}
		}
	}
}

func (p *problems) cidr(field, value string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil || !prefix.Addr().Is4() {
		p.add("%s %q is not an IPv4 range such as 10.0.0.0/20", field, value)
		return prefix, false
	}
	if prefix != prefix.Masked() {
		p.add("%s %q has bits outside its mask: write %s", field, value, prefix.Masked())
		return prefix, false
	}
	return prefix, true
}

func (a *Args) validatePool(p *problems, field string, pool providers.NodePool, leastNodes, leastDisk int) {
	if pool.MachineType == "" {
		p.add("%s.MachineType must be set, for example g2-standard-8", field)
	}
	if pool.MinNodes < leastNodes {
		p.add("%s.MinNodes %d is too few (at least %d)", field, pool.MinNodes, leastNodes)
	}
	if pool.MaxNodes < 1 || pool.MaxNodes < pool.MinNodes {
		p.add("%s.MaxNodes %d is too few (at least 1 and at least MinNodes, which is %d)", field, pool.MaxNodes, pool.MinNodes)
	}
	if pool.DiskGiB < leastDisk {
		p.add("%s.DiskGiB %d is too small (at least %d, for the operating system, the images and the model)", field, pool.DiskGiB, leastDisk)
	}
	if !locationPattern.MatchString(a.Location) {
		return // Zones cannot be judged without it.
	}
	for i, zone := range pool.Zones {
		switch {
		case !strings.HasPrefix(zone, a.region()+"-") || !locationPattern.MatchString(zone):
			p.add("%s.Zones: %q is not a zone of region %s, such as %s-a", field, zone, a.region(), a.region())
		case slices.Contains(pool.Zones[:i], zone):
			p.add("%s.Zones: %q is listed twice", field, zone)
		}
	}
}

func (a *Args) validateGPU(p *problems) {
	p.oneOf("GPUDriver", a.GPUDriver, DriverDefault, DriverLatest)
	if a.GPUsPerReplica < 1 {
		p.add("GPUsPerReplica %d is too few (at least 1)", a.GPUsPerReplica)
	}
	pool := a.GPUPool
	if pool == nil {
		if a.Existing == "" {
			p.add("GPUPool must be set for a cluster to create; only an existing cluster can bring GPU nodes of its own")
		}
		return
	}
	if a.ExistingAccelerator != "" {
		p.add("ExistingAccelerator %q chooses among GPU nodes that a cluster already has: remove it, or remove GPUPool", a.ExistingAccelerator)
	}
	a.validatePool(p, "GPUPool", pool.NodePool, 0, minGPUDiskGiB)
	if a.regional() && len(pool.Zones) == 0 {
		p.add("GPUPool.Zones must be set in the region %s, because not every zone has every GPU "+
			"(`gcloud compute accelerator-types list --filter=\"zone~%s\"` shows which do)", a.Location, a.Location)
	}
	if a.GPUsPerReplica > pool.GPUsPerNode {
		p.add("GPUsPerReplica %d is more than the %d of a node of GPUPool, so that no replica would ever run: choose a larger GPUPool.MachineType",
			a.GPUsPerReplica, pool.GPUsPerNode)
	}
	gpu, found := findAccelerator(pool.Accelerator)
	if !found {
		p.add("GPUPool.Accelerator %q not supported (one of: %s)", pool.Accelerator, acceleratorNames())
		return
	}
	if pool.MachineType == "" {
		return // Already said.
	}
	if gpu.counts != nil {
		if !strings.HasPrefix(pool.MachineType, "n1-") {
			p.add("GPUPool.MachineType %q cannot carry %s (one of: %s)", pool.MachineType, gpu.name, gpu.machineNames())
		}
		if !slices.Contains(gpu.counts, pool.GPUsPerNode) {
			p.add("GPUPool.GPUsPerNode %d is not a number of %s that a machine can carry (one of: %s)",
				pool.GPUsPerNode, gpu.name, strings.Trim(fmt.Sprint(gpu.counts), "[]"))
		}
		return
	}
	switch carries := gpu.carriedBy(pool.MachineType); {
	case carries == 0:
		p.add("GPUPool.MachineType %q does not carry %s (one of: %s)", pool.MachineType, gpu.name, gpu.machineNames())
	case carries != pool.GPUsPerNode:
		p.add("GPUPool.GPUsPerNode %d does not match %s, which carries %d: leave it out", pool.GPUsPerNode, pool.MachineType, carries)
	}
}
