// Command vllm-autoscaling is the Pulumi program of this project; run it with `pulumi up`.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/stacks"
)

func main() {
	pulumi.Run(stacks.Deploy)
}
