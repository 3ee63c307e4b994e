package verify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/stacks/outputs"
)

// startedAt gives a pod the moments of a start: a node after 100 s, its container 40 s later, ready after that many seconds.
func startedAt(p *corev1.Pod, created time.Time, ready int) {
	at := func(seconds int) metav1.Time {
		return metav1.NewTime(created.Add(time.Duration(seconds) * time.Second))
	}
	p.CreationTimestamp = at(0)
	for kind, seconds := range map[corev1.PodConditionType]int{corev1.PodScheduled: 100, corev1.PodInitialized: 101} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at(seconds)})
	}
	p.Status.Conditions[0].LastTransitionTime = at(ready)
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: telemetry.ServerContainer, Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(141)}}}}
}

func TestStarts(t *testing.T) {
	f := newFake()
	hour := time.Now().Add(-time.Hour).Truncate(time.Second)
	startedAt(&f.pods[0], hour, 241)
	startedAt(&f.pods[1], hour.Add(10*time.Minute), 201)
	f.logs = map[string]string{"vllm-b/vllm": "INFO [default_loader.py] Loading weights took 31.20 seconds\n" +
		"INFO [core.py] init engine (profile, create kv cache, warmup model) took 20.40 s (compilation: 3.00 s)\n"}
	f.pipeline.ColdStart = &outputs.ColdStart{Node: 180, Image: 90, Weights: 25, Warmup: 60}

	report := f.run(t)
	require.True(t, report.Passed)
	require.Len(t, report.Starts, 2)
	assert.InDelta(t, 31.2, *report.Starts[0].Log.Weights, 1e-9)
	assert.Nil(t, report.Starts[1].Log, "its log may not be read")
	assert.Contains(t, text(t, report), "   newest start   vllm-b took 3m21s: node 1m40s, init 1s, image 40s, server 1m0s (weights 31s, warm-up 20s); "+
		"others 4m1s; estimated 5m55s: node 3m0s, image 1m30s, server 1m25s (weights 25s, warm-up 1m0s)\n")

	t.Run("a restart is no start", func(t *testing.T) {
		f.pods[1].Status.ContainerStatuses[0].RestartCount = 1
		assert.Contains(t, text(t, f.run(t)), "newest start   vllm-a took 4m1s: ")
		f.pods[0].Status.ContainerStatuses[0].RestartCount = 2
		f.pods[0].Status.ContainerStatuses[0].LastTerminationState.Terminated = nil
		assert.NotContains(t, text(t, f.run(t)), "newest start")
	})
}
