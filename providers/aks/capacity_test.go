package aks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/providertest"
)

const (
	someGroup    = "/subscriptions/0/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/gpus"
	someIdentity = "/subscriptions/0/resourceGroups/r/providers/Microsoft.ManagedIdentity/userAssignedIdentities/vllm"
)

// TestCapacityReservationGroup checks that the GPU pool comes from the group, and that another group takes a pool of another name.
func TestCapacityReservationGroup(t *testing.T) {
	args := validArgs()
	defaulted := args.withDefaults()
	plain := defaulted.gpuPoolName(&controlPlane{}, defaulted.GPUPools()[0])
	args.CapacityReservationGroupID, args.UserAssignedIdentityID = someGroup, someIdentity
	r := &recorder{}
	_, err := r.run(args)
	require.NoError(t, err)
	pool := r.One(t, poolToken)
	assert.Equal(t, someGroup, pool.Field("capacityReservationGroupID"))
	assert.NotEqual(t, plain, pool.Field("agentPoolName"), "Azure cannot change the group of a pool")
}

// TestSpotMaxPrice checks the price of spot machines, and that a price takes a pool of another name.
func TestSpotMaxPrice(t *testing.T) {
	names := map[any]bool{}
	for _, price := range []float64{0, 1.5, 2} {
		args := validArgs()
		args.GPUPool.Spot, args.SpotMaxPrice = true, price
		r := &recorder{}
		_, err := r.run(args)
		require.NoError(t, err)
		pool := r.One(t, poolToken)
		want := price
		if price == 0 {
			want = -1
		}
		assert.InDelta(t, want, pool.Field("spotMaxPrice"), 0)
		names[pool.Field("agentPoolName")] = true
	}
	assert.Len(t, names, 3)
}

func TestCapacityIsRefused(t *testing.T) {
	const key = "aks.capacityReservationGroupId"
	for name, test := range map[string]struct {
		change     func(*Args)
		key, wants string
	}{
		"not an id":            {func(a *Args) { a.CapacityReservationGroupID = "gpus" }, key, "a capacity reservation group's resource id"},
		"with spot":            {func(a *Args) { a.GPUPool.Spot = true }, key, "spot machines never come from a reservation"},
		"its own identity":     {func(a *Args) { a.UserAssignedIdentityID = "" }, "aks.userAssignedIdentityId", "the role Contributor"},
		"without a pool":       {func(a *Args) { *a = *attachArgs(); a.GPUPool, a.CapacityReservationGroupID = nil, someGroup }, key, "only with a GPU pool"},
		"a price without spot": {func(a *Args) { a.SpotMaxPrice = 1 }, "aks.spotMaxPrice", "only with nodePools.gpu.spot"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.CapacityReservationGroupID, args.UserAssignedIdentityID = someGroup, someIdentity
			require.Empty(t, args.Validate())
			test.change(args)
			providertest.Has(t, args.Validate(), test.key, test.wants)
		})
	}
}

// TestReservationOnACluster checks that an existing cluster needs an identity of its owner's.
func TestReservationOnACluster(t *testing.T) {
	for name, test := range map[string]struct {
		identity any
		lacks    bool
	}{
		"none": {nil, true}, "its own": {map[string]any{"type": "SystemAssigned"}, true}, "its owner's": {map[string]any{"type": "UserAssigned"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			args := attachArgs()
			args.CapacityReservationGroupID = someGroup
			r := &recorder{existing: theirs(map[string]any{"identity": test.identity})}
			_, err := r.run(args)
			if !test.lacks {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "its identity is not a user-assigned one")
			assert.Empty(t, r.NamesOf(poolToken))
		})
	}
}

// TestDividedGPUsOfACluster checks which divided GPUs of an existing cluster a replica can use.
func TestDividedGPUsOfACluster(t *testing.T) {
	for name, test := range map[string]struct {
		size, profile string
		perReplica    int
		lacks         string
	}{
		"a sixth of an A10": {"Standard_NV6ads_A10_v5", "", 1, "gpus (1/6 of nvidia-a10, with 4 GiB)"},
		"an instance":       {"Standard_ND96asr_v4", "MIG3g", 1, ""},
		"several instances": {"Standard_ND96asr_v4", "MIG3g", 2, "gpus (instances of profile MIG3g, of which a replica can use one)"},
		"whole GPUs":        {"Standard_ND96asr_v4", "", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pool := gpuPoolOf("gpus", test.size, gpuLabels)
			if test.profile != "" {
				pool["gpuInstanceProfile"] = test.profile
			}
			args := attachArgs()
			args.GPUPool, args.GPUsPerReplica = nil, test.perReplica
			_, err := (&recorder{existing: theirs(pools(pool))}).run(args)
			if test.lacks == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.lacks)
		})
	}
}
