package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

const (
	operatorPipeline = "prometheus-operator"
	managedPipeline  = "google-managed"
)

// managedSignals are the names of the metrics that the HPA reads from Google's adapter.
var managedSignals = defaultSignals(func(d signals.Definition) string { return signals.CloudMonitoringName(d.Series) })

// switchUnderLoad changes the pipeline with one up while the same number of requests is always in flight: the
// replicas must never become fewer, and afterwards the HPA has every signal from the new pipeline.
func switchUnderLoad(t *testing.T, l *lab.Lab, stack *deployment, w *watch, config []map[string]any, pipeline, adapter string, names []string) {
	t.Helper()
	from := w.step(20)
	// Requests in flight require two replicas. The third is that of the GPU signal, which has the longest path in both pipelines.
	before := w.until(t, 2*decision, "three ready replicas", func(s report.Sample) bool { return s.Seconds > from && s.Desired == 3 && s.Ready == 3 })
	require.NoError(t, stack.SetConfig(merged(append([]map[string]any{cloudLabConfig(l)},
		append(slices.Clone(config), map[string]any{"metrics": pipeline})...)...)))
	require.NoError(t, stack.Up(testContext(t)))
	w.until(t, decision, "every signal by the new pipeline", func(s report.Sample) bool { return hasSignals(s, names) })
	// Longer than the window after which the HPA removes replicas that no metric requires.
	w.during(t, 45*time.Second)
	for _, s := range w.since(before.Seconds) {
		require.GreaterOrEqual(t, s.Desired, 3, "the load asks for three replicas all the time: %v", s)
	}
	samples := w.recorder.Samples()
	assert.True(t, hasSignals(samples[len(samples)-1], names), "%v", samples[len(samples)-1])

	api, err := aggregator.NewForConfig(l.Config())
	require.NoError(t, err)
	service, err := api.ApiregistrationV1().APIServices().Get(testContext(t), metricsAPI, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, monitoring+"/"+adapter, service.Spec.Service.Namespace+"/"+service.Spec.Service.Name)
	require.NoError(t, stack.Up(testContext(t), "--expect-no-changes"))
}

// hasSignals reports whether the HPA has values of exactly these signals.
func hasSignals(s report.Sample, names []string) bool {
	if len(s.Signals) != len(names) {
		return false
	}
	for _, name := range names {
		if s.Signals[name].Value == nil {
			return false
		}
	}
	return true
}

// TestManagedMetrics deploys a stack on GKE whose metrics Google collects, scales it up and down, changes to the
// Prometheus Operator and back under load, and destroys it.
func TestManagedMetrics(t *testing.T) {
	t.Parallel()
	gke := onClouds[slices.IndexFunc(onClouds, func(c onCloud) bool { return c.stack == "gke" })]
	l := startCloudLab(t)
	// On three servers of 4 requests, some of 20 wait on each, which is more than the target of requests in flight asks for.
	config := []map[string]any{quick, gpuNodes, gke.config, {"model": map[string]any{"maxNumSeqs": 4}}, signalConfig("requestsInFlight", "target", 10)}
	stack := newCloudStack(t, l, gke.stack, append(slices.Clone(config), map[string]any{"metrics": managedPipeline})...)
	require.True(t, t.Run("up", func(t *testing.T) {
		require.NoError(t, stack.Up(testContext(t)))
		theOperatorTookThem(t, l)
		require.NoError(t, stack.Up(testContext(t), "--expect-no-changes"))
		pods, err := l.Client().CoreV1().Pods(monitoring).List(testContext(t), listAll)
		require.NoError(t, err)
		require.NotEmpty(t, pods.Items)
		for _, pod := range pods.Items {
			assert.Contains(t, pod.Name, "stackdriver-adapter", "nothing else of the stack's monitors")
		}
	}))
	w := newWatch(t, l)
	t.Run("up with the load", func(t *testing.T) {
		w.until(t, 2*time.Minute, "every signal of a quiet replica", func(s report.Sample) bool {
			return s.Ready == 1 && hasSignals(s, managedSignals) && seen(s, 0)
		})
		started := w.step(20)
		up := w.until(t, decision, "more replicas", func(s report.Sample) bool { return s.Seconds > started && s.Desired > 1 })
		t.Logf("from the step of load to the decision: %.1f s", up.Seconds-started)
		assert.Positive(t, l.Clouds().MonitoringReads())
	})
	t.Run("verify passes", func(t *testing.T) {
		// After the number of replicas is stable, so that no pod starts or ends between two stages. The next part waits for it, too.
		w.until(t, 2*decision, "three ready replicas", func(s report.Sample) bool { return s.Desired == 3 && s.Ready == 3 })
		verifyPassesWithoutPrometheus(t, l, stack)
	})
	t.Run("to the Prometheus Operator under load", func(t *testing.T) {
		switchUnderLoad(t, l, stack, w, config, operatorPipeline, "prometheus-adapter", allSignals)
	})
	t.Run("and back under load", func(t *testing.T) {
		switchUnderLoad(t, l, stack, w, config, managedPipeline, "custom-metrics-stackdriver-adapter", managedSignals)
	})
	t.Run("down with the load", func(t *testing.T) {
		w.step(0)
		w.until(t, 3*time.Minute, "back to one replica", func(s report.Sample) bool { return s.Desired == 1 && s.Ready == 1 && s.Pods == 1 })
	})
	t.Run("destroy", func(t *testing.T) { cloudDestroyLeavesNothing(t, l, stack) })
	assert.Empty(t, l.Clouds().Incidents())
}

// theOperatorTookThem checks that Google's own operator has accepted every object and generated configuration from it.
func theOperatorTookThem(t *testing.T, l *lab.Lab) {
	t.Helper()
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	for _, object := range []struct{ resource, namespace, name string }{
		{"podmonitorings", serving, "vllm"}, {"podmonitorings", serving, "vllm-server"},
		{"clusterpodmonitorings", "", "vllm-gpu-utilization"}, {"clusterrules", "", "vllm-signals"},
	} {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			found, err := client.Resource(schema.GroupVersionResource{Group: "monitoring.googleapis.com", Version: "v1", Resource: object.resource}).
				Namespace(object.namespace).Get(ctx, object.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			status, _ := found.Object["status"].(map[string]any)
			conditions, _ := status["conditions"].([]any)
			for _, entry := range conditions {
				condition, _ := entry.(map[string]any)
				if condition["type"] == "ConfigurationCreateSuccess" && condition["status"] == "True" {
					return nil
				}
			}
			return fmt.Errorf("%s %s has the conditions %v", object.resource, object.name, conditions)
		})
	}
}
