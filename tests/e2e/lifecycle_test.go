package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/report"
)

// TestSimulatedStack deploys what a laptop's cluster gets: no GPU node, the
// defaults of stack local. `pulumi up` is killed at moments that differ in what
// is half-done, and completes when it is run again.
func TestSimulatedStack(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	stack := newStack(t, l, "local", quickDown, nil)

	for _, moment := range []struct {
		name  string
		there func(context.Context) error
	}{
		{"with one namespace", func(ctx context.Context) error {
			_, err := l.Client().CoreV1().Namespaces().Get(ctx, monitoring, metav1.GetOptions{})
			return err
		}},
		{"inside the Helm install of kube-prometheus-stack", func(ctx context.Context) error {
			_, err := l.Client().CoreV1().Secrets(monitoring).Get(ctx, "sh.helm.release.v1.kps.v1", metav1.GetOptions{})
			return err
		}},
		{"while the server starts", func(ctx context.Context) error {
			_, err := l.Client().AppsV1().Deployments(serving).Get(ctx, serving, metav1.GetOptions{})
			return err
		}},
		{"inside the Helm install of the adapter", func(ctx context.Context) error {
			_, err := l.Client().CoreV1().Secrets(monitoring).Get(ctx, "sh.helm.release.v1.prometheus-adapter.v1", metav1.GetOptions{})
			return err
		}},
	} {
		t.Run("up killed "+moment.name, func(t *testing.T) { killUpWhen(t, stack, moment.there) })
	}
	t.Run("up run again completes", func(t *testing.T) {
		require.NoError(t, stack.Up(testContext(t)))
		require.NoError(t, stack.Preview(testContext(t), true))
	})
	t.Run("scales without a GPU", func(t *testing.T) {
		w := newWatch(t, l)
		w.until(t, 2*time.Minute, "every signal seen", func(s report.Sample) bool { return s.Ready == 1 && seen(s, 0) })
		pods, err := l.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
		require.NoError(t, err)
		for _, pod := range pods.Items {
			for _, container := range pod.Spec.Containers {
				assert.NotContains(t, container.Resources.Limits, corev1.ResourceName("nvidia.com/gpu"))
			}
		}
		w.step(40)
		w.until(t, decision, "four ready replicas", func(s report.Sample) bool { return s.Desired == 4 && s.Ready == 4 })
		w.until(t, decision, "a GPU signal that follows the load", func(s report.Sample) bool {
			value := s.Signals[gpu].Value
			return value != nil && *value > 0
		})
		w.step(0)
		w.until(t, 2*time.Minute, "back to one replica", func(s report.Sample) bool { return s.Desired == 1 && s.Ready == 1 })
	})
	t.Run("destroy leaves nothing", func(t *testing.T) { destroyLeavesNothing(t, l, stack) })
	t.Run("destroy after a killed up leaves nothing", func(t *testing.T) { destroyAfterKilledUp(t, l, stack) })
}

// killUpWhen starts `pulumi up` and kills it without warning, its plugins
// included, as soon as there says nil.
func killUpWhen(t *testing.T, stack *deployment, there func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 3*time.Minute)
	defer cancel()
	up, err := stack.StartUp(ctx)
	require.NoError(t, err)
	for {
		err := there(ctx)
		if err == nil {
			break
		}
		select {
		case <-up.Done():
			t.Fatalf("up ended before the moment came (%v): %s", err, up.Tail())
		case <-ctx.Done():
			_ = up.Kill()
			t.Fatalf("the moment never came: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	require.NoError(t, up.Kill())
	<-up.Done()
	assert.NotZero(t, up.ExitCode(), "killed half-way")
	require.NoError(t, stack.Cancel(ctx), "unlock the state")
}

// destroyAfterKilledUp: what a killed `up` made can be removed without
// completing it first.
func destroyAfterKilledUp(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	killUpWhen(t, stack, func(ctx context.Context) error {
		pods, err := l.Client().CoreV1().Pods(monitoring).List(ctx, listAll)
		if err == nil && len(pods.Items) == 0 {
			err = fmt.Errorf("no pod in %s", monitoring)
		}
		return err
	})
	destroyLeavesNothing(t, l, stack)
}
