package load

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ten users think for 50 ms on average and wait 50 ms for an answer: about half of them have a request in flight.
func TestUsersThink(t *testing.T) {
	s := newServer(t, 50*time.Millisecond, 200)
	g := start(t, Options{Targets: targets(s), Seed: 1})
	sizes := func(chance *rand.Rand) (int, int) { return 30 + chance.IntN(3), 7 }
	began := time.Now()
	g.Set(Shape{Concurrency: 10, Think: 50 * time.Millisecond, Tokens: sizes})
	eventually(t, "many are served", func() bool { return s.served.Load() > 100 })
	elapsed := time.Since(began)
	g.Stop()
	accounted(t, g)
	assert.LessOrEqual(t, s.peak.Load(), int64(10), "no more requests than users")
	// Without a time to think, ten users would have had 100 answers in 500 ms.
	assert.Greater(t, elapsed, 700*time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range s.bodies {
		assert.EqualValues(t, 7, body["max_tokens"])
	}
}

func TestFewerUsersAreFewerRequests(t *testing.T) {
	slow := newServer(t, time.Hour, 200)
	g := start(t, Options{Targets: targets(slow)})
	g.Set(Shape{Concurrency: 8, Think: time.Millisecond})
	eventually(t, "eight running", func() bool { return slow.running.Load() == 8 })
	g.Set(Shape{Concurrency: 8, Think: time.Hour})
	g.Set(Shape{Concurrency: 3, Think: time.Hour})
	eventually(t, "three running", func() bool { return slow.running.Load() == 3 })
	g.Set(Shape{})
	eventually(t, "none running", func() bool { return g.InFlight() == 0 })
	g.Set(Shape{Concurrency: 5, Think: time.Hour})
	g.Set(Shape{Concurrency: 2, Think: time.Hour})
	require.Zero(t, g.InFlight(), "all users think first")
	g.mu.Lock()
	assert.Len(t, g.closed, 2)
	g.mu.Unlock()
	assert.Equal(t, 8, accounted(t, g).Canceled)
}
