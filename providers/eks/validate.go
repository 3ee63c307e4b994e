package eks

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

var (
	clusterNameForm  = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]*$`)
	instanceTypeForm = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	// armForm matches Graviton families, such as m7g and g5g: a g right after the generation; and Grace, such as p6e-gb200.
	armForm = regexp.MustCompile(`^[a-z]+[0-9]+(g|[a-z]*-gb)`)
)

// addonNames are the EKS add-ons of a created cluster.
var addonNames = []string{addonCNI, addonKubeProxy, addonPodIdentity, addonCoreDNS, addonEBS}

// maxName is EKS' limit on the name of a cluster, in characters.
const maxName = 100

// maxNodes is EKS' limit on nodes in one managed node group, maxDiskGiB gp3's on a volume.
const maxNodes, maxDiskGiB = 450, 16384

// maxSecurityGroups is EC2's default limit on the security groups of a network interface, 5, without the cluster's own.
const maxSecurityGroups = 4

var (
	// systemBounds have EKS' own default as smallest disk.
	systemBounds = providers.Bounds{MinNodes: 1, MaxNodes: maxNodes, MinDiskGiB: 20, MaxDiskGiB: maxDiskGiB}
	// gpuBounds leave room for the vLLM image, which alone overflows EKS' default of 20 GiB, and a small model.
	gpuBounds = providers.Bounds{MaxNodes: maxNodes, MinDiskGiB: 50, MaxDiskGiB: maxDiskGiB}
)

// Validate returns everything that is wrong between keys, and of single keys what their tags leave open. Its only source are
// the arguments.
func (a *Args) Validate() providers.Problems {
	c := a.withDefaults()
	var p providers.Problems
	c.validateAccount(&p)
	c.validateName(&p)
	c.validateNetwork(&p)
	if !c.Attaches() {
		c.validateControlPlane(&p)
		c.validateSystemPool(&p)
	}
	c.validateGPUPools(&p)
	return p
}

func (a *Args) validateAccount(p *providers.Problems) {
	p.Missing("eks.region", a.Region, "an AWS region such as eu-central-1", "set it (docs/eks.md)")
	if strings.HasPrefix(a.Region, "cn-") {
		p.Add("eks.region", a.Region, "a region outside China, where service principals and endpoints differ", "")
	}
	// Its default is there unless the empty text was given.
	p.Missing("eks.amiType", a.AMIType, providers.OneOf([]string{AL2023, Bottlerocket}), "remove the key to get its default")
	if name, ok := a.Tags["Name"]; ok {
		p.Add("eks.tags", "Name: "+name, "any key but Name, which would give every resource the same name", "use another key")
	}
}

// validName reports whether EKS accepts the name of a cluster. Nothing else has a name made of it but the log group, which may
// be longer.
func validName(name string) bool { return len(name) <= maxName && clusterNameForm.MatchString(name) }

func (a *Args) validateName(p *providers.Problems) {
	a.RefuseNameOfExisting(p)
	key := providers.KeyName
	if a.Attaches() {
		key = providers.KeyExisting
	}
	if !validName(a.ClusterName()) {
		p.Add(key, a.ClusterName(), "an EKS cluster's name: 1 to 100 letters, digits, - and _, a letter or digit first", "")
	}
}

func (a *Args) validateNetwork(p *providers.Problems) {
	p.Duplicates("eks.subnetIds", a.SubnetIDs)
	if !a.createsVPC() {
		if !a.Attaches() && len(a.SubnetIDs) < 2 {
			p.Add("eks.subnetIds", a.SubnetIDs, "at least two subnets, in different zones", "")
		}
		for _, given := range []struct {
			key   string
			value any
			set   bool
		}{
			{"eks.vpcCidr", a.VPCCIDR, a.VPCCIDR != ""}, {"eks.zones", a.Zones, len(a.Zones) > 0}, {"eks.natPerZone", a.NATPerZone, a.NATPerZone},
		} {
			if given.set {
				p.Add(given.key, given.value, "only for a VPC that is created", "remove it, or eks.subnetIds and "+providers.KeyExisting)
			}
		}
		return
	}
	if len(a.Zones) < 2 || len(a.Zones) > maxZones {
		p.Add("eks.zones", a.Zones, fmt.Sprintf("2 to %d zones, such as %sa and %sb", maxZones, a.Region, a.Region), "list them, or set eks.subnetIds (docs/eks.md)")
	}
	for i, zone := range a.Zones {
		if a.Region == "" {
			break // Zones cannot be judged without it.
		}
		if suffix, found := strings.CutPrefix(zone, a.Region); !found || len(suffix) != 1 {
			p.Add(providers.Item("eks.zones", i), zone, fmt.Sprintf("a zone of region %s, such as %sa", a.Region, a.Region), "")
		}
	}
	p.Duplicates("eks.zones", a.Zones)
	p.Network("eks.vpcCidr", a.VPCCIDR)
}

// validateControlPlane checks what only a cluster to create has.
func (a *Args) validateControlPlane(p *providers.Problems) {
	a.CheckAccess(p)
	if a.createsVPC() && a.APIAccessCIDRs != nil && len(a.APIAccessCIDRs) == 0 {
		p.Add(providers.KeyAPIAccessCIDRs, nil, "at least one network where the VPC is created: with an empty list only the inside of the VPC "+
			"reaches the API server, and nothing is there to install what runs in the cluster",
			"list the networks that may, yours among them; or set eks.subnetIds to subnets from whose VPC you run Pulumi")
	}
	a.validateRelease(p, "eks.systemReleaseVersion", a.SystemReleaseVersion)
	for _, name := range slices.Sorted(maps.Keys(a.AddonVersions)) {
		if !slices.Contains(addonNames, name) {
			p.Add("eks.addonVersions", name, "add-ons that are installed here: "+strings.Join(addonNames, ", "), "remove it")
		}
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		key        string
		principals []string
	}{{"eks.admins", a.Admins}, {"eks.viewers", a.Viewers}} {
		for i, arn := range list.principals {
			switch {
			case arn == a.RoleARN:
				p.Add(providers.Item(list.key, i), arn, "others than eks.roleArn, which creates the cluster and is an administrator already", "remove it")
			case seen[arn]:
				p.Add(providers.Item(list.key, i), arn, "each principal once; this one is listed twice in eks.admins and eks.viewers", "remove it")
			}
			seen[arn] = true
		}
	}
}

// validateRelease refuses a release of Amazon Linux for another Kubernetes version than the cluster's.
func (a *Args) validateRelease(p *providers.Problems, key, release string) {
	if release != "" && a.KubernetesVersion != "" && !strings.HasPrefix(release, a.KubernetesVersion+".") {
		p.Add(key, release, fmt.Sprintf("a release for %s %s: it begins with that version", providers.KeyKubernetesVersion, a.KubernetesVersion),
			"change the two together, or remove it to get the newest release of the version")
	}
}

func (a *Args) validateSystemPool(p *providers.Problems) {
	pool := a.SystemPool
	a.validatePool(p, providers.KeySystemPool, pool, systemBounds)
	if a.createsVPC() && len(a.Zones) <= maxZones {
		validateSystemZones(p, pool, a.systemZones())
	}
	if known, ok := machines.Find(pool.MachineType); ok {
		p.Add(providers.KeySystemPool+providers.KeyMachineType, pool.MachineType,
			fmt.Sprintf("one without GPUs; this one carries %d %s, which nothing there would use", known.GPUs, known.Accelerator),
			"for example "+defaultSystemPool.MachineType)
	}
}

// validateSystemZones refuses a pool without a node in each of its zones: the volume of Prometheus is in one of them, and
// cluster-autoscaler plans with the first zone of a group only, so a node of another would not be replaced where it is needed.
func validateSystemZones(p *providers.Problems, pool providers.NodePool, zones []string) {
	if pool.MinNodes < len(zones) {
		p.Add(providers.KeySystemPool+providers.KeyMinNodes, pool.MinNodes,
			fmt.Sprintf("at least %d, a node in each zone (%s): the volume of Prometheus cannot leave its zone", len(zones), strings.Join(zones, ", ")),
			fmt.Sprintf("raise it; or, for a cluster that is not created yet, set %s%s to fewer zones", providers.KeySystemPool, providers.KeyZones))
	}
}

// validatePool checks what both pools have.
func (a *Args) validatePool(p *providers.Problems, key string, pool providers.NodePool, bounds providers.Bounds) {
	validateInstanceType(p, key+providers.KeyMachineType, pool.MachineType)
	bounds.Check(p, key, pool)
	if len(pool.Zones) > 0 && !a.createsVPC() {
		p.Add(key+providers.KeyZones, pool.Zones, "none with given subnets, to which zones cannot be matched", "give only subnets of these zones")
		return
	}
	for i, zone := range pool.Zones {
		if !slices.Contains(a.Zones, zone) {
			p.Add(providers.Item(key+providers.KeyZones, i), zone, "zones of eks.zones ("+providers.OneOf(a.Zones)+")", "")
		}
	}
}

func validateInstanceType(p *providers.Problems, key, name string) {
	switch {
	case !instanceTypeForm.MatchString(name):
		p.Add(key, name, "an EC2 instance type such as "+defaultGPUType, "")
	case armForm.MatchString(name):
		p.Add(key, name, "an x86_64 machine: this one is an ARM machine, for which the nodes' images are not", "")
	}
}

// validateGPUPools checks the GPU pools, the main one and those of single servers, and the keys that all of them share.
func (a *Args) validateGPUPools(p *providers.Problems) {
	a.RequireGPUPool(p)
	a.CheckOwnPools(p)
	a.validateCapacity(p)
	a.validateNodeSettings(p)
	if !a.CreatesGPUPools() {
		return
	}
	if a.IdleTime%time.Second != 0 {
		p.Add("eks.idleTime", a.IdleTime, "whole seconds", "")
	}
	if a.AMIType == AL2023 {
		a.validateRelease(p, "eks.releaseVersion", a.ReleaseVersion)
	}
	p.Duplicates("eks.nodeSecurityGroupIds", a.NodeSecurityGroupIDs)
	if len(a.NodeSecurityGroupIDs) > maxSecurityGroups {
		p.Add("eks.nodeSecurityGroupIds", a.NodeSecurityGroupIDs, fmt.Sprintf("at most %d, beside the cluster's own", maxSecurityGroups), "")
	}
	p.Duplicates("eks.gpuSubnetIds", a.GPUSubnetIDs)
	if len(a.GPUSubnetIDs) > 0 && a.createsVPC() {
		p.Add("eks.gpuSubnetIds", a.GPUSubnetIDs, "none in a VPC that is yet to be created", "use "+providers.KeyGPUPool+providers.KeyZones)
	}
	for _, pool := range a.GPUPools() {
		a.validateGPUPool(p, pool)
	}
}

func (a *Args) validateGPUPool(p *providers.Problems, pool *providers.ServingPool) {
	a.validatePool(p, pool.PoolKey(""), pool.NodePool, gpuBounds)
	a.validateGPUMachine(p, pool)
	if !pool.Own() {
		a.validateAlternatives(p, pool.MachineType)
	}
	pool.CheckGPUs(p)
}

// validateAlternatives checks the machine types that nodes of the main pool may have beside the first one.
func (a *Args) validateAlternatives(p *providers.Problems, first string) {
	for i, alternative := range a.AlternativeInstanceTypes {
		key := providers.Item("eks.alternativeInstanceTypes", i)
		validateAlternative(p, key, first, alternative)
		if alternative == first || slices.Contains(a.AlternativeInstanceTypes[:i], alternative) {
			p.Add(key, alternative, "each type once; this one is listed twice, here or as "+providers.KeyGPUPool+providers.KeyMachineType, "remove it")
		}
	}
}

// validateGPUs refuses instance types that carry a part of a GPU or GPUs of AMD, and reports whether a type is neither.
func validateGPUs(p *providers.Problems, key, name string) bool {
	switch {
	case partOfGPUForm.MatchString(name):
		p.PartOfGPU(key, name, machines, defaultGPUType)
	case amdForm.MatchString(name):
		p.OtherGPU(key, name, defaultGPUType)
	default:
		return true
	}
	return false
}

// validateGPUMachine checks what the instance type of a GPU pool carries, and that the nodes' image has a driver for it.
func (a *Args) validateGPUMachine(p *providers.Problems, pool *providers.ServingPool) {
	if validateGPUs(p, pool.PoolKey(providers.KeyMachineType), pool.MachineType) {
		known, ok := machines.Find(pool.MachineType)
		pool.CheckMachine(p, known, ok)
	}
	_, date, dated := strings.Cut(a.ReleaseVersion, "-")
	if a.AMIType == AL2023 && newDriverForm.MatchString(pool.MachineType) && dated && date < firstNewDriver {
		p.Add("eks.releaseVersion", a.ReleaseVersion,
			fmt.Sprintf("a release of %s or later, the first with a driver for the GPUs of %s", firstNewDriver, pool.MachineType),
			"remove it to get the newest release")
	}
}

// validateAlternative keeps a node that AWS chose from being too small for a model that was chosen
// for the first type: cluster-autoscaler and everyone else plan with the first one only.
func validateAlternative(p *providers.Problems, key, first, name string) {
	validateInstanceType(p, key, name)
	validateGPUs(p, key, name)
	alternative, ok := machines.Find(name)
	planned, plannedKnown := machines.Find(first)
	switch {
	case !ok || !plannedKnown:
		// Nothing to compare; whoever lists such a type asserts that it fits.
	case alternative.GPUs != planned.GPUs:
		p.Add(key, name, fmt.Sprintf("a type with as many GPUs as %s, which carries %d; this one carries %d GPUs",
			first, planned.GPUs, alternative.GPUs), "")
	case memoryGiB(alternative) < memoryGiB(planned):
		p.Add(key, name, fmt.Sprintf("a type with no less memory on a GPU than %s, which has %g GiB; this one has %g GiB",
			first, memoryGiB(planned), memoryGiB(alternative)), "")
	}
}

// memoryGiB returns the memory of one of a machine's GPUs.
func memoryGiB(machine accelerators.Machine) float64 {
	accelerator, _ := accelerators.Find(machine.Accelerator)
	return accelerator.MemoryGiB
}
