package eks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

// asgTags are the tags on the Auto Scaling group of a node group, by the rest of their key.
func asgTags(t *testing.T, r *record, group string) map[string]string {
	t.Helper()
	tags := map[string]string{}
	for _, reg := range r.All(asgTagType) {
		inputs := plain(reg)
		if inputs["autoscalingGroupName"] != autoscalingOf(group) {
			continue
		}
		assert.True(t, strings.HasPrefix(reg.Name, group+"-"), reg.Name)
		tag := inputs["tag"].(map[string]any)
		assert.Equal(t, false, tag["propagateAtLaunch"])
		key, found := strings.CutPrefix(tag["key"].(string), "k8s.io/cluster-autoscaler/node-template/")
		require.True(t, found, "%v", tag)
		tags[key] = tag["value"].(string)
	}
	return tags
}

func TestScaleFromZeroTags(t *testing.T) {
	r, _ := run(t, created())
	assert.Equal(t, map[string]string{
		"label/nvidia.com/gpu.present":              "true",
		"label/k8s.amazonaws.com/accelerator":       "nvidia-l4",
		"taint/nvidia.com/gpu":                      "present:NoSchedule",
		"resources/nvidia.com/gpu":                  "1",
		"resources/ephemeral-storage":               "80Gi",
		"autoscaling-options/scaledownunneededtime": "10m0s",
	}, asgTags(t, r, "llm-gpu-a"))
}

// TestTagsDescribeTheNodes keeps the tags, by which a pod is judged before there is a node, in step
// with what nodes carry and with what vLLM selects.
func TestTagsDescribeTheNodes(t *testing.T) {
	r, cluster := run(t, created())
	tags := asgTags(t, r, "llm-gpu-a")
	labels := plain(r.One(t, nodeGroupType, "llm-gpu-a"))["labels"].(map[string]any)
	for key, value := range cluster.GPU.NodeSelector {
		assert.Equal(t, value, labels[key], "no node has what vLLM selects")
		assert.Equal(t, value, tags["label/"+key], "no pod would make the pool grow from zero")
	}
	for key := range labels {
		assert.Contains(t, tags, "label/"+key)
	}
}

func TestNodeAutoscalerPermissions(t *testing.T) {
	r, cluster := run(t, created())
	version := cluster.NodeAutoscaler.KubernetesVersion
	require.NotNil(t, version, "its image follows from it")
	cluster.NodeAutoscaler.KubernetesVersion = nil
	assert.Equal(t, &providers.NodeAutoscaler{
		CloudProvider: "aws", ClusterName: "llm", Region: "eu-central-1", Namespace: "kube-system", ServiceAccount: "cluster-autoscaler",
	}, cluster.NodeAutoscaler)
	association := r.One(t, podIdentityType, "llm-autoscaler")
	inputs := plain(association)
	assert.Equal(t, []any{"llm", "kube-system", "cluster-autoscaler", "arn:aws:iam::123456789012:role/llm-autoscaler"},
		[]any{inputs["clusterName"], inputs["namespace"], inputs["serviceAccount"], inputs["roleArn"]})
	assert.True(t, r.WaitsFor(association, rolePolicyType, "llm-autoscaler"))

	statements := policyOf(t, plain(r.One(t, rolePolicyType, "llm-autoscaler"))["policy"])
	changing := 0
	for _, s := range statements {
		for _, action := range s.Action {
			assert.NotContains(t, action, "*", "every permission is named")
			verb := action[strings.Index(action, ":")+1:]
			if strings.HasPrefix(verb, "Describe") || strings.HasPrefix(verb, "Get") {
				continue
			}
			changing++
			assert.Equal(t, map[string]map[string]string{"StringEquals": {
				"aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
				"aws:ResourceTag/k8s.io/cluster-autoscaler/llm":     "owned",
			}}, s.Condition, "%s must not reach another cluster's nodes", action)
		}
	}
	assert.Equal(t, 2, changing, "SetDesiredCapacity and TerminateInstanceInAutoScalingGroup, and no more")
}
