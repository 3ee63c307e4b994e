package eks

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

var (
	regionForm       = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	accountForm      = regexp.MustCompile(`^[0-9]{12}$`)
	clusterNameForm  = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)
	versionForm      = regexp.MustCompile(`^1\.[0-9]{2}$`)
	principalForm    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$`)
	roleForm         = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$`)
	keyForm          = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$`)
	subnetForm       = regexp.MustCompile(`^subnet-[0-9a-f]+$`)
	instanceTypeForm = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	// armForm matches Graviton families, such as m7g and g5g: a g right after the generation.
	armForm = regexp.MustCompile(`^[a-z]+[0-9]+g`)
)

// controlPlaneLogs are the log types of an EKS control plane; the first three say who did what.
var controlPlaneLogs = []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}

// logRetentions are the numbers of days that CloudWatch Logs allows (PutRetentionPolicy).
var logRetentions = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

// addonNames are the EKS add-ons of a created cluster.
var addonNames = []string{addonCNI, addonKubeProxy, addonPodIdentity, addonCoreDNS, addonEBS}

const (
	// minGPUDiskGiB leaves room for the vLLM image, which alone overflows EKS' default of 20 GiB, and
	// a small model.
	minGPUDiskGiB = 50
	// minSystemDiskGiB is EKS' own default.
	minSystemDiskGiB = 20
	// maxNodes is EKS' limit on nodes in one managed node group.
	maxNodes = 450
)

// problems collects what is wrong.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// Validate reports every mistake at once, each with the field, its value and what is allowed. It
// looks at the values only and asks AWS nothing.
func (a *Args) Validate() error {
	if a == nil {
		return fmt.Errorf("eks: arguments are missing")
	}
	c := a.withDefaults()
	var p problems
	c.validateAccount(&p)
	switch {
	case c.Name == "" && c.Existing == "":
		p.add("Name or Existing must be set: the cluster to create, or the one to attach to")
	case c.Name != "" && c.Existing != "":
		p.add("Name %q and Existing %q exclude each other", c.Name, c.Existing)
	case !clusterNameForm.MatchString(c.clusterName()):
		p.add("cluster name %q not allowed (1 to 100 letters, digits, - and _, a letter or digit first)", c.clusterName())
	}
	c.validateNetwork(&p)
	if c.Existing == "" {
		c.validateControlPlane(&p)
		c.validateSystemPool(&p)
	} else {
		c.validateAttached(&p)
	}
	c.validateGPUPool(&p)
	if len(p) > 0 {
		return fmt.Errorf("eks: %w", providers.Problems(p))
	}
	return nil
}

func (a *Args) validateAccount(p *problems) {
	switch {
	case !regionForm.MatchString(a.Region):
		p.add("Region %q is not an AWS region (such as eu-central-1)", a.Region)
	case strings.HasPrefix(a.Region, "cn-"):
		p.add("Region %q not supported: service principals and endpoints differ in China", a.Region)
	}
	if a.AccountID != "" && !accountForm.MatchString(a.AccountID) {
		p.add("AccountID %q is not an AWS account (12 digits)", a.AccountID)
	}
	if a.RoleARN != "" && !roleForm.MatchString(a.RoleARN) {
		p.add("RoleARN %q is not the ARN of an IAM role (arn:aws:iam::<account>:role/<name>)", a.RoleARN)
	}
	if name, ok := a.Tags["Name"]; ok {
		p.add("Tags: Name %q would give every resource the same name: use another key", name)
	}
}

func (a *Args) validateNetwork(p *problems) {
	n := a.Network
	validateSubnets(p, "Network.SubnetIDs", n.SubnetIDs)
	if !a.createsVPC() {
		if a.Existing == "" && len(n.SubnetIDs) < 2 {
			p.add("Network.SubnetIDs has %d subnets (EKS needs at least two, in different zones)", len(n.SubnetIDs))
		}
		for _, field := range []struct {
			name string
			set  bool
		}{{"CIDR", n.CIDR != ""}, {"Zones", len(n.Zones) > 0}, {"NATPerZone", n.NATPerZone}} {
			if field.set {
				p.add("Network.%s needs a VPC that is created: remove it, or Network.SubnetIDs and Existing", field.name)
			}
		}
		return
	}
	if len(n.Zones) < 2 || len(n.Zones) > maxZones {
		p.add("Network.Zones has %d zones (2 to %d, such as %sa and %sb)", len(n.Zones), maxZones, a.Region, a.Region)
	}
	for i, zone := range n.Zones {
		if suffix, found := strings.CutPrefix(zone, a.Region); !found || len(suffix) != 1 {
			p.add("Network.Zones: %q is not a zone of region %s (such as %sa)", zone, a.Region, a.Region)
		}
		if slices.Contains(n.Zones[:i], zone) {
			p.add("Network.Zones: %q is listed twice", zone)
		}
	}
	cidr, err := netip.ParsePrefix(n.CIDR)
	switch {
	case err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked():
		p.add("Network.CIDR %q is not an IPv4 network (such as %s)", n.CIDR, defaultCIDR)
	case cidr.Bits() < 16 || cidr.Bits() > 20:
		p.add("Network.CIDR %q has the wrong size (/16 to /20)", n.CIDR)
	}
}

func validateSubnets(p *problems, field string, ids []string) {
	for i, id := range ids {
		if !subnetForm.MatchString(id) {
			p.add("%s: %q is not a subnet's id (subnet-...)", field, id)
		}
		if slices.Contains(ids[:i], id) {
			p.add("%s: %q is listed twice", field, id)
		}
	}
}

// validateControlPlane checks what only a cluster to create has.
func (a *Args) validateControlPlane(p *problems) {
	if a.Version != "" && !versionForm.MatchString(a.Version) {
		p.add("Version %q is not a Kubernetes version of EKS (such as 1.34, or empty for the newest)", a.Version)
	}
	for _, cidr := range a.PublicAccessCIDRs {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
			p.add("PublicAccessCIDRs: %q is not an IPv4 network (such as 203.0.113.0/24)", cidr)
		}
	}
	for _, log := range a.ControlPlaneLogs {
		if !slices.Contains(controlPlaneLogs, log) {
			p.add("ControlPlaneLogs: %q not supported (one of: %s)", log, strings.Join(controlPlaneLogs, ", "))
		}
	}
	if !slices.Contains(logRetentions, a.LogRetentionDays) {
		p.add("LogRetentionDays %d not allowed (one of: %s)", a.LogRetentionDays, strings.Trim(fmt.Sprint(logRetentions), "[]"))
	}
	if a.SecretsKeyARN != "" && !keyForm.MatchString(a.SecretsKeyARN) {
		p.add("SecretsKeyARN %q is not the ARN of a KMS key (arn:aws:kms:<region>:<account>:key/<id>)", a.SecretsKeyARN)
	}
	for _, name := range slices.Sorted(maps.Keys(a.AddonVersions)) {
		if !slices.Contains(addonNames, name) {
			p.add("AddonVersions: add-on %q is not installed here (one of: %s)", name, strings.Join(addonNames, ", "))
		}
	}
	var seen []string
	for _, list := range []struct {
		field      string
		principals []string
	}{{"Admins", a.Admins}, {"Viewers", a.Viewers}} {
		for _, arn := range list.principals {
			switch {
			case !principalForm.MatchString(arn):
				p.add("%s: %q is not the ARN of an IAM role or user (arn:aws:iam::<account>:role/<name>)", list.field, arn)
			case arn == a.RoleARN:
				p.add("%s: %q is RoleARN, which creates the cluster and is an administrator already", list.field, arn)
			case slices.Contains(seen, arn):
				p.add("%s: %q is listed twice in Admins and Viewers", list.field, arn)
			}
			seen = append(seen, arn)
		}
	}
	if a.NodeAutoscalerInstalled {
		p.add("NodeAutoscalerInstalled is for an existing cluster: a new one has no node autoscaler")
	}
	if a.DevicePluginInstalled {
		p.add("DevicePluginInstalled is for an existing cluster: a new one has no device plugin")
	}
}

// validateAttached refuses what the owner of an existing cluster decides.
func (a *Args) validateAttached(p *problems) {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Version", a.Version != ""},
		{"ExtendedSupport", a.ExtendedSupport},
		{"PublicAccessCIDRs", len(a.PublicAccessCIDRs) > 0},
		{"Admins", len(a.Admins) > 0},
		{"Viewers", len(a.Viewers) > 0},
		{"ControlPlaneLogs", a.ControlPlaneLogs != nil},
		{"LogRetentionDays", a.LogRetentionDays != 0},
		{"SecretsKeyARN", a.SecretsKeyARN != ""},
		{"AddonVersions", len(a.AddonVersions) > 0},
		{"DeletionProtection", a.DeletionProtection},
	} {
		if field.set {
			p.add("%s has no effect on the existing cluster %q, which stays its owner's: remove it", field.name, a.Existing)
		}
	}
}

func (a *Args) validateSystemPool(p *problems) {
	pool := a.SystemPool
	a.validatePool(p, "SystemPool", pool, 1, minSystemDiskGiB)
	if known, ok := gpuType(pool.MachineType); ok {
		p.add("SystemPool.MachineType %q carries %d %s, which nothing there would use (such as %s)",
			pool.MachineType, known.GPUs, known.Accelerator, defaultSystemType)
	}
}

// validatePool checks what both pools have.
func (a *Args) validatePool(p *problems, field string, pool providers.NodePool, minNodes, minDisk int) {
	validateInstanceType(p, field+".MachineType", pool.MachineType)
	if pool.MinNodes < minNodes || pool.MinNodes > maxNodes {
		p.add("%s.MinNodes %d not allowed (%d to %d)", field, pool.MinNodes, minNodes, maxNodes)
	}
	if pool.MaxNodes < max(1, pool.MinNodes) || pool.MaxNodes > maxNodes {
		p.add("%s.MaxNodes %d not allowed (%d to %d)", field, pool.MaxNodes, max(1, pool.MinNodes), maxNodes)
	}
	if pool.DiskGiB < minDisk || pool.DiskGiB > 16384 {
		p.add("%s.DiskGiB %d not allowed (%d to 16384)", field, pool.DiskGiB, minDisk)
	}
	if len(pool.Zones) > 0 && !a.createsVPC() {
		p.add("%s.Zones cannot be matched to given subnets: give only subnets of these zones", field)
		return
	}
	for _, zone := range pool.Zones {
		if !slices.Contains(a.Network.Zones, zone) {
			p.add("%s.Zones: %q is not in Network.Zones (one of: %s)", field, zone, strings.Join(a.Network.Zones, ", "))
		}
	}
}

func validateInstanceType(p *problems, field, name string) {
	switch {
	case !instanceTypeForm.MatchString(name):
		p.add("%s %q is not an EC2 instance type (such as %s)", field, name, defaultGPUType)
	case armForm.MatchString(name):
		p.add("%s %q is an ARM machine, but the nodes' images are for x86_64", field, name)
	}
}

func (a *Args) validateGPUPool(p *problems) {
	pool := a.GPUPool
	if pool == nil {
		if a.Existing == "" {
			p.add("GPUPool is missing: a new cluster has no other GPU nodes")
		}
		if a.GPUsPerReplica < 1 {
			p.add("GPUsPerReplica %d not allowed (at least 1)", a.GPUsPerReplica)
		}
		return
	}
	a.validatePool(p, "GPUPool", pool.NodePool, 0, minGPUDiskGiB)
	if pool.Image != AL2023 && pool.Image != Bottlerocket {
		p.add("GPUPool.Image %q not supported (one of: %s, %s)", pool.Image, AL2023, Bottlerocket)
	}
	if pool.IdleTime < 0 || pool.IdleTime%time.Second != 0 {
		p.add("GPUPool.IdleTime %s not allowed (whole seconds)", pool.IdleTime)
	}
	validateSubnets(p, "GPUPool.SubnetIDs", pool.SubnetIDs)
	if len(pool.SubnetIDs) > 0 && a.createsVPC() {
		p.add("GPUPool.SubnetIDs cannot be in a VPC that is yet to be created: use GPUPool.Zones")
	}
	known, ok := gpuType(pool.MachineType)
	switch {
	case ok && pool.Accelerator != known.Accelerator:
		p.add("GPUPool.Accelerator %q does not fit GPUPool.MachineType %q, which carries %s", pool.Accelerator, pool.MachineType, known.Accelerator)
	case ok && pool.GPUsPerNode != known.GPUs:
		p.add("GPUPool.GPUsPerNode %d does not fit GPUPool.MachineType %q, which carries %d", pool.GPUsPerNode, pool.MachineType, known.GPUs)
	case !ok && (pool.Accelerator == "" || pool.GPUsPerNode < 1):
		p.add("GPUPool.MachineType %q is unknown here: set GPUPool.Accelerator and GPUPool.GPUsPerNode to what it carries", pool.MachineType)
	}
	for i, alternative := range pool.AlternativeTypes {
		pool.validateAlternative(p, alternative)
		if alternative == pool.MachineType || slices.Contains(pool.AlternativeTypes[:i], alternative) {
			p.add("GPUPool.AlternativeTypes: %q is listed twice", alternative)
		}
	}
	if a.GPUsPerReplica < 1 || pool.GPUsPerNode > 0 && a.GPUsPerReplica > pool.GPUsPerNode {
		p.add("GPUsPerReplica %d not allowed (1 to %d, the GPUs of one %s)", a.GPUsPerReplica, pool.GPUsPerNode, pool.MachineType)
	}
}

// validateAlternative keeps a node that AWS chose from being too small for a model that was chosen
// for the first type: cluster-autoscaler and everyone else plan with the first one only.
func (g *GPUPool) validateAlternative(p *problems, name string) {
	validateInstanceType(p, "GPUPool.AlternativeTypes:", name)
	alternative, ok := gpuType(name)
	first, firstKnown := gpuType(g.MachineType)
	switch {
	case !ok || !firstKnown:
		// Nothing to compare; whoever lists such a type says that it does.
	case alternative.GPUs != first.GPUs:
		p.add("GPUPool.AlternativeTypes: %q carries %d GPUs, but %s carries %d", name, alternative.GPUs, g.MachineType, first.GPUs)
	case memoryGiB(alternative) < memoryGiB(first):
		p.add("GPUPool.AlternativeTypes: %q has %g GiB on a GPU, but %s has %g", name, memoryGiB(alternative), g.MachineType, memoryGiB(first))
	}
}

// memoryGiB is the memory of one of a machine's GPUs.
func memoryGiB(machine accelerators.Machine) float64 {
	accelerator, _ := accelerators.Find(machine.Accelerator)
	return accelerator.MemoryGiB
}
