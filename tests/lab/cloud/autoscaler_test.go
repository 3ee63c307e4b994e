package cloud

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// modelPod returns a pod that requests a GPU like the model server.
func modelPod(name string, change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "vllm", UID: types.UID(name)},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"nvidia.com/gpu.present": "true"},
			Tolerations:  []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
			Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				"nvidia.com/gpu": resource.MustParse("1"), corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("10Gi")}}}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable}}},
	}
	if change != nil {
		change(pod)
	}
	return pod
}

const resizePolicy = `{"Statement":[{"Effect":"Allow","Action":["autoscaling:DescribeAutoScalingGroups","autoscaling:DescribeTags"],"Resource":["*"]},
{"Effect":"Allow","Action":["autoscaling:SetDesiredCapacity","autoscaling:TerminateInstanceInAutoScalingGroup"],"Resource":["*"],
"Condition":{"StringEquals":{"aws:ResourceTag/k8s.io/cluster-autoscaler/enabled":"true","aws:ResourceTag/k8s.io/cluster-autoscaler/%s":"owned"}}}]}`

const podTrust = `{"Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"Service":"pods.eks.amazonaws.com"}}]}`

// autoscaledGroup is a node group with everything that it needs to grow from zero.
type autoscaledGroup struct {
	policy, ami string
	tags        map[string]string
	deployments []appsv1.Deployment
	agent       bool
}

func workingGroup() autoscaledGroup {
	return autoscaledGroup{
		policy: fmt.Sprintf(resizePolicy, "c"), ami: "AL2023_x86_64_NVIDIA", agent: true,
		tags:        map[string]string{"label/nvidia.com/gpu.present": "true", "taint/nvidia.com/gpu": "present:NoSchedule"},
		deployments: []appsv1.Deployment{autoscalerDeployment("c", 1)},
	}
}

func autoscalerDeployment(cluster string, ready int32) appsv1.Deployment {
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cluster-autoscaler"},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			ServiceAccountName: "cluster-autoscaler",
			Containers: []corev1.Container{{Image: "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.0", Command: []string{
				"./cluster-autoscaler", "--cloud-provider=aws",
				"--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/" + cluster,
			}}},
		}}},
		Status: appsv1.DeploymentStatus{ReadyReplicas: ready},
	}
}

func (g autoscaledGroup) make(t *testing.T, c *Cloud) *pool {
	t.Helper()
	eksScene(t, c)
	group := mustMake(t, c, EKSNodeGroup, with(nodeGroup(c), map[string]any{"amiType": g.ami}))
	for key, value := range g.tags {
		mustMake(t, c, awsTag, map[string]any{"autoscalingGroupName": group.Outputs["asg"], "tag": map[string]any{"key": nodeTemplate + key,
			"value": value, "propagateAtLaunch": false}})
	}
	mustMake(t, c, AWSRole, map[string]any{"name": "scaler", "assumeRolePolicy": podTrust})
	mustMake(t, c, awsInlineRole, map[string]any{"name": "scaler", "role": "scaler", "policy": g.policy})
	mustMake(t, c, awsPodIdentity, map[string]any{"clusterName": "c", "namespace": "kube-system", "serviceAccount": "cluster-autoscaler",
		"roleArn": roleArn("scaler")})
	if g.agent {
		mustMake(t, c, EKSAddon, map[string]any{"clusterName": "c", "addonName": "eks-pod-identity-agent"})
	}
	return c.pools[group.ID]
}

// grown returns the number of nodes that the autoscaler adds to a pool for pods.
func grown(c *Cloud, p *pool, v *view) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := p.desired
	c.grow(v) // sees them for the first time
	time.Sleep(time.Millisecond)
	c.grow(v)
	return p.desired - before
}

// TestEKSGrowsOnlyWithEverythingInPlace checks the ways in which a real group stays at zero.
func TestEKSGrowsOnlyWithEverythingInPlace(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*autoscaledGroup)
		pods   []*corev1.Pod
		want   int
	}{
		"all in place":                 {pods: []*corev1.Pod{modelPod("a", nil), modelPod("b", nil)}, want: 2},
		"up to the maximum":            {pods: []*corev1.Pod{modelPod("a", nil), modelPod("b", nil), modelPod("c", nil), modelPod("d", nil)}, want: 3},
		"no autoscaler":                {change: func(g *autoscaledGroup) { g.deployments = nil }},
		"an autoscaler that waits":     {change: func(g *autoscaledGroup) { g.deployments[0].Status.ReadyReplicas = 0 }},
		"another cluster's autoscaler": {change: func(g *autoscaledGroup) { g.deployments[0] = autoscalerDeployment("d", 1) }},
		"no tag for the label":         {change: func(g *autoscaledGroup) { delete(g.tags, "label/nvidia.com/gpu.present") }},
		"no permission": {change: func(g *autoscaledGroup) {
			g.policy = `{"Statement":[{"Effect":"Allow","Action":["autoscaling:DescribeTags"],"Resource":["*"]}]}`
		}},
		"permission for another":    {change: func(g *autoscaledGroup) { g.policy = fmt.Sprintf(resizePolicy, "d") }},
		"no pod identity agent":     {change: func(g *autoscaledGroup) { g.agent = false }},
		"an image without a driver": {change: func(g *autoscaledGroup) { g.ami = "AL2023_x86_64_STANDARD" }},
		"a pod too large": {pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("16Gi")
		})}},
		"a pod that does not tolerate":        {pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) { p.Spec.Tolerations = nil })}},
		"the lowest priority that adds nodes": {want: 1, pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) { p.Spec.Priority = ptr.To[int32](-10) })}},
		"an expendable pod":                   {pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) { p.Spec.Priority = ptr.To[int32](-11) })}},
		"a pod that preempts another":         {pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) { p.Status.NominatedNodeName = "n" })}},
		"a pod that is not stuck":             {pods: []*corev1.Pod{modelPod("a", func(p *corev1.Pod) { p.Status.Conditions = nil })}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			g := workingGroup()
			if test.change != nil {
				test.change(&g)
			}
			p := g.make(t, c)
			pods := test.pods
			if pods == nil {
				pods = []*corev1.Pod{modelPod("a", nil)}
			}
			assert.Equal(t, test.want, grown(c, p, &view{pods: map[string][]*corev1.Pod{"": pods}, deployments: g.deployments}))
		})
	}
}

// TestGrowsForWhatDoesNotFitOnly checks that room on existing and starting nodes is used first.
func TestGrowsForWhatDoesNotFitOnly(t *testing.T) {
	c, plane := newTestCloud(t)
	gkeScene(t, c)
	r := mustMake(t, c, GKENodePool, gkePoolOf("gpu", map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT"), "taints": []any{gpuTaint},
		"labels": map[string]any{"nvidia.com/gpu.present": "true"}}))
	p := c.pools[r.ID]
	made := plane.all()
	require.Len(t, made, 1)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: made[0].Name, Labels: made[0].Labels}, Spec: corev1.NodeSpec{Taints: made[0].Taints},
		Status: corev1.NodeStatus{Allocatable: p.allocatable()},
	}
	v := &view{nodes: map[string]*corev1.Node{node.Name: node}, pods: map[string][]*corev1.Pod{"": {modelPod("a", nil)}}}
	assert.Zero(t, grown(c, p, v), "the scheduler is about to place it")
	v.pods[node.Name] = []*corev1.Pod{modelPod("running", nil)}
	assert.Equal(t, 1, grown(c, p, v))
	delete(node.Status.Allocatable, "nvidia.com/gpu")
	delete(v.pods, node.Name)
	assert.Zero(t, grown(c, p, v), "the label shows that the node is about to get GPUs")
}

func TestShrinksToItsMinimumOnly(t *testing.T) {
	c, _ := newTestCloud(t)
	c.options.IdleTime = time.Nanosecond
	gkeScene(t, c)
	r := mustMake(t, c, GKENodePool, with(gkePoolOf("pool", map[string]any{"machineType": "e2-standard-4"}),
		map[string]any{"initialNodeCount": 3.0, "autoscaling": map[string]any{"totalMinNodeCount": 1.0, "totalMaxNodeCount": 4.0}}))
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[r.ID]
	v := &view{nodes: map[string]*corev1.Node{}, pods: map[string][]*corev1.Pod{}}
	for i, name := range p.nodes {
		v.nodes[name] = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		owner := map[bool]string{true: "DaemonSet", false: "ReplicaSet"}[i == 0]
		if i < 2 {
			v.pods[name] = []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: owner}}}}}
		}
	}
	busy := p.nodes[1]
	for range 3 {
		c.shrink(v)
		time.Sleep(time.Millisecond)
	}
	assert.Equal(t, []string{busy}, p.nodes, "pods of DaemonSets keep no node, others do")
	v.pods[busy] = nil
	for range 3 {
		c.shrink(v)
		time.Sleep(time.Millisecond)
	}
	assert.Len(t, p.nodes, 1, "the minimum")
}

func TestAnotherMachineTypeReplacesTheNodesOneByOne(t *testing.T) {
	c, plane := newTestCloud(t)
	gkeScene(t, c)
	limits := map[string]any{"initialNodeCount": 2.0, "autoscaling": map[string]any{"totalMinNodeCount": 2.0, "totalMaxNodeCount": 4.0}}
	r := mustMake(t, c, GKENodePool, with(gkePoolOf("pool", map[string]any{"machineType": "e2-standard-4"}), limits))
	before := c.Nodes("pool")
	require.Len(t, before, 2)
	_, err := c.change(c.kinds[GKENodePool], r.ID, with(gkePoolOf("pool", map[string]any{"machineType": "e2-standard-8"}), limits))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c.mu.Lock()
		left := len(c.pools[r.ID].nodes)
		c.mu.Unlock()
		assert.GreaterOrEqual(t, left, 1, "the other one stays")
		var types []string
		for _, n := range plane.all() {
			types = append(types, n.Labels["node.kubernetes.io/instance-type"])
		}
		return slices.Equal(types, []string{"e2-standard-8", "e2-standard-8"})
	}, 10*time.Second, 10*time.Millisecond)
	for _, name := range c.Nodes("pool") {
		assert.NotContains(t, before, name)
	}
}

func TestTwoDevicePluginsAreAnIncident(t *testing.T) {
	c, plane := newTestCloud(t)
	node, err := plane.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	p := &pool{gpuCount: 1, gpus: gpusByPlugin}
	require.NoError(t, c.advertise(t.Context(), p, node, 1))
	node, err = plane.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
	require.NoError(t, err)
	gpus := node.Status.Allocatable["nvidia.com/gpu"]
	assert.EqualValues(t, 1, gpus.Value())
	require.NoError(t, c.advertise(t.Context(), p, node, 0))
	node, err = plane.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
	require.NoError(t, err)
	gpus = node.Status.Allocatable["nvidia.com/gpu"]
	assert.Zero(t, gpus.Value(), "the plugin went")
	assert.Empty(t, c.Incidents())
	require.NoError(t, c.advertise(t.Context(), &pool{gpuCount: 1, gpus: gpusAtOnce}, node, 1))
	assert.Len(t, c.Incidents(), 1, "Bottlerocket brings its own")
}

// TestPodsThatKeepANode checks that a node is removed under pods below cluster-autoscaler's cutoff, and not under those at it.
func TestPodsThatKeepANode(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		keeps  bool
	}{
		"a replica":                 {keeps: true},
		"priority -10":              {func(p *corev1.Pod) { p.Spec.Priority = ptr.To[int32](-10) }, true},
		"an expendable pod":         {func(p *corev1.Pod) { p.Spec.Priority = ptr.To[int32](-11) }, false},
		"one of those of each node": {func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet"}} }, false},
	} {
		assert.Equal(t, test.keeps, keepsNode(modelPod("a", test.change)), name)
	}
}
