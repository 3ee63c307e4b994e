package sizing

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/gke"
)

// TestRoom compares the room of nodes with the examples of the clouds' documentation and with values computed by hand.
func TestRoom(t *testing.T) {
	for name, test := range map[string]struct {
		cloud    providers.Cloud
		cpus     int
		memory   float64
		roomCPUs float64
		roomGiB  float64
	}{
		// github.com/hatemosphere/gke-node-allocatable-memory-calculator, after Google's page: 9.8577 GiB of 150 are kept.
		"GKE, 150 GiB":         {gke.Cloud(), 32, 150, 32 - 0.15, 150 - 9.8577},
		"GKE, g2-standard-4":   {gke.Cloud(), 4, 16, 4 - 0.08, 16 - 2.6 - 0.0977},
		"EKS, g6.xlarge":       {eks.Cloud(), 4, 16, 4 - 0.08, 16 - 0.8721 - 0.0977},
		"EKS, a large one":     {eks.Cloud(), 48, 192, 48 - 0.19, 192 - 2.7627 - 0.0977},
		"AKS, 4 GB: a quarter": {aks.Cloud(), 2, 4, 2 - 0.12, 3 - 0.0977},
		"AKS, 32 CPUs":         {aks.Cloud(), 32, 128, 32 - 0.42, 128 - 4.7032 - 0.0977},
	} {
		t.Run(name, func(t *testing.T) {
			got := room(test.cloud.Node, test.cpus, test.memory)
			assert.InDelta(t, test.roomCPUs, got.CPUs, 0.001)
			assert.InDelta(t, test.roomGiB, got.MemoryGiB, 0.001)
		})
	}
}

// TestLikelyRoom checks that the estimate is positive and not above the bound, on every machine type.
func TestLikelyRoom(t *testing.T) {
	for _, cloud := range []providers.Cloud{gke.Cloud(), eks.Cloud(), aks.Cloud()} {
		for _, machine := range cloud.Machines.Machines {
			most, likely := MostRoom(cloud.Node, machine), LikelyRoom(cloud.Node, machine)
			assert.Less(t, likely.CPUs, most.CPUs, machine.Type)
			assert.Less(t, likely.MemoryGiB, most.MemoryGiB, machine.Type)
			assert.Less(t, most.MemoryGiB, machine.MemoryGiB, machine.Type)
			assert.Positive(t, likely.Holds(2, 10), "%s has room for a replica as it is by default", machine.Type)
		}
	}
}

func TestHolds(t *testing.T) {
	assert.Equal(t, 2, Room{CPUs: 5, MemoryGiB: 100}.Holds(2, 10))
	assert.Equal(t, 1, Room{CPUs: 50, MemoryGiB: 19}.Holds(2, 10))
	assert.Equal(t, 0, Room{CPUs: 1.9, MemoryGiB: 100}.Holds(2, 10))
	assert.Equal(t, 0, Room{CPUs: -1, MemoryGiB: 100}.Holds(2, 10))
}
