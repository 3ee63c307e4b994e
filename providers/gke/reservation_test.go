package gke

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers/providertest"
)

// TestReservation checks that the GPU nodes, and only these, come from the reservation.
func TestReservation(t *testing.T) {
	for _, name := range []string{"inference", "projects/other-project/reservations/inference"} {
		args := validArgs()
		args.GPUPool.MachineType, args.GPUPool.Accelerator, args.Reservation = "a3-ultragpu-8g", "nvidia-h200-141gb", name
		r, _ := provision(t, args)
		assert.Equal(t, map[string]any{
			"consumeReservationType": "SPECIFIC_RESERVATION", "key": "compute.googleapis.com/reservation-name", "values": []any{name},
		}, r.One(t, poolToken, "gke-gpu").Field("nodeConfig.reservationAffinity"))
		assert.Nil(t, r.One(t, poolToken, "gke-system").Field("nodeConfig.reservationAffinity"))
	}
	r, _ := provision(t, validArgs())
	assert.Nil(t, r.One(t, poolToken, "gke-gpu").Field("nodeConfig.reservationAffinity"))
}

func TestReservationIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Args)
		wants  string
	}{
		"with spot":        {func(a *Args) { a.GPUPool.Spot = true }, "spot machines never come from a reservation"},
		"of one's own":     {func(a *Args) { a.Reservation = "projects/my-project/reservations/inference" }, "fix: write inference"},
		"without the pool": {func(a *Args) { a.Existing, a.APIAccessCIDRs, a.GPUPool = "theirs", nil, nil }, "only with a GPU pool that is created"},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.Reservation = "inference"
			require.Empty(t, args.Validate())
			test.change(args)
			providertest.Has(t, args.Validate(), "gke.reservation", test.wants)
		})
	}
}

// TestDividedGPUsOfACluster checks which divided GPUs of an existing cluster a replica can use.
func TestDividedGPUsOfACluster(t *testing.T) {
	shared := object{"gpuSharingConfigs": []any{object{"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": 4.0}}}
	for name, test := range map[string]struct {
		gpu        object
		perReplica int
		lacks      string
	}{
		"whole":                  {object{}, 2, ""},
		"shared by containers":   {shared, 1, "the GPUs of its node pool gpus (4 containers share a GPU) are no whole ones"},
		"a partition":            {object{"gpuPartitionSize": "3g.20gb"}, 1, ""},
		"several partitions":     {object{"gpuPartitionSize": "3g.20gb"}, 2, "partitions of 3g.20gb, of which a replica can use one"},
		"shared by one, a whole": {object{"gpuSharingConfigs": []any{object{"maxSharedClientsPerGpu": 1.0}}}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pool := gpuPoolOf("gpus", "nvidia-tesla-a100", 2, "LATEST")
			gpu := pool["nodeConfigs"].([]any)[0].(object)["guestAccelerators"].([]any)[0].(object)
			for key, value := range test.gpu {
				gpu[key] = value
			}
			cluster := existingCluster()
			cluster["nodePools"] = []any{pool}
			args := validArgs()
			args.GPUPool, args.GPUsPerReplica = nil, test.perReplica
			_, _, err := attachTo(args, cluster)
			if test.lacks == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.lacks)
		})
	}
}
