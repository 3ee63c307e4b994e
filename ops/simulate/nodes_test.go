package simulate

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
)

// fleetOf returns the fleet of settings without an autoscaler, with one request of each pod that takes long.
func fleetOf(t *testing.T, s Settings) *run {
	t.Helper()
	r, err := newRun(&s)
	require.NoError(t, err)
	for _, p := range r.fleet.pods {
		p.engine.Submit(&replica.Request{Input: 100, Output: 100000})
	}
	return r
}

// readyAt returns when a number of replicas are ready.
func readyAt(r *run, replicas int) float64 {
	for at := r.next(); !math.IsInf(at, 1); at = r.next() {
		r.step(at)
		if len(r.fleet.ready) == replicas {
			return at
		}
	}
	return math.NaN()
}

func TestTheImageIsPulledOncePerNode(t *testing.T) {
	s := settings(1)
	s.Nodes.Replicas = 2
	r := fleetOf(t, s)
	assert.InDelta(t, 60+10+12+8, s.Start.Total(), 1e-9)
	r.fleet.scale(0, 2)
	assert.InDelta(t, 12+8, readyAt(r, 2), 1e-9, "the node is there and has the image")

	r.fleet.scale(100, 3)
	assert.False(t, r.fleet.observed()[2].Ready)
	r.until(160)
	assert.Equal(t, pulling, r.fleet.pods[2].phase)
	assert.True(t, r.fleet.observed()[2].Pending, "no container runs")
	r.fleet.scale(165, 4)
	r.until(170)
	assert.Equal(t, starting, r.fleet.pods[2].phase)
	assert.False(t, r.fleet.observed()[2].Pending, "its container loads the weights")
	assert.InDelta(t, 100+s.Start.Total(), readyAt(r, 4), 1e-9, "both wait for the same pull")
	assert.EqualValues(t, 4, r.fleet.statusReplicas())
}

func TestNodesAreKeptAfterTheLastOneWasAdded(t *testing.T) {
	for afterAdd, want := range map[float64]float64{0: 300 + 120, 900: 60 + 900} {
		s := settings(1)
		s.Drain, s.Nodes.AfterAdd = 0, afterAdd
		r := fleetOf(t, s)
		r.until(60)
		r.fleet.scale(60, 2)
		r.until(300)
		r.fleet.scale(300, 1)
		for len(r.fleet.nodes) == 2 {
			r.step(r.next())
		}
		assert.InDelta(t, want, r.now, 1e-9)
	}
}

func TestAReclaimedNodeIsReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		drain, notice, lost float64
	}{
		"the notice cuts the drain": {drain: 60, notice: 30, lost: 30},
		"the drain is shorter":      {drain: 10, notice: 30, lost: 10},
		"no notice":                 {drain: 60, notice: 0, lost: 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(2)
			s.Drain, s.Nodes.Notice, s.Nodes.Reclaim = test.drain, test.notice, 1e6
			r := fleetOf(t, s)
			lost := math.NaN()
			r.fleet.lost = func(*replica.Request) { lost = r.now }
			r.fleet.nodes[0].noticed, r.fleet.nodes[1].noticed = 100, 1e9
			r.until(100)
			assert.Len(t, r.fleet.live(), 2, "the replacement is created at once")
			assert.Len(t, r.fleet.ready, 1)
			assert.EqualValues(t, 2, r.fleet.statusReplicas())
			assert.InDelta(t, 190, readyAt(r, 2), 1e-9, "on a new node")
			assert.InDelta(t, 100+test.lost, lost, 1e-9)
			assert.InDelta(t, 190+(100+test.notice)+(190-100), r.fleet.nodeSecondsUntil(190), 1e-9, "a node costs until it is gone")
		})
	}
}

func TestNodesAreReclaimedAtARate(t *testing.T) {
	s := settings(4)
	s.Nodes.Reclaim, s.Nodes.Notice, s.Nodes.Max = 3600, 30, 8
	r := fleetOf(t, s)
	reclaims := 0
	leaving := map[*node]bool{}
	for r.now < 100*3600 {
		r.step(r.next())
		for _, n := range r.fleet.nodes {
			if n.leaving() && !leaving[n] {
				leaving[n] = true
				reclaims++
			}
		}
	}
	// A node and its replacement take an hour and 60 s on average.
	assert.InEpsilon(t, 4*100*3600.0/3660, reclaims, 0.15)
}

func TestThePoolKeepsItsMinimum(t *testing.T) {
	s := settings(1)
	s.Nodes.Min, s.Nodes.Reclaim, s.Nodes.Notice = 2, 1e6, 30
	r := fleetOf(t, s)
	idle := r.fleet.nodes[1]
	r.fleet.nodes[0].noticed, idle.noticed = 1e9, 100
	r.until(100)
	assert.Len(t, r.fleet.nodes, 3)
	r.until(130)
	assert.Len(t, r.fleet.nodes, 2)
	assert.NotContains(t, r.fleet.nodes, idle)
}
