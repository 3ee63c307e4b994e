package simulate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAPlanIsFollowed(t *testing.T) {
	s := settings(1)
	s.Plan = []Step{{At: 100, Replicas: 3}, {At: 1000, Replicas: 2}}
	missed := 0
	s.Missed = func(float64) { missed++ }
	got, err := Run(s, steady(1, 0, 3600, 4))
	require.NoError(t, err)
	ready := map[int]float64{}
	for _, at := range got.Timeline {
		ready[at.Ready] = at.At
	}
	assert.InDelta(t, 190, ready[3], 1e-9, "a node and a pod after the step")
	assert.InDelta(t, 1000, ready[2], 1e-9)
	assert.Equal(t, []Step{{At: 0, Replicas: 1}, {At: 100, Replicas: 3}, {At: 1000, Replicas: 2}}, got.Plan())
	assert.Equal(t, got.Requests-got.Met, missed)
	// Two nodes are added at 100 s; the pod of one is removed at 1000 s, and the node when it has been idle for 120 s.
	hours := (got.Hours*3600 + (got.Hours*3600 - 100) + (1000 + 120 - 100)) * 2 / 3600
	assert.InDelta(t, hours, got.GPUHours, 0.01)
}

// The replicas of an autoscaler as a plan give what the autoscaler gave.
func TestThePlanOfAnAutoscaler(t *testing.T) {
	s := scaled(1, 8)
	load := join(steady(1, 0, 1200, 2), steady(2, 1200, 1200, 18), steady(3, 2400, 1200, 2))
	want, err := Run(s, load)
	require.NoError(t, err)
	require.Greater(t, want.Most, 2)
	s.Plan = want.Plan()
	got, err := Run(s, load)
	require.NoError(t, err)
	assert.InDelta(t, want.GPUHours, got.GPUHours, 1e-9)
	assert.InDelta(t, want.Attainment(), got.Attainment(), 0.001, "the scrapes divide the time of an engine otherwise")
	assert.Equal(t, want.Changes, got.Changes)
}

func TestAnInvalidPlan(t *testing.T) {
	for want, plan := range map[string][]Step{
		"0 replicas":     {{At: 1, Replicas: 0}},
		"5 s after 10 s": {{At: 10, Replicas: 1}, {At: 5, Replicas: 2}},
	} {
		s := settings(1)
		s.Plan = plan
		_, err := Run(s, steady(1, 0, 1, 1))
		assert.ErrorContains(t, err, want)
	}
}
