package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chosen returns how often each of three servers is chosen for 3000 requests, the first of which has requests in flight.
func chosen(t *testing.T, routing Routing, seed uint64) map[string]int {
	t.Helper()
	g, err := Start(t.Context(), Options{Targets: targets(), Model: "m", Routing: routing, Seed: seed})
	require.NoError(t, err)
	g.Stop()
	g.targets = []Target{{Name: "busy"}, {Name: "b"}, {Name: "c"}}
	g.perTarget = map[string]int{"busy": 5, "b": 1, "c": 1}
	counts := map[string]int{}
	for range 3000 {
		counts[g.route().Name]++
	}
	return counts
}

func TestRouting(t *testing.T) {
	assert.Equal(t, map[string]int{"busy": 1000, "b": 1000, "c": 1000}, chosen(t, RoundRobin, 0))
	least := chosen(t, Least, 0)
	assert.Zero(t, least["busy"])
	assert.InDelta(t, 1500, least["b"], 600, "equal servers take turns")
	for _, routing := range []Routing{Random, ""} {
		counts := chosen(t, routing, 1)
		for _, name := range []string{"busy", "b", "c"} {
			assert.InDelta(t, 1000, counts[name], 130, "%s is chosen whatever it does", name)
		}
		assert.NotEqual(t, map[string]int{"busy": 1000, "b": 1000, "c": 1000}, counts)
		assert.Equal(t, counts, chosen(t, routing, 1), "the same seed")
		assert.NotEqual(t, counts, chosen(t, routing, 2))
	}
}

func TestRoutingOfRequests(t *testing.T) {
	a, b := newServer(t, 0, 200), newServer(t, 0, 200)
	g := start(t, Options{Targets: targets(a, b), Seed: 1})
	assert.Equal(t, Random, g.Routing())
	require.NoError(t, g.Play(t.Context(), Constant(400, 100*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	assert.Equal(t, 40, accounted(t, g).OK)
	assert.GreaterOrEqual(t, a.served.Load(), int64(8))
	assert.GreaterOrEqual(t, b.served.Load(), int64(8))
}

func TestNamesOfRouting(t *testing.T) {
	for _, routing := range []Routing{Random, RoundRobin, Least} {
		text, err := routing.MarshalText()
		require.NoError(t, err)
		var read Routing
		require.NoError(t, read.UnmarshalText(text))
		assert.Equal(t, routing, read)
	}
	var r Routing
	require.EqualError(t, r.UnmarshalText([]byte("best")), `"best" is not random, round-robin or least`)
	require.Error(t, r.UnmarshalText(nil))
}
