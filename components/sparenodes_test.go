package components

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
	kschedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

const (
	spareNodesType    = "vllm-autoscaling:components:SpareNodes"
	priorityClassType = "kubernetes:scheduling.k8s.io/v1:PriorityClass"
)

func spareArgs() *SpareNodesArgs {
	server := vllmArgs()
	return &SpareNodesArgs{Server: "chat", Namespace: "vllm", Nodes: 2, GPUs: 8, Image: server.Image, GPU: server.GPU, NodeSelector: map[string]string{"zone": "a"}}
}

func runSpareNodes(t *testing.T, args *SpareNodesArgs) *record {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		namespace, err := anchor(ctx, "namespace", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{namespace}
		_, err = NewSpareNodes(ctx, "spare-nodes-chat", args, provider)
		return err
	})
}

func TestSpareNodesKeepWholeNodes(t *testing.T) {
	r := runSpareNodes(t, spareArgs())
	reg := r.get(t, deploymentType, "chat-spare")
	deployment := decode[kappsv1.Deployment](t, reg)
	assert.EqualValues(t, 2, *deployment.Spec.Replicas)
	assert.Equal(t, "true", deployment.Annotations["pulumi.com/skipAwait"], "nothing waits for a spare node")
	assert.Equal(t, kappsv1.RecreateDeploymentStrategyType, deployment.Spec.Strategy.Type, "a surge would need a node more")

	pod := deployment.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	requests, limits := pod.Containers[0].Resources.Requests, pod.Containers[0].Resources.Limits
	for _, resources := range []kcorev1.ResourceList{requests, limits} {
		gpus := resources["nvidia.com/gpu"]
		assert.EqualValues(t, 8, gpus.Value(), "all of the node, not those of a replica")
	}
	assert.Regexp(t, `^registry\.k8s\.io/pause:[0-9]+\.[0-9]+`, pod.Containers[0].Image)
	assert.Zero(t, *pod.TerminationGracePeriodSeconds)
	assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true", "zone": "a"}, pod.NodeSelector)
	assert.Equal(t, []kcorev1.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, pod.Tolerations)

	require.Len(t, pod.InitContainers, 1, "the node has the server's image before a replica needs it")
	assert.Equal(t, vllmArgs().Image, pod.InitContainers[0].Image)
	assert.Equal(t, []string{"/bin/true"}, pod.InitContainers[0].Command)
	assert.NotContains(t, pod.InitContainers[0].Resources.Limits, kcorev1.ResourceName("nvidia.com/gpu"))
}

// A replica that fits an empty node fits the node of a spare pod: what is left on it is that of the pods of every node.
func TestSpareNodesRequestLittleBesideTheGPUs(t *testing.T) {
	pod := decode[kappsv1.Deployment](t, runSpareNodes(t, spareArgs()).get(t, deploymentType, "chat-spare")).Spec.Template.Spec
	for _, container := range append(pod.InitContainers, pod.Containers...) {
		assert.LessOrEqual(t, container.Resources.Requests.Cpu().MilliValue(), int64(10), container.Name)
		assert.LessOrEqual(t, container.Resources.Requests.Memory().Value(), int64(32<<20), container.Name)
		assert.NotZero(t, container.Resources.Limits.Memory().Value(), container.Name)
	}
}

func TestSpareNodesHaveTheLowestPriorityThatAddsNodes(t *testing.T) {
	r := runSpareNodes(t, spareArgs())
	class := decode[kschedulingv1.PriorityClass](t, r.get(t, priorityClassType, "chat-spare"))
	assert.Equal(t, "vllm.chat-spare", class.Name, "another stack of the cluster has another namespace")
	assert.EqualValues(t, -10, class.Value)
	assert.Equal(t, kcorev1.PreemptNever, *class.PreemptionPolicy)
	assert.False(t, class.GlobalDefault)
	pod := decode[kappsv1.Deployment](t, r.get(t, deploymentType, "chat-spare")).Spec.Template.Spec
	assert.Equal(t, class.Name, pod.PriorityClassName)
	assert.NotEqual(t, SparePriorityClass("a-b", "c"), SparePriorityClass("a", "b-c"))
}

// What selects the pods of a server selects no spare pod of it.
func TestSpareNodesAreNoReplicas(t *testing.T) {
	deployment := decode[kappsv1.Deployment](t, runSpareNodes(t, spareArgs()).get(t, deploymentType, "chat-spare"))
	own := labels.Set(deployment.Spec.Template.Labels)
	assert.False(t, labels.SelectorFromSet(vllmSelector("chat")).Matches(own), "Service, disruption budget, network policy and Deployment of the server")
	assert.True(t, labels.SelectorFromSet(deployment.Spec.Selector.MatchLabels).Matches(own))
	assert.NotRegexp(t, "^"+signals.PodsOf("chat")+"$", "chat-spare-5d4f8c7b9-x2x4x", "rules and alerts select the server's pods by their names")
}

func TestSpareNodesSatisfyTheRestrictedLevel(t *testing.T) {
	template := decode[kappsv1.Deployment](t, runSpareNodes(t, spareArgs()).get(t, deploymentType, "chat-spare")).Spec.Template
	evaluator, err := podSecurityChecks()
	require.NoError(t, err)
	for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &template.ObjectMeta, &template.Spec) {
		assert.True(t, result.Allowed, "%s (%s)", result.ForbiddenReason, result.ForbiddenDetail)
	}
}

func TestSpareNodesAreThoseOfTheServersTemplate(t *testing.T) {
	args := spareArgs()
	nodes := map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{
		map[string]any{"matchExpressions": []any{map[string]any{"key": "disk", "operator": "In", "values": []any{"nvme"}}}}}}}
	args.PodTemplate.Fields = map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"team": "ml"}},
		"spec": map[string]any{
			"tolerations":      []any{map[string]any{"key": "team", "operator": "Exists"}},
			"affinity":         map[string]any{"nodeAffinity": nodes, "podAffinity": map[string]any{}},
			"imagePullSecrets": []any{map[string]any{"name": "registry"}},
			"containers":       []any{map[string]any{"name": "sidecar", "image": "a:1"}},
		},
	}
	pod := decode[kappsv1.Deployment](t, runSpareNodes(t, args).get(t, deploymentType, "chat-spare")).Spec.Template
	assert.NotContains(t, pod.Labels, "team")
	assert.Len(t, pod.Spec.Containers, 1, "sidecars are the server's")
	assert.Len(t, pod.Spec.Tolerations, 2)
	assert.Equal(t, []kcorev1.LocalObjectReference{{Name: "registry"}}, pod.Spec.ImagePullSecrets)
	require.NotNil(t, pod.Spec.Affinity.NodeAffinity)
	assert.Nil(t, pod.Spec.Affinity.PodAffinity)
	assert.NotNil(t, pod.Spec.Affinity.PodAntiAffinity, "spare pods stay apart")
	assert.NotNil(t, pod.Spec.SecurityContext)
}

func TestSpareNodesRefuseArguments(t *testing.T) {
	for name, change := range map[string]func(*SpareNodesArgs){
		"no nodes":     func(a *SpareNodesArgs) { a.Nodes = 0 },
		"no GPUs":      func(a *SpareNodesArgs) { a.GPUs = 0 },
		"simulated":    func(a *SpareNodesArgs) { a.GPU = providers.GPUScheduling{} },
		"no server":    func(a *SpareNodesArgs) { a.Server = "" },
		"no namespace": func(a *SpareNodesArgs) { a.Namespace = "" },
		"latest":       func(a *SpareNodesArgs) { a.Image = "vllm/vllm-openai:latest" },
	} {
		t.Run(name, func(t *testing.T) {
			args := spareArgs()
			change(args)
			r, err := tryRun(func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewSpareNodes(ctx, "spare-nodes-chat", args, provider)
				return err
			})
			require.ErrorContains(t, err, "spare nodes: ")
			assert.False(t, r.has(spareNodesType, "spare-nodes-chat"))
		})
	}
}
