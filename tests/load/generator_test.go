package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server counts what it is asked and holds every request for a while.
type server struct {
	*httptest.Server
	running, peak, served atomic.Int64
	mu                    sync.Mutex
	bodies                []map[string]any
}

func newServer(t *testing.T, hold time.Duration, status int) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := s.running.Add(1)
		defer s.running.Add(-1)
		for {
			peak := s.peak.Load()
			if now <= peak || s.peak.CompareAndSwap(peak, now) {
				break
			}
		}
		raw, _ := io.ReadAll(r.Body)
		var body map[string]any
		if json.Unmarshal(raw, &body) == nil && r.URL.Path == "/v1/chat/completions" {
			s.mu.Lock()
			s.bodies = append(s.bodies, body)
			s.mu.Unlock()
		}
		select {
		case <-time.After(hold):
		case <-r.Context().Done():
			return
		}
		w.WriteHeader(status)
		if body["stream"] == true {
			_, _ = fmt.Fprint(w, "data: {}\n\ndata: [DONE]\n\n")
		}
		s.served.Add(1)
	}))
	t.Cleanup(s.Close)
	return s
}

func targets(servers ...*server) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) {
		var urls []string
		for _, s := range servers {
			urls = append(urls, s.URL)
		}
		return urls, nil
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 10*time.Millisecond, what)
}

func TestConcurrencyIsKeptAndSpreadEvenly(t *testing.T) {
	a, b := newServer(t, 100*time.Millisecond, 200), newServer(t, 100*time.Millisecond, 200)
	g, err := Start(t.Context(), Options{Targets: targets(a, b), Model: "m", MaxTokens: 7})
	require.NoError(t, err)
	g.Set(Shape{Concurrency: 6})
	eventually(t, "both serve many", func() bool { return a.served.Load() > 9 && b.served.Load() > 9 })
	stats := g.Stop()

	assert.EqualValues(t, 3, a.peak.Load(), "half of the concurrency")
	assert.EqualValues(t, 3, b.peak.Load(), "half of the concurrency")
	assert.Zero(t, stats.Errors, stats.LastError)
	assert.Zero(t, stats.InFlight)
	assert.Equal(t, stats.Started, stats.OK+stats.Canceled)
	assert.GreaterOrEqual(t, stats.P50, 0.1)
	a.mu.Lock()
	defer a.mu.Unlock()
	assert.Equal(t, "m", a.bodies[0]["model"])
	assert.EqualValues(t, 7, a.bodies[0]["max_tokens"])
	assert.Equal(t, true, a.bodies[0]["ignore_eos"])
}

func TestRateStartsRequestsWhateverTheSpeed(t *testing.T) {
	slow := newServer(t, time.Hour, 200)
	g, err := Start(t.Context(), Options{Targets: targets(slow), Model: "m", MaxInFlight: 20})
	require.NoError(t, err)
	defer g.Stop()
	eventually(t, "targets known", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.targets) == 1 })
	g.Set(Shape{Rate: 50})
	eventually(t, "bound reached, rest dropped", func() bool { s := g.Stats(); return s.InFlight == 20 && s.Dropped > 0 })
	assert.Equal(t, 20, g.Stats().Started, "never above MaxInFlight")
}

func TestLowerShapeCancelsAtOnce(t *testing.T) {
	slow := newServer(t, time.Hour, 200)
	g, err := Start(t.Context(), Options{Targets: targets(slow), Model: "m"})
	require.NoError(t, err)
	defer g.Stop()
	g.Set(Shape{Concurrency: 8})
	eventually(t, "eight running", func() bool { return slow.running.Load() == 8 })
	g.Set(Shape{Concurrency: 2})
	eventually(t, "two running", func() bool { return slow.running.Load() == 2 && g.Stats().InFlight == 2 })
	g.Set(Shape{})
	eventually(t, "none running", func() bool { return slow.running.Load() == 0 && g.Stats().InFlight == 0 })
	assert.Equal(t, 8, g.Stats().Canceled)
}

func TestTargetsAreFollowed(t *testing.T) {
	a, b := newServer(t, 20*time.Millisecond, 200), newServer(t, 20*time.Millisecond, 200)
	var both atomic.Bool
	g, err := Start(t.Context(), Options{Model: "m", Targets: func(ctx context.Context) ([]string, error) {
		if both.Load() {
			return targets(a, b)(ctx)
		}
		return targets(a)(ctx)
	}})
	require.NoError(t, err)
	defer g.Stop()
	g.Set(Shape{Concurrency: 4})
	eventually(t, "the first serves", func() bool { return a.served.Load() > 8 })
	assert.Zero(t, b.served.Load())
	both.Store(true)
	eventually(t, "the new pod serves", func() bool { return b.served.Load() > 8 })
}

func TestFailuresAreCountedNotHammered(t *testing.T) {
	broken := newServer(t, 0, 503)
	g, err := Start(t.Context(), Options{Targets: targets(broken), Model: "m"})
	require.NoError(t, err)
	g.Set(Shape{Concurrency: 1})
	eventually(t, "errors counted", func() bool { return g.Stats().Errors >= 2 })
	stats := g.Stop()
	assert.Zero(t, stats.OK)
	assert.Contains(t, stats.LastError, "503")
	assert.LessOrEqual(t, broken.served.Load(), int64(100), "a failing server is asked at most five times a second")
}

func TestStreamIsReadToItsEnd(t *testing.T) {
	s := newServer(t, 0, 200)
	g, err := Start(t.Context(), Options{Targets: targets(s), Model: "m", Stream: true})
	require.NoError(t, err)
	g.Set(Shape{Concurrency: 1})
	eventually(t, "streams end well", func() bool { return g.Stats().OK > 3 })
	assert.Zero(t, g.Stop().Errors)
}

func TestStopLeavesNoGoroutine(t *testing.T) {
	for _, end := range []string{"stop", "context"} {
		t.Run(end, func(t *testing.T) {
			slow := newServer(t, time.Hour, 200)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g, err := Start(ctx, Options{Targets: targets(slow), Model: "m"})
			require.NoError(t, err)
			g.Set(Shape{Concurrency: 16})
			eventually(t, "running", func() bool { return slow.running.Load() == 16 })
			if end == "context" {
				cancel()
			}
			stats := g.Stop()
			assert.Equal(t, 16, stats.Canceled)
			eventually(t, "no goroutine of the package left", func() bool {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				return !strings.Contains(string(stacks), "load.(*Generator)")
			})
		})
	}
}

func TestOptionsAreRequired(t *testing.T) {
	_, err := Start(t.Context(), Options{Model: "m"})
	require.Error(t, err)
	_, err = Start(t.Context(), Options{Targets: targets()})
	require.Error(t, err)
}

func TestShapeSaysWhatItIs(t *testing.T) {
	assert.Equal(t, "40 requests in flight", Shape{Concurrency: 40}.String())
	assert.Equal(t, "2.5 requests/s", Shape{Rate: 2.5}.String())
	assert.Equal(t, "no load", Shape{}.String())
}
