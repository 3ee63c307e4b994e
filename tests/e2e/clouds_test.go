package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// onCloud is the configuration of a stack on a simulated cloud, beside the file that the project ships for it, and the
// expected resources.
type onCloud struct {
	stack  string
	config map[string]any
	// cluster is the type of the cluster, pool that of the GPU pool, poolName the pool's name or its prefix.
	cluster, pool, poolName string
	// clusterName is the program's default name of the cluster.
	clusterName string
	// labels and taints are those of a GPU node, except for those that differ between nodes.
	labels map[string]string
	taints []string
	// managed is the namespace of a GPU exporter that the cloud runs; "" for that of the chart.
	managed string
	// program is the authentication program in the kubeconfig, or its command; "" when it holds a certificate instead.
	program string
	// zoned reports that the nodes of the pool are in several zones, so that their zone label differs.
	zoned bool
	// keepsDisks reports that the disks of volumes stay when the cluster is deleted before their claims.
	keepsDisks bool
	// soldOut is the machine type of which the cloud has no more during the first up; "" for none.
	soldOut string
	// runsWorkflows reports that the repository's workflows are tested on this stack.
	runsWorkflows bool
}

// gpuNodes starts without GPU nodes and allows one for every replica.
var gpuNodes = map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"minNodes": 0, "maxNodes": 3}},
	"autoscaling": map[string]any{"maxReplicas": 3}}

// smallBatch lets 40 requests overload a server. By default it would run hundreds at once, as many as fit the GPU's memory.
var smallBatch = map[string]any{"model": map[string]any{"maxNumSeqs": 16}}

var moreNodes = map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"maxNodes": 5}}}

var onClouds = []onCloud{
	{
		stack: "gke", cluster: cloud.GKECluster, pool: cloud.GKENodePool, poolName: "gpu", clusterName: "vllm-autoscaling-gke",
		config: map[string]any{"gke": map[string]any{"project": "lab-project"}},
		labels: map[string]string{
			"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-gpu": "true", "cloud.google.com/gke-gpu-driver-version": "default",
			"cloud.google.com/gke-nodepool": "gpu", "cloud.google.com/gke-os-distribution": "cos", "cloud.google.com/gke-boot-disk": "pd-balanced",
			"cloud.google.com/machine-family": "g2", "iam.gke.io/gke-metadata-server-enabled": "true",
			"node.kubernetes.io/instance-type": "g2-standard-4", "nvidia.com/gpu.present": "true",
			"topology.kubernetes.io/region": "us-central1", "topology.kubernetes.io/zone": "us-central1-a",
		},
		taints:  []string{"nvidia.com/gpu=present:NoSchedule"},
		managed: cloud.ManagedNamespace,
		program: "gke-gcloud-auth-plugin", keepsDisks: true, runsWorkflows: true,
	},
	{
		stack: "eks", cluster: cloud.EKSCluster, pool: cloud.EKSNodeGroup, poolName: "gpu-", clusterName: "vllm-autoscaling-eks",
		labels: map[string]string{
			"eks.amazonaws.com/capacityType": "ON_DEMAND", "k8s.amazonaws.com/accelerator": "nvidia-l4",
			"node.kubernetes.io/instance-type": "g6.xlarge", "nvidia.com/gpu.present": "true",
			"topology.kubernetes.io/region": "us-east-1",
		},
		taints:  []string{"nvidia.com/gpu=present:NoSchedule"},
		program: "get-token", zoned: true, keepsDisks: true,
	},
	{
		stack: "aks", cluster: cloud.AKSCluster, pool: cloud.AKSAgentPool, poolName: "vllm", clusterName: "vllm-autoscaling-aks",
		// Spot, so that its own taint has to be tolerated by the server, the device plugin and the exporter.
		config: map[string]any{"nodePools": map[string]any{"gpu": map[string]any{"spot": true}}},
		labels: map[string]string{
			"accelerator": "nvidia", "kubernetes.azure.com/accelerator": "nvidia",
			"kubernetes.azure.com/cluster": "MC_vllm-autoscaling-aks-rg_vllm-autoscaling-aks_eastus", "kubernetes.azure.com/mode": "user",
			"kubernetes.azure.com/os-sku": "Ubuntu", "kubernetes.azure.com/scalesetpriority": "spot",
			"node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4", "nvidia.com/gpu.present": "true",
			"topology.kubernetes.io/region": "0", "topology.kubernetes.io/zone": "0",
		},
		taints:  []string{"kubernetes.azure.com/scalesetpriority=spot:NoSchedule", "nvidia.com/gpu=present:NoSchedule"},
		soldOut: "Standard_NC24ads_A100_v4",
	},
}

// startCloudLab starts a lab with simulated clouds, which create all nodes.
func startCloudLab(t *testing.T) *lab.Lab {
	t.Helper()
	return newLab(t, &cloud.Options{})
}

// newCloudStack creates a stack with the shipped configuration of its cloud.
func newCloudStack(t *testing.T, l *lab.Lab, name string, objects ...map[string]any) *deployment {
	t.Helper()
	config := merged(append([]map[string]any{cloudLabConfig(l)}, objects...)...)
	if cluster := config["cluster"].(map[string]any); cluster["existing"] != nil {
		delete(cluster, "apiAccessCidrs") // its owner's
	}
	return makeStack(t, l, name, config, token)
}

// cloudLabConfig returns the configuration with the lab's charts and what the shipped files leave to be filled in.
func cloudLabConfig(l *lab.Lab) map[string]any {
	chart := map[string]any{"repository": l.ChartRepository()}
	charts := map[string]any{}
	for _, name := range []string{"kubePrometheusStack", "prometheusAdapter", "dcgmExporter", "devicePlugin", "clusterAutoscaler"} {
		charts[name] = chart
	}
	return map[string]any{"charts": charts, "cluster": map[string]any{"apiAccessCidrs": []any{"1.2.3.4/32"}}}
}

// TestClouds runs each cloud's stack from the first preview to the destroy.
func TestClouds(t *testing.T) {
	for _, c := range onClouds {
		t.Run(c.stack, func(t *testing.T) {
			t.Parallel()
			l := startCloudLab(t)
			config := []map[string]any{quick, gpuNodes, smallBatch, c.config}
			stack := newCloudStack(t, l, c.stack, config...)

			t.Run("first preview with the cluster unknown", func(t *testing.T) {
				require.NoError(t, stack.Preview(testContext(t), false))
				printed := stack.printed.take()
				for _, typ := range []string{c.cluster, c.pool, "kubernetes:helm.sh/v3:Release", "kubernetes:apps/v1:Deployment",
					"kubernetes:autoscaling/v2:HorizontalPodAutoscaler"} {
					assert.Contains(t, printed, " +  "+shown(typ)+" ")
				}
				assert.Zero(t, l.Clouds().Operations(), "a preview changes nothing")
			})
			// The workflows of the repository are tested on one of the clouds.
			var ci *pipeline
			if c.runsWorkflows {
				ci = newPipeline(t, stack)
				t.Run("a pull request is commented on", ci.commentedOn)
			}
			if c.soldOut != "" {
				t.Run("up waits for stock", func(t *testing.T) { upWithoutStock(t, l, stack, c, config) })
			}
			t.Run("up", func(t *testing.T) {
				if ci != nil {
					ci.deployed(t)
				} else {
					require.NoError(t, stack.Up(testContext(t)))
				}
				nodesAreTheClouds(t, l, c)
				kubeconfigIsTheClouds(t, l, c, stack)
			})
			t.Run("verify passes", func(t *testing.T) { verifyPasses(t, l, stack) })
			t.Run("second up changes nothing", func(t *testing.T) {
				require.NoError(t, stack.Up(testContext(t), "--expect-no-changes"))
			})
			if ci != nil {
				ci.restrict(t, l, c.program)
				t.Run("the comment is updated", ci.commentUpdated)
				t.Run("another plan than the approved one is not applied", func(t *testing.T) { ci.notTheApprovedPlan(t, l) })
				t.Run("drift is an issue while it lasts", func(t *testing.T) { ci.driftReported(t, l) })
				ci.unrestrict(t, l)
			}
			t.Run("nodes follow the replicas", func(t *testing.T) { nodesFollow(t, l, c, stack) })
			t.Run("a larger pool is one change", func(t *testing.T) {
				require.NoError(t, stack.SetConfig(merged(append([]map[string]any{cloudLabConfig(l)}, append(config, moreNodes)...)...)))
				stack.printed.take()
				require.NoError(t, stack.Preview(testContext(t), false))
				groups := []string{c.pool[strings.LastIndex(c.pool, ":")+1:]}
				if c.zoned {
					groups = slices.Repeat(groups, 2) // one in each zone
				}
				// With room for one replica more, an update surges.
				changed(t, stack.printed.take(), append(groups, "Deployment")...)
			})
			if ci != nil {
				t.Run("destroy is confirmed by name", func(t *testing.T) { ci.destroyed(t, l) })
			}
			t.Run("destroy", func(t *testing.T) { cloudDestroyLeavesNothing(t, l, stack) })
			assert.Empty(t, l.Clouds().Incidents())
		})
	}
}

// shown returns a type as the CLI prints it, without the part of its module that repeats the name.
func shown(typ string) string {
	parts := strings.Split(typ, ":")
	if module, name, ok := strings.Cut(parts[1], "/"); ok && strings.EqualFold(name, parts[2]) {
		parts[1] = module
	}
	return strings.Join(parts, ":")
}

// gpuPool returns the full name of the GPU pool.
func (c onCloud) gpuPool(t *testing.T, l *lab.Lab) string {
	t.Helper()
	for _, name := range l.Clouds().Pools() {
		if strings.HasPrefix(name, c.poolName) {
			return name
		}
	}
	t.Fatalf("no pool %s among %v", c.poolName, l.Clouds().Pools())
	return ""
}

// nodesAreTheClouds checks that the server runs on a node of the GPU pool, with the labels and taints of the cloud.
func nodesAreTheClouds(t *testing.T, l *lab.Lab, c onCloud) {
	t.Helper()
	ctx := testContext(t)
	pods, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
	require.NoError(t, err)
	require.Len(t, pods.Items, 1)
	name := pods.Items[0].Spec.NodeName
	assert.Contains(t, l.Clouds().Nodes(c.gpuPool(t, l)), name, "the pool started from no node")
	node, err := l.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	require.NoError(t, err)
	labels := maps.Clone(node.Labels)
	for key := range labels {
		switch {
		case strings.HasPrefix(key, "lab."), strings.Contains(key, "kubernetes.io/") && !strings.Contains(key, "node.kubernetes.io/instance-type") &&
			!strings.HasPrefix(key, "topology."),
			strings.HasPrefix(key, "eks.amazonaws.com/nodegroup"), strings.HasSuffix(key, "agentpool"),
			c.zoned && key == corev1.LabelTopologyZone:
			delete(labels, key) // differ from node to node, or are every node's
		}
	}
	assert.Equal(t, c.labels, labels)
	var taints []string
	for _, taint := range node.Spec.Taints {
		taints = append(taints, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	slices.Sort(taints)
	assert.Equal(t, c.taints, taints)
	gpus := node.Status.Allocatable["nvidia.com/gpu"]
	assert.EqualValues(t, 1, gpus.Value())

	// Only pods that belong on GPU nodes run there.
	all, err := l.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	require.NoError(t, err)
	for _, pod := range all.Items {
		daemon := slices.ContainsFunc(pod.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "DaemonSet" })
		assert.True(t, daemon || pod.Namespace == serving, "%s/%s", pod.Namespace, pod.Name)
	}
	// Nothing waits for GKE's exporter.
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		exporters, err := l.Client().CoreV1().Pods(orDefault(c.managed, monitoring)).List(ctx, listAll)
		if err == nil && !slices.ContainsFunc(exporters.Items, func(pod corev1.Pod) bool {
			return strings.HasPrefix(pod.Name, "dcgm-exporter") && pod.Spec.NodeName == name
		}) {
			err = fmt.Errorf("no GPU exporter on node %s among %d pods", name, len(exporters.Items))
		}
		return err
	})
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// kubeconfigIsTheClouds checks that the exported kubeconfig uses the cloud's authentication and contains no token.
func kubeconfigIsTheClouds(t *testing.T, l *lab.Lab, c onCloud, stack *deployment) {
	t.Helper()
	hidden, err := stack.Outputs(testContext(t), false)
	require.NoError(t, err)
	assert.Equal(t, "[secret]", hidden["kubeconfig"])
	shown, err := stack.Outputs(testContext(t), true)
	require.NoError(t, err)
	kubeconfig, ok := shown["kubeconfig"].(string)
	require.True(t, ok, "output kubeconfig is %T", shown["kubeconfig"])
	assert.NotContains(t, kubeconfig, l.Config().BearerToken)
	assert.NotContains(t, kubeconfig, l.Config().Host, "the cluster's own address, not the lab's")
	assert.Contains(t, kubeconfig, c.program)
}

// nodesFollow checks that the pool grows when load needs more GPUs, and shrinks after it, and that a refresh in between finds
// nothing to change back.
func nodesFollow(t *testing.T, l *lab.Lab, c onCloud, stack *deployment) {
	pool := c.gpuPool(t, l)
	w := newWatch(t, l)
	w.until(t, 2*time.Minute, "every signal seen", func(s report.Sample) bool { return s.Ready == 1 && seen(s, 0) })
	before := l.Clouds().Nodes(pool)
	require.Len(t, before, 1)
	w.step(40)
	w.until(t, decision, "more replicas than nodes", func(s report.Sample) bool { return s.Desired > len(before) })
	w.until(t, decision, "three ready replicas", func(s report.Sample) bool { return s.Ready == 3 })
	assert.Len(t, l.Clouds().Nodes(pool), 3)
	pods, err := l.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
	require.NoError(t, err)
	onNodes := map[string]bool{}
	for _, pod := range pods.Items {
		onNodes[pod.Spec.NodeName] = true
	}
	assert.Len(t, onNodes, 3, "a GPU each")
	require.NoError(t, stack.Refresh(testContext(t)))
	require.NoError(t, stack.Preview(testContext(t), true), "the numbers of nodes and replicas are no drift")
	w.step(0)
	w.until(t, 2*time.Minute, "back to one replica", func(s report.Sample) bool { return s.Desired == 1 && s.Ready == 1 && s.Pods == 1 })
	eventuallyNoError(t, time.Minute, func(context.Context) error {
		if nodes := l.Clouds().Nodes(pool); len(nodes) != 1 {
			return fmt.Errorf("the pool still has %v", nodes)
		}
		return nil
	})
}

// cloudDestroyLeavesNothing destroys the stack and checks that no cloud resources, nodes and objects are left.
func cloudDestroyLeavesNothing(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(testContext(t), 4*time.Minute, fmt.Errorf("destroy took 4 minutes"))
	defer cancel()
	require.NoError(t, stack.Destroy(ctx))
	assert.Empty(t, stack.resources(t), "the state is empty")
	nothingInTheCloud(ctx, t, l)
	for _, object := range l.SweptAway() {
		assert.True(t, swept(object), "left in the cluster when it was deleted: %s", object)
	}
}

// swept reports whether an object may be deleted with the cluster: Helm keeps a chart's CRDs, and controllers need a moment.
func swept(object lab.Object) bool {
	return object.Kind == "CustomResourceDefinition" || object.Kind == "Pod" || object.Kind == "ReplicaSet" || object.Kind == "ControllerRevision" ||
		object.Kind == "EndpointSlice"
}

// deleteLateLogs deletes the log groups that EKS creates again after a destroy, as docs/eks.md describes.
func deleteLateLogs(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, r := range l.Clouds().Resources() {
		if r.Token == cloud.AWSLogGroup {
			assert.NotContains(t, r.Inputs, "tags", "the stack's own log group is deleted")
			require.NoError(t, l.Clouds().Remove(r.Token, r.ID))
		}
	}
}

func nothingInTheCloud(ctx context.Context, t *testing.T, l *lab.Lab) {
	t.Helper()
	deleteLateLogs(t, l)
	assert.Empty(t, l.Clouds().Resources(), "left in the cloud")
	nodes, err := l.Client().CoreV1().Nodes().List(ctx, listAll)
	require.NoError(t, err)
	assert.Empty(t, nodes.Items)
	left, err := l.Leftovers(ctx)
	require.NoError(t, err)
	assert.Empty(t, left)
}
