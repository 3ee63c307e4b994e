package eks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/providertest"
)

const (
	someReservation = "cr-0123456789abcdef0"
	someGroup       = "arn:aws:resource-groups:eu-central-1:123456789012:group/inference"
)

// inOneZone returns the arguments of a pool in one zone.
func inOneZone(machineType string) *Args {
	args := created()
	args.GPUPool.MachineType, args.GPUPool.Zones = machineType, []string{"eu-central-1b"}
	return args
}

func TestCapacityReservation(t *testing.T) {
	for target, want := range map[string]map[string]any{
		someReservation: {"capacityReservationId": someReservation}, someGroup: {"capacityReservationResourceGroupArn": someGroup},
	} {
		args := inOneZone("g6.xlarge")
		args.CapacityReservation = target
		r, _ := run(t, args)
		template, group := plain(r.One(t, templateType, "llm-gpu")), plain(r.One(t, nodeGroupType, "llm-gpu-b"))
		assert.Equal(t, map[string]any{"capacityReservationTarget": want}, template["capacityReservationSpecification"])
		assert.NotContains(t, template, "instanceMarketOptions")
		assert.NotContains(t, template, "instanceType")
		assert.Equal(t, []any{"ON_DEMAND", []any{"g6.xlarge"}}, []any{group["capacityType"], group["instanceTypes"]})
		assert.NotContains(t, plain(r.One(t, templateType, "llm-system")), "capacityReservationSpecification")
	}
}

// TestCapacityBlock checks what AWS requires of a node group in a Capacity Block and of its launch template.
func TestCapacityBlock(t *testing.T) {
	args := inOneZone("p5.48xlarge")
	args.CapacityBlock = someReservation
	r, _ := run(t, args)
	template, group := plain(r.One(t, templateType, "llm-gpu")), plain(r.One(t, nodeGroupType, "llm-gpu-b"))
	assert.Equal(t, map[string]any{"capacityReservationTarget": map[string]any{"capacityReservationId": someReservation}},
		template["capacityReservationSpecification"])
	assert.Equal(t, map[string]any{"marketType": "capacity-block"}, template["instanceMarketOptions"])
	assert.Equal(t, "p5.48xlarge", template["instanceType"])
	assert.Equal(t, "CAPACITY_BLOCK", group["capacityType"])
	assert.NotContains(t, group, "instanceTypes", "EKS refuses them in two places")
	assert.Equal(t, []any{"llm-private-b-id"}, group["subnetIds"])
	assert.Equal(t, map[string]any{"minSize": 0.0, "maxSize": 5.0, "desiredSize": 0.0}, group["scalingConfig"])
	assert.Equal(t, "8", asgTags(t, r, "llm-gpu-b")["resources/nvidia.com/gpu"], "cluster-autoscaler plans with it from zero")
	assert.Equal(t, "ON_DEMAND", plain(r.One(t, nodeGroupType, "llm-system"))["capacityType"])
}

func TestCapacityIsRefused(t *testing.T) {
	const reservationKey, blockKey = "eks.capacityReservation", "eks.capacityBlock"
	for name, test := range map[string]struct {
		change     func(*Args)
		key, wants string
	}{
		"a reservation with spot": {func(a *Args) { a.CapacityReservation, a.GPUPool.Spot = someReservation, true },
			reservationKey, "spot machines never"},
		"a group with spot": {func(a *Args) { a.CapacityReservation, a.GPUPool.Spot = someGroup, true }, reservationKey, "spot machines never"},
		"a reservation in two zones": {func(a *Args) { a.CapacityReservation, a.GPUPool.Zones = someReservation, nil },
			"nodePools.gpu.zones", "one zone, that of"},
		"a reservation of two types": {func(a *Args) {
			a.CapacityReservation, a.AlternativeInstanceTypes = someReservation, []string{"p5e.48xlarge"}
		}, "eks.alternativeInstanceTypes", "which has one instance type"},
		"a reservation without a pool": {func(a *Args) { *a = *attached(); a.GPUPool, a.CapacityReservation = nil, someReservation },
			reservationKey, "only with a GPU pool"},
		"a block with spot": {func(a *Args) { a.CapacityBlock, a.GPUPool.Spot = someReservation, true }, blockKey, "spot machines never"},
		"a block in two zones": {func(a *Args) { a.CapacityBlock, a.GPUPool.Zones = someReservation, nil },
			"nodePools.gpu.zones", "eks.capacityBlock " + someReservation},
		"a block with nodes": {func(a *Args) { a.CapacityBlock, a.GPUPool.MinNodes = someReservation, 1 },
			"nodePools.gpu.minNodes", "0 with eks.capacityBlock"},
		"a block of small GPUs": {func(a *Args) { a.CapacityBlock, a.GPUPool.MachineType = someReservation, "g6.xlarge" },
			"nodePools.gpu.machineType", "AWS sells blocks of the families p4d,"},
		"both": {func(a *Args) { a.CapacityBlock, a.CapacityReservation = someReservation, someReservation },
			blockKey, "only without eks.capacityReservation"},
	} {
		t.Run(name, func(t *testing.T) {
			args := inOneZone("p5.48xlarge")
			test.change(args)
			providertest.Has(t, args.Validate(), test.key, test.wants)
		})
	}
	group := inOneZone("g6.xlarge")
	group.CapacityReservation, group.GPUPool.Zones, group.AlternativeInstanceTypes = someGroup, nil, []string{"g5.xlarge"}
	assert.Empty(t, group.Validate(), "a group has reservations in several zones and of several types")
}

// TestReservationInGivenSubnets checks that subnets in several zones are refused once they are looked up.
func TestReservationInGivenSubnets(t *testing.T) {
	args := created()
	args.Zones, args.SubnetIDs, args.CapacityReservation = nil, []string{"subnet-0a", "subnet-0b"}, someReservation
	r := &record{}
	_, err := r.run(args)
	require.ErrorContains(t, err, "eks.gpuSubnetIds: allowed: subnets in one zone, that of eks.capacityReservation "+someReservation+
		"; these are in eu-central-1a, eu-central-1b")
	args.GPUSubnetIDs = []string{"subnet-0b"}
	r, _ = run(t, args)
	assert.Equal(t, []any{"subnet-0b"}, plain(r.One(t, nodeGroupType, "llm-gpu-b"))["subnetIds"])
}
