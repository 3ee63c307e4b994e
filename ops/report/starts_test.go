package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/stacks/outputs"
)

func TestStarts(t *testing.T) {
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	start := func(pod string, ready int, total float64) coldstart.Start {
		return coldstart.Start{Pod: pod, Ready: began.Add(time.Duration(ready) * time.Second), Seconds: map[telemetry.Phase]float64{
			telemetry.PhaseNode: 0, telemetry.PhaseInit: 1, telemetry.PhaseImage: 40, telemetry.PhaseServer: total - 41, telemetry.PhaseTotal: total,
		}}
	}
	r := &Report{Started: began, Scaling: &Scaling{}, Starts: []coldstart.Start{start("vllm-a", 90, 80), start("vllm-b", 150, 120)}}
	weights := 30.0
	r.Starts[1].Log = &coldstart.Log{Weights: &weights}
	assert.Equal(t, []Row{{"starts of replicas", "2, the slowest in 2m0s: node 0s, init 1s, image 40s, server 1m19s (weights 30s)"}}, r.StartRows())

	r.Estimate = &outputs.ColdStart{Node: 180, Image: 90, Weights: 25, Warmup: 60}
	page, err := r.HTML(nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), "<h2>Starts of replicas</h2>")
	assert.Contains(t, string(page), `<tr><td>vllm-b</td><td class="number">150</td><td class="number">0</td><td class="number">1</td><td class="number">40</td>`+
		`<td class="number">79</td><td class="number">120</td><td>weights 30s</td></tr>`)
	assert.Contains(t, string(page), "for a new node is 5m55s: node 3m0s,")

	r.Starts = nil
	assert.Equal(t, []Row{{"starts of replicas", "none"}}, r.StartRows())
	page, err = r.HTML(nil)
	require.NoError(t, err)
	assert.NotContains(t, string(page), "Starts of replicas")
	r.Scaling = nil
	assert.Empty(t, r.StartRows(), "nothing was observed")
}
