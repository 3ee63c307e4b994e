package gke

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

func TestValidateNamesFieldValueAndWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Args)
		want   string // Of the only problem; "" means none.
	}{
		"valid":               {func(*Args) {}, ""},
		"zonal without zones": {func(a *Args) { a.Location, a.GPUPool.Zones = "europe-west12-a", nil }, ""},
		"T4 on N1": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "n1-standard-8", "nvidia-t4", 2
		}, ""},
		"GKE's name":                {func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "a2-highgpu-1g", "nvidia-tesla-a100" }, ""},
		"attached":                  {func(a *Args) { a.Existing, a.AuthorizedCIDRs, a.GPUPool = "theirs", nil, nil }, ""},
		"name":                      {func(a *Args) { a.Name = "Serving" }, `Name "Serving" is not 2 to 24 lower-case letters`},
		"name for the account":      {func(a *Args) { a.Name = strings.Repeat("a", 25) }, "Name "},
		"project":                   {func(a *Args) { a.Project = "" }, `Project "" is not a project ID`},
		"location":                  {func(a *Args) { a.Location = "us" }, `Location "us" is not a zone such as us-central1-a`},
		"existing":                  {func(a *Args) { a.Existing = "A" }, `Existing "A" is not a cluster's name`},
		"autopilot":                 {func(a *Args) { a.Autopilot = true }, "Autopilot true is not supported"},
		"autopilot attached":        {func(a *Args) { a.Autopilot, a.Existing = true, "theirs" }, "Autopilot true is not supported"},
		"key":                       {func(a *Args) { a.DiskKMSKey = "mine" }, `DiskKMSKey "mine" is not a key's path`},
		"channel":                   {func(a *Args) { a.ReleaseChannel = "stable" }, `ReleaseChannel "stable" not supported (one of: RAPID, REGULAR, STABLE)`},
		"profile":                   {func(a *Args) { a.AutoscalingProfile = "X" }, "(one of: OPTIMIZE_UTILIZATION, BALANCED)"},
		"nobody":                    {func(a *Args) { a.AuthorizedCIDRs = nil }, "AuthorizedCIDRs is empty"},
		"address without mask":      {func(a *Args) { a.AuthorizedCIDRs = []string{"203.0.113.7"} }, `AuthorizedCIDRs "203.0.113.7" is not an IPv4 range`},
		"bits outside the mask":     {func(a *Args) { a.AuthorizedCIDRs = []string{"203.0.113.7/24"} }, "write 203.0.113.0/24"},
		"IPv6":                      {func(a *Args) { a.AuthorizedCIDRs = []string{"2001:db8::/32"} }, "is not an IPv4 range"},
		"control plane size":        {func(a *Args) { a.Network.ControlPlaneCIDR = "172.16.0.0/24" }, "is not a /28"},
		"overlap":                   {func(a *Args) { a.Network.NodesCIDR = "10.5.0.0/20" }, "Network.NodesCIDR 10.5.0.0/20 overlaps Network.PodsCIDR 10.4.0.0/14"},
		"subnetwork alone":          {func(a *Args) { a.Network.Subnetwork = "sub" }, `Network.Subnetwork "sub" belongs to an existing network`},
		"network alone":             {func(a *Args) { a.Network.Name = "vpc" }, "Network.Subnetwork must be set"},
		"one range":                 {func(a *Args) { a.Network = Network{Name: "v", Subnetwork: "s", PodsRange: "p"} }, "set both or neither"},
		"ranges of a given network": {func(a *Args) { a.Network = Network{Name: "v", Subnetwork: "s", PodsCIDR: "10.4.0.0/14"} }, "Network.PodsCIDR"},
		"no system nodes":           {func(a *Args) { a.SystemPool.MinNodes = -1 }, "SystemPool.MinNodes -1 is too few (at least 1)"},
		"fewer nodes than zones":    {func(a *Args) { a.SystemPool.MaxNodes = 2 }, "SystemPool.MaxNodes 2 is less than the 3 zones"},
		"limits":                    {func(a *Args) { a.GPUPool.MinNodes = 5 }, "GPUPool.MaxNodes 4 is too few (at least 1 and at least MinNodes, which is 5)"},
		"no GPU nodes":              {func(a *Args) { a.GPUPool.MaxNodes = 0 }, "GPUPool.MaxNodes 0 is too few"},
		"negative":                  {func(a *Args) { a.GPUPool.MinNodes = -1 }, "GPUPool.MinNodes -1 is too few (at least 0)"},
		"disk":                      {func(a *Args) { a.GPUPool.DiskGiB = 20 }, "GPUPool.DiskGiB 20 is too small (at least 60"},
		"zone elsewhere":            {func(a *Args) { a.GPUPool.Zones = []string{"us-east1-b"} }, `GPUPool.Zones: "us-east1-b" is not a zone of region us-central1`},
		"zone twice":                {func(a *Args) { a.GPUPool.Zones = []string{"us-central1-a", "us-central1-a"} }, "is listed twice"},
		"region without zones":      {func(a *Args) { a.GPUPool.Zones = nil }, "GPUPool.Zones must be set in the region us-central1"},
		"no machine":                {func(a *Args) { a.GPUPool.MachineType = "" }, "GPUPool.MachineType must be set"},
		"driver":                    {func(a *Args) { a.GPUDriver = "none" }, `GPUDriver "none" not supported (one of: DEFAULT, LATEST)`},
		"no pool":                   {func(a *Args) { a.GPUPool = nil }, "GPUPool must be set"},
		"accelerator":               {func(a *Args) { a.GPUPool.Accelerator = "nvidia-k80" }, `GPUPool.Accelerator "nvidia-k80" not supported (one of: nvidia-l4, `},
		"machine without it":        {func(a *Args) { a.GPUPool.MachineType = "e2-standard-4" }, `"e2-standard-4" does not carry nvidia-l4 (one of: g2-standard-4, g2-standard-8, `},
		"N1 GPU elsewhere":          {func(a *Args) { a.GPUPool.Accelerator = "nvidia-t4" }, `"g2-standard-8" cannot carry nvidia-t4`},
		"number on N1": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "n1-standard-8", "nvidia-t4", 3
		}, "GPUPool.GPUsPerNode 3 is not a number of nvidia-t4 that a machine can carry (one of: 1 2 4)"},
		"number of the machine": {func(a *Args) { a.GPUPool.GPUsPerNode = 2 }, "does not match g2-standard-8, which carries 1"},
		"replica too large":     {func(a *Args) { a.GPUsPerReplica = 2 }, "GPUsPerReplica 2 is more than the 1 of a node"},
		"negative replica":      {func(a *Args) { a.GPUsPerReplica = -1 }, "GPUsPerReplica -1 is too few"},
		"choice beside a pool":  {func(a *Args) { a.ExistingAccelerator = "nvidia-l4" }, "ExistingAccelerator"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			c.change(args)
			err := args.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			assert.Len(t, problemsOf(err), 1, "%v", err)
		})
	}
}

func TestValidateReportsAllProblemsAtOnce(t *testing.T) {
	err := (&Args{Autopilot: true, GPUDriver: "x", GPUPool: &providers.GPUPool{}}).Validate()
	require.Error(t, err)
	for _, field := range []string{"Name ", "Project ", "Location ", "Autopilot ", "AuthorizedCIDRs ", "GPUDriver ",
		"GPUPool.MachineType ", "GPUPool.MaxNodes ", "GPUPool.Accelerator "} {
		assert.ErrorContains(t, err, field)
	}
	assert.Len(t, problemsOf(err), 9, "%v", err)
}

func TestValidateLeavesTheArgumentsAlone(t *testing.T) {
	args := validArgs()
	require.NoError(t, args.Validate())
	assert.Equal(t, validArgs(), args)
}

func problemsOf(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
