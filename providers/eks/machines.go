package eks

import (
	"regexp"
	"slices"

	"vllm-autoscaling/providers/accelerators"
)

// machines are the instance types with GPUs, autumn 2026 (https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html).
// CPUs and memory are those of cluster-autoscaler's table, which is made from AWS' API
// (github.com/kubernetes/autoscaler 55c37cd: cloudprovider/aws/ec2_instance_types.go), and where it lacks them, for G7, P5e and P6-B300,
// those of Karpenter's, made in the same way (github.com/aws/karpenter-provider-aws 1d92708:
// website/content/en/docs/reference/instance-types.md). Karpenter's table names the GPUs, too.
var machines = accelerators.Catalogue{
	Machines: slices.Concat(
		carrying("nvidia-v100", 1, size("p3.2xlarge", 8, 61)),
		carrying("nvidia-v100", 4, size("p3.8xlarge", 32, 244)),
		carrying("nvidia-v100", 8, size("p3.16xlarge", 64, 488)),
		carrying("nvidia-t4", 1,
			size("g4dn.xlarge", 4, 16), size("g4dn.2xlarge", 8, 32), size("g4dn.4xlarge", 16, 64),
			size("g4dn.8xlarge", 32, 128), size("g4dn.16xlarge", 64, 256)),
		carrying("nvidia-t4", 4, size("g4dn.12xlarge", 48, 192)),
		carrying("nvidia-t4", 8, size("g4dn.metal", 96, 384)),
		carrying("nvidia-l4", 1,
			size("g6.xlarge", 4, 16), size("g6.2xlarge", 8, 32), size("g6.4xlarge", 16, 64), size("gr6.4xlarge", 16, 128),
			size("g6.8xlarge", 32, 128), size("gr6.8xlarge", 32, 256), size("g6.16xlarge", 64, 256)),
		carrying("nvidia-l4", 4, size("g6.12xlarge", 48, 192), size("g6.24xlarge", 96, 384)),
		carrying("nvidia-l4", 8, size("g6.48xlarge", 192, 768)),
		carrying("nvidia-a10g", 1,
			size("g5.xlarge", 4, 16), size("g5.2xlarge", 8, 32), size("g5.4xlarge", 16, 64), size("g5.8xlarge", 32, 128),
			size("g5.16xlarge", 64, 256)),
		carrying("nvidia-a10g", 4, size("g5.12xlarge", 48, 192), size("g5.24xlarge", 96, 384)),
		carrying("nvidia-a10g", 8, size("g5.48xlarge", 192, 768)),
		carrying("nvidia-l40s", 1,
			size("g6e.xlarge", 4, 32), size("g6e.2xlarge", 8, 64), size("g6e.4xlarge", 16, 128),
			size("g6e.8xlarge", 32, 256), size("g6e.16xlarge", 64, 512)),
		carrying("nvidia-l40s", 4, size("g6e.12xlarge", 48, 384), size("g6e.24xlarge", 96, 768)),
		carrying("nvidia-l40s", 8, size("g6e.48xlarge", 192, 1536)),
		carrying("nvidia-rtx-pro-4500", 1, size("g7.2xlarge", 8, 32), size("g7.4xlarge", 16, 64), size("g7.8xlarge", 32, 128)),
		carrying("nvidia-rtx-pro-4500", 2, size("g7.12xlarge", 48, 192)),
		carrying("nvidia-rtx-pro-4500", 4, size("g7.24xlarge", 96, 384)),
		carrying("nvidia-rtx-pro-4500", 8, size("g7.48xlarge", 192, 768)),
		carrying("nvidia-rtx-pro-6000", 1, size("g7e.2xlarge", 8, 64), size("g7e.4xlarge", 16, 128), size("g7e.8xlarge", 32, 256)),
		carrying("nvidia-rtx-pro-6000", 2, size("g7e.12xlarge", 48, 512)),
		carrying("nvidia-rtx-pro-6000", 4, size("g7e.24xlarge", 96, 1024)),
		carrying("nvidia-rtx-pro-6000", 8, size("g7e.48xlarge", 192, 2048)),
		carrying("nvidia-a100-40gb", 8, size("p4d.24xlarge", 96, 1152)),
		carrying("nvidia-a100-80gb", 8, size("p4de.24xlarge", 96, 1152)),
		carrying("nvidia-h100-80gb", 1, size("p5.4xlarge", 16, 256)),
		carrying("nvidia-h100-80gb", 8, size("p5.48xlarge", 192, 2048)),
		carrying("nvidia-h200-141gb", 8, size("p5en.48xlarge", 192, 2048), size("p5e.48xlarge", 192, 2048)),
		carrying("nvidia-b200", 8, size("p6-b200.48xlarge", 192, 2048)),
		carrying("nvidia-b300", 8, size("p6-b300.48xlarge", 192, 4096)),
	),
	// https://aws.amazon.com/ec2/instance-types/g6/
	Parts: []accelerators.Part{
		{Type: "g6f.large", Accelerator: "nvidia-l4", Of: 8, MemoryGiB: 3},
		{Type: "g6f.xlarge", Accelerator: "nvidia-l4", Of: 8, MemoryGiB: 3},
		{Type: "g6f.2xlarge", Accelerator: "nvidia-l4", Of: 4, MemoryGiB: 6},
		{Type: "g6f.4xlarge", Accelerator: "nvidia-l4", Of: 2, MemoryGiB: 12},
		{Type: "gr6f.4xlarge", Accelerator: "nvidia-l4", Of: 2, MemoryGiB: 12},
	},
}

var (
	// partOfGPUForm matches the families that carry a part of an L4, in sizes that the catalogue may lack; amdForm those with GPUs of AMD.
	partOfGPUForm = regexp.MustCompile(`^gr?6f\.`)
	amdForm       = regexp.MustCompile(`^g4ad\.`)
	// newDriverForm matches the families whose GPUs need NVIDIA's driver 595, which node images have from firstNewDriver on
	// (github.com/awslabs/amazon-eks-ami/issues/2768).
	newDriverForm = regexp.MustCompile(`^g7\.`)
)

// firstNewDriver is the date, which ends a release's version, of the first Amazon Linux image with driver 595.
const firstNewDriver = "20260917"

// size and carrying are short for their names in package accelerators.
var (
	size     = accelerators.Size
	carrying = accelerators.Carrying
)
