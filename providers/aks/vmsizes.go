package aks

import (
	"regexp"
	"strconv"
	"strings"
)

// VMSize is what an Azure VM size brings in GPUs.
type VMSize struct {
	// Accelerator is the GPU's cloud-neutral name.
	Accelerator string
	// GPUs is how many the machine carries.
	GPUs int
	// MemoryGiB is the memory of one of them.
	MemoryGiB int
	// ComputeCapability is CUDA's, times ten: 80 means 8.0. Gemma 3 in bfloat16 needs 80.
	ComputeCapability int
}

// vmSizes are the GPU sizes of Azure's list of accelerated VM sizes, autumn 2026. Sizes with a part
// of a GPU (the smaller NVadsA10 v5) and with AMD's are absent: vLLM gets whole NVIDIA GPUs here.
// Memory and capability are NVIDIA's figures.
var vmSizes = map[string]VMSize{
	"standard_nc4as_t4_v3":  {"nvidia-t4", 1, 16, 75},
	"standard_nc8as_t4_v3":  {"nvidia-t4", 1, 16, 75},
	"standard_nc16as_t4_v3": {"nvidia-t4", 1, 16, 75},
	"standard_nc64as_t4_v3": {"nvidia-t4", 4, 16, 75},

	"standard_nc6s_v3":   {"nvidia-v100", 1, 16, 70},
	"standard_nc12s_v3":  {"nvidia-v100", 2, 16, 70},
	"standard_nc24s_v3":  {"nvidia-v100", 4, 16, 70},
	"standard_nc24rs_v3": {"nvidia-v100", 4, 16, 70},
	"standard_nd40rs_v2": {"nvidia-v100", 8, 32, 70},

	"standard_nv36ads_a10_v5":  {"nvidia-a10", 1, 24, 86},
	"standard_nv36adms_a10_v5": {"nvidia-a10", 1, 24, 86},
	"standard_nv72ads_a10_v5":  {"nvidia-a10", 2, 24, 86},

	"standard_nc24ads_a100_v4":  {"nvidia-a100-80gb", 1, 80, 80},
	"standard_nc48ads_a100_v4":  {"nvidia-a100-80gb", 2, 80, 80},
	"standard_nc96ads_a100_v4":  {"nvidia-a100-80gb", 4, 80, 80},
	"standard_nd96asr_v4":       {"nvidia-a100-40gb", 8, 40, 80},
	"standard_nd96amsr_a100_v4": {"nvidia-a100-80gb", 8, 80, 80},
	"standard_nc40ads_h100_v5":  {"nvidia-h100-94gb", 1, 94, 90},
	"standard_nc80adis_h100_v5": {"nvidia-h100-94gb", 2, 94, 90},
	"standard_nd96isr_h100_v5":  {"nvidia-h100-80gb", 8, 80, 90},
	"standard_nd96isr_h200_v5":  {"nvidia-h200-141gb", 8, 141, 90},
}

// FindVMSize gives what is known about a VM size such as Standard_NC24ads_A100_v4. Azure does not
// care about upper and lower case.
func FindVMSize(name string) (VMSize, bool) {
	size, ok := vmSizes[strings.ToLower(name)]
	return size, ok
}

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
