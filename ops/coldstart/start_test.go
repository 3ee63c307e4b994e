package coldstart

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/stacks/outputs"
)

var created = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// at returns a moment after the creation of the pods of the tests.
func at(seconds int) metav1.Time {
	return metav1.NewTime(created.Add(time.Duration(seconds) * time.Second))
}

// startedPod returns a pod with a node after 170 s, whose container runs after 211 s and is ready after 300 s.
func startedPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	started := true
	condition := func(kind corev1.PodConditionType, seconds int) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at(seconds)}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "vllm", CreationTimestamp: at(0), Labels: map[string]string{"app": "vllm"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: telemetry.ServerContainer,
			StartupProbe: &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 180}}}},
		Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{
				condition(corev1.PodScheduled, 170), condition(corev1.PodInitialized, 171), condition(corev1.PodReady, 300),
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: telemetry.ServerContainer, Started: &started, Ready: true,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(211)}}}},
		},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func unready(pod *corev1.Pod) { pod.Status.Conditions[2].Status = corev1.ConditionFalse }

func TestOf(t *testing.T) {
	start, ok := Of(startedPod("a"))
	require.True(t, ok)
	assert.Equal(t, Start{Pod: "a", Ready: at(300).Time, Seconds: map[telemetry.Phase]float64{
		"node": 170, "init": 1, "image": 40, "server": 89, "total": 300,
	}}, start)
	assert.Equal(t, "5m0s: node 2m50s, init 1s, image 40s, server 1m29s", start.String())

	for name, tc := range map[string]func(*corev1.Pod){
		"not ready":                unready,
		"no node":                  func(p *corev1.Pod) { p.Status.Conditions = nil },
		"started again":            func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 },
		"no server":                func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Name = "other" },
		"its server ended":         func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = corev1.ContainerState{} },
		"ready again, a day later": func(p *corev1.Pod) { p.Status.Conditions[2].LastTransitionTime = at(86400) },
	} {
		_, ok := Of(startedPod("a", tc))
		assert.False(t, ok, name)
	}
	behind, ok := Of(startedPod("a", func(p *corev1.Pod) { p.Status.Conditions[1].LastTransitionTime = at(169) }))
	require.True(t, ok)
	assert.Zero(t, behind.Seconds["init"], "the clock of another machine")
}

func TestEstimated(t *testing.T) {
	assert.Equal(t, "5m55s: node 3m0s, image 1m30s, server 1m25s (weights 25s, warm-up 1m0s)",
		Estimated(outputs.ColdStart{Node: 180, Image: 90, Weights: 25, Warmup: 60}))
}

func TestParseLog(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	for name, tc := range map[string]struct {
		text string
		want Log
		line string
	}{
		"nothing": {"INFO 07-01 Uvicorn running on http://0.0.0.0:8000\n", Log{}, ""},
		"vLLM 0.9": {`INFO 06-05 09:07:40 [weight_utils.py:281] Time spent downloading weights for google/gemma-3-1b-it: 12.500000 seconds
INFO 06-05 09:07:48 [default_loader.py:280] Loading weights took 2.25 seconds
INFO 06-05 09:08:04 [monitor.py:33] torch.compile takes 8.69 s in total
INFO 06-05 09:08:36 [gpu_model_runner.py:1933] Graph capturing finished in 31 secs, took 0.45 GiB
INFO 06-05 09:08:36 [core.py:167] init engine (profile, create kv cache, warmup model) took 47.64 seconds
`, Log{Weights: number(14.75), Warmup: number(47.64), Compile: number(8.69), Graphs: number(31)}, "weights 15s, warm-up 48s"},
		"two workers of vLLM 0.20": {`(Worker_TP0 pid=1) INFO 07-01 [default_loader.py] Loading weights took 16.40 seconds
(Worker_TP1 pid=2) INFO 07-01 [default_loader.py] Loading weights took 18.10 seconds
(Worker_TP0 pid=1) INFO 07-01 [gpu_model_runner.py] Model loading took 13.63 GiB memory and 88.890731 seconds
(Worker_TP1 pid=2) INFO 07-01 [gpu_model_runner.py] Model loading took 13.63 GiB memory and 90.100000 seconds
(Worker_TP0 pid=1) INFO 07-01 [monitor.py] torch.compile took 34.32 s in total
(EngineCore pid=374) INFO 07-01 [core.py] init engine (profile, create kv cache, warmup model) took 212.68 s (compilation: 13.01 s)
`, Log{Weights: number(90.1), Warmup: number(212.68), Compile: number(34.32)}, "weights 1m30s, warm-up 3m33s"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ParseLog(tc.text)
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.line, got.String())
		})
	}
}

// A replica that was there before has no start, and neither a restart nor a readiness that comes back adds one.
func TestObserver(t *testing.T) {
	client := fake.NewSimpleClientset(startedPod("old"), startedPod("restarted", unready), startedPod("loading", unready, func(p *corev1.Pod) {
		*p.Status.ContainerStatuses[0].Started = false
	}))
	pods := client.CoreV1().Pods("vllm")
	o := NewObserver(client, "vllm", "app=vllm")
	look := func() []string {
		require.NoError(t, o.Look(t.Context()))
		var names []string
		for _, start := range o.Starts(t.Context()) {
			names = append(names, start.Pod)
		}
		return names
	}
	update := func(pod *corev1.Pod) {
		_, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	assert.Empty(t, look())
	update(startedPod("restarted"))
	_, err := pods.Create(t.Context(), startedPod("new", unready), metav1.CreateOptions{})
	require.NoError(t, err)
	assert.Empty(t, look())
	update(startedPod("loading", func(p *corev1.Pod) { p.Status.Conditions[2].LastTransitionTime = at(310) }))
	assert.Equal(t, []string{"loading"}, look())
	update(startedPod("new"))
	assert.Equal(t, []string{"new", "loading"}, look(), "in the order of their end")
	update(startedPod("new", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 }))
	update(startedPod("loading", func(p *corev1.Pod) { p.Status.Conditions[2].LastTransitionTime = at(400) }))
	require.NoError(t, pods.Delete(t.Context(), "old", metav1.DeleteOptions{}))
	assert.Equal(t, []string{"new", "loading"}, look(), "each once")
	assert.InDelta(t, 310, o.Starts(t.Context())[1].Seconds["total"], 0, "as it was first")

}
