package podruntime

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/coldstart"
)

// The operators' commands read the lines that the lab writes as those of vLLM.
func TestTheStartIsInTheLog(t *testing.T) {
	times := StartTimes{Weights: 6 * time.Second, Warmup: 9 * time.Second}.Compressed(30)
	assert.Equal(t, "image 0s, weights 200ms, warm-up 300ms (compressed by a factor of 30)", times.String())
	r, client, _ := startRuntime(t, func(c *Config) { c.Start = times }, serverPod("a", "--model=m"))
	eventuallyReady(t, client, "a")
	log, err := r.Log("vllm", "a", "server", false)
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	text, err := io.ReadAll(log)
	require.NoError(t, err)
	parts := coldstart.ParseLog(string(text))
	require.NotNil(t, parts.Weights, string(text))
	require.NotNil(t, parts.Warmup, string(text))
	require.NotNil(t, parts.Compile, string(text))
	assert.InDelta(t, 0.2, *parts.Weights, 1e-9)
	assert.InDelta(t, 0.3, *parts.Warmup, 1e-9)
	assert.InDelta(t, 0.15, *parts.Compile, 1e-9)
	assert.Equal(t, 4, strings.Count(string(text), standsIn), "each line is marked")
}

func TestAStartWithoutTimesLogsNothing(t *testing.T) {
	r, client, _ := startRuntime(t, nil, serverPod("a", "--model=m"))
	eventuallyReady(t, client, "a")
	log, err := r.Log("vllm", "a", "server", false)
	require.NoError(t, err)
	defer func() { _ = log.Close() }()
	text, err := io.ReadAll(log)
	require.NoError(t, err)
	assert.NotContains(t, string(text), standsIn)
}
