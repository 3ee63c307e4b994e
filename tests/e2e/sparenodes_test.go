package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/tests/lab"
)

const (
	spareDeployment = "vllm-spare"
	spareSelector   = "app.kubernetes.io/name=" + spareDeployment
	sparePriority   = "vllm." + spareDeployment
)

// TestSpareNodes starts replicas on a spare node of a cloud's pool, by the preemption of the real scheduler.
func TestSpareNodes(t *testing.T) {
	t.Parallel()
	l := startCloudLab(t)
	spareOne := map[string]any{"gke": map[string]any{"project": "lab-project"}, "autoscaling": map[string]any{"spareNodes": 1}}
	stack := newCloudStack(t, l, "gke", quick, gpuNodes, smallBatch, spareOne)
	require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
	first := replicasOf(t, l, 1)[0]

	kept := ""
	t.Run("a node is kept beside that of the replica", func(t *testing.T) {
		spare := readySpare(t, l)
		assert.NotEqual(t, first.Spec.NodeName, spare.Spec.NodeName)
		assert.Len(t, l.Clouds().Nodes("gpu"), 2)
		require.NotNil(t, spare.Spec.Priority)
		assert.EqualValues(t, -10, *spare.Spec.Priority)
		kept = spare.Spec.NodeName
	})
	t.Run("a replica takes it at once, and another one is added", func(t *testing.T) {
		atLeast(t, l, 2)
		replicas := replicasOf(t, l, 2)
		second := replicas[slices.IndexFunc(replicas, func(p corev1.Pod) bool { return p.Name != first.Name })]
		assert.Equal(t, kept, second.Spec.NodeName)
		assert.True(t, hasEvent(t, l, "Preempted"), "the scheduler preempts the pod that has the node")
		without, with := untilScheduled(&first), untilScheduled(&second)
		t.Logf("from the creation of a replica to its node: %s without a spare node, %s with one", without, with)
		assert.LessOrEqual(t, with, without/2, "the first replica has waited for its node")
		assert.NotEqual(t, kept, readySpare(t, l).Spec.NodeName)
		assert.Len(t, l.Clouds().Nodes("gpu"), 3)
	})
	t.Run("a full pool has none, and nothing alerts", func(t *testing.T) {
		atLeast(t, l, 3)
		replicasOf(t, l, 3)
		fullPoolIsNoFailure(t, l)
		v := newVerifier(t, l, stack)
		code, stdout, stderr := buildVerify(t)(t, v, nil, "--stack", stack.Name(), "--wait", "2m")
		require.Equal(t, 0, code, stdout+stderr)
		assert.Contains(t, stdout, "; 0 of 1 spare node ready (the node autoscaler adds one, or the pool is at its maximum)")
	})
	t.Run("a node that a replica leaves is the spare one again", func(t *testing.T) {
		atLeast(t, l, 2)
		replicasOf(t, l, 2)
		readySpare(t, l)
		assert.Len(t, l.Clouds().Nodes("gpu"), 3, "no node was added for it")
	})
	t.Run("destroy", func(t *testing.T) {
		cloudDestroyLeavesNothing(t, l, stack)
		_, err := l.Client().SchedulingV1().PriorityClasses().Get(testContext(t), sparePriority, metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
	assert.Empty(t, l.Clouds().Incidents())
}

// atLeast sets the least number of replicas of the autoscaler.
func atLeast(t *testing.T, l *lab.Lab, replicas int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"minReplicas":%d}}`, replicas)
	_, err := l.Client().AutoscalingV2().HorizontalPodAutoscalers(serving).Patch(testContext(t), "vllm", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// replicasOf waits for a number of ready replicas of the server and no others, and returns them.
func replicasOf(t *testing.T, l *lab.Lab, count int) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
		list, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		found = list.Items
		if len(found) != count || slices.ContainsFunc(found, func(p corev1.Pod) bool { return !isReady(&p) }) {
			return fmt.Errorf("replicas are %s, want %d ready ones", podsOn(found), count)
		}
		return nil
	})
	return found
}

// readySpare waits for the pod that keeps the spare node, and returns it.
func readySpare(t *testing.T, l *lab.Lab) corev1.Pod {
	t.Helper()
	var spare corev1.Pod
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		list, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: spareSelector})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || !isReady(&list.Items[0]) {
			return fmt.Errorf("the pods of spare nodes are %s, want a ready one", podsOn(list.Items))
		}
		spare = list.Items[0]
		return nil
	})
	return spare
}

// fullPoolIsNoFailure waits until the spare pod is pending, and checks that no alert is due for it.
func fullPoolIsNoFailure(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		list, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: spareSelector})
		if err == nil && (len(list.Items) != 1 || list.Items[0].Spec.NodeName != "") {
			err = fmt.Errorf("the pods of spare nodes are %s, want one without a node", podsOn(list.Items))
		}
		if err != nil {
			return err
		}
		asked, err := vector(ctx, l, `kube_deployment_status_replicas{deployment="vllm-spare"} - kube_deployment_status_replicas_ready == 1`)
		if err == nil && len(asked) != 1 {
			err = fmt.Errorf("Prometheus has %v for the spare nodes that are asked for and not ready, want one", asked)
		}
		return err
	})
	assert.Len(t, l.Clouds().Nodes("gpu"), 3, "never more than the pool's maximum")
	for _, query := range []string{
		// What KubePodNotReady and KubeDeploymentReplicasMismatch of the published chart read.
		`kube_pod_status_phase{phase="Pending",pod=~"vllm-spare-.*"}`, `kube_deployment_spec_replicas{deployment="vllm-spare"}`,
		`ALERTS{pod=~"vllm-spare.*"} or ALERTS{deployment="vllm-spare"}`,
	} {
		samples, err := vector(testContext(t), l, query)
		require.NoError(t, err)
		assert.Empty(t, samples, query)
	}
	noAlertFires(t, l)
}

// untilScheduled returns how long a pod waited for its node, in the whole seconds of the API.
func untilScheduled(pod *corev1.Pod) time.Duration {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled {
			return condition.LastTransitionTime.Sub(pod.CreationTimestamp.Time)
		}
	}
	return 0
}

// hasEvent reports whether a spare pod has an Event of a reason.
func hasEvent(t *testing.T, l *lab.Lab, reason string) bool {
	t.Helper()
	events, err := l.Client().CoreV1().Events(serving).List(testContext(t), metav1.ListOptions{FieldSelector: "reason=" + reason})
	require.NoError(t, err)
	return slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return strings.HasPrefix(e.InvolvedObject.Name, spareDeployment+"-") })
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// podsOn describes pods with their nodes.
func podsOn(pods []corev1.Pod) string {
	var texts []string
	for _, pod := range pods {
		texts = append(texts, fmt.Sprintf("%s on %q (%s, ready %t)", pod.Name, pod.Spec.NodeName, pod.Status.Phase, isReady(&pod)))
	}
	return strings.Join(texts, ", ")
}
