package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	aggregation "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"vllm-autoscaling/tests/lab"
)

// attachLines are the commands that attach a stack to a Prometheus and an adapter of the cluster.
var attachLines = []string{
	"pulumi config set vllm-autoscaling:metrics existing",
	"pulumi config set --path 'vllm-autoscaling:autoscaling.adapter' existing",
}

// ofPlatform are the annotations of an object of a Helm release of the platform team.
var ofPlatform = map[string]string{"meta.helm.sh/release-name": "platform", "meta.helm.sh/release-namespace": "platform"}

// TestWhatTheClusterHas deploys to a cluster with the platform's node exporter and adapter, and a second stack beside the first.
func TestWhatTheClusterHas(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	ctx := testContext(t)
	t.Run("an adapter of somebody else is left alone", func(t *testing.T) { foreignAdapter(t, l) })
	removeExporter := platformNodeExporter(t, l)
	stack := newStack(t, l, "local", nil, nil)
	t.Run("a node exporter that is there", func(t *testing.T) {
		stack.printed.take()
		require.NoError(t, stack.Preview(ctx, false))
		printed := stack.printed.take()
		assert.Contains(t, printed, "DaemonSet platform/node-exporter (of Helm release platform/platform) takes the port")
		assert.Contains(t, printed, "pulumi config set --path 'vllm-autoscaling:monitoring.nodeExporter' none")

		require.NoError(t, stack.SetConfig(merged(labConfig(l), map[string]any{"monitoring": map[string]any{"nodeExporter": "none", "kubeStateMetrics": "none"}})))
		up, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		require.NoError(t, stack.Up(up))
		sets, err := l.Client().AppsV1().DaemonSets(monitoring).List(ctx, listAll)
		require.NoError(t, err)
		for _, set := range sets.Items {
			assert.NotContains(t, set.Name, "node-exporter")
		}
		_, err = l.Client().AppsV1().Deployments(monitoring).Get(ctx, "kps-kube-state-metrics", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
			samples, err := vector(ctx, l, `vllm:gpu_utilization:guarded{namespace="`+serving+`"}`)
			if err == nil && len(samples) == 0 {
				err = errors.New("no GPU signal without kube-state-metrics")
			}
			return err
		})
	})
	t.Run("a second stack is refused and changes nothing", func(t *testing.T) { secondStack(t, l, stack) })
	removeExporter()
	t.Run("destroy leaves nothing", func(t *testing.T) { destroyLeavesNothing(t, l, stack) })
}

// foreignAdapter checks that an up ends before it creates anything where somebody else serves the custom metrics API.
func foreignAdapter(t *testing.T, l *lab.Lab) {
	ctx := testContext(t)
	aggregator, err := clientset.NewForConfig(l.Config())
	require.NoError(t, err)
	services := aggregator.ApiregistrationV1().APIServices()
	created, err := services.Create(ctx, &aggregation.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: metricsAPI, Annotations: ofPlatform},
		Spec: aggregation.APIServiceSpec{
			Group: "custom.metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &aggregation.ServiceReference{Namespace: "platform", Name: "adapter"},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	stack := newStack(t, l, "local", nil, nil)
	var failed *lab.CommandError
	require.ErrorAs(t, stack.Up(ctx), &failed)
	for _, part := range append([]string{
		"APIService " + metricsAPI + " (of Helm release platform/platform), which Service platform/adapter answers", "Nothing was created",
	}, attachLines...) {
		assert.Contains(t, failed.Output, part)
	}
	assert.Empty(t, stack.resources(t), "nothing in the state")
	require.Error(t, stack.Up(ctx, "--skip-preview"), "without a preview too")
	for _, urn := range stack.resources(t) {
		assert.Contains(t, urn, "pulumi:providers:kubernetes", "the provider only")
	}
	namespaces, err := l.Client().CoreV1().Namespaces().List(ctx, listAll)
	require.NoError(t, err)
	for _, namespace := range namespaces.Items {
		assert.NotContains(t, []string{serving, monitoring}, namespace.Name)
	}
	theirs, err := services.Get(ctx, metricsAPI, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, created.Spec, theirs.Spec)
	require.NoError(t, services.Delete(ctx, metricsAPI, metav1.DeleteOptions{}))
	require.NoError(t, stack.Destroy(ctx))
}

// platformNodeExporter creates a node exporter on the port of the stack's, and returns what removes it.
func platformNodeExporter(t *testing.T, l *lab.Lab) (remove func()) {
	t.Helper()
	const namespace = "platform"
	ctx, client := testContext(t), l.Client()
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	labels := map[string]string{"app": "node-exporter"}
	_, err = client.AppsV1().DaemonSets(namespace).Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "node-exporter", Annotations: ofPlatform},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				// No node has the label: what counts is that it may take the port.
				Spec: corev1.PodSpec{HostNetwork: true, NodeSelector: map[string]string{"example.com/none": "true"}, Containers: []corev1.Container{{
					Name: "node-exporter", Image: "quay.io/prometheus/node-exporter:v1.9.0", Ports: []corev1.ContainerPort{{ContainerPort: 9100}},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return func() {
		require.NoError(t, client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}))
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			_, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("namespace %s is still there: %v", namespace, err) //nolint:errorlint // It may be nil.
		})
	}
}

// secondStack checks that a second stack with namespaces of its own is refused, and that the first one is never taken for a foreign one.
func secondStack(t *testing.T, l *lab.Lab, first *deployment) {
	ctx := testContext(t)
	second := newStack(t, l, "second", map[string]any{
		"cloud": "local", "namespaces": map[string]any{"monitoring": "second-monitoring", "serving": "second"},
	}, nil)
	var failed *lab.CommandError
	require.ErrorAs(t, second.Up(ctx), &failed)
	for _, part := range append([]string{
		"APIService " + metricsAPI + " (of another stack of this program in namespace " + monitoring + ")",
		"ClusterRole kps-operator (of Helm release " + monitoring + "/kps)", "Nothing was created",
	}, attachLines...) {
		assert.Contains(t, failed.Output, part)
	}
	assert.Empty(t, second.resources(t), "nothing in the state")
	_, err := l.Client().CoreV1().Namespaces().Get(ctx, "second-monitoring", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	require.NoError(t, first.Preview(ctx, true), "the first is as it was")
}
