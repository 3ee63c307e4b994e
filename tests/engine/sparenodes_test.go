package engine

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/policy"
)

// TestSpareNodes adds spare nodes to a stack and removes them, and checks that nothing else is created, replaced or deleted.
func TestSpareNodes(t *testing.T) {
	objects := []string{"SpareNodes spare-nodes", "PriorityClass vllm-spare", "Deployment vllm-spare"}
	gpus := map[string]string{"gke": "4", "eks": "4", "aks": "2"}
	machines := map[string]string{"gke": "g2-standard-48", "eks": "g6.12xlarge", "aks": "Standard_NC48ads_A100_v4"}
	eachCloud(t, func(t *testing.T, cloud string) {
		s := newCloudStack(t, cloud, map[string]any{"nodePools.gpu.machineType": machines[cloud]})
		s.up()
		before := gpuNodes(s)
		s.set("autoscaling.spareNodes", 2)
		assert.ElementsMatch(t, each("create", objects), besideUpdates(s.up().changes()))
		spare, server := podSpec(s.find("Deployment", "vllm-spare").Inputs), podSpec(s.find("Deployment", "vllm").Inputs)
		limits := spare["containers"].ArrayValue()[0].ObjectValue()["resources"].ObjectValue()["limits"].ObjectValue()
		assert.Equal(t, gpus[cloud], limits["nvidia.com/gpu"].StringValue(), "all of the node")
		for _, field := range []resource.PropertyKey{"nodeSelector", "tolerations"} {
			assert.Equal(t, server[field], spare[field], "the same nodes")
		}
		assert.Equal(t, before+2, gpuNodes(s), "they are paid for with the fewest replicas")
		assert.Empty(t, policy.Check(s.resources(), policy.Settings{}).Violations)
		require.Empty(t, s.up().changes())

		s.set("autoscaling.spareNodes", 0)
		assert.ElementsMatch(t, each("delete", objects), besideUpdates(s.up().changes()))
	})
}

// besideUpdates returns the changes other than updates of what watches the stack: the scrape of kube-state-metrics and the dashboards.
func besideUpdates(changes []string) []string {
	var others []string
	for _, change := range changes {
		if !strings.HasPrefix(change, "update Release ") && !strings.HasPrefix(change, "update ConfigMap vllm-dashboard") {
			others = append(others, change)
		}
	}
	return others
}

// gpuNodes returns how many GPU nodes are paid for with the fewest replicas.
func gpuNodes(s *cloudStack) int {
	nodes := 0
	for _, item := range cost.Of(s.resources(), nil).Items {
		if item.GPU {
			nodes += item.Min
		}
	}
	return nodes
}

// podSpec returns the spec of a Deployment's pods.
func podSpec(deployment resource.PropertyMap) resource.PropertyMap {
	return deployment["spec"].ObjectValue()["template"].ObjectValue()["spec"].ObjectValue()
}

// TestSpareNodesOfOneServer adds a spare node for one of two servers, and checks that the other one keeps what it has.
func TestSpareNodesOfOneServer(t *testing.T) {
	s := newCloudStack(t, "gke", map[string]any{"servers": chatAndCode()})
	s.up()
	servers := chatAndCode()
	servers["chat"].(map[string]any)["autoscaling"].(map[string]any)["spareNodes"] = 1
	s.set("servers", servers)
	assert.ElementsMatch(t, each("create", []string{"SpareNodes spare-nodes-chat", "PriorityClass chat-spare", "Deployment chat-spare"}), besideUpdates(s.up().changes()))
}
