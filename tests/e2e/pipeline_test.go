package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

var listAll = metav1.ListOptions{}

// gpuStack is the production deployment: GPUs requested, DCGM by chart.
var gpuStack = merged(quick, map[string]any{
	"gpu": map[string]any{"mode": "nvidia"},
	// The stack's own file configures a cache for the simulator, which has no weights.
	"vllm":       map[string]any{"modelCache": "3Gi"},
	"monitoring": map[string]any{"watchNamespaces": []any{watched}},
})

// fullServers is a server that runs 4 requests at a time, with a target of requests in flight as for one that runs many more: the
// requests that wait for its GPU are seen by the GPU signal only, as with long prompts and long contexts.
var fullServers = merged(map[string]any{"model": map[string]any{"maxNumSeqs": 4}}, signalConfig("requestsInFlight", "target", 50))

var token = map[string]string{"huggingFaceToken": "hf_not_a_token"}

// TestPipeline deploys once and runs its tests one after the other; each starts from one quiet replica.
func TestPipeline(t *testing.T) {
	t.Parallel()
	l := startLab(t, 4)
	stack := newStack(t, l, "local", gpuStack, token)
	require.NoError(t, stack.Up(testContext(t)))
	w := newWatch(t, l)
	others := newNeighbours(t, l)

	t.Run("second preview has no change", func(t *testing.T) {
		require.NoError(t, stack.Preview(testContext(t), true))
	})
	t.Run("every stage answers", func(t *testing.T) { everyStageAnswers(t, l) })
	t.Run("verify sees the GPUs", func(t *testing.T) { verifySeesGPUs(t, l, stack) })
	t.Run("nobody may read Secrets but the operator", func(t *testing.T) { nobodyReadsSecrets(t, l) })
	t.Run("the policies admit what the pipeline needs", func(t *testing.T) { policiesAdmit(t, l) })
	t.Run("other teams neither lose nor change anything", func(t *testing.T) { others.areApart(t) })
	t.Run("requests in flight alone", func(t *testing.T) {
		w.rest(t)
		// The default target of a server of 16 requests is 4. No request waits, so that the busy GPUs count for nothing.
		scalesUpAndDown(t, w, scaling{signal: inFlight, load: 10, replicas: 3, hold: 2 * hpaPeriod, remains: 3})
		removedPodsHaveNoSeries(t, w)
	})
	t.Run("dashboards and alerts find their series", func(t *testing.T) { everythingObservedExists(t, w) })
	t.Run("no alert fires", func(t *testing.T) { noAlertFires(t, l) })
	t.Run("a target changes the HPA and nothing else", func(t *testing.T) {
		stack.reconfigure(t, l, gpuStack, signalConfig("requestsInFlight", "target", 5))
		stack.printed.take()
		require.NoError(t, stack.Preview(testContext(t), false))
		changed(t, stack.printed.take(), "HorizontalPodAutoscaler")
	})
	t.Run("GPUs count while requests wait for them", func(t *testing.T) {
		w.rest(t)
		stack.reconfigure(t, l, gpuStack, fullServers)
		require.NoError(t, stack.Up(testContext(t)))
		gpusCountWhileRequestsWait(t, w)
	})
	t.Run("signals that are off by default", func(t *testing.T) {
		w.rest(t)
		stack.reconfigure(t, l, gpuStack, fullServers, signalConfig("requestsWaiting", "enabled", true), signalConfig("kvCacheUsage", "enabled", true))
		stack.printed.take()
		require.NoError(t, stack.Up(testContext(t)))
		// The rules are those of the signals and the alerts.
		changed(t, stack.printed.take(), "HorizontalPodAutoscaler", "Release", "ConfigMap", "ConfigMap", "PrometheusRule", "PrometheusRule")
		eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error { return hpaReads(ctx, l, inFlight, waiting, gpu, kvCache) })
		// 6 of 10 requests wait, of a target of 4.
		l.SetGPUUtilization(constant(10))
		scalesUpAndDown(t, w, scaling{signal: waiting, load: 10, replicas: 2})
	})
	t.Run("lost scrapes alert", func(t *testing.T) { lostScrapesAlert(t, l, inFlight, waiting, gpu, kvCache) })
	t.Run("destroy leaves nothing even when the adapter is dead", func(t *testing.T) {
		killAdapter(t, l)
		destroyLeavesNothing(t, l, stack)
	})
}

// everyStageAnswers follows a sample through scrape, rule, custom metrics API and HPA.
func everyStageAnswers(t *testing.T, l *lab.Lab) {
	ctx := testContext(t)
	pods, err := l.Client().CoreV1().Pods(serving).List(ctx, metav1.ListOptions{LabelSelector: selector})
	require.NoError(t, err)
	require.NotEmpty(t, pods.Items)

	t.Run("Prometheus scrapes vLLM", func(t *testing.T) {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			return eachPodHas(ctx, l, pods.Items, `up{namespace="`+serving+`"}`, func(v float64) bool { return v == 1 })
		})
	})
	t.Run("Prometheus scrapes the GPU exporter", func(t *testing.T) {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			samples, err := vector(ctx, l, signals.SeriesGPUUtil)
			if err == nil && len(samples) == 0 {
				err = fmt.Errorf("no series %s", signals.SeriesGPUUtil)
			}
			return err
		})
	})
	t.Run("the rule is evaluated", func(t *testing.T) {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			return eachPodHas(ctx, l, pods.Items, signals.RecordGPUUtilizationGuarded, func(v float64) bool { return v >= 0 && v <= 100 })
		})
	})
	for _, metric := range allSignals {
		t.Run("custom metrics API answers for "+metric, func(t *testing.T) {
			eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error { return apiAnswers(ctx, l, metric, pods.Items) })
		})
	}
	t.Run("the HPA is active with every signal", func(t *testing.T) {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error { return hpaReads(ctx, l, allSignals...) })
	})
}

// apiAnswers reports an error while the custom metrics API lacks a value of a metric for a pod.
func apiAnswers(ctx context.Context, l *lab.Lab, metric string, pods []corev1.Pod) error {
	raw, err := l.Client().CoreV1().RESTClient().Get().
		AbsPath("/apis/custom.metrics.k8s.io/v1beta1/namespaces", serving, "pods", "*", metric).DoRaw(ctx)
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			DescribedObject corev1.ObjectReference
			Value           string
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	var names []string
	for _, item := range list.Items {
		names = append(names, item.DescribedObject.Name)
	}
	for _, pod := range pods {
		if !slices.Contains(names, pod.Name) {
			return fmt.Errorf("no value for pod %s in %s", pod.Name, raw)
		}
	}
	return nil
}

// hpaReads reports an error while the HPA is not active, or while its metrics are not exactly these signals, each with a
// value.
func hpaReads(ctx context.Context, l *lab.Lab, names ...string) error {
	hpa, err := l.Client().AutoscalingV2().HorizontalPodAutoscalers(serving).Get(ctx, serving, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, want := range []autoscalingv2.HorizontalPodAutoscalerConditionType{autoscalingv2.AbleToScale, autoscalingv2.ScalingActive} {
		if !slices.ContainsFunc(hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
			return c.Type == want && c.Status == corev1.ConditionTrue
		}) {
			return fmt.Errorf("%s is not true: %+v", want, hpa.Status.Conditions)
		}
	}
	readings := report.Readings(hpa)
	for _, name := range names {
		if readings[name].Value == nil {
			return fmt.Errorf("%s has no value: %v", name, readings)
		}
	}
	if len(readings) != len(names) {
		return fmt.Errorf("signals %v, want %v", sortedKeys(readings), names)
	}
	return nil
}

// scaling is a step of load and what one signal makes of it.
type scaling struct {
	signal string
	// load and remains are the requests in flight during the step and after it.
	load, remains int
	// replicas is what the signal asks for during the step.
	replicas int
	// hold is how long the load goes on with all replicas.
	hold time.Duration
}

// scalesUpAndDown checks that one signal causes exactly so many replicas, the others none, and that one replica is left after the
// step. Replicas that have just started have no values yet: the HPA must not take them for full ones and ask for more.
func scalesUpAndDown(t *testing.T, w *watch, step scaling) {
	t.Helper()
	on := w.step(step.load)
	up := w.until(t, decision, fmt.Sprintf("scale-up to %d by %s", step.replicas, step.signal), func(s report.Sample) bool {
		return s.Desired == step.replicas
	})
	var trigger bool
	for _, s := range w.since(on) {
		if s.Seconds > up.Seconds {
			break
		}
		trigger = trigger || s.Signals[step.signal].Ratio() > 1+tolerance
		assert.True(t, quiet(s, others(step.signal)...), "another signal is above its target: %s", s)
	}
	assert.True(t, trigger, "%s was never seen above its target: %s", step.signal, up)
	w.until(t, decision, fmt.Sprintf("%d ready replicas", step.replicas), func(s report.Sample) bool { return s.Ready == step.replicas })
	for _, s := range w.during(t, step.hold) {
		assert.Equal(t, step.replicas, s.Desired, "the load is the same: %s", s)
	}

	off := w.step(step.remains)
	w.until(t, 2*time.Minute, "back to one replica", func(s report.Sample) bool {
		return s.Load == float64(step.remains) && s.Desired == 1 && s.Ready == 1 && s.Pods == 1
	})
	for _, s := range w.since(on) {
		assert.LessOrEqual(t, s.Desired, step.replicas, "more than the signal asks for: %s", s)
		if s.Seconds < off {
			assert.GreaterOrEqual(t, s.Desired, 1)
		} else if s.Desired == 1 {
			assert.True(t, quiet(s, allSignals...), "scaled down above a target: %s", s)
			break
		}
	}
	samples := w.recorder.Samples()
	t.Logf("%s: decision after %.1f s, down %.1f s after the step", step.signal, up.Seconds-on, samples[len(samples)-1].Seconds-off)
}

// removedPodsHaveNoSeries checks that the gauges of removed pods end, although Prometheus returns the last value of a series for
// five minutes: only the pods that are there have requests.
func removedPodsHaveNoSeries(t *testing.T, w *watch) {
	t.Helper()
	pods, err := w.lab.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: selector})
	require.NoError(t, err)
	require.Len(t, pods.Items, 1)
	eventuallyNoError(t, 30*time.Second, func(ctx context.Context) error {
		samples, err := vector(ctx, w.lab, signals.RecordRequestsInFlight)
		if err == nil && (len(samples) != 1 || string(samples[0].Metric["pod"]) != pods.Items[0].Name) {
			err = fmt.Errorf("%s of other pods than %s: %v", signals.RecordRequestsInFlight, pods.Items[0].Name, samples)
		}
		return err
	})
}

// gpusCountWhileRequestsWait checks both sides of the GPU signal on servers that are full with 4 requests each, while requests in
// flight ask for one replica all the time. As long as requests wait on every server, the GPUs keep all replicas. When nothing
// waits, they keep none, although a GPU reads near 100 % while anything is decoded.
func gpusCountWhileRequestsWait(t *testing.T, w *watch) {
	w.rest(t)
	w.step(24)
	w.until(t, decision, "four ready replicas, requests waiting on each", func(s report.Sample) bool {
		return s.Desired == 4 && s.Ready == 4 && seenOf(s, inFlight) && *s.Signals[inFlight].Value < 8 && !quiet(s, gpu)
	})
	for _, s := range w.during(t, 3*hpaPeriod) {
		require.Equal(t, 4, s.Desired, "scaled down while requests wait: %s", s)
		require.LessOrEqual(t, 4*s.Signals[inFlight].Ratio(), 1.0, "requests in flight ask for one replica: %s", s)
	}

	w.step(3)
	w.until(t, 2*time.Minute, "one replica with the load on, and a signal of 0", func(s report.Sample) bool {
		return s.Load == 3 && s.Desired == 1 && s.Pods == 1 && seenOf(s, gpu) && *s.Signals[gpu].Value == 0
	})
	for _, s := range w.during(t, 2*hpaPeriod) {
		require.Equal(t, 1, s.Desired, "nothing waits: %s", s)
	}
	raw, err := vector(testContext(t), w.lab, "max("+signals.SeriesGPUUtil+")")
	require.NoError(t, err)
	require.Len(t, raw, 1)
	assert.Greater(t, float64(raw[0].Value), 90.0, "the exporter does report a busy GPU")
}

func seenOf(s report.Sample, name string) bool { return s.Signals[name].Value != nil }

// signalConfig returns a configuration with one key of one signal.
func signalConfig(signal, key string, value any) map[string]any {
	return map[string]any{"autoscaling": map[string]any{"signals": map[string]any{signal: map[string]any{key: value}}}}
}

// reconfigure replaces the configuration with these objects, merged.
func (d *deployment) reconfigure(t *testing.T, l *lab.Lab, objects ...map[string]any) {
	t.Helper()
	require.NoError(t, d.SetConfig(merged(append([]map[string]any{labConfig(l)}, objects...)...)))
}

// changed checks in the CLI's output that one resource of each of these types is updated, and nothing is created, replaced or
// deleted.
func changed(t *testing.T, printed string, types ...string) {
	t.Helper()
	seen := map[string]bool{}
	var updated []string
	for _, line := range strings.Split(printed, "\n") {
		fields := strings.Fields(line)
		// A resource's line has its type, such as kubernetes:apps/v1:Deployment, and its name.
		if len(fields) < 3 || strings.Count(fields[1], ":") != 2 {
			continue
		}
		// The line is printed again with every step of the update.
		if one := fields[1] + " " + fields[2]; fields[0] == "~" && !seen[one] {
			seen[one] = true
			updated = append(updated, fields[1][strings.LastIndex(fields[1], ":")+1:])
		}
		assert.NotContains(t, []string{"+", "-", "+-", "-+", "++", "--"}, fields[0], line)
	}
	assert.ElementsMatch(t, types, updated, printed)
	assert.Regexp(t, fmt.Sprintf(`~ %d (updated|to update)`, len(types)), printed)
}

// killAdapter leaves the APIService without a server, which blocks the deletion of namespaces as long as the APIService
// exists.
func killAdapter(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx := testContext(t)
	deployments := l.Client().AppsV1().Deployments(monitoring)
	scale, err := deployments.GetScale(ctx, "prometheus-adapter", metav1.GetOptions{})
	require.NoError(t, err)
	scale.Spec.Replicas = 0
	_, err = deployments.UpdateScale(ctx, "prometheus-adapter", scale, metav1.UpdateOptions{})
	require.NoError(t, err)
	aggregator, err := clientset.NewForConfig(l.Config())
	require.NoError(t, err)
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		service, err := aggregator.ApiregistrationV1().APIServices().Get(ctx, metricsAPI, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range service.Status.Conditions {
			if c.Type == "Available" && c.Status == "False" {
				return nil
			}
		}
		return fmt.Errorf("the APIService is still available: %+v", service.Status.Conditions)
	})
}

// destroyLeavesNothing destroys the stack; only CRDs, which Helm keeps, may stay.
func destroyLeavesNothing(t *testing.T, l *lab.Lab, stack *deployment, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(testContext(t), 3*time.Minute, fmt.Errorf("destroy took 3 minutes"))
	defer cancel()
	require.NoError(t, stack.Destroy(ctx, args...))
	assert.Empty(t, stack.resources(t), "the state is empty")
	namespaces, err := l.Client().CoreV1().Namespaces().List(ctx, listAll)
	require.NoError(t, err)
	for _, namespace := range namespaces.Items {
		assert.NotContains(t, []string{serving, monitoring}, namespace.Name)
		assert.Equal(t, corev1.NamespaceActive, namespace.Status.Phase, namespace.Name)
	}
	onlyCRDsLeft(ctx, t, l)
}

// vector evaluates a PromQL query whose result is an instant vector.
func vector(ctx context.Context, l *lab.Lab, query string) (model.Vector, error) {
	value, err := l.Metric(ctx, query)
	if err != nil {
		return nil, err
	}
	samples, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("%s is a %s, not a vector", query, value.Type())
	}
	return samples, nil
}

func eachPodHas(ctx context.Context, l *lab.Lab, pods []corev1.Pod, query string, right func(float64) bool) error {
	samples, err := vector(ctx, l, query)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		found := slices.ContainsFunc(samples, func(s *model.Sample) bool {
			return string(s.Metric["pod"]) == pod.Name && right(float64(s.Value))
		})
		if !found {
			return fmt.Errorf("%s has no right value for pod %s: %v", query, pod.Name, samples)
		}
	}
	return nil
}

// eventuallyNoError retries until the deadline and then fails with the last error.
func eventuallyNoError(t *testing.T, limit time.Duration, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(testContext(t), limit, fmt.Errorf("waited %s", limit))
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		// The error of a call that the deadline interrupts does not contain the cause.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v: %v", context.Cause(ctx), last)
		case <-time.After(time.Second):
		}
	}
}

// onlyCRDsLeft removes the CRDs, which Helm keeps, and checks that nothing else is left.
func onlyCRDsLeft(ctx context.Context, t *testing.T, l *lab.Lab) {
	t.Helper()
	left, err := l.Leftovers(ctx)
	require.NoError(t, err)
	assert.Empty(t, left.Objects)
	for _, name := range left.CRDs {
		assert.Contains(t, name, ".monitoring.coreos.com")
	}
	require.NoError(t, l.DeleteCRDs(ctx, left.CRDs))
	left, err = l.Leftovers(ctx)
	require.NoError(t, err)
	assert.Empty(t, left)
}
