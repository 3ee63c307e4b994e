package gke

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/providers"
)

// maxName leaves room for what the nodes' service account adds to the name.
const maxName = 24

var (
	namePattern     = regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9]$`)
	existingPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,38}[a-z0-9]$`)
	// zonePattern matches a region, too: its last part is optional.
	zonePattern = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+(-[a-z0-9]+)?$`)
)

var (
	// systemBounds leave room for the operating system and the images of the smallest pool.
	systemBounds = providers.Bounds{MinNodes: 1, MinDiskGiB: 20}
	// gpuBounds leave room for the server's image and a model.
	gpuBounds = providers.Bounds{MinDiskGiB: 60}
)

// Validate returns everything that is wrong between keys, and of single keys what their tags leave open. Its only source are
// the arguments.
func (a *Args) Validate() providers.Problems {
	c := a.withDefaults()
	var p providers.Problems
	c.validateNames(&p)
	if !c.Attaches() {
		c.validateNewCluster(&p)
	}
	c.validateGPU(&p)
	return p
}

// validName reports whether a cluster, a network and the service account of the nodes can be named after a name.
func validName(name string) bool { return len(name) <= maxName && namePattern.MatchString(name) }

func (a *Args) validateNames(p *providers.Problems) {
	if !validName(a.Name) {
		p.Add(providers.KeyName, a.Name, "2 to 24 lower-case letters, digits and dashes that begin with a letter and do not end with a dash: "+
			"the name of the nodes' service account is made of it", "")
	}
	if a.Attaches() && !existingPattern.MatchString(a.Existing) {
		p.Add(providers.KeyExisting, a.Existing, "a cluster's name", "`gcloud container clusters list` shows yours")
	}
	p.Missing("gke.project", a.Project, "a project ID", "set it; `gcloud projects list` shows yours (docs/gke.md)")
	p.Missing("gke.location", a.Location, "a zone such as us-central1-a or a region such as us-central1", "set it (docs/gke.md)")
}

func (a *Args) validateNewCluster(p *providers.Problems) {
	a.CheckAccess(p)
	if a.APIAccessCIDRs != nil && len(a.APIAccessCIDRs) == 0 {
		p.Add(providers.KeyAPIAccessCIDRs, nil, "at least one network; with an empty list nobody could reach the API server",
			"list the networks that may, your own address among them as <address>/32 (0.0.0.0/0 opens it to everyone)")
	}
	a.validateNetwork(p)
	a.validateMaintenance(p)
	a.validateLabels(p)
	p.Missing(providers.KeySystemPool+providers.KeyMachineType, a.SystemPool.MachineType, "a machine type such as e2-standard-4", "set it")
	a.validatePool(p, providers.KeySystemPool, a.SystemPool, systemBounds)
	// The first nodes are one in each zone, before the autoscaler takes over.
	if zones := a.poolZones(a.SystemPool); a.SystemPool.MaxNodes < zones {
		p.Add(providers.KeySystemPool+providers.KeyMaxNodes, a.SystemPool.MaxNodes,
			fmt.Sprintf("at least %d, the zones that the pool spreads over, each of which starts with a node", zones),
			fmt.Sprintf("allow %d nodes, or set %s%s", zones, providers.KeySystemPool, providers.KeyZones))
	}
}

// setting is a key with its value.
type setting struct{ key, value string }

func (a *Args) validateNetwork(p *providers.Problems) {
	ranges := []setting{{"gke.controlPlaneCidr", a.ControlPlaneCIDR}}
	created := []setting{{"gke.nodesCidr", a.NodesCIDR}, {"gke.podsCidr", a.PodsCIDR}, {"gke.servicesCidr", a.ServicesCIDR}}
	if a.createsNetwork() {
		for _, s := range []setting{{"gke.subnetwork", a.Subnetwork}, {"gke.podsRange", a.PodsRange}, {"gke.servicesRange", a.ServicesRange}} {
			if s.value != "" {
				p.Add(s.key, s.value, "only with gke.network: it belongs to an existing network", "set gke.network as well, or remove the key")
			}
		}
		ranges = append(ranges, created...)
	} else {
		p.Missing("gke.subnetwork", a.Subnetwork, fmt.Sprintf("the name of a subnetwork of gke.network %q in %s", a.Network, a.Location),
			"set it, or remove gke.network")
		if (a.PodsRange == "") != (a.ServicesRange == "") {
			p.Add("gke.podsRange", a.PodsRange, fmt.Sprintf("together with gke.servicesRange (%q)", a.ServicesRange), "set both or neither")
		}
		for _, s := range created {
			if s.value != "" {
				p.Add(s.key, s.value, "only without gke.network: it is a range of a network to create", "remove it, or remove gke.network")
			}
		}
	}
	a.validateRanges(p, ranges)
}

// validateRanges adds the problems of what is no network, and of those that overlap.
func (a *Args) validateRanges(p *providers.Problems, ranges []setting) {
	read := map[string]netip.Prefix{}
	for i, s := range ranges {
		prefix, ok := p.Network(s.key, s.value)
		if !ok {
			continue
		}
		for _, earlier := range ranges[:i] {
			if other, ok := read[earlier.key]; ok && other.Overlaps(prefix) {
				p.Add(s.key, s.value, fmt.Sprintf("a range that does not overlap %s (%s)", earlier.key, earlier.value), "choose ranges that do not overlap")
			}
		}
		read[s.key] = prefix
	}
}

func (a *Args) validatePool(p *providers.Problems, key string, pool providers.NodePool, bounds providers.Bounds) {
	if hasPrefix(pool.MachineType, armFamilies) {
		p.Add(key+providers.KeyMachineType, pool.MachineType, "an x86_64 machine: this one is an ARM machine, for which the images are not", "")
	}
	bounds.Check(p, key, pool)
	if !zonePattern.MatchString(a.Location) {
		return // Zones cannot be judged without it.
	}
	for i, zone := range pool.Zones {
		if !strings.HasPrefix(zone, a.region()+"-") || !zonePattern.MatchString(zone) {
			p.Add(providers.Item(key+providers.KeyZones, i), zone, fmt.Sprintf("a zone of region %s, such as %s-a", a.region(), a.region()), "")
		}
	}
	p.Duplicates(key+providers.KeyZones, pool.Zones)
}

// validateGPU checks the GPU pools, the main one and those of single servers.
func (a *Args) validateGPU(p *providers.Problems) {
	a.RequireGPUPool(p)
	a.CheckOwnPools(p)
	if a.GPUPool != nil && a.ExistingAccelerator != "" {
		p.Add("gke.existingAccelerator", a.ExistingAccelerator,
			"only with "+providers.KeyCreateGPUPool+" false: it chooses among GPU nodes that a cluster already has",
			"remove it, or set "+providers.KeyCreateGPUPool+" to false")
	}
	for _, pool := range a.GPUPools() {
		a.validateGPUPool(p, pool)
	}
}

func (a *Args) validateGPUPool(p *providers.Problems, pool *providers.ServingPool) {
	// Of a GPU that GKE does not have, the name is the problem.
	if _, offers := findAccelerator(pool.Accelerator); offers || pool.Accelerator == "" {
		p.Missing(pool.PoolKey(providers.KeyMachineType), pool.MachineType, "a machine type such as g2-standard-8", "set it")
	}
	a.validatePool(p, pool.PoolKey(""), pool.NodePool, gpuBounds)
	if zonePattern.MatchString(a.Location) && a.regional() && len(pool.Zones) == 0 {
		p.Add(pool.PoolKey(providers.KeyZones), nil, fmt.Sprintf("zones of the region %s that have the GPU, because not every zone has every GPU", a.Location),
			fmt.Sprintf("set it; `gcloud compute accelerator-types list --filter=\"zone~%s\"` shows which do", a.Location))
	}
	pool.CheckGPUs(p)
	validateAccelerator(p, &pool.GPUPool)
	a.validateMachine(p, pool)
}

// validateMachine adds the problems of a machine type that cannot be had as requested, or not with the disk.
func (a *Args) validateMachine(p *providers.Problems, pool *providers.ServingPool) {
	if otherwise, ok := notOnDemand[pool.MachineType]; ok && !pool.Spot {
		p.Add(pool.PoolKey(providers.KeyMachineType), pool.MachineType,
			"a machine type that Google offers on demand; this one is sold as spot machines or by reservation, and reservations are not supported here",
			"set "+pool.PoolKey(providers.KeySpot)+" to true, or choose "+otherwise)
	}
	if disk := a.gpuDiskType(pool); !startsFrom(pool.MachineType, disk) {
		p.Add("gke.gpuDiskType", disk, "a disk type that "+pool.MachineType+" can start from", "remove the key to get "+diskTypeOf(pool.MachineType))
	}
}

// labelPattern matches keys, labelValuePattern values of Google Cloud's labels.
var (
	labelPattern      = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelValuePattern = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
)

func (a *Args) validateLabels(p *providers.Problems) {
	for _, name := range slices.Sorted(maps.Keys(a.ResourceLabels)) {
		if value := a.ResourceLabels[name]; !labelPattern.MatchString(name) || !labelValuePattern.MatchString(value) {
			p.Add("gke.resourceLabels."+name, value, "a label of Google Cloud: at most 63 lower-case letters, digits, dashes and underscores, "+
				"and a name that begins with a letter", "")
		}
	}
}

// validateAccelerator adds the problems of accelerator, machine type and number of GPUs that do not fit each other.
func validateAccelerator(p *providers.Problems, pool *providers.GPUPool) {
	gpu, offers := findAccelerator(pool.Accelerator)
	machine, known := machines.Find(pool.MachineType)
	attached := !known && !gpuFamily.MatchString(pool.MachineType)
	switch {
	case partOfGPUForm.MatchString(pool.MachineType):
		p.PartOfGPU(pool.PoolKey(providers.KeyMachineType), pool.MachineType, "g4-standard-48")
	case pool.MachineType == "" && (offers || pool.Accelerator == ""): // A problem already.
	case offers && !known && gpu.name != pool.Accelerator:
		p.Add(pool.PoolKey(providers.KeyAccelerator), pool.Accelerator, gpu.name+", the name that this GPU has on every cloud", "use that name")
	case offers && gpu.counts != nil:
		gpu.validateAttached(p, pool)
	case offers && (known || attached):
		switch carries := gpu.carriedBy(pool.MachineType); {
		case carries == 0:
			p.Add(pool.PoolKey(providers.KeyMachineType), pool.MachineType, fmt.Sprintf("one that carries %s (one of: %s)", gpu.name, gpu.machineNames()), "")
		case carries != pool.GPUsPerNode:
			p.Add(pool.PoolKey(providers.KeyGPUsPerNode), pool.GPUsPerNode, fmt.Sprintf("%d, what %s carries", carries, pool.MachineType), "remove the key")
		}
	case !offers && (known || attached && pool.Accelerator != ""):
		p.Add(pool.PoolKey(providers.KeyAccelerator), pool.Accelerator, providers.OneOf(acceleratorNames()), "")
	default:
		pool.CheckMachine(p, machine, known)
	}
}

// validateAttached adds the problems of an accelerator that is attached to an N1 machine.
func (g accelerator) validateAttached(p *providers.Problems, pool *providers.GPUPool) {
	if !strings.HasPrefix(pool.MachineType, "n1-") {
		p.Add(pool.PoolKey(providers.KeyMachineType), pool.MachineType, fmt.Sprintf("one that can carry %s: %s", g.name, g.machineNames()), "")
	}
	if !slices.Contains(g.counts, pool.GPUsPerNode) {
		p.Add(pool.PoolKey(providers.KeyGPUsPerNode), pool.GPUsPerNode,
			fmt.Sprintf("a number of %s that a machine can carry (one of: %s)", g.name, strings.Trim(fmt.Sprint(g.counts), "[]")), "")
	}
}
