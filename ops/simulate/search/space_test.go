package search

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newTestSpace(t *testing.T) *space {
	t.Helper()
	s, err := newSpace(defaults(), 5)
	require.NoError(t, err)
	return s
}

func TestTheConfiguredPoint(t *testing.T) {
	s := newTestSpace(t)
	d, err := decode(s.assignments(s.configured))
	require.NoError(t, err)
	assert.Equal(t, defaults(), d.Values)

	odd := defaults()
	odd[keyMaxNumSeqs], odd[keyScaleDown+stabilization], odd[keySignals+"requestsInFlight.target"] = "11", "7m", "6.5"
	s, err = newSpace(odd, 5)
	require.NoError(t, err)
	assert.Equal(t, 11.0, s.value(s.configured, dimMaxNumSeqs))
	assignments := s.assignments(s.configured)
	assert.Contains(t, assignments, "autoscaling.scaleDown.stabilization=7m")
	assert.Contains(t, assignments, "autoscaling.signals.requestsInFlight.target=6.5")

	odd[keyMaxReplicas] = "many"
	_, err = newSpace(odd, 5)
	assert.ErrorContains(t, err, "autoscaling.maxReplicas=many")
}

func TestAssignments(t *testing.T) {
	s := newTestSpace(t)
	p := s.configured
	p[dimMaxNumSeqs], p[dimGPU], p[dimWaiting] = s.nearest(dimMaxNumSeqs, 64), s.nearest(dimGPU, 50), off
	p[dimInFlight], p[dimRunning] = s.nearest(dimInFlight, 1.25), s.nearest(dimRunning, 0.7)
	assignments := s.assignments(p)
	for _, want := range []string{
		"model.maxNumSeqs=64", "autoscaling.signals.requestsInFlight.enabled=true", "autoscaling.signals.requestsInFlight.target=80",
		"autoscaling.signals.requestsRunning.target=45", "autoscaling.signals.requestsWaiting.enabled=false",
		"autoscaling.signals.gpuUtilization.enabled=true", "autoscaling.signals.gpuUtilization.target=50",
	} {
		assert.Contains(t, assignments, want)
	}
	assert.NotContains(t, strings.Join(assignments, " "), "requestsWaiting.target")
	assert.NotContains(t, strings.Join(assignments, " "), "waitingRequests", "the search leaves the guard as it is")

	p[dimMinReplicas], p[dimMaxReplicas] = 1, 1
	assert.Equal(t, []string{"model.maxNumSeqs=64", "autoscaling.minReplicas=2", "autoscaling.maxReplicas=2"}, s.assignments(p))
}

// Every level of every dimension is drawn, each signal is off in about two of five points, and minReplicas never exceeds maxReplicas.
func TestSample(t *testing.T) {
	s := newTestSpace(t)
	const n = 200
	points := s.sample(rand.New(rand.NewPCG(1, 1)), n)
	require.Len(t, points, n)
	for d := range dimensions {
		drawn := map[int]int{}
		for _, p := range points {
			drawn[p[d]]++
			assert.LessOrEqual(t, p[dimMinReplicas], p[dimMaxReplicas])
		}
		assert.Len(t, drawn, len(s.levels[d]), "dimension %d", d)
		if d >= dimInFlight && d <= dimKVCache {
			assert.InDelta(t, 0.4*n, drawn[0], 2, "dimension %d", d)
		}
	}
}

func TestNeighbours(t *testing.T) {
	s := newTestSpace(t)
	p := s.sample(rand.New(rand.NewPCG(3, 1)), 1)[0]
	p[dimMinReplicas], p[dimMaxReplicas], p[dimGPU] = 0, 2, 3
	all := s.neighbours(rand.New(rand.NewPCG(1, 1)), p)
	seen := map[point]bool{p: true}
	switched, constant := false, 0
	for _, q := range all {
		assert.False(t, seen[q], "twice, or the point itself")
		seen[q] = true
		for d := range dimensions {
			require.True(t, q[d] >= 0 && q[d] < len(s.levels[d]))
		}
		switched = switched || q[dimGPU] == off
		if q.constant() {
			constant++
		}
	}
	assert.True(t, switched)
	assert.Equal(t, 3, constant, "one, two and three replicas")
}

func TestDurationText(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "15s": 15 * time.Second, "5m": 5 * time.Minute, "1m30s": 90 * time.Second, "1h": time.Hour, "1h10m": 70 * time.Minute,
	} {
		assert.Equal(t, want, durationText(d))
	}
}
