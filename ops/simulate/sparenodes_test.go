package simulate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spares returns how many nodes are kept for further replicas.
func spares(r *run) int {
	kept := 0
	for _, n := range r.fleet.nodes {
		if n.spare {
			kept++
		}
	}
	return kept
}

// withSpare returns settings of replicas on nodes of their own and one spare node. A start takes 60 s for the node, 10 s for the image and
// 20 s for the server.
func withSpare(replicas int) Settings {
	s := settings(replicas)
	s.Nodes.Spare = 1
	return s
}

func TestAReplicaStartsOnTheSpareNode(t *testing.T) {
	r := fleetOf(t, withSpare(1))
	require.Len(t, r.fleet.nodes, 2)
	require.Equal(t, 1, spares(r))

	r.fleet.scale(0, 2)
	assert.Len(t, r.fleet.nodes, 3, "the node autoscaler replaces the spare node at once")
	assert.InDelta(t, 20, readyAt(r, 2), 1e-9, "node and image are there")

	r.until(100)
	assert.Equal(t, 1, spares(r), "since 60")
	r.fleet.scale(100, 3)
	assert.InDelta(t, 120, readyAt(r, 3), 1e-9, "it has had the image since 70")

	r.until(165)
	r.fleet.scale(165, 4)
	assert.InDelta(t, 170+20, readyAt(r, 4), 1e-9, "the pull that began when the node joined at 160 goes on")
	r.until(200)
	assert.InDelta(t, 200+200+200+100+35, r.fleet.nodeSecondsUntil(200), 1e-9, "three nodes since 0, one since 100, one since 165")
}

func TestReplicasBeyondTheSpareNodeWaitForTheirs(t *testing.T) {
	r := fleetOf(t, withSpare(1))
	r.fleet.scale(0, 3)
	assert.Len(t, r.fleet.nodes, 4, "two nodes are asked for: of a replica and of the spare node")
	assert.InDelta(t, 20, readyAt(r, 2), 1e-9)
	assert.InDelta(t, 60+10+20, readyAt(r, 3), 1e-9)
	assert.Equal(t, 1, spares(r))
}

func TestAFullPoolHasNoSpareNode(t *testing.T) {
	s := withSpare(1)
	s.Nodes.Max, s.Drain = 2, 0
	r := fleetOf(t, s)
	r.fleet.scale(0, 2)
	assert.InDelta(t, 20, readyAt(r, 2), 1e-9)
	r.until(300)
	assert.Len(t, r.fleet.nodes, 2)
	assert.Zero(t, spares(r))

	r.fleet.scale(300, 1)
	r.until(1000)
	assert.Len(t, r.fleet.nodes, 2, "what the replica has left is the spare node again, and not removed")
	assert.Equal(t, 1, spares(r))
}

func TestASpareNodeHasRoomForSeveralReplicas(t *testing.T) {
	s := withSpare(2)
	s.Nodes.Replicas = 2
	r := fleetOf(t, s)
	require.Len(t, r.fleet.nodes, 2)
	r.fleet.scale(0, 4)
	assert.InDelta(t, 20, readyAt(r, 4), 1e-9, "both go where the spare node was")
	assert.Len(t, r.fleet.nodes, 3)
	r.fleet.scale(20, 5)
	assert.Len(t, r.fleet.nodes, 4, "the one on its way is for the replica, so that the spare node needs one more")
	assert.InDelta(t, 60+10+20, readyAt(r, 5), 1e-9)
}

func TestTheSpareNodeIsNotIdle(t *testing.T) {
	s := withSpare(1)
	s.Drain = 0
	r := fleetOf(t, s)
	r.fleet.scale(0, 2)
	r.until(100)
	r.fleet.scale(100, 1)
	r.until(219)
	assert.Len(t, r.fleet.nodes, 3)
	r.until(221)
	assert.Len(t, r.fleet.nodes, 2, "the node of the removed replica goes after its idle time, the spare one stays")
	assert.Equal(t, 1, spares(r))
}

func TestAReclaimedSpareNodeIsReplaced(t *testing.T) {
	s := withSpare(1)
	s.Nodes.Reclaim, s.Nodes.Notice = 1e6, 30
	r := fleetOf(t, s)
	for _, n := range r.fleet.nodes {
		n.noticed = 1e9
		if n.spare {
			n.noticed = 100
		}
	}
	r.until(100)
	assert.Zero(t, spares(r))
	assert.Len(t, r.fleet.nodes, 3)
	r.until(160)
	assert.Len(t, r.fleet.nodes, 2)
	assert.Equal(t, 1, spares(r))
}

func TestSpareNodesAreNotNegative(t *testing.T) {
	s := settings(1)
	s.Nodes.Spare = -1
	_, err := Run(s, steady(1, 0, 10, 1))
	require.ErrorContains(t, err, "spare nodes are -1")
}
