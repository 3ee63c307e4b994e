package e2e

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/orphan"
)

// TestSimulatedStack deploys the defaults of stack local, as to a laptop's cluster without GPU nodes. `pulumi up` is killed
// at different stages and completes after a recovery.
func TestSimulatedStack(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	config := merged(labConfig(l), quick)
	stack := makeStack(t, l, "local", config, nil)

	// In the order of the deployment, so that each is reached after the one before.
	for _, moment := range []struct{ name, line string }{
		{"with one namespace", "Namespace monitoring creating"},
		{"while the server starts", "Deployment vllm creating"},
		{"inside the Helm install of kube-prometheus-stack", `Release kps creating \(\d+s\) installing`},
	} {
		t.Run("up killed "+moment.name, func(t *testing.T) {
			killUpAt(t, stack, moment.line)
			recoverStack(t, l, stack)
		})
	}
	t.Run("only the CLI killed inside the Helm install of kube-prometheus-stack", func(t *testing.T) {
		cliKilledAlone(t, l, makeStackWith(t, l, "local", config, nil, orphan.OutliveVariable+"=1"))
	})
	t.Run("up killed inside the Helm install of the adapter", func(t *testing.T) {
		killUpAt(t, stack, `Release prometheus-adapter creating \(\d+s\) installing`)
		recoverStack(t, l, stack)
	})
	t.Run("up run again completes", func(t *testing.T) {
		require.NoError(t, stack.Up(testContext(t)))
		require.NoError(t, stack.Preview(testContext(t), true))
	})
	t.Run("up killed inside a Helm upgrade", func(t *testing.T) { killedUpgrade(t, l, stack, config) })
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
		loadCommand(t, l, stack, func(t *testing.T) {
			w.until(t, decision, "four ready replicas", func(s report.Sample) bool { return s.Desired == 4 && s.Ready == 4 })
		})
		t.Run("load interrupted writes its report", func(t *testing.T) { loadInterrupted(t, w, stack) })

		// 24 of the 40 requests that it began with waited on the only server.
		counted, err := vector(testContext(t), l, "max(max_over_time("+signals.RecordGPUUtilizationGuarded+"[5m]))")
		require.NoError(t, err)
		require.Len(t, counted, 1)
		assert.Greater(t, float64(counted[0].Value), 50.0, "the simulated GPU counts while requests wait")

		// The utilization of a decoding GPU is near 100 % with any number of requests, which is no reason for another replica.
		// The test starts at rest, because the simulated server completes canceled requests. The requests are so few that they
		// need no second replica.
		w.rest(t)
		w.step(3)
		w.until(t, decision, "the HPA sees the load", func(s report.Sample) bool {
			value := s.Signals[inFlight].Value
			return value != nil && *value > 0
		})
		for _, s := range w.during(t, 2*hpaPeriod) {
			require.Equal(t, 1, s.Desired, "3 of 16 requests: %s", s)
			require.True(t, quiet(s, allSignals...), "none of 3 requests waits: %s", s)
		}
		busy, err := vector(testContext(t), l, "max("+signals.RecordGPUUtilization+")")
		require.NoError(t, err)
		require.Len(t, busy, 1)
		assert.Greater(t, float64(busy[0].Value), 90.0, "the GPU is busy all the same")
		w.step(0)
	})
	t.Run("verify names the broken stage", func(t *testing.T) { verifyNamesTheBrokenStage(t, l, stack) })
	t.Run("the same cluster at another address", func(t *testing.T) { movesToAnotherAddress(t, l, stack) })
	t.Run("destroy from another address leaves nothing", func(t *testing.T) { destroyFromAnotherAddress(t, l, stack) })
	t.Run("destroy after a killed up leaves nothing", func(t *testing.T) { destroyAfterKilledUp(t, l, stack) })
}

// killUpAt kills `pulumi up` when it prints a matching line. The seconds in that line depend on the machine.
func killUpAt(t *testing.T, stack *deployment, line string) {
	t.Helper()
	moment := regexp.MustCompile(line)
	killUpWhen(t, stack, "it printed "+moment.String(), func() bool { return moment.MatchString(stack.printed.text()) })
}

// killUpWhen starts `pulumi up` and kills it with its plugins when `reached` returns true. moment describes that time in an
// error, after "up ended before".
func killUpWhen(t *testing.T, stack *deployment, moment string, reached func() bool, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 3*time.Minute)
	defer cancel()
	stack.printed.take()
	up, err := stack.StartUp(ctx, args...)
	require.NoError(t, err)
	for !reached() {
		select {
		case <-up.Done():
			t.Fatalf("up ended before %s: %s", moment, up.Tail())
		case <-ctx.Done():
			_ = up.Kill()
			t.Fatalf("time was up before %s", moment)
		case <-time.After(5 * time.Millisecond):
		}
	}
	require.NoError(t, up.Kill())
	<-up.Done()
	assert.NotZero(t, up.ExitCode(), "killed half-way")
}

// destroyAfterKilledUp checks that a killed `up` can be destroyed without completing it first.
func destroyAfterKilledUp(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	killUpAt(t, stack, `Release kps creating \(\d+s\) installing`)
	recoverStack(t, l, stack)
	destroyLeavesNothing(t, l, stack)
}
