package engine

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	akscloud "vllm-autoscaling/providers/aks"
	ekscloud "vllm-autoscaling/providers/eks"
	gkecloud "vllm-autoscaling/providers/gke"
	"vllm-autoscaling/stacks/config"
)

// ownPoolKeys are the own keys of each cloud, and a machine type with a GPU.
var ownPoolKeys = map[string]struct {
	keys                 any
	machine, accelerator string
}{
	"aks": {&akscloud.Keys{Location: "eastus"}, "Standard_NC24ads_A100_v4", "nvidia-a100-80gb"},
	"eks": {&ekscloud.Keys{Region: "us-east-1", Zones: []string{"us-east-1a", "us-east-1b"}, AMIType: ekscloud.AL2023}, "g6.xlarge", "nvidia-l4"},
	"gke": {&gkecloud.Keys{Project: "my-project", Location: "us-central1-a"}, "g2-standard-4", "nvidia-l4"},
}

// TestOwnPools adds, changes and removes servers' own pools, and checks that the plan has nothing but resources of that pool.
func TestOwnPools(t *testing.T) {
	eachCloud(t, func(t *testing.T, cloud string) {
		row := ownPoolKeys[cloud]
		pool := func() providers.GPUPool {
			return providers.GPUPool{NodePool: providers.NodePool{MachineType: row.machine, MaxNodes: 2}, Accelerator: row.accelerator, GPUsPerNode: 1}
		}
		main, chat, rank := pool(), providers.ServingPool{Name: "chat", GPUPool: pool()}, providers.ServingPool{Name: "rank", GPUPool: pool()}
		request := &providers.Request{
			Namespace: project, CloudKeys: row.keys, Name: project + "-" + cloud, APIAccessCIDRs: []string{"1.2.3.4/32"}, GPUPool: &main,
		}
		s := newCloudStack(t, cloud, nil)
		s.program = func(ctx *pulumi.Context) error {
			found, _ := config.FindCloud(cloud)
			_, err := found.New(ctx, "cluster", request)
			return err
		}
		s.deploy()

		for _, step := range []struct {
			what, op, name string
			change         func()
		}{
			{"the first pool", "create", "chat", func() { request.OwnPools = []providers.ServingPool{chat} }},
			{"a further pool", "create", "rank", func() { request.OwnPools = []providers.ServingPool{rank, chat} }},
			{"more nodes", "update", "rank", func() { request.OwnPools[0].MaxNodes = 3 }},
			{"one pool less", "delete", "chat", func() { request.OwnPools = request.OwnPools[:1] }},
			{"no pool", "delete", "rank", func() { request.OwnPools = nil }},
		} {
			step.change()
			preview := s.preview()
			require.NoError(t, preview.err, step.what)
			planned := preview.planned()
			assert.NotEmpty(t, planned, step.what)
			for _, change := range planned {
				assert.True(t, strings.HasPrefix(change, step.op+" ") && strings.Contains(change, " cluster-gpu-"+step.name), "%s: %s", step.what, change)
			}
			s.deploy()
			assert.Empty(t, s.preview().planned(), "%s: a second up changes nothing", step.what)
		}

		request.OwnPools = []providers.ServingPool{chat}
		s.deploy()
		s.destroy()
		assert.Empty(t, s.cloud.remaining())
	})
}
