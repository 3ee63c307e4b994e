package gke

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/providertest"
)

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"valid":               func(*Args) {},
		"zonal without zones": func(a *Args) { a.Location, a.GPUPool.Zones = "europe-west12-a", nil },
		"T4 on N1": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "n1-standard-8", "nvidia-t4", 2
		},
		"GKE's name": func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "a2-highgpu-1g", "nvidia-tesla-a100" },
		"part of an H100 machine on spot": func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.Spot = "a3-highgpu-1g", "nvidia-h100-80gb", true
		},
		"any time, but not at the year's end": func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "FREQ=DAILY"}
			a.MaintenanceExclusions = []MaintenanceExclusion{{Name: "year-end", Start: "2026-12-18T00:00:00Z", End: "2027-01-04T00:00:00Z"}}
		},
		"48 hours in 32 days": func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-03T02:00:00Z", "2026-01-03T08:00:00Z", "FREQ=WEEKLY;BYDAY=SA,SU"}
		},
		"attached": func(a *Args) { a.Existing, a.APIAccessCIDRs, a.GPUPool = "theirs", nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			change(args)
			assert.Empty(t, args.Validate())
		})
	}
}

func TestValidateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*Args)
		key, wants string
	}{
		"name":                      {func(a *Args) { a.Name = "Serving" }, "cluster.name", `"Serving": allowed: 2 to 24 lower-case letters`},
		"name for the account":      {func(a *Args) { a.Name = strings.Repeat("a", 25) }, "cluster.name", "2 to 24"},
		"no project":                {func(a *Args) { a.Project = "" }, "gke.project", "a project ID"},
		"no location":               {func(a *Args) { a.Location, a.GPUPool.Zones = "", nil }, "gke.location", "a zone such as us-central1-a"},
		"existing":                  {func(a *Args) { a.Existing = "A" }, "cluster.existing", `"A": allowed: a cluster's name`},
		"nobody asked":              {func(a *Args) { a.APIAccessCIDRs = nil }, "cluster.apiAccessCidrs", "checkip.amazonaws.com"},
		"nobody":                    {func(a *Args) { a.APIAccessCIDRs = []string{} }, "cluster.apiAccessCidrs", "nobody could reach"},
		"address without mask":      {func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.4"} }, "cluster.apiAccessCidrs[0]", "IPv4 network"},
		"bits outside the mask":     {func(a *Args) { a.APIAccessCIDRs = []string{"1.2.3.4/24"} }, "cluster.apiAccessCidrs[0]", "write 1.2.3.0/24"},
		"IPv6":                      {func(a *Args) { a.APIAccessCIDRs = []string{"2001:db8::/32"} }, "cluster.apiAccessCidrs[0]", "IPv4 network"},
		"no range":                  {func(a *Args) { a.NodesCIDR = "10.300.0.0/20" }, "gke.nodesCidr", "IPv4 network"},
		"overlap":                   {func(a *Args) { a.NodesCIDR = "10.5.0.0/20" }, "gke.podsCidr", "does not overlap gke.nodesCidr (10.5.0.0/20)"},
		"subnetwork alone":          {func(a *Args) { a.Subnetwork = "sub" }, "gke.subnetwork", "belongs to an existing network"},
		"ranges alone":              {func(a *Args) { a.PodsRange = "p" }, "gke.podsRange", "belongs to an existing network"},
		"network alone":             {func(a *Args) { a.Network = "vpc" }, "gke.subnetwork", `a subnetwork of gke.network "vpc"`},
		"one range":                 {func(a *Args) { a.Network, a.Subnetwork, a.PodsRange = "v", "s", "p" }, "gke.podsRange", "set both or neither"},
		"ranges of a given network": {func(a *Args) { a.Network, a.Subnetwork, a.PodsCIDR = "v", "s", "10.4.0.0/14" }, "gke.podsCidr", "only without gke.network"},
		"no system nodes":           {func(a *Args) { a.SystemPool.MinNodes = -1 }, "nodePools.system.minNodes", "at least 1"},
		"fewer nodes than zones":    {func(a *Args) { a.SystemPool.MaxNodes = 2 }, "nodePools.system.maxNodes", "at least 3, the zones"},
		"system disk":               {func(a *Args) { a.SystemPool.DiskGiB = 19 }, "nodePools.system.diskGiB", "at least 20"},
		"limits":                    {func(a *Args) { a.GPUPool.MinNodes = 5 }, "nodePools.gpu.maxNodes", "at least 5"},
		"no GPU nodes":              {func(a *Args) { a.GPUPool.MaxNodes = 0 }, "nodePools.gpu.maxNodes", "at least 1"},
		"negative":                  {func(a *Args) { a.GPUPool.MinNodes = -1 }, "nodePools.gpu.minNodes", "at least 0"},
		"disk":                      {func(a *Args) { a.GPUPool.DiskGiB = 20 }, "nodePools.gpu.diskGiB", "at least 60"},
		"zone elsewhere":            {func(a *Args) { a.GPUPool.Zones = []string{"us-east1-b"} }, "nodePools.gpu.zones[0]", "a zone of region us-central1"},
		"zone twice":                {func(a *Args) { a.GPUPool.Zones = []string{"us-central1-a", "us-central1-a"} }, "nodePools.gpu.zones[1]", "listed twice"},
		"region without zones":      {func(a *Args) { a.GPUPool.Zones = nil }, "nodePools.gpu.zones", "zones of the region us-central1"},
		"no machine":                {func(a *Args) { a.GPUPool.MachineType = "" }, "nodePools.gpu.machineType", "a machine type such as"},
		"no pool":                   {func(a *Args) { a.GPUPool = nil }, "nodePools.gpu.create", "cluster.existing"},
		"accelerator":               {func(a *Args) { a.GPUPool.Accelerator = "nvidia-k80" }, "nodePools.gpu.accelerator", "one of: nvidia-l4, "},
		"machine without it": {func(a *Args) { a.GPUPool.MachineType = "e2-standard-4" }, "nodePools.gpu.machineType",
			"carries nvidia-l4 (one of: g2-standard-4, g2-standard-8, "},
		"N1 GPU elsewhere": {func(a *Args) { a.GPUPool.Accelerator = "nvidia-t4" }, "nodePools.gpu.machineType", "can carry nvidia-t4: an n1 machine type"},
		"number on N1": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.GPUsPerNode = "n1-standard-8", "nvidia-t4", 3
		}, "nodePools.gpu.gpusPerNode", "a number of nvidia-t4 that a machine can carry (one of: 1 2 4)"},
		"number of the machine": {func(a *Args) { a.GPUPool.GPUsPerNode = 2 }, "nodePools.gpu.gpusPerNode", "1, what g2-standard-8 carries"},
		"replica too large":     {func(a *Args) { a.GPUsPerReplica = 2 }, "gpu.perReplica", "at most 1"},
		"a part of a GPU": {func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "g4-standard-12", "nvidia-rtx-pro-6000" },
			"nodePools.gpu.machineType", "carries a part of a GPU (1/4 of nvidia-rtx-pro-6000, with 24 GiB)"},
		"B200 on demand": {func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "a4-highgpu-8g", "nvidia-b200" },
			"nodePools.gpu.machineType", "sold as spot machines"},
		"part of an H100 machine": {func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "a3-highgpu-1g", "nvidia-h100-80gb" },
			"nodePools.gpu.machineType", "fix: name your reservation in gke.reservation, set nodePools.gpu.spot to true, or choose a3-highgpu-8g"},
		"H200 on demand": {func(a *Args) { a.GPUPool.MachineType, a.GPUPool.Accelerator = "a3-ultragpu-8g", "nvidia-h200-141gb" },
			"nodePools.gpu.machineType", "offers on demand"},
		"Persistent Disk of an H200": {func(a *Args) {
			a.GPUPool.MachineType, a.GPUPool.Accelerator, a.GPUPool.Spot, a.GPUDiskType = "a3-ultragpu-8g", "nvidia-h200-141gb", true, "pd-ssd"
		}, "gke.gpuDiskType", "remove the key to get hyperdisk-balanced"},
		"Hyperdisk of an L4":     {func(a *Args) { a.GPUDiskType = "hyperdisk-balanced" }, "gke.gpuDiskType", "g2-standard-8 can start from"},
		"standard disk of an L4": {func(a *Args) { a.GPUDiskType = "pd-standard" }, "gke.gpuDiskType", "remove the key to get pd-balanced"},
		"label":                  {func(a *Args) { a.ResourceLabels = map[string]string{"team": "ML"} }, "gke.resourceLabels.team", "lower-case"},
		"half a window": {func(a *Args) {
			a.MaintenanceWindow.Start = "2026-01-03T02:00:00Z"
			a.MaintenanceWindow.End = "2026-01-03T08:00:00Z"
		}, "gke.maintenanceWindow.recurrence", "RRULE"},
		"no such day": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-02-30T02:00:00Z", "2026-03-03T08:00:00Z", "FREQ=DAILY"}
		}, "gke.maintenanceWindow.start", "that exist"},
		"window that ends before it starts": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-03T02:00:00Z", "2026-01-03T01:00:00Z", "FREQ=DAILY"}
		}, "gke.maintenanceWindow.end", "a time after gke.maintenanceWindow.start"},
		"short window": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-03T02:00:00Z", "2026-01-03T05:00:00Z", "FREQ=DAILY"}
		}, "gke.maintenanceWindow.end", "at least 4 hours"},
		"too little maintenance": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-03T02:00:00Z", "2026-01-03T08:00:00Z", "FREQ=WEEKLY;BYDAY=SA"}
		}, "gke.maintenanceWindow.end", "at least 12 hours after gke.maintenanceWindow.start (2026-01-03T02:00:00Z) with 1 days a week"},
		"exclusion alone": {func(a *Args) {
			a.MaintenanceExclusions = []MaintenanceExclusion{{Name: "a", Start: "2026-12-18T00:00:00Z", End: "2027-01-04T00:00:00Z"}}
		}, "gke.maintenanceExclusions", "only with gke.maintenanceWindow"},
		"exclusion twice": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "FREQ=DAILY"}
			e := MaintenanceExclusion{Name: "a", Start: "2026-12-18T00:00:00Z", End: "2027-01-04T00:00:00Z"}
			a.MaintenanceExclusions = []MaintenanceExclusion{e, e}
		}, "gke.maintenanceExclusions[1].name", "listed twice"},
		"exclusion without a name": {func(a *Args) {
			a.MaintenanceWindow = MaintenanceWindow{"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "FREQ=DAILY"}
			a.MaintenanceExclusions = []MaintenanceExclusion{{Start: "2026-12-18T00:00:00Z", End: "2027-01-04T00:00:00Z"}}
		}, "gke.maintenanceExclusions[0].name", "a name"},
		"choice beside a pool": {func(a *Args) { a.ExistingAccelerator = "nvidia-l4" }, "gke.existingAccelerator", "nodePools.gpu.create"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			c.change(args)
			providertest.Only(t, args.Validate(), c.key, c.wants)
		})
	}
}

func TestValidateReportsAllProblemsAtOnce(t *testing.T) {
	args := &Args{Request: providers.Request{GPUPool: &providers.GPUPool{}}}
	problems := args.Validate()
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
	}
	assert.Equal(t, []string{"cluster.name", "gke.project", "gke.location", "cluster.apiAccessCidrs",
		"nodePools.gpu.machineType", "nodePools.gpu.maxNodes"}, keys)
	_, err := (&recorder{}).run(args)
	for _, key := range keys {
		assert.ErrorContains(t, err, key)
	}
}

func TestValidateLeavesTheArgumentsAlone(t *testing.T) {
	args := validArgs()
	assert.Empty(t, args.Validate())
	assert.Equal(t, validArgs(), args)
}
