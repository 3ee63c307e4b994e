package aks

import (
	"regexp"
	"strconv"

	"vllm-autoscaling/providers/accelerators"
)

var (
	vmSizeForm = regexp.MustCompile(`^Standard_[A-Za-z][A-Za-z0-9_-]*$`)
	// vcpuForm matches the vCPUs in a size's name; with a constrained size, such as E4-2s_v5, the
	// second number counts.
	vcpuForm = regexp.MustCompile(`^Standard_[A-Za-z]+([0-9]+)(?:-([0-9]+))?`)
	// ordinalForm matches the old D and DS sizes, whose number only counts the sizes up.
	ordinalForm = regexp.MustCompile(`^Standard_DS?[0-9]+(?:-[0-9]+)?(?:_v2)?(?:_Promo)?$`)
	// armForm matches Ampere sizes, such as D4ps_v5: a p among the letters behind the vCPUs.
	armForm = regexp.MustCompile(`^Standard_[A-Z]+[0-9]+(?:-[0-9]+)?[a-z]*p[a-z]*_`)
	// partOfGPUForm matches the sizes that carry a part of an A10.
	partOfGPUForm = regexp.MustCompile(`(?i)^Standard_NV(6|12|18)ads_A10_v5$`)
)

// gpuSize is what the catalogue knows of a VM size with GPUs.
func gpuSize(name string) (accelerators.Machine, bool) {
	return accelerators.FindMachine(accelerators.AKS, name)
}

// vcpus reads the number of vCPUs from a size's name; 0 means that it does not say.
func vcpus(size string) int {
	match := vcpuForm.FindStringSubmatch(size)
	if match == nil || ordinalForm.MatchString(size) {
		return 0
	}
	text := match[1]
	if match[2] != "" {
		text = match[2]
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0 // More digits than any machine has vCPUs.
	}
	return n
}
