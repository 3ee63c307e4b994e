package eks

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"the defaults": func(*Args) {},
		"another partition": func(a *Args) {
			a.Region = "us-gov-west-1"
			a.Network.Zones = []string{"us-gov-west-1a", "us-gov-west-1b"}
		},
		"four zones": func(a *Args) {
			a.Network.Zones = []string{"eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"}
		},
		"a type that is not listed, with what it carries": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "g7e.2xlarge", "nvidia-rtx-pro-6000", 1
		},
		"a fixed pool":                  func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 6, 0 },
		"no logs":                       func(a *Args) { a.ControlPlaneLogs = []string{} },
		"spot with several kinds":       func(a *Args) { a.GPUPool.Spot, a.GPUPool.AlternativeTypes = true, []string{"g5.xlarge", "g6e.xlarge"} },
		"all of the GPUs for a replica": func(a *Args) { a.GPUPool.MachineType, a.GPUsPerReplica = "g6.12xlarge", 4 },
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			change(args)
			assert.NoError(t, args.Validate())
		})
	}
	t.Run("an existing cluster", func(t *testing.T) { assert.NoError(t, attached().Validate()) })
}

func TestValidateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Args)
		want   string
	}{
		"no region":     {func(a *Args) { a.Region = "" }, `Region "" is not`},
		"a zone for it": {func(a *Args) { a.Region = "eu-central-1a" }, `Region "eu-central-1a" is not`},
		"China":         {func(a *Args) { a.Region = "cn-north-1" }, "China"},
		"account":       {func(a *Args) { a.AccountID = "1234" }, "AccountID"},
		"role":          {func(a *Args) { a.RoleARN = "deploy" }, "RoleARN"},
		"name tag":      {func(a *Args) { a.Tags = map[string]string{"Name": "x"} }, `Name "x"`},
		"no cluster":    {func(a *Args) { a.Name = "" }, "Name or Existing must be set"},
		"two clusters":  {func(a *Args) { a.Existing = "theirs" }, "exclude each other"},
		"cluster name":  {func(a *Args) { a.Name = "-llm" }, `cluster name "-llm"`},
		"version":       {func(a *Args) { a.Version = "v1.34.1" }, `Version "v1.34.1"`},

		"one zone":          {func(a *Args) { a.Network.Zones = a.Network.Zones[:1] }, "Network.Zones has 1 zones (2 to 4"},
		"five zones":        {func(a *Args) { a.Network.Zones = make([]string, 5) }, "Network.Zones has 5 zones"},
		"elsewhere's zone":  {func(a *Args) { a.Network.Zones[1] = "eu-west-1a" }, `"eu-west-1a" is not a zone of region eu-central-1`},
		"a zone twice":      {func(a *Args) { a.Network.Zones[1] = "eu-central-1a" }, "listed twice"},
		"network":           {func(a *Args) { a.Network.CIDR = "10.0.0.1/16" }, `Network.CIDR "10.0.0.1/16" is not`},
		"network too small": {func(a *Args) { a.Network.CIDR = "10.0.0.0/24" }, "/16 to /20"},
		"one subnet":        {func(a *Args) { a.Network = Network{SubnetIDs: []string{"subnet-0a"}} }, "Network.SubnetIDs has 1"},
		"no subnet's id":    {func(a *Args) { a.Network = Network{SubnetIDs: []string{"subnet-0a", "private"}} }, `"private" is not a subnet's id`},
		"subnets and zones": {func(a *Args) { a.Network.SubnetIDs = []string{"subnet-0a", "subnet-0b"} }, "Network.Zones needs a VPC that is created"},
		"subnets and NAT": {func(a *Args) {
			a.Network = Network{SubnetIDs: []string{"subnet-0a", "subnet-0b"}, NATPerZone: true}
		}, "Network.NATPerZone"},

		"public networks":    {func(a *Args) { a.PublicAccessCIDRs = []string{"203.0.113.7"} }, `PublicAccessCIDRs: "203.0.113.7"`},
		"logs":               {func(a *Args) { a.ControlPlaneLogs = []string{"kubelet"} }, `"kubelet" not supported (one of: api, audit`},
		"log retention":      {func(a *Args) { a.LogRetentionDays = 31 }, "LogRetentionDays 31"},
		"key":                {func(a *Args) { a.SecretsKeyARN = "alias/mine" }, `SecretsKeyARN "alias/mine"`},
		"add-on":             {func(a *Args) { a.AddonVersions = map[string]string{"adot": "v1"} }, `add-on "adot"`},
		"admin":              {func(a *Args) { a.Admins = []string{"root"} }, `Admins: "root"`},
		"assumed role":       {func(a *Args) { a.Viewers = []string{"arn:aws:sts::123456789012:assumed-role/x/y"} }, "Viewers:"},
		"admin and viewer":   {func(a *Args) { a.Admins = []string{"arn:aws:iam::123456789012:role/x"}; a.Viewers = a.Admins }, "listed twice in Admins and Viewers"},
		"the creator, again": {func(a *Args) { a.RoleARN = "arn:aws:iam::123456789012:role/x"; a.Admins = []string{a.RoleARN} }, "is RoleARN"},
		"autoscaler":         {func(a *Args) { a.NodeAutoscalerInstalled = true }, "NodeAutoscalerInstalled is for an existing cluster"},
		"device plugin":      {func(a *Args) { a.DevicePluginInstalled = true }, "DevicePluginInstalled is for an existing cluster"},

		"system pool of nothing": {func(a *Args) { a.SystemPool.MinNodes = -1 }, "SystemPool.MinNodes -1"},
		"system pool on ARM":     {func(a *Args) { a.SystemPool.MachineType = "m7g.large" }, "ARM"},
		"system pool with GPUs":  {func(a *Args) { a.SystemPool.MachineType = "g6.xlarge" }, "carries 1 nvidia-l4"},
		"system disk":            {func(a *Args) { a.SystemPool.DiskGiB = 10 }, "SystemPool.DiskGiB 10"},
		"system zones":           {func(a *Args) { a.SystemPool.Zones = []string{"eu-central-1c"} }, "SystemPool.Zones"},

		"no GPU pool":           {func(a *Args) { a.GPUPool = nil }, "GPUPool is missing"},
		"min above max":         {func(a *Args) { a.GPUPool.MinNodes, a.GPUPool.MaxNodes = 3, 2 }, "GPUPool.MaxNodes 2 not allowed (3 to 450)"},
		"small disk":            {func(a *Args) { a.GPUPool.DiskGiB = 20 }, "GPUPool.DiskGiB 20 not allowed (50 to"},
		"no type":               {func(a *Args) { a.GPUPool.MachineType = "l4" }, `GPUPool.MachineType "l4"`},
		"ARM GPU":               {func(a *Args) { a.GPUPool.MachineType = "g5g.xlarge" }, "ARM"},
		"no GPU":                {func(a *Args) { a.GPUPool.MachineType = "m6i.large" }, "set GPUPool.Accelerator and GPUPool.GPUsPerNode"},
		"another accelerator":   {func(a *Args) { a.GPUPool.Accelerator = "nvidia-a10g" }, "carries nvidia-l4"},
		"another number":        {func(a *Args) { a.GPUPool.GPUsPerNode = 4 }, "GPUPool.GPUsPerNode 4"},
		"image":                 {func(a *Args) { a.GPUPool.Image = "al2" }, `GPUPool.Image "al2" not supported (one of: al2023, bottlerocket)`},
		"idle time":             {func(a *Args) { a.GPUPool.IdleTime = 1500 * time.Millisecond }, "GPUPool.IdleTime"},
		"pool's zone":           {func(a *Args) { a.GPUPool.Zones = []string{"eu-central-1f"} }, "is not in Network.Zones"},
		"pool's subnets":        {func(a *Args) { a.GPUPool.SubnetIDs = []string{"subnet-0a"} }, "use GPUPool.Zones"},
		"too many GPUs":         {func(a *Args) { a.GPUsPerReplica = 2 }, "GPUsPerReplica 2 not allowed (1 to 1"},
		"a smaller alternative": {func(a *Args) { a.GPUPool.AlternativeTypes = []string{"g4dn.xlarge"} }, `"g4dn.xlarge" has 16 GiB`},
		"more GPUs":             {func(a *Args) { a.GPUPool.AlternativeTypes = []string{"g6.12xlarge"} }, "carries 4 GPUs"},
		"itself, again":         {func(a *Args) { a.GPUPool.AlternativeTypes = []string{"g6.xlarge"} }, "listed twice"},
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			test.change(args)
			require.ErrorContains(t, args.Validate(), test.want)
		})
	}
}

func TestValidateRefusesToTouchWhatIsTheirs(t *testing.T) {
	args := attached()
	args.Version, args.ExtendedSupport, args.SecretsKeyARN = "1.34", true, "arn:aws:kms:eu-central-1:123456789012:key/x"
	args.PublicAccessCIDRs, args.Admins, args.Viewers = []string{"203.0.113.0/24"}, []string{"x"}, []string{"y"}
	args.ControlPlaneLogs, args.LogRetentionDays = []string{"api"}, 30
	args.AddonVersions = map[string]string{"coredns": "v1"}
	args.DeletionProtection = true
	args.Network.Zones = []string{"eu-central-1a"}
	args.GPUPool.Zones = []string{"eu-central-1a"}
	err := args.Validate()
	require.Error(t, err)
	for _, field := range []string{
		"Version", "ExtendedSupport", "PublicAccessCIDRs", "Admins", "Viewers", "ControlPlaneLogs", "LogRetentionDays", "SecretsKeyARN",
		"AddonVersions", "DeletionProtection",
	} {
		assert.ErrorContains(t, err, field+" has no effect on the existing cluster")
	}
	assert.ErrorContains(t, err, "Network.Zones needs a VPC")
	assert.ErrorContains(t, err, "GPUPool.Zones cannot be matched")
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	err := (&Args{GPUPool: &GPUPool{GPUPool: providers.GPUPool{NodePool: providers.NodePool{DiskGiB: 1}}}}).Validate()
	require.Error(t, err)
	for _, want := range []string{"Region", "Name or Existing", "Network.Zones", "GPUPool.DiskGiB"} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "\n", "one line")
	assert.Equal(t, 1, strings.Count(err.Error(), "eks:"))
	assert.ErrorContains(t, (*Args)(nil).Validate(), "arguments are missing")
}
