package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab"
)

// upWithoutStock checks that an up ends with the reason when the cloud has no machine for the first replica, with everything
// else created. The next up waits again: the cloud gets machines meanwhile, and it completes.
func upWithoutStock(t *testing.T, l *lab.Lab, stack *deployment, c onCloud, config []map[string]any) {
	t.Helper()
	set := func(more ...map[string]any) {
		require.NoError(t, stack.SetConfig(merged(append(append([]map[string]any{cloudLabConfig(l)}, config...), more...)...)))
	}
	l.Clouds().SetStock(c.soldOut, false)
	set(map[string]any{"vllm": map[string]any{"readyTimeout": "15s"}})
	stack.printed.take()
	require.Error(t, stack.Up(testContext(t), "--skip-preview"))
	printed := stack.printed.take()
	assert.Contains(t, printed, "no replica is ready after 15s: waiting for a node: NotTriggerScaleUp: "+
		"pod didn't trigger scale-up: 1 in backoff after failed scale-up")
	assert.Contains(t, printed, "describe pods")
	for _, urn := range []string{"HorizontalPodAutoscaler::vllm", "PrometheusRule::vllm-alerts", "ConfigMap::vllm-dashboard-autoscaling"} {
		assert.Contains(t, strings.Join(stack.resources(t), "\n"), urn)
	}
	outputs, err := stack.Outputs(testContext(t), false)
	require.NoError(t, err)
	assert.Equal(t, "vllm", outputs["hpaName"])
	set()
	up, err := stack.StartUp(testContext(t), "--skip-preview")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(stack.printed.text(), "waiting for a node: ") }, time.Minute, 100*time.Millisecond)
	l.Clouds().SetStock(c.soldOut, true)
	select {
	case <-up.Done():
	case <-time.After(2 * time.Minute):
		t.Fatalf("no end of the update: %s", up.Tail())
	}
	require.Zero(t, up.ExitCode(), up.Tail())
	phasesInOrder(t, stack.printed.take())
}

// phasesInOrder checks that an up has printed what the first replica waited for, in the order of a pod's life.
func phasesInOrder(t *testing.T, printed string) {
	t.Helper()
	at := 0
	for _, phase := range []string{"waiting for a node: ", "waiting for the image: ", "a replica of the current version is ready"} {
		found := strings.Index(printed[at:], phase)
		require.GreaterOrEqual(t, found, 0, "%q after the phases before it, in\n%s", phase, printed)
		at += found
	}
}
