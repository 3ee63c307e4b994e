package sizing

import (
	"math"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

// The main memory of vLLM's processes, in GiB. docs/sizing.md lists the sources and what each of them is worth.
const (
	// serverGiB is the memory of the API server. An estimate: one report begins with 3.1 GiB before the first request, of vLLM 0.8
	// (github.com/vllm-project/vllm/issues/15294).
	serverGiB = 3
	// workerGiB is the memory of the process that runs a GPU. Reported: 3.0 GiB of anonymous memory in the kernel's log, of vLLM 0.29
	// (github.com/vllm-project/vllm/issues/57469), and 4 GB of a whole server in 2024 (github.com/vllm-project/vllm/issues/3035).
	workerGiB = 4
	// engineGiB is the memory of the engine core. An estimate. With one GPU, it runs in the worker's process (vLLM's UniProcExecutor).
	engineGiB = 2
	// coordinatorGiB is the memory of the process that balances requests over the engines of a replica with data parallelism. An
	// estimate.
	coordinatorGiB = 1
	// inputsGiB is the memory of the images of running and waiting requests: 300 of Gemma 3, each of 896 x 896 x 3 numbers of 4
	// bytes. An estimate.
	inputsGiB = 3
)

// The buffers of a download from Hugging Face, which the client fills as far as the disk is slower than the network: documented defaults
// (https://huggingface.co/docs/hub/en/xet/using-xet-storage#download-buffers).
const (
	bufferBytes, bufferBytesPerFile, parallelFiles = 2e9, 0.5e9, 8
	// fileBytes is the usual size of one of a model's files; the number of files is an estimate.
	fileBytes = 5e9
)

// The segments in /dev/shm of a replica with several GPUs, in MiB.
const (
	// schedulerMiB is the ring through which the engine core sends work to all workers, 10 messages of 16 MiB, answerMiB the one
	// through which each worker answers, 10 of 24 MiB, and tensorMiB that of the workers among themselves, 6 of 4 MiB: vLLM's source
	// (vllm/v1/executor/multiproc_executor.py, vllm/distributed/device_communicators/shm_broadcast.py, parallel_state.py). The sum
	// for four GPUs, 1.1 GiB, is also what was observed (github.com/Podwarden/vllm-warden, with vLLM 0.20).
	schedulerMiB, answerMiB, tensorMiB = 160, 240, 24
	// ncclMiB is what NVIDIA documents for NCCL in a container
	// (https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting/runtime_and_mpi_issues.html).
	ncclMiB = 1024
	// oneGPUMiB is the size with one GPU, whose worker shares its process with the engine core. An estimate: nothing large is there.
	oneGPUMiB = 1024
)

const (
	// leastCPUs is the number of vCPUs where the room is not known: one for each process of a replica with one GPU. All machines of the
	// catalogues have them.
	leastCPUs = 2
	// plannedShare is the largest share of a replica's part of a node that is requested for speed alone. An estimate: the rest is for
	// pods of the cluster's owner.
	plannedShare = 0.8
)

// Host describes what a replica does with the CPUs and the main memory of its node.
type Host struct {
	// GPUs is the number of GPUs of the replica; vLLM runs one worker for each.
	GPUs int
	// Engines is the number of engines that they are divided between, the data parallel size; 0 is 1.
	Engines int
	// FilesGiB is the size of the files that are downloaded, or read from a volume; 0 if it is not known.
	FilesGiB float64
	// StreamGiB is the buffer of each worker that streams the weights from where they are; 0 where they are downloaded first.
	StreamGiB float64
	// AdaptersGiB is the size of the LoRA adapters in main memory.
	AdaptersGiB float64
	// Images is true for a model that is served with images. ImageCacheGiB is the size of the cache of processed images, which is in
	// /dev/shm if SharedCache is true, and otherwise in the engine core only.
	Images        bool
	ImageCacheGiB float64
	SharedCache   bool
}

// PerReplica returns the likely room of a node for each of the replicas with that many GPUs that it carries.
func PerReplica(node providers.NodeRoom, machine accelerators.Machine, gpus int) Room {
	// A replica does not spread over nodes.
	replicas := float64(max(1, machine.GPUs/max(1, gpus)))
	likely := LikelyRoom(node, machine)
	return Room{CPUs: likely.CPUs / replicas, MemoryGiB: likely.MemoryGiB / replicas}
}

// Least returns the smaller of both rooms in each respect.
func (r Room) Least(other Room) Room {
	return Room{CPUs: math.Min(r.CPUs, other.CPUs), MemoryGiB: math.Min(r.MemoryGiB, other.MemoryGiB)}
}

// Without returns what is left of the room beside pods or containers with the given requests.
func (r Room) Without(requests Room) Room {
	return Room{CPUs: r.CPUs - requests.CPUs, MemoryGiB: r.MemoryGiB - requests.MemoryGiB}
}

// SharedGiB returns the size of /dev/shm, in whole GiB.
func (h Host) SharedGiB() int {
	mib := float64(oneGPUMiB)
	if engines := h.engines(); h.GPUs > engines {
		mib = (schedulerMiB+tensorMiB)*float64(engines) + answerMiB*float64(h.GPUs) + ncclMiB
	}
	if h.SharedCache {
		mib += h.ImageCacheGiB * 1024
	}
	return int(math.Ceil(mib / 1024))
}

// MemoryGiB returns the main memory of a replica with a /dev/shm of the given size, in whole GiB: what its processes need, and where its
// room is known, also the model's files as far as they fit. The page cache counts towards a container's limit. The files that were
// just downloaded are then loaded from it and not from the disk, by every worker. The zero room is one that is not known.
func (h Host) MemoryGiB(sharedGiB float64, room Room) int {
	engines := h.engines()
	need := serverGiB + workerGiB*float64(h.GPUs) + h.AdaptersGiB
	if h.GPUs > engines {
		need += engineGiB * float64(engines)
	}
	if engines > 1 {
		need += coordinatorGiB
	}
	if h.StreamGiB > 0 {
		// The weights are loaded before the first image comes.
		need += sharedGiB + math.Max(h.StreamGiB*float64(h.GPUs), h.imagesGiB())
	} else {
		// The download is over when the workers start to use the shared memory.
		need += math.Max(h.downloadGiB(), sharedGiB+h.imagesGiB())
	}
	memory := math.Ceil(need)
	if room == (Room{}) {
		return int(memory)
	}
	memory = math.Max(memory, math.Min(math.Ceil(need+h.FilesGiB), math.Floor(plannedShare*room.MemoryGiB)))
	return int(math.Max(1, math.Min(memory, math.Floor(room.MemoryGiB))))
}

// CPUs returns the number of vCPUs that a replica requests: the two for each physical core of vLLM's documented minimum, one for the API
// server, for each engine and for each GPU (https://docs.vllm.ai/en/v0.20.0/configuration/optimization/#cpu-resources-for-gpu-deployments),
// and one for the coordinator of several engines, as far as its room allows. The zero room is one that is not known.
func (h Host) CPUs(room Room) int {
	cores := 1 + h.engines() + h.GPUs
	if h.engines() > 1 {
		cores++
	}
	return max(leastCPUs, min(2*cores, int(plannedShare*room.CPUs)))
}

// engines returns the number of engines.
func (h Host) engines() int { return max(1, h.Engines) }

// downloadGiB returns the size of the buffers of the download.
func (h Host) downloadGiB() float64 {
	files := math.Min(parallelFiles, math.Max(1, math.Ceil(h.FilesGiB*GiB/fileBytes)))
	return (bufferBytes + bufferBytesPerFile*files) / GiB
}

// imagesGiB returns the memory for images outside /dev/shm.
func (h Host) imagesGiB() float64 {
	switch {
	case !h.Images:
		return 0
	case h.SharedCache:
		return inputsGiB
	default:
		return inputsGiB + h.ImageCacheGiB
	}
}
