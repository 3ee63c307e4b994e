package eks

import "vllm-autoscaling/providers/accelerators"

// gpuType is what the catalogue knows of an instance type with GPUs. Fractional GPUs, ARM machines
// and families that no one has run this program on are absent from it; their types can be used by
// stating what they carry.
func gpuType(name string) (accelerators.Machine, bool) {
	return accelerators.FindMachine(accelerators.EKS, name)
}
