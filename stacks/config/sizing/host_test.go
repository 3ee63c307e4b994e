package sizing

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
	"vllm-autoscaling/providers/aks"
	"vllm-autoscaling/providers/eks"
	"vllm-autoscaling/providers/gke"
)

// TestSharedGiB checks the size of /dev/shm. The rings of four GPUs are the 1.1 GiB that were observed, beside 1 GiB for NCCL.
func TestSharedGiB(t *testing.T) {
	for name, test := range map[string]struct {
		host Host
		want int
	}{
		"one GPU":                   {Host{GPUs: 1}, 1},
		"two GPUs":                  {Host{GPUs: 2}, 2},
		"four GPUs":                 {Host{GPUs: 4}, 3},
		"eight GPUs":                {Host{GPUs: 8}, 4},
		"sixteen GPUs":              {Host{GPUs: 16}, 5},
		"a cache in the engine":     {Host{GPUs: 1, Images: true, ImageCacheGiB: 4}, 1},
		"a cache in shared memory":  {Host{GPUs: 1, Images: true, ImageCacheGiB: 4, SharedCache: true}, 5},
		"a cache shared by workers": {Host{GPUs: 2, Images: true, ImageCacheGiB: 1.5, SharedCache: true}, 4},
	} {
		assert.Equal(t, test.want, test.host.SharedGiB(), name)
	}
	assert.InDelta(t, 1.1, (schedulerMiB+4*answerMiB+tensorMiB)/1024.0, 0.05, "the rings of four GPUs")
}

// TestMemoryGiB checks the main memory by its parts: processes, the larger of download and what is used after it, and the page cache.
func TestMemoryGiB(t *testing.T) {
	text := Host{GPUs: 1, FilesGiB: 1.9}
	images := Host{GPUs: 1, FilesGiB: 8.2, Images: true, ImageCacheGiB: 1}
	large := Host{GPUs: 1, FilesGiB: 52, Images: true, ImageCacheGiB: 1}
	for name, test := range map[string]struct {
		host   Host
		shared float64
		room   Room
		want   int
	}{
		"text":                               {text, 1, Room{}, 10},
		"a model of unknown size":            {Host{GPUs: 1}, 1, Room{}, 10},
		"more shared memory than a download": {text, 4, Room{}, 11},
		"images":                             {images, 1, Room{}, 12},
		"a cache in shared memory":           {Host{GPUs: 1, Images: true, ImageCacheGiB: 4, SharedCache: true}, 5, Room{}, 15},
		"a large download":                   {large, 1, Room{}, 13},
		"two GPUs":                           {Host{GPUs: 2, FilesGiB: 23.2, Images: true, ImageCacheGiB: 1}, 2, Room{}, 19},
		"eight GPUs":                         {Host{GPUs: 8, FilesGiB: 52, Images: true, ImageCacheGiB: 1}, 4, Room{}, 45},

		"files, in much room":          {large, 1, Room{24, 200}, 65},
		"files, in some room":          {large, 1, Room{8, 50}, 40},
		"no room for files":            {images, 1, Room{3, 12.9}, 12},
		"less room than the processes": {images, 1, Room{3, 11.9}, 11},
		"no room at all":               {images, 1, Room{3, -4}, 1},
		"files of unknown size":        {Host{GPUs: 1}, 1, Room{24, 200}, 10},
	} {
		assert.Equal(t, test.want, test.host.MemoryGiB(test.shared, test.room), name)
	}
}

// TestCPUs checks that the request is vLLM's documented minimum where there is room for it.
func TestCPUs(t *testing.T) {
	for name, test := range map[string]struct {
		gpus int
		room Room
		want int
	}{
		"room that is not known":           {4, Room{}, 2},
		"4 vCPUs":                          {1, Room{3.4, 12}, 2},
		"8 vCPUs":                          {1, Room{7.4, 28}, 5},
		"the minimum of one GPU":           {1, Room{23.3, 200}, 6},
		"the minimum of four GPUs":         {4, Room{47.3, 200}, 12},
		"fewer than the processes":         {8, Room{1, 200}, 2},
		"half of a node of 32 vCPUs, twos": {2, Room{15.7, 100}, 8},
	} {
		assert.Equal(t, test.want, Host{GPUs: test.gpus}.CPUs(test.room), name)
	}
}

// TestPerReplica checks how replicas share a node.
func TestPerReplica(t *testing.T) {
	machine := accelerators.Machine{Type: "x", GPUs: 8, CPUs: 96, MemoryGiB: 384}
	whole := LikelyRoom(eks.Cloud().Node, machine)
	for gpus, replicas := range map[int]float64{1: 8, 2: 4, 3: 2, 8: 1, 16: 1, 0: 8} {
		room := PerReplica(eks.Cloud().Node, machine, gpus)
		assert.InDelta(t, whole.CPUs/replicas, room.CPUs, 0.001, "%d GPUs", gpus)
		assert.InDelta(t, whole.MemoryGiB/replicas, room.MemoryGiB, 0.001, "%d GPUs", gpus)
	}
	assert.Equal(t, Room{2, 10}, Room{2, 20}.Least(Room{4, 10}))
}

// TestSmallestMachines checks the requests on the smallest machines with a GPU of each cloud, for Gemma 3 1B and 4B.
func TestSmallestMachines(t *testing.T) {
	for _, test := range []struct {
		cloud              providers.Cloud
		machine            string
		cpus, text, images int
	}{
		{gke.Cloud(), "g2-standard-4", 2, 10, 12},
		{eks.Cloud(), "g6.xlarge", 2, 10, 12},
		{eks.Cloud(), "g5.xlarge", 2, 10, 12},
		{eks.Cloud(), "g4dn.xlarge", 2, 10, 12},
		{aks.Cloud(), "Standard_NC4as_T4_v3", 2, 12, 16},
		{aks.Cloud(), "Standard_NC24ads_A100_v4", 6, 12, 21},
	} {
		machine, known := test.cloud.Machines.Find(test.machine)
		assert.True(t, known, test.machine)
		room := PerReplica(test.cloud.Node, machine, 1)
		text, images := Host{GPUs: 1, FilesGiB: 1.9}, Host{GPUs: 1, FilesGiB: 8.2, Images: true, ImageCacheGiB: 1}
		assert.Equal(t, test.cpus, text.CPUs(room), test.machine)
		assert.Equal(t, test.text, text.MemoryGiB(1, room), test.machine)
		assert.Equal(t, test.images, images.MemoryGiB(1, room), test.machine)
		assert.Positive(t, room.Holds(float64(test.cpus), float64(test.images)), test.machine)
	}
}
