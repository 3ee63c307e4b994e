package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/podruntime"
)

// startPhases are those of a production server, in a thirtieth of the time.
var startPhases = podruntime.StartTimes{Image: 90 * time.Second, Weights: 60 * time.Second, Warmup: 75 * time.Second}.Compressed(30)

// coldStartStack has a second replica at 10 requests in flight. Its metrics are scraped every 5 s.
var coldStartStack = merged(gpuStack, map[string]any{
	"autoscaling": map[string]any{"maxReplicas": 2},
	"monitoring":  map[string]any{"scrapeInterval": "5s", "evaluationInterval": "5s"},
})

// TestColdStart adds a replica for which there is no node at first, and follows the phases of its start through the recording rules,
// `make verify` and `make load`. A restart of its container adds none.
func TestColdStart(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, func(o *lab.Options) { o.Start = startPhases })
	require.NoError(t, l.AddGPUNodes(testContext(t), 1, 1))
	stack := newStack(t, l, "local", coldStartStack, token)
	require.NoError(t, stack.Up(testContext(t)))
	v := newVerifier(t, l, stack)
	first := newestStart(t, v)

	running := startLoad(t, stack, "-concurrency", "10", "-for", "80s", "-output-tokens", "50")
	awaitPending(t, l)
	require.NoError(t, l.AddGPUNodes(testContext(t), 1, 1))
	second := awaitSecond(t, l, first.Pod)
	t.Logf("%s: %s", second.Pod, second)
	assert.Greater(t, second.Seconds[telemetry.PhaseNode], 1.0, "it waited for its node")
	hasPhases(t, second)

	t.Run("the rules record what the status has", func(t *testing.T) {
		recordedAre(t, l, first, second)
	})
	t.Run("the load report has the starts of the run", func(t *testing.T) {
		code, last, r := running.wait(t, 2*time.Minute)
		assert.Zero(t, code, last)
		require.Len(t, r.Starts, 1, "the first replica was there before")
		assert.Equal(t, second.Seconds, r.Starts[0].Seconds)
		requireLog(t, r.Starts[0])
		assert.Regexp(t, `starts of replicas +1, the slowest in \d+`, running.printed.text())
		page, err := os.ReadFile(filepath.Join(running.folder, "index.html"))
		require.NoError(t, err)
		assert.Contains(t, string(page), "Starts of replicas")
	})
	t.Run("a restart is no start", func(t *testing.T) {
		restart(t, l, second.Pod)
		assert.Equal(t, first.Pod, newestStart(t, v).Pod)
		recordedAre(t, l, first)
		remembered, err := vector(testContext(t), l, fmt.Sprintf("last_over_time(%s{phase=%q}[1d])", telemetry.SeriesReplicaStart, telemetry.PhaseTotal))
		require.NoError(t, err)
		assert.Len(t, remembered, 2, "the first start of the replica counts for a day, and once")
	})
}

// newestStart returns the newest start that verify reports, with the parts in the server's log.
func newestStart(t *testing.T, v *verifier) coldstart.Start {
	t.Helper()
	report := v.until(t, 2*time.Minute, "", "")
	require.NotEmpty(t, report.Starts)
	start := report.Starts[0]
	hasPhases(t, start)
	requireLog(t, start)
	require.NotNil(t, report.Estimate)
	assert.Positive(t, report.Estimate.Warmup)
	var text bytes.Buffer
	require.NoError(t, report.Text(&text, false))
	assert.Contains(t, text.String(), "newest start   "+start.Pod+" took ")
	assert.Contains(t, text.String(), "; estimated ")
	return start
}

// hasPhases checks a start against the times of the lab. Moments are whole seconds, and a busy machine is slower.
func hasPhases(t *testing.T, start coldstart.Start) {
	t.Helper()
	const late = 15
	for phase, least := range map[telemetry.Phase]time.Duration{
		telemetry.PhaseInit: 0, telemetry.PhaseImage: startPhases.Image, telemetry.PhaseServer: startPhases.Weights + startPhases.Warmup,
	} {
		assert.GreaterOrEqual(t, start.Seconds[phase], least.Seconds()-1, "%s of %s", phase, start)
		assert.LessOrEqual(t, start.Seconds[phase], least.Seconds()+late, "%s of %s", phase, start)
	}
}

func requireLog(t *testing.T, start coldstart.Start) {
	t.Helper()
	require.NotNil(t, start.Log, "the server's log")
	require.NotNil(t, start.Log.Weights)
	require.NotNil(t, start.Log.Warmup)
	assert.InDelta(t, startPhases.Weights.Seconds(), *start.Log.Weights, 0.01)
	assert.InDelta(t, startPhases.Warmup.Seconds(), *start.Log.Warmup, 0.01)
}

func serverPods(ctx context.Context, l *lab.Lab) ([]corev1.Pod, error) {
	list, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// awaitPending waits until a pod of the server has no node.
func awaitPending(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventuallyNoError(t, decision, func(ctx context.Context) error {
		pods, err := serverPods(ctx, l)
		for _, pod := range pods {
			if pod.Spec.NodeName == "" && time.Since(pod.CreationTimestamp.Time) > 2*time.Second {
				return nil
			}
		}
		if err == nil {
			err = fmt.Errorf("none of %d pods waits for a node", len(pods))
		}
		return err
	})
}

// awaitSecond returns the start of the replica that is not the first one.
func awaitSecond(t *testing.T, l *lab.Lab, first string) coldstart.Start {
	t.Helper()
	var found coldstart.Start
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		pods, err := serverPods(ctx, l)
		for i := range pods {
			start, ready := coldstart.Of(&pods[i])
			if ready && start.Pod != first {
				found = start
				return nil
			}
		}
		if err == nil {
			err = fmt.Errorf("no second replica of %d is ready", len(pods))
		}
		return err
	})
	return found
}

// recordedAre waits until the recorded phases are those of the starts and no others, which takes a scrape and an evaluation.
func recordedAre(t *testing.T, l *lab.Lab, starts ...coldstart.Start) {
	t.Helper()
	eventuallyNoError(t, 90*time.Second, func(ctx context.Context) error {
		samples, err := vector(ctx, l, telemetry.SeriesReplicaStart)
		if err != nil {
			return err
		}
		recorded := map[string]float64{}
		for _, sample := range samples {
			recorded[string(sample.Metric["pod"])+" "+string(sample.Metric[telemetry.LabelPhase])] = float64(sample.Value)
		}
		want := map[string]float64{}
		for _, start := range starts {
			for phase, value := range start.Seconds {
				want[start.Pod+" "+string(phase)] = value
			}
		}
		if fmt.Sprint(recorded) != fmt.Sprint(want) {
			return fmt.Errorf("recorded %v, want %v", recorded, want)
		}
		return nil
	})
}

// restart kills the server of a pod and waits until it is ready again.
func restart(t *testing.T, l *lab.Lab, pod string) {
	t.Helper()
	_, err := l.Fault(serving, pod, podruntime.Fault{Crash: true})
	require.NoError(t, err)
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		now, err := l.Client().CoreV1().Pods(serving).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, status := range now.Status.ContainerStatuses {
			if status.RestartCount == 1 && status.Ready {
				return nil
			}
		}
		return fmt.Errorf("not started again: %+v", now.Status.ContainerStatuses)
	})
}
