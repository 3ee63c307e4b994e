package accelerators

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindMachine(t *testing.T) {
	for _, want := range []struct {
		cloud string
		Machine
	}{
		{GKE, Machine{"g2-standard-4", "nvidia-l4", 1, 4, 16}},
		{GKE, Machine{"a2-megagpu-16g", "nvidia-a100-40gb", 16, 96, 1360}},
		{EKS, Machine{"g6.xlarge", "nvidia-l4", 1, 4, 16}},
		{EKS, Machine{"g5.12xlarge", "nvidia-a10g", 4, 48, 192}},
		{EKS, Machine{"g5.16xlarge", "nvidia-a10g", 1, 64, 256}},
		{EKS, Machine{"g4dn.12xlarge", "nvidia-t4", 4, 48, 192}},
		{EKS, Machine{"g6e.48xlarge", "nvidia-l40s", 8, 192, 1536}},
		{EKS, Machine{"p5.4xlarge", "nvidia-h100-80gb", 1, 16, 256}},
		{EKS, Machine{"p4d.24xlarge", "nvidia-a100-40gb", 8, 96, 1152}},
		{AKS, Machine{"Standard_NC24ads_A100_v4", "nvidia-a100-80gb", 1, 24, 220}},
		{AKS, Machine{"Standard_ND40rs_v2", "nvidia-v100-32gb", 8, 40, 672}},
	} {
		found, ok := FindMachine(want.cloud, want.Type)
		require.True(t, ok, want.Type)
		assert.Equal(t, want.Machine, found)
	}
	found, ok := FindMachine(AKS, "standard_nc24ads_a100_v4")
	require.True(t, ok, "Azure does not tell upper from lower case")
	assert.Equal(t, "Standard_NC24ads_A100_v4", found.Type)
	for cloud, types := range map[string][]string{
		GKE: {"g6.xlarge", "e2-standard-4", ""}, AKS: {"g2-standard-4", "Standard_D4s_v5", "Standard_NV6ads_A10_v5"}, "mars": {"g6.xlarge"},
		EKS: {"G6.xlarge", "m6i.large", "g6.huge", "g6", "", "g5g.xlarge", "p4d.xlarge"},
	} {
		for _, machineType := range types {
			_, ok := FindMachine(cloud, machineType)
			assert.False(t, ok, "%s on %s", machineType, cloud)
		}
	}
}

// The smallest comes first: it is the default, and the first that an error suggests.
func TestSmallestFirst(t *testing.T) {
	for _, test := range []struct{ cloud, accelerator, first string }{
		{GKE, "nvidia-l4", "g2-standard-4"}, {EKS, "nvidia-l4", "g6.xlarge"}, {AKS, "nvidia-a100-80gb", "Standard_NC24ads_A100_v4"},
	} {
		list := Machines(test.cloud, test.accelerator)
		require.NotEmpty(t, list)
		assert.Equal(t, test.first, list[0].Type)
		assert.True(t, slices.IsSortedFunc(list, func(a, b Machine) int { return a.GPUs - b.GPUs }))
	}
	assert.Empty(t, Machines(AKS, "nvidia-l4"), "Azure has none")
	assert.True(t, slices.IsSortedFunc(All(), func(a, b Accelerator) int { return int(a.MemoryGiB - b.MemoryGiB) }))
	assert.True(t, slices.IsSortedFunc(In(EKS), func(a, b Accelerator) int { return int(a.MemoryGiB - b.MemoryGiB) }))
}

// Which GPUs calculate in bfloat16 decides who can run Gemma 3.
func TestBFloat16(t *testing.T) {
	for _, a := range All() {
		old := slices.Contains([]string{"nvidia-v100", "nvidia-v100-32gb", "nvidia-t4"}, a.Name)
		assert.Equal(t, !old, a.ComputeCapability >= BFloat16, a.Name)
		assert.Positive(t, a.MemoryGiB, a.Name)
		assert.InDelta(t, 0.95*a.MemoryGiB, a.UsableGiB, 0.05*a.MemoryGiB, "%s: CUDA reports 90 to 100 %% of it", a.Name)
	}
	l4, _ := Find("nvidia-l4")
	assert.Equal(t, "8.9", l4.Capability())
}

// Every machine type stands once in its cloud and carries an accelerator of the catalogue.
func TestCatalogueHoldsTogether(t *testing.T) {
	for cloud, groups := range machines {
		seen := map[string]bool{}
		for _, g := range groups {
			_, ok := Find(g.accelerator)
			assert.True(t, ok, "%s of %s is not in the catalogue", g.accelerator, cloud)
			for _, machine := range g.list() {
				assert.False(t, seen[machine.Type], "%s stands twice", machine.Type)
				assert.Positive(t, machine.GPUs)
				assert.GreaterOrEqual(t, machine.CPUs, 2*machine.GPUs, machine.Type)
				assert.GreaterOrEqual(t, machine.MemoryGiB, 3.5*float64(machine.CPUs), machine.Type)
				seen[machine.Type] = true
			}
		}
		assert.Len(t, In(cloud), len(groups))
	}
	_, ok := Find("nvidia-k80")
	assert.False(t, ok)
}
