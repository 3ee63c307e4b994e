package eks

import (
	"slices"

	"vllm-autoscaling/providers/accelerators"
)

// machines are the instance types with GPUs, autumn 2026 (https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html).
// CPUs and memory are those of cluster-autoscaler's table, which is made from AWS' API
// (github.com/kubernetes/autoscaler 55c37cd: cloudprovider/aws/ec2_instance_types.go; p5e like p5). Families on which
// nobody has run this program are absent; their types can be used by describing what they carry.
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
		carrying("nvidia-a100-40gb", 8, size("p4d.24xlarge", 96, 1152)),
		carrying("nvidia-a100-80gb", 8, size("p4de.24xlarge", 96, 1152)),
		carrying("nvidia-h100-80gb", 1, size("p5.4xlarge", 16, 256)),
		carrying("nvidia-h100-80gb", 8, size("p5.48xlarge", 192, 2048)),
		carrying("nvidia-h200-141gb", 8, size("p5en.48xlarge", 192, 2048), size("p5e.48xlarge", 192, 2048)),
	),
}

// size and carrying are short for their names in package accelerators.
var (
	size     = accelerators.Size
	carrying = accelerators.Carrying
)
