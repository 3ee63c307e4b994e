package simulate

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run keeps nothing of the requests that have ended.
func TestMemoryDoesNotGrowWithTheLoad(t *testing.T) {
	const requests, early = 600_000, 60_000
	heap := func() float64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return float64(stats.HeapAlloc)
	}
	var before, after float64
	load := func(yield func(Arrival) bool) {
		at := 0.0
		for i := range requests {
			if i == early {
				before = heap()
			}
			// The load goes up and down, so that replicas come and go.
			at += 1 / (10 + 50*float64(int(at/1200)%2))
			if !yield(Arrival{At: at, Input: 100, Output: 20}) {
				return
			}
		}
		after = heap()
	}
	s := guarded(1, 8)
	s.Routing = LeastInFlight
	got, err := Run(s, load)
	require.NoError(t, err)
	assert.Greater(t, got.Changes, 20)
	timeline := float64(cap(got.Timeline)) * 24
	assert.Less(t, after-before-timeline, 200e3, "%.0f kB of which %.0f kB may be the timeline", (after-before)/1e3, timeline/1e3)
}
