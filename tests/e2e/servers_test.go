package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

// The servers of twoModels, with the model of each.
const (
	chat, chatModel = "chat", "google/gemma-3-270m-it"
	code, codeModel = "code", modelID
)

// twoModels are two servers on the same GPU nodes. 10 requests in flight ask for three replicas of chat, whose target is 4, and 5 for
// three of code.
var twoModels = merged(gpuStack, map[string]any{"servers": map[string]any{
	chat: map[string]any{"model": map[string]any{"id": chatModel}, "autoscaling": map[string]any{"maxReplicas": 3}},
	code: map[string]any{"autoscaling": map[string]any{
		"maxReplicas": 3, "signals": map[string]any{"requestsInFlight": map[string]any{"target": 2}},
	}},
}})

// Three times the targets: a closed loop of requests never exceeds them, and three replicas are wanted down to two thirds of it.
const loadOfChat, loadOfCode = 12, 6

// TestTwoModels scales two models independently of each other on the nodes that they share.
func TestTwoModels(t *testing.T) {
	t.Parallel()
	l := startLab(t, 4)
	stack := newStack(t, l, "local", twoModels, token)
	require.NoError(t, stack.Up(testContext(t)))
	// Nothing waits, so that only requests in flight count.
	l.SetGPUUtilization(constant(10))
	ofChat, ofCode := newModelWatch(t, l, chat, chatModel), newModelWatch(t, l, code, codeModel)

	t.Run("every signal of both is served", func(t *testing.T) {
		pods, err := l.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name in (chat,code)"})
		require.NoError(t, err)
		require.Len(t, pods.Items, 2)
		for _, metric := range allSignals {
			eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error { return apiAnswers(ctx, l, metric, pods.Items) })
		}
		for _, w := range []*watch{ofChat, ofCode} {
			w.until(t, decision, "a value of every signal", func(s report.Sample) bool {
				return len(s.Signals) == len(allSignals) && seen(s, 0)
			})
		}
	})
	t.Run("load on one scales that one", func(t *testing.T) {
		ofChat.scalesBeside(t, loadOfChat, ofCode)
		eachServiceHasItsModel(t, l)
	})
	t.Run("and then the other", func(t *testing.T) {
		ofChat.step(0)
		ofChat.until(t, 2*time.Minute, "one replica of chat", one)
		ofCode.scalesBeside(t, loadOfCode, ofChat)
	})
	t.Run("both share the nodes", func(t *testing.T) { bothShareTheNodes(t, l, ofChat, ofCode) })
	t.Run("no rule fails, and nothing but what is meant alerts", func(t *testing.T) { rulesOfBothWork(t, l) })
	t.Run("both return", func(t *testing.T) {
		for _, w := range []*watch{ofChat, ofCode} {
			w.step(0)
		}
		for _, w := range []*watch{ofChat, ofCode} {
			w.until(t, 2*time.Minute, "one replica", one)
		}
	})
	t.Run("a server that is removed leaves the other alone", func(t *testing.T) {
		before, err := l.Client().CoreV1().Pods(serving).List(testContext(t), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=chat"})
		require.NoError(t, err)
		require.Len(t, before.Items, 1)
		stack.reconfigure(t, l, gpuStack, map[string]any{"servers": map[string]any{chat: twoModels["servers"].(map[string]any)[chat]}})
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			pods, err := l.Client().CoreV1().Pods(serving).List(ctx, listAll)
			if err == nil && (len(pods.Items) != 1 || pods.Items[0].UID != before.Items[0].UID) {
				err = fmt.Errorf("%d pods, want that of chat as it was", len(pods.Items))
			}
			return err
		})
	})
}

// newModelWatch watches a server of the stack, with the load on its ready pods.
func newModelWatch(t *testing.T, l *lab.Lab, server, model string) *watch {
	t.Helper()
	return newServerWatch(t, l, server, model, func(ctx context.Context) ([]string, error) {
		return l.ReadyPodURLs(ctx, serving, "app.kubernetes.io/name="+server, apiPort)
	})
}

func one(s report.Sample) bool { return s.Desired == 1 && s.Ready == 1 && s.Pods == 1 }

// scalesBeside checks that a load scales the server to three replicas while the other, which has none, keeps its one.
func (w *watch) scalesBeside(t *testing.T, concurrency int, other *watch) {
	t.Helper()
	from := other.recorder.Mark("load on the other server")
	w.step(concurrency)
	w.until(t, decision, "three ready replicas", func(s report.Sample) bool { return s.Desired == 3 && s.Ready == 3 })
	for _, s := range w.during(t, 2*hpaPeriod) {
		assert.Equal(t, 3, s.Desired, "the load is the same: %s", s)
	}
	samples := other.since(from)
	require.NotEmpty(t, samples)
	for _, s := range samples {
		assert.True(t, one(s), "scaled by the load of the other server: %s", s)
		assert.Zero(t, *s.Signals[inFlight].Value, "counts requests of the other server: %s", s)
	}
}

// eachServiceHasItsModel checks that the Service of each server answers with its model every time, with several replicas of one.
func eachServiceHasItsModel(t *testing.T, l *lab.Lab) {
	t.Helper()
	for server, model := range map[string]string{chat: chatModel, code: codeModel} {
		for range 12 {
			models, err := load.Models(testContext(t), load.Target{Name: server, URL: l.ServiceURL(serving, server, apiPort)}, "")
			require.NoError(t, err)
			require.Equal(t, model, models[0].ID, "of Service %s", server)
		}
	}
}

// bothShareTheNodes checks that both ask for three replicas, of which the four nodes hold four, and that two more nodes bring the
// rest: no GPU is of one server only.
func bothShareTheNodes(t *testing.T, l *lab.Lab, ofChat, ofCode *watch) {
	t.Helper()
	ofChat.step(loadOfChat)
	ofCode.step(loadOfCode)
	ofChat.until(t, decision, "three desired replicas of chat", func(s report.Sample) bool { return s.Desired == 3 && s.Pods == 3 })
	eventuallyNoError(t, decision, func(context.Context) error {
		c, d := ofChat.last(), ofCode.last()
		if c.Ready+d.Ready != 4 || c.Desired != 3 || d.Desired != 3 {
			return fmt.Errorf("%d and %d replicas ready, want four of the six together", c.Ready, d.Ready)
		}
		return nil
	})
	require.NoError(t, l.AddGPUNodes(testContext(t), 2, 1))
	for _, w := range []*watch{ofChat, ofCode} {
		w.until(t, decision, "three ready replicas", func(s report.Sample) bool { return s.Desired == 3 && s.Ready == 3 })
	}
}

// last returns the newest sample.
func (w *watch) last() report.Sample {
	samples := w.recorder.Samples()
	if len(samples) == 0 {
		return report.Sample{}
	}
	return samples[len(samples)-1]
}

// rulesOfBothWork checks that Prometheus has the alerts of both servers, and that none fires.
func rulesOfBothWork(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, group := range []string{"chat-alerts", "code-alerts", "servers:shared-alerts"} {
		eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
			samples, err := vector(ctx, l, fmt.Sprintf(`prometheus_rule_group_rules{rule_group=~".*;%s"} > 0`, group))
			if err == nil && len(samples) != 1 {
				err = fmt.Errorf("Prometheus has %d groups %s, want 1", len(samples), group)
			}
			return err
		})
	}
	failures, err := vector(testContext(t), l, `prometheus_rule_evaluation_failures_total{rule_group=~".*;(vllm|chat|code|servers).*"} > 0`)
	require.NoError(t, err)
	assert.Empty(t, failures, "rules that Prometheus could not evaluate")
	firing, err := vector(testContext(t), l, `ALERTS{alertstate="firing",alertname!="Watchdog"}`)
	require.NoError(t, err)
	assert.Empty(t, firing)
}
