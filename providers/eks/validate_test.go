package eks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"the defaults": func(*Args) {},
		"another partition": func(a *Args) {
			a.Region = "us-gov-west-1"
			a.Zones = []string{"us-gov-west-1a", "us-gov-west-1b"}
		},
		"four zones": func(a *Args) {
			a.Zones = []string{"eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"}
		},
		"a type that is not listed, with what it carries": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "g9.2xlarge", "nvidia-x1", 1
			a.GPUPool.MemoryGiB = 96
		},
		"a driver for the newest GPUs": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.ReleaseVersion = "g7.2xlarge", "nvidia-rtx-pro-4500", "1.34.2-20260917"
		},
		"a fixed pool":                  func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 6, 0 },
		"no logs":                       func(a *Args) { a.ControlPlaneLogs = []string{} },
		"spot with several kinds":       func(a *Args) { a.GPUPool.Spot, a.AlternativeInstanceTypes = true, []string{"g5.xlarge", "g6e.xlarge"} },
		"all of the GPUs for a replica": func(a *Args) { a.GPUPool.MachineType, a.GPUsPerReplica = "g6.12xlarge", 4 },
		"an existing cluster":           func(a *Args) { *a = *attached() },
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			change(args)
			assert.Empty(t, args.Validate())
		})
	}
}

func TestValidateRefuses(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/x"
	for name, test := range map[string]struct {
		change     func(*Args)
		key, wants string
	}{
		"no region":    {func(a *Args) { a.Region = "" }, "eks.region", "an AWS region"},
		"China":        {func(a *Args) { a.Region, a.Zones = "cn-north-1", []string{"cn-north-1a", "cn-north-1b"} }, "eks.region", "outside China"},
		"name tag":     {func(a *Args) { a.Tags = map[string]string{"Name": "x"} }, "eks.tags", "Name: x"},
		"no image":     {func(a *Args) { a.AMIType = "" }, "eks.amiType", "one of: AL2023_x86_64_NVIDIA, BOTTLEROCKET_x86_64_NVIDIA"},
		"no cluster":   {func(a *Args) { a.Name = "" }, "cluster.name", "1 to 100 letters"},
		"cluster name": {func(a *Args) { a.Name = "-llm" }, "cluster.name", `"-llm"`},
		"a long name":  {func(a *Args) { a.Name = strings.Repeat("n", 101) }, "cluster.name", "1 to 100"},
		"their name":   {func(a *Args) { *a = *attached(); a.Existing = "th eirs" }, "cluster.existing", `"th eirs"`},
		"two names": {func(a *Args) {
			*a = *attached()
			a.Name, a.Given = "mine", func(key string) bool { return key == "cluster.name" }
		}, "cluster.name", "no name beside cluster.existing (theirs)"},

		"one zone":          {func(a *Args) { a.Zones = a.Zones[:1] }, "eks.zones", "2 to 4 zones"},
		"five zones":        {func(a *Args) { a.Zones = make([]string, 5) }, "eks.zones", "2 to 4 zones"},
		"elsewhere's zone":  {func(a *Args) { a.Zones[1] = "eu-west-1a" }, "eks.zones[1]", "a zone of region eu-central-1"},
		"a zone twice":      {func(a *Args) { a.Zones[1] = "eu-central-1a" }, "eks.zones[1]", "listed twice"},
		"network":           {func(a *Args) { a.VPCCIDR = "10.0.0.1/16" }, "eks.vpcCidr", "write 10.0.0.0/16"},
		"one subnet":        {func(a *Args) { a.Zones, a.SubnetIDs = nil, []string{"subnet-0a"} }, "eks.subnetIds", "at least two subnets"},
		"a subnet twice":    {func(a *Args) { a.Zones, a.SubnetIDs = nil, []string{"subnet-0a", "subnet-0a"} }, "eks.subnetIds[1]", "listed twice"},
		"subnets and zones": {func(a *Args) { a.SubnetIDs = []string{"subnet-0a", "subnet-0b"} }, "eks.zones", "only for a VPC that is created"},
		"subnets and NAT": {func(a *Args) {
			a.Zones, a.SubnetIDs, a.NATPerZone = nil, []string{"subnet-0a", "subnet-0b"}, true
		}, "eks.natPerZone", "only for a VPC that is created"},
		"subnets and a range": {func(a *Args) {
			a.Zones, a.SubnetIDs, a.VPCCIDR = nil, []string{"subnet-0a", "subnet-0b"}, "10.0.0.0/16"
		}, "eks.vpcCidr", "only for a VPC that is created"},

		"nobody asked":         {func(a *Args) { a.APIAccessCIDRs = nil }, "cluster.apiAccessCidrs", "checkip.amazonaws.com"},
		"nobody in a new VPC":  {func(a *Args) { a.APIAccessCIDRs = []string{} }, "cluster.apiAccessCidrs", "set eks.subnetIds"},
		"an example's address": {func(a *Args) { a.APIAccessCIDRs = []string{"203.0.113.7/32"} }, "cluster.apiAccessCidrs[0]", "for documentation"},
		"public networks":      {func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.4"} }, "cluster.apiAccessCidrs[0]", "IPv4 network"},
		"add-on":               {func(a *Args) { a.AddonVersions = map[string]string{"adot": "v1"} }, "eks.addonVersions", `"adot"`},
		"admin and viewer":     {func(a *Args) { a.Admins = []string{role}; a.Viewers = a.Admins }, "eks.viewers[0]", "listed twice in eks.admins"},
		"the creator, again":   {func(a *Args) { a.RoleARN = role; a.Admins = []string{a.RoleARN} }, "eks.admins[0]", "others than eks.roleArn"},

		"fewer system nodes than zones": {func(a *Args) {
			a.Zones = append(a.Zones, "eu-central-1c")
			a.SystemPool.MinNodes = 2
		}, "nodePools.system.minNodes", "at least 3"},
		"a release of another version": {func(a *Args) {
			a.KubernetesVersion, a.ReleaseVersion = "1.34", "1.33.5-20251209"
		}, "eks.releaseVersion", "cluster.kubernetesVersion 1.34"},
		"a system release of another version": {func(a *Args) {
			a.KubernetesVersion, a.SystemReleaseVersion = "1.34", "1.33.5-20251209"
		}, "eks.systemReleaseVersion", "cluster.kubernetesVersion 1.34"},
		"too many security groups": {func(a *Args) {
			*a = *attached()
			a.NodeSecurityGroupIDs = []string{"sg-1", "sg-2", "sg-3", "sg-4", "sg-5"}
		}, "eks.nodeSecurityGroupIds", "at most 4"},

		"system pool of nothing":    {func(a *Args) { a.SystemPool.MinNodes = -1 }, "nodePools.system.minNodes", "1 to 450"},
		"system pool on ARM":        {func(a *Args) { a.SystemPool.MachineType = "m7g.large" }, "nodePools.system.machineType", "ARM"},
		"system pool with GPUs":     {func(a *Args) { a.SystemPool.MachineType = "g6.xlarge" }, "nodePools.system.machineType", "carries 1 nvidia-l4"},
		"system disk":               {func(a *Args) { a.SystemPool.DiskGiB = 10 }, "nodePools.system.diskGiB", "20 to 16384"},
		"system zones":              {func(a *Args) { a.SystemPool.Zones = []string{"eu-central-1c"} }, "nodePools.system.zones[0]", "eks.zones"},
		"zones with their subnets":  {func(a *Args) { *a = *attached(); a.GPUPool.Zones = []string{"eu-central-1a"} }, "nodePools.gpu.zones", "cannot be matched"},
		"their network, and a zone": {func(a *Args) { *a = *attached(); a.Zones = []string{"eu-central-1a"} }, "eks.zones", "only for a VPC"},

		"no GPU pool":   {func(a *Args) { a.GPUPool = nil }, "nodePools.gpu.create", "only an existing cluster"},
		"min above max": {func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 3, 2 }, "nodePools.gpu.maxNodes", "3 to 450"},
		"small disk":    {func(a *Args) { a.GPUPool.DiskGiB = 20 }, "nodePools.gpu.diskGiB", "50 to 16384"},
		"ARM GPU": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "g5g.xlarge", "x", 1
		}, "nodePools.gpu.machineType", "ARM"},
		"no GPU": {func(a *Args) { a.GPUPool.MachineType = "m6i.large" }, "nodePools.gpu.machineType",
			"set nodePools.gpu.accelerator, nodePools.gpu.gpusPerNode, gpu.memoryGiB"},
		"a part of a GPU": {func(a *Args) { a.GPUPool.MachineType = "gr6f.4xlarge" }, "nodePools.gpu.machineType", "(1/2 of nvidia-l4, with 12 GiB)"},
		"AMD":             {func(a *Args) { a.GPUPool.MachineType = "g4ad.xlarge" }, "nodePools.gpu.machineType", "GPUs of AMD"},
		"Grace": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "p6e-gb200.36xlarge", "nvidia-gb200", 4
		}, "nodePools.gpu.machineType", "ARM"},
		"an image without the driver": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.ReleaseVersion = "g7.2xlarge", "nvidia-rtx-pro-4500", "1.34.2-20260723"
		}, "eks.releaseVersion", "20260917 or later"},
		"another accelerator": {func(a *Args) { a.GPUPool.Accelerator = "nvidia-a10g" }, "nodePools.gpu.accelerator", "carries nvidia-l4"},
		"another number":      {func(a *Args) { a.GPUPool.GPUsPerNode = 4 }, "nodePools.gpu.gpusPerNode", "1, what"},
		"idle time":           {func(a *Args) { a.IdleTime = 1500 * time.Millisecond }, "eks.idleTime", "whole seconds"},
		"pool's zone":         {func(a *Args) { a.GPUPool.Zones = []string{"eu-central-1f"} }, "nodePools.gpu.zones[0]", "eks.zones"},
		"pool's subnets":      {func(a *Args) { a.GPUSubnetIDs = []string{"subnet-0a"} }, "eks.gpuSubnetIds", "use nodePools.gpu.zones"},
		"a pool's subnet twice": {func(a *Args) {
			*a = *attached()
			a.GPUSubnetIDs = []string{"subnet-0a", "subnet-0a"}
		}, "eks.gpuSubnetIds[1]", "listed twice"},
		"too many GPUs":         {func(a *Args) { a.GPUsPerReplica = 2 }, "gpu.perReplica", "at most 1, the GPUs of one g6.xlarge"},
		"a smaller alternative": {func(a *Args) { a.AlternativeInstanceTypes = []string{"g4dn.xlarge"} }, "eks.alternativeInstanceTypes[0]", "this one has 16 GiB"},
		"more GPUs":             {func(a *Args) { a.AlternativeInstanceTypes = []string{"g6.12xlarge"} }, "eks.alternativeInstanceTypes[0]", "carries 4 GPUs"},
		"a part as alternative": {func(a *Args) { a.AlternativeInstanceTypes = []string{"g6f.xlarge"} }, "eks.alternativeInstanceTypes[0]", "a part of a GPU"},
		"an ARM alternative":    {func(a *Args) { a.AlternativeInstanceTypes = []string{"g5g.xlarge"} }, "eks.alternativeInstanceTypes[0]", "ARM"},
		"itself, again":         {func(a *Args) { a.AlternativeInstanceTypes = []string{"g6.xlarge"} }, "eks.alternativeInstanceTypes[0]", "listed twice"},
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			test.change(args)
			providertest.Has(t, args.Validate(), test.key, test.wants)
		})
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	args := &Args{Request: providers.Request{Name: "-", GPUPool: &providers.GPUPool{NodePool: providers.NodePool{DiskGiB: 1}}}}
	problems := args.Validate()
	_, err := (&record{}).run(args)
	for _, key := range []string{"eks.region", "cluster.name", "eks.zones", "cluster.apiAccessCidrs", "nodePools.gpu.diskGiB"} {
		providertest.Has(t, problems, key, "")
		assert.ErrorContains(t, err, key)
	}
}
