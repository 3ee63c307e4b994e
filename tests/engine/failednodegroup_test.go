package engine

import (
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFailedNodeGroup checks a node group that EKS could not create. The AWS provider treats it as created at the second up,
// which has nothing to change; the program must not install anything on it.
func TestFailedNodeGroup(t *testing.T) {
	for _, group := range []string{"cluster-gpu-a", "cluster-system"} {
		t.Run(group, func(t *testing.T) {
			s := newCloudStack(t, "eks", nil)
			s.cloud.failed = group
			require.ErrorContains(t, s.run(engine.Update, false).err, "VcpuLimitExceeded")
			for _, dryRun := range []bool{true, false} {
				again := s.run(engine.Update, dryRun)
				require.ErrorContains(t, again.err, "EKS could not create node group "+group)
				require.ErrorContains(t, again.err, "pulumi up --replace 'urn:pulumi:eks::vllm-autoscaling::")
				require.ErrorContains(t, again.err, "NodeGroup::"+group+"'")
			}
			assert.Empty(t, s.cluster.remaining(), "nothing is installed")

			// Without the group, as after `pulumi up --replace`, everything is completed.
			s.destroy()
			s.cloud.failed = ""
			s.deploy()
			assert.NotEmpty(t, s.cluster.remaining())
		})
	}
}
