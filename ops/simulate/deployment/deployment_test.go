package deployment

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config"
)

// read returns the configuration of a stack on GKE with some more keys, top-level ones as objects.
func read(t *testing.T, more map[string]any) *config.Config {
	t.Helper()
	keys := map[string]any{
		"cloud": "gke", "gke": map[string]any{"project": "my-project", "location": "us-central1-a"}, "huggingFaceToken": "hf_token",
		"cluster": map[string]any{"apiAccessCidrs": []string{"1.2.3.4/32"}}, "nodePools": map[string]any{"gpu": map[string]any{"machineType": "g2-standard-4"}},
	}
	for key, value := range more {
		keys[key] = value
	}
	source := config.Source{Project: "vllm-autoscaling", Stack: "gke", Values: map[string]string{
		"pulumi:disable-default-providers": `["*"]`,
	}, Secret: func(key string) bool { return key == "vllm-autoscaling:huggingFaceToken" }}
	for key, value := range keys {
		text, ok := value.(string)
		if !ok {
			content, err := json.Marshal(value)
			require.NoError(t, err)
			text = string(content)
		}
		source.Values["vllm-autoscaling:"+key] = text
	}
	c, err := config.Read(source)
	require.NoError(t, err)
	return c
}

func TestSpareNodesAreThoseOfTheStack(t *testing.T) {
	for spare, more := range map[int]map[string]any{0: nil, 2: {"autoscaling": map[string]any{"spareNodes": 2}}} {
		s, err := Of(read(t, more), Options{})
		require.NoError(t, err)
		assert.Equal(t, spare, s.Nodes.Spare)
	}
}

func TestOf(t *testing.T) {
	s, err := Of(read(t, map[string]any{
		"autoscaling": map[string]any{"minReplicas": 2, "maxReplicas": 4}, "model": map[string]any{"maxNumSeqs": 32},
	}), Options{
		Start:      Start{Node: ptr.To(time.Minute), Image: ptr.To(time.Duration(0)), Weights: ptr.To(2 * time.Second), Warmup: ptr.To(time.Second)},
		PrefixHits: 0.5,
	})
	require.NoError(t, err)
	assert.Equal(t, 2, s.Replicas)
	assert.Equal(t, simulate.Start{Node: 60, Weights: 2, Warmup: 1}, s.Start)
	assert.InDelta(t, 0.5, s.Server.Limits.PrefixHits, 1e-9)
	assert.Equal(t, 1, s.Nodes.Replicas)
	assert.Equal(t, 5, s.Nodes.Max)
	assert.Equal(t, 32, s.Server.Limits.MaxNumSeqs)
	assert.InDelta(t, 16e9, s.Server.Limits.CacheBytes, 4e9, "what an L4 has left beside Gemma 3 1B")
	assert.InDelta(t, 60, s.Drain, 1e-9)

	assert.EqualValues(t, 4, s.Autoscaler.MaxReplicas)
	require.Len(t, s.Autoscaler.Metrics, len(s.Signals))
	assert.Equal(t, "15", s.Autoscaler.Metrics[0].Pods.Target.AverageValue.String(), "32 less three times its square root")
	assert.EqualValues(t, 900, *s.Autoscaler.Behavior.ScaleDown.StabilizationWindowSeconds)
}

// The gauges are those of the signals: of a replica with seven requests, of which three wait.
func TestGauges(t *testing.T) {
	s, err := Of(read(t, map[string]any{
		"model": map[string]any{"maxNumSeqs": 4}, "autoscaling": map[string]any{"signals": map[string]any{
			"requestsRunning": map[string]any{"enabled": true}, "requestsWaiting": map[string]any{"enabled": true},
			"gpuUtilization": map[string]any{"waitingRequests": 2.5}, "kvCacheUsage": map[string]any{"enabled": true},
		}},
	}), Defaults())
	require.NoError(t, err)
	e := replica.New(s.Server.Profile, s.Server.Limits, s.Server.Cache)
	values := func() (all []float64) {
		for _, signal := range s.Signals {
			all = append(all, signal.Value(e))
		}
		return all
	}
	assert.Equal(t, []float64{0, 0, 0, 0, 0}, values())
	for range 7 {
		e.Submit(&replica.Request{Input: 100, Output: 1000})
	}
	e.Advance(0.5)
	got := values()
	assert.Equal(t, []float64{7, 4, 3, busy}, got[:4])
	assert.Positive(t, got[4])

	guard := s.Signals[3].Guard
	assert.InDelta(t, 3, guard.Value(e), 1e-9, "those that wait")
	assert.InDelta(t, 2.5, guard.Full, 1e-9)
	assert.Equal(t, 5, guard.Scrapes)
}

func TestWhatCannotBeSimulated(t *testing.T) {
	c := read(t, nil)
	c.NodePools.GPU.Accelerator = "nvidia-unknown"
	_, err := Of(c, Defaults())
	require.Error(t, err)
	assert.ErrorContains(t, err, "nodePools.gpu.accelerator")
	c = read(t, nil)
	c.Model.ID = "somebody/unknown"
	_, err = Of(c, Defaults())
	assert.ErrorContains(t, err, "model.size.weightsGiB")
}
