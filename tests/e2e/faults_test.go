package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/podruntime"
)

const (
	// unreadyWithin is how long a server that does not answer stays in the Service: up to a period of the readiness probe, and
	// three failures of 5 s. The rest is for a busy machine.
	unreadyWithin = 20*time.Second + 10*time.Second
	// restartedWithin is how long it takes until its container is started again: up to a period of the liveness probe, six failures
	// at 10 s, and the probe's own grace period of 10 s.
	restartedWithin = 80*time.Second + 20*time.Second
)

// faultsStack needs two replicas for 20 requests, and keeps them for longer than a hung server holds its clients, as the default
// does.
var faultsStack = merged(gpuStack, signalConfig("requestsInFlight", "target", 12),
	map[string]any{"autoscaling": map[string]any{"scaleDown": map[string]any{"stabilization": "2m"}}})

// TestFaults deploys once and disturbs one of two servers under a steady load.
func TestFaults(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	stack := newStack(t, l, "local", faultsStack, token)
	require.NoError(t, stack.Up(testContext(t)))
	f := &faults{watch: newServiceWatch(t, l), verifier: newVerifier(t, l, stack)}
	f.recordAlerts(t)
	l.SetGPUUtilization(constant(10))
	f.step(20)
	f.until(t, decision, "2 ready replicas", func(s report.Sample) bool { return s.Desired == 2 && s.Ready == 2 })

	t.Run("a hung server is taken out and restarted, and nothing scales down", f.hungServer)
	t.Run("the log of the container that was killed", f.previousLog)
	t.Run("an unready pod goes first", f.unreadyGoesFirst)
}

// faults is a stack with a load on its Service.
type faults struct {
	*watch
	verifier *verifier
}

// newServiceWatch is newWatch with the load on the Service, which passes each request to the next of its ready pods: clients do
// not notice that a server is slow, so that all of them end up waiting for one that hangs.
func newServiceWatch(t *testing.T, l *lab.Lab) *watch {
	t.Helper()
	return newWatchOf(t, l, func(context.Context) ([]string, error) {
		return []string{l.ServiceURL(serving, "vllm", apiPort)}, nil
	})
}

// recordAlerts logs each change of the alerts that are pending or firing, until the test ends.
func (f *faults) recordAlerts(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(testContext(t))
	log := lines(t, "alerts")
	log.live = true
	var recording sync.WaitGroup
	recording.Go(func() {
		last := ""
		for ctx.Err() == nil {
			samples, err := vector(ctx, f.lab, `ALERTS{alertname!="Watchdog"}`)
			if err == nil {
				var alerts []string
				for _, s := range samples {
					alerts = append(alerts, fmt.Sprintf("%s %s %s%s", s.Metric["alertname"], s.Metric["alertstate"], s.Metric["pod"], s.Metric["signal"]))
				}
				slices.Sort(alerts)
				if text := strings.Join(alerts, ", "); text != last {
					last = text
					fmt.Fprintf(log, "[%s]\n", text)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	})
	t.Cleanup(func() { stop(); recording.Wait() })
}

// oldest returns the pod that was created first. With equal readiness the ReplicaSet controller would remove the other one.
func (f *faults) oldest(t *testing.T) corev1.Pod {
	t.Helper()
	list, err := f.lab.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
	require.NoError(t, err)
	require.Len(t, list.Items, 2)
	return slices.MinFunc(list.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
}

// pod returns the status of the only container of a pod, and whether the pod is an endpoint of the Service.
func (f *faults) pod(ctx context.Context, name string) (status corev1.ContainerStatus, served bool, err error) {
	pod, err := f.lab.Client().CoreV1().Pods(serving).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return status, false, err
	}
	endpoints, err := f.lab.Client().DiscoveryV1().EndpointSlices(serving).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=vllm"})
	if err != nil {
		return status, false, err
	}
	for _, slice := range endpoints.Items {
		for _, e := range slice.Endpoints {
			served = served || e.TargetRef != nil && e.TargetRef.Name == name && e.Conditions.Ready != nil && *e.Conditions.Ready
		}
	}
	return pod.Status.ContainerStatuses[0], served, nil
}

// verifyOnce logs what verify reports now.
func (f *faults) verifyOnce(t *testing.T, when string) {
	t.Helper()
	walked, err := f.verifier.walk(testContext(t), f.verifier.access.Config)
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, walked.Text(&text, false))
	t.Logf("verify %s:\n%s", when, text.String())
}

func (f *faults) hungServer(t *testing.T) {
	hung := f.oldest(t)
	hungAt, sentBefore := time.Now(), len(f.load.Records())
	on := f.recorder.Mark("%s hangs", hung.Name)
	_, err := f.lab.Fault(serving, hung.Name, podruntime.Fault{Hang: true})
	require.NoError(t, err)

	eventuallyNoError(t, unreadyWithin, func(ctx context.Context) error {
		status, served, err := f.pod(ctx, hung.Name)
		if err == nil && (served || status.Ready) {
			err = fmt.Errorf("in the Service %t, %+v", served, status)
		}
		return err
	})
	outAt := time.Since(f.load.Started())
	t.Logf("out of the Service after %.1f s", time.Since(hungAt).Seconds())
	f.verifyOnce(t, "while one of two servers hangs")

	eventuallyNoError(t, restartedWithin-time.Since(hungAt), func(ctx context.Context) error {
		status, served, err := f.pod(ctx, hung.Name)
		if err == nil && (status.RestartCount != 1 || !served) {
			err = fmt.Errorf("in the Service %t, %+v", served, status)
		}
		return err
	})
	back := time.Since(hungAt)
	t.Logf("restarted and in the Service again after %.1f s", back.Seconds())
	status, _, err := f.pod(testContext(t), hung.Name)
	require.NoError(t, err)
	require.NotNil(t, status.LastTerminationState.Terminated)
	assert.EqualValues(t, 137, status.LastTerminationState.Terminated.ExitCode)

	// Both serve, and the HPA has looked at both since.
	f.until(t, decision, "2 ready replicas with the load on both", func(s report.Sample) bool {
		reading := s.Signals[inFlight]
		return s.Seconds > on+back.Seconds() && s.Ready == 2 && reading.Value != nil && *reading.Value > 8 && *reading.Value < 12
	})
	for _, s := range f.since(on) {
		require.GreaterOrEqual(t, s.Desired, 2, "scaled down because of a hung server: %s", s)
		require.GreaterOrEqual(t, s.Current, 2, "scaled down because of a hung server: %s", s)
	}
	f.clients(t, sentBefore, outAt)
	f.verifier.until(t, 30*time.Second, "", "")
}

// clients checks that the clients lost only what was sent to the hung server before it was out of the Service.
func (f *faults) clients(t *testing.T, from int, outAt time.Duration) {
	t.Helper()
	outcomes := map[string]int{}
	for _, r := range f.load.RecordsSince(from) {
		outcomes[strings.TrimSpace(string(r.Outcome)+" "+r.Kind)]++
		if r.Outcome != load.OK {
			assert.Less(t, r.Sent, outAt, "%+v", r)
		}
	}
	t.Logf("clients: %v", outcomes)
	failed := 0
	for kind, n := range outcomes {
		if kind != string(load.OK) {
			failed += n
		}
	}
	assert.LessOrEqual(t, failed, 20, "more than were in flight")
	assert.Greater(t, outcomes[string(load.OK)], 20)
}

// previousLog reads the log through the API server, as kubectl logs does.
func (f *faults) previousLog(t *testing.T) {
	last := int64(3)
	name := f.oldest(t).Name
	for _, previous := range []bool{false, true} {
		raw, err := f.lab.Client().CoreV1().Pods(serving).GetLogs(name, &corev1.PodLogOptions{Previous: previous, TailLines: &last}).DoRaw(testContext(t))
		require.NoError(t, err, "%s", raw)
		assert.Len(t, strings.Split(strings.TrimSpace(string(raw)), "\n"), 3, "%s", raw)
	}
}

// unreadyGoesFirst removes the load while one pod does not answer its probes. The pod is the one that the ReplicaSet controller
// would keep if both were ready.
func (f *faults) unreadyGoesFirst(t *testing.T) {
	sick := f.oldest(t)
	f.step(0)
	_, err := f.lab.Fault(serving, sick.Name, podruntime.Fault{Status: 503})
	require.NoError(t, err)
	eventuallyNoError(t, unreadyWithin, func(ctx context.Context) error {
		status, served, err := f.pod(ctx, sick.Name)
		if err == nil && (served || status.Ready) {
			err = fmt.Errorf("in the Service %t, %+v", served, status)
		}
		return err
	})
	_, err = f.lab.Client().AutoscalingV2().HorizontalPodAutoscalers(serving).Patch(testContext(t), serving, types.MergePatchType,
		[]byte(`{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	f.until(t, decision, "one replica", func(s report.Sample) bool { return s.Current == 1 })
	eventuallyNoError(t, 30*time.Second, func(ctx context.Context) error {
		list, err := f.lab.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil || len(list.Items) != 1 {
			return fmt.Errorf("%d pods, error %v", len(list.Items), err) //nolint:errorlint // It may be nil.
		}
		require.NotEqual(t, sick.Name, list.Items[0].Name, "the pod that serves was removed")
		return nil
	})
}
