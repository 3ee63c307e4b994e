package aks

import (
	"regexp"
	"slices"
	"strconv"

	"vllm-autoscaling/providers/accelerators"
)

// machines are the VM sizes with GPUs, autumn 2026
// (https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated). CPUs and memory are those of
// cluster-autoscaler's table, which is made from Azure's API (github.com/kubernetes/autoscaler 55c37cd:
// cloudprovider/azure/azure_instance_types.go).
var machines = accelerators.Catalogue{
	FoldCase: true,
	Machines: slices.Concat(
		carrying("nvidia-t4", 1,
			size("Standard_NC4as_T4_v3", 4, 28), size("Standard_NC8as_T4_v3", 8, 56), size("Standard_NC16as_T4_v3", 16, 110)),
		carrying("nvidia-t4", 4, size("Standard_NC64as_T4_v3", 64, 440)),
		carrying("nvidia-v100-32gb", 8, size("Standard_ND40rs_v2", 40, 672)),
		carrying("nvidia-a10", 1, size("Standard_NV36ads_A10_v5", 36, 440), size("Standard_NV36adms_A10_v5", 36, 880)),
		carrying("nvidia-a10", 2, size("Standard_NV72ads_A10_v5", 72, 880)),
		carrying("nvidia-a100-40gb", 8, size("Standard_ND96asr_v4", 96, 900)),
		carrying("nvidia-a100-80gb", 1, size("Standard_NC24ads_A100_v4", 24, 220)),
		carrying("nvidia-a100-80gb", 2, size("Standard_NC48ads_A100_v4", 48, 440)),
		carrying("nvidia-a100-80gb", 4, size("Standard_NC96ads_A100_v4", 96, 880)),
		carrying("nvidia-a100-80gb", 8, size("Standard_ND96amsr_A100_v4", 96, 1800)),
		carrying("nvidia-h100-80gb", 8, size("Standard_ND96isr_H100_v5", 96, 1900)),
		carrying("nvidia-h100-94gb", 1, size("Standard_NC40ads_H100_v5", 40, 320)),
		carrying("nvidia-h100-94gb", 2, size("Standard_NC80adis_H100_v5", 80, 640)),
		carrying("nvidia-h200-141gb", 8, size("Standard_ND96isr_H200_v5", 96, 1850)),
	),
	// https://learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/nvadsa10v5-series
	Parts: []accelerators.Part{
		{Type: "Standard_NV6ads_A10_v5", Accelerator: "nvidia-a10", Of: 6, MemoryGiB: 4},
		{Type: "Standard_NV12ads_A10_v5", Accelerator: "nvidia-a10", Of: 3, MemoryGiB: 8},
		{Type: "Standard_NV18ads_A10_v5", Accelerator: "nvidia-a10", Of: 2, MemoryGiB: 12},
	},
}

// size and carrying are short for their names in package accelerators.
var (
	size     = accelerators.Size
	carrying = accelerators.Carrying
)

var (
	vmSizeForm = regexp.MustCompile(`^Standard_[A-Za-z][A-Za-z0-9_-]*$`)
	// vcpuForm matches the vCPUs in a size's name; with a constrained size, such as E4-2s_v5, the
	// second number counts.
	vcpuForm = regexp.MustCompile(`^Standard_[A-Za-z]+([0-9]+)(?:-([0-9]+))?`)
	// ordinalForm matches the old D and DS sizes, whose number only counts the sizes up.
	ordinalForm = regexp.MustCompile(`^Standard_DS?[0-9]+(?:-[0-9]+)?(?:_v2)?(?:_Promo)?$`)
	// armForm matches Ampere sizes, such as D4ps_v5: a p among the letters behind the vCPUs; and Grace, such as ND128isr_NDR_GB200_v6.
	armForm = regexp.MustCompile(`^Standard_[A-Z]+[0-9]+(?:-[0-9]+)?(?:[a-z]*p[a-z]*_|.*_(?i:GB)[0-9]+_)`)
	// retiredForm matches the sizes of series NCv3, which Azure retired in 2025.
	retiredForm = regexp.MustCompile(`(?i)^Standard_NC(6|12|24|24r)s_v3$`)
	// partOfGPUForm matches the sizes that carry a part of an A10 or of an RTX PRO 6000, amdForm those with GPUs of AMD.
	partOfGPUForm = regexp.MustCompile(`(?i)^Standard_(NV(6|12|18)ads_A10_v5|NC(24|36|72)l?ds_xl_RTXPRO6000BSE_v6)$`)
	amdForm       = regexp.MustCompile(`(?i)^Standard_(NV[0-9]+as_v4|N[A-Z]+[0-9]+[a-z]*_(V620|V710|MI[0-9]+X)_v[0-9]+)$`)
)

// vcpus returns the number of vCPUs in a size's name; 0 where the name does not have it.
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
