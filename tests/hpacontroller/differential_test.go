package hpacontroller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fakescale "k8s.io/client-go/scale/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	autoscalingdefaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	controllermetrics "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"vllm-autoscaling/ops/simulate/hpa"

	_ "k8s.io/kubernetes/pkg/apis/apps/install"
)

const (
	namespace = "vllm"
	target    = "vllm"

	// scenarios is the number of random scenarios, each of 20 to 80 decisions.
	scenarios = 3000
	// ofEachPreset is how many of them have the autoscaler of a preset.
	ofEachPreset = 10
)

func TestMain(m *testing.M) {
	// The handlers log, and wait between errors on a clock that all bubbles share.
	utilruntime.ErrorHandlers = nil
	klog.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// decision is one round as it was seen at the scale.
type decision struct {
	observation hpa.Observation
	replicas    int32
}

func TestDecisionsAreTheControllers(t *testing.T) {
	decisions, changes, published := 0, 0, autoscaledPresets()
	for seed := range uint64(scenarios) {
		r := rand.New(rand.NewPCG(seed, 0))
		spec := randomSpec(r)
		if seed < uint64(len(published)*ofEachPreset) {
			spec = publishedSpec(published[seed%uint64(len(published))])
		}
		s := randomScenario(r, spec)
		var seen []decision
		synctest.Test(t, func(t *testing.T) { seen = runController(t, &s) })
		require.Len(t, seen, len(s.rounds), "seed %d: rounds of the controller", seed)

		ours, err := hpa.New(s.spec, hpa.Options{})
		require.NoError(t, err, "seed %d", seed)
		for i := range seen {
			got := ours.Decide(&seen[i].observation)
			if !assert.Equal(t, seen[i].replicas, got.Replicas, "seed %d, round %d: %+v", seed, i, seen[i].observation) {
				t.Fatalf("autoscaler: %+v", s.spec)
			}
			decisions++
			if got.Replicas != seen[i].observation.SpecReplicas {
				changes++
			}
		}
	}
	t.Logf("%d scenarios, %d of them of %d presets, %d decisions, %d of them changed the replicas: all equal",
		scenarios, ofEachPreset*len(published), len(published), decisions, changes)
	assert.Greater(t, changes, decisions/20, "scenarios in which the replicas hardly change show little")
}

// cluster is what the controller reads and writes: the scale, the pods and the metrics of the current round.
type cluster struct {
	scenario *scenario
	replicas int32
	current  int
	pods     cache.Indexer
	started  time.Time
	seen     []decision
}

// runController runs the controller through all rounds of a scenario. It must run in a bubble of synctest.
func runController(t *testing.T, s *scenario) []decision {
	ctx, cancel := context.WithCancel(t.Context())
	autoscaler := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: target}, Spec: *s.spec.DeepCopy()}
	autoscalingdefaults.SetDefaults_HorizontalPodAutoscaler(autoscaler)
	client := fakeClient(autoscaler)
	// Without a resync the informers wait on a channel of outside the bubble, in which time then stands still.
	factory := informers.NewSharedInformerFactory(client, hpa.DefaultPeriod)
	pods := factory.Core().V1().Pods()
	c := &cluster{scenario: s, replicas: s.start, pods: pods.Informer().GetIndexer(), started: time.Now()}
	scales := &fakescale.FakeScaleClient{}
	scales.AddReactor("get", "deployments", c.getScale)
	scales.AddReactor("update", "deployments", c.updateScale)
	controller := podautoscaler.NewHorizontalController(ctx, client.CoreV1(), scales, client.AutoscalingV2(),
		testrestmapper.TestOnlyStaticRESTMapper(legacyscheme.Scheme), c,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), pods,
		hpa.DefaultPeriod, hpa.DefaultDownscaleStabilization, hpa.DefaultTolerance, 5*time.Minute, 30*time.Second)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	done := make(chan struct{})
	go func() { defer close(done); controller.Run(ctx, 1) }()

	for i := range s.rounds {
		c.begin(t, i)
		// The rounds of the controller are at whole periods after its start.
		time.Sleep(hpa.DefaultPeriod)
		synctest.Wait()
		if len(c.seen) > i {
			c.seen[i].replicas = c.replicas
		}
	}
	cancel()
	<-done
	factory.Shutdown()
	synctest.Wait()
	return c.seen
}

// fakeClient returns a client that lists one autoscaler and no pods, and accepts every update. One that keeps objects would take
// most of the test's time.
func fakeClient(autoscaler *autoscalingv2.HorizontalPodAutoscaler) *fake.Clientset {
	client := &fake.Clientset{}
	client.AddReactor("list", "horizontalpodautoscalers", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv2.HorizontalPodAutoscalerList{Items: []autoscalingv2.HorizontalPodAutoscaler{*autoscaler}}, nil
	})
	client.AddReactor("list", "pods", func(kubetesting.Action) (bool, runtime.Object, error) { return true, &corev1.PodList{}, nil })
	client.AddReactor("update", "horizontalpodautoscalers", func(action kubetesting.Action) (bool, runtime.Object, error) {
		return true, action.(kubetesting.UpdateAction).GetObject(), nil
	})
	client.AddReactor("create", "events", func(action kubetesting.Action) (bool, runtime.Object, error) {
		return true, action.(kubetesting.CreateAction).GetObject(), nil
	})
	client.AddWatchReactor("*", func(kubetesting.Action) (bool, watch.Interface, error) { return true, watch.NewFake(), nil })
	return client
}

// begin puts the pods of a round into the controller's cache.
func (c *cluster) begin(t *testing.T, i int) {
	c.current = i
	n := &c.scenario.rounds[i]
	if n.set >= 0 {
		c.replicas = n.set
	}
	objects := make([]any, len(n.pods))
	for p, pod := range n.pods {
		objects[p] = podObject(p, pod)
	}
	require.NoError(t, c.pods.Replace(objects, ""))
}

func podObject(i int, p hpa.Pod) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: podName(i), Labels: map[string]string{"app": target}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if p.Pending {
		pod.Status.Phase = corev1.PodPending
	}
	if p.Ignored {
		pod.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	}
	if p.Ready {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return pod
}

func podName(i int) string { return fmt.Sprintf("vllm-%d", i) }

func (c *cluster) round() *round { return &c.scenario.rounds[c.current] }

// getScale begins a round of the controller.
func (c *cluster) getScale(kubetesting.Action) (bool, runtime.Object, error) {
	n := c.round()
	c.seen = append(c.seen, decision{observation: hpa.Observation{
		Time: time.Since(c.started), SpecReplicas: c.replicas, StatusReplicas: n.status, Pods: n.pods, Readings: n.readings,
	}})
	return true, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: target},
		Spec:       autoscalingv1.ScaleSpec{Replicas: c.replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: n.status, Selector: "app=" + target},
	}, nil
}

func (c *cluster) updateScale(action kubetesting.Action) (bool, runtime.Object, error) {
	scale := action.(kubetesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
	c.replicas = scale.Spec.Replicas
	return true, scale, nil
}

// reading returns the round's reading of a metric by its name.
func (c *cluster) reading(name string) *hpa.Reading {
	for i := range c.scenario.spec.Metrics {
		if metricName(i) == name {
			return &c.round().readings[i]
		}
	}
	panic("no metric " + name)
}

func (c *cluster) GetResourceMetric(context.Context, corev1.ResourceName, string, labels.Selector, string) (controllermetrics.PodMetricsInfo, time.Time, error) {
	panic("no scenario has a resource metric")
}

func (c *cluster) GetRawMetric(name, _ string, _, _ labels.Selector) (controllermetrics.PodMetricsInfo, time.Time, error) {
	r := c.reading(name)
	if r.Err != nil {
		return nil, time.Time{}, r.Err
	}
	values := controllermetrics.PodMetricsInfo{}
	for i, sample := range r.Pods {
		if sample.Present {
			values[podName(i)] = controllermetrics.PodMetric{Value: sample.Milli}
		}
	}
	return values, time.Now(), nil
}

func (c *cluster) GetObjectMetric(name, _ string, _ *autoscalingv2.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	r := c.reading(name)
	return r.TotalMilli, time.Now(), r.Err
}

func (c *cluster) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	r := c.reading(name)
	return []int64{r.TotalMilli}, time.Now(), r.Err
}
