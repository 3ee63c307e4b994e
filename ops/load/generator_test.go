package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/trace"
)

// server implements enough of the chat API: it counts requests, delays the first token by hold
// and sends the requested number of tokens, with a gap between them.
type server struct {
	*httptest.Server
	hold, gap             time.Duration
	status                int
	slots                 chan struct{} // requests served at a time; nil for any number
	cut                   bool          // ends streams after the first token
	running, peak, served atomic.Int64
	mu                    sync.Mutex
	bodies                []map[string]any
	keys                  []string
}

func newServer(t *testing.T, hold time.Duration, status int) *server {
	t.Helper()
	s := &server{hold: hold, status: status}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	if json.Unmarshal(raw, &body) != nil || r.URL.Path != "/v1/chat/completions" {
		http.Error(w, "not understood", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	s.keys = append(s.keys, r.Header.Get("Authorization"))
	s.mu.Unlock()
	if s.slots != nil {
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
	}
	wait := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-r.Context().Done():
			return false
		}
	}
	if !wait(s.hold) {
		return
	}
	tokens := int(body["max_tokens"].(float64))
	usage := fmt.Sprintf(`{"prompt_tokens":11,"completion_tokens":%d,"total_tokens":%d}`, tokens, tokens+11)
	switch {
	case s.status != http.StatusOK:
		http.Error(w, `{"error":{"message":"busy"}}`, s.status)
	case body["stream"] != true:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":"x"}}],"usage":%s}`, usage)
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		event := func(text string) { _, _ = fmt.Fprintf(w, "data: %s\n\n", text); w.(http.Flusher).Flush() }
		event(`{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`)
		for i := range tokens {
			if i > 0 && !wait(s.gap) {
				return
			}
			event(`{"choices":[{"index":0,"delta":{"content":"x"}}]}`)
			if s.cut {
				return
			}
		}
		event(`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`)
		event(`{"choices":[],"usage":` + usage + `}`)
		event(`[DONE]`)
	}
	s.served.Add(1)
}

func targets(servers ...*server) func(context.Context) ([]Target, error) {
	return ByURL(func(context.Context) ([]string, error) {
		var urls []string
		for _, s := range servers {
			urls = append(urls, s.URL)
		}
		return urls, nil
	})
}

func start(t *testing.T, o Options) *Generator {
	t.Helper()
	if o.Model == "" {
		o.Model = "m"
	}
	g, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { g.Stop() })
	eventually(t, "targets known", func() bool { return len(g.Targets()) > 0 })
	return g
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, what)
}

// ttft returns the time to the first token, which must be known.
func ttft(t *testing.T, r Record) time.Duration {
	t.Helper()
	first, known := r.TTFT()
	require.True(t, known, "%+v", r)
	return first
}

// accounted checks that every offered request is in exactly one count, and in one record.
func accounted(t *testing.T, g *Generator) Stats {
	t.Helper()
	stats := g.Stats()
	assert.Equal(t, stats.Offered, stats.OK+stats.Errors+stats.Dropped+stats.Canceled+stats.InFlight, "%+v", stats)
	assert.Equal(t, stats.Offered, stats.Started+stats.Dropped, "%+v", stats)
	records := g.Records()
	assert.Len(t, records, stats.Offered-stats.InFlight)
	byOutcome := map[Outcome]int{}
	for _, r := range records {
		byOutcome[r.Outcome]++
		assert.Equal(t, r.Outcome == Failed || r.Outcome == Dropped, r.Kind != "", "%+v", r)
	}
	assert.Equal(t, []int{stats.OK, stats.Errors, stats.Dropped, stats.Canceled},
		[]int{byOutcome[OK], byOutcome[Failed], byOutcome[Dropped], byOutcome[Canceled]})
	return stats
}

func TestConcurrencyIsKeptAndSpreadEvenly(t *testing.T) {
	a, b := newServer(t, 100*time.Millisecond, 200), newServer(t, 100*time.Millisecond, 200)
	g := start(t, Options{Targets: targets(a, b), MaxTokens: 7, Routing: Least})
	g.Set(Shape{Concurrency: 6})
	eventually(t, "both serve many", func() bool { return a.served.Load() > 9 && b.served.Load() > 9 })
	g.Stop()
	stats := accounted(t, g)

	assert.EqualValues(t, 3, a.peak.Load(), "half of the concurrency")
	assert.EqualValues(t, 3, b.peak.Load(), "half of the concurrency")
	assert.Zero(t, stats.Errors, stats.LastError)
	assert.Zero(t, stats.InFlight)
	assert.GreaterOrEqual(t, stats.P50, 0.1)
	a.mu.Lock()
	defer a.mu.Unlock()
	assert.Equal(t, "m", a.bodies[0]["model"])
	assert.EqualValues(t, 7, a.bodies[0]["max_tokens"])
	assert.Equal(t, true, a.bodies[0]["ignore_eos"])
}

// A server that serves one request at a time, in 50 ms each, is offered 40 a second: the n-th waits
// for those before it, and its latency shows it. A client that waited for answers would measure 50 ms.
func TestLatencyCountsFromTheArrival(t *testing.T) {
	slow := newServer(t, 50*time.Millisecond, 200)
	slow.slots = make(chan struct{}, 1)
	g := start(t, Options{Targets: targets(slow), Stream: true, MaxTokens: 1})
	begun := time.Since(g.Started())
	require.NoError(t, g.Play(t.Context(), Constant(40, 500*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	stats := accounted(t, g)
	require.Equal(t, 20, stats.OK, stats.LastError)
	var worst time.Duration
	var arrived []time.Duration
	for _, r := range g.Records() {
		worst = max(worst, ttft(t, r))
		arrived = append(arrived, r.Arrived)
	}
	// Arrivals are those of the schedule, whenever they were sent.
	slices.Sort(arrived)
	assert.GreaterOrEqual(t, arrived[0], begun+12500*time.Microsecond)
	for i := 1; i < len(arrived); i++ {
		assert.InDelta(t, 25*time.Millisecond, arrived[i]-arrived[i-1], float64(time.Microsecond))
	}
	// 20 requests need 1 s, the last one arrives at 0.4875 s.
	assert.Greater(t, worst, 500*time.Millisecond, "waiting is part of the time to the first token")
}

func TestLateClientIsChargedToTheClient(t *testing.T) {
	s := newServer(t, 0, 200)
	g := start(t, Options{Targets: targets(s), Stream: true, MaxTokens: 1})
	g.mu.Lock() // the client hangs
	go func() { time.Sleep(300 * time.Millisecond); g.mu.Unlock() }()
	require.NoError(t, g.Play(t.Context(), Constant(50, 200*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	assert.Equal(t, 10, accounted(t, g).OK, "nothing is left out")
	first := g.Records()[0]
	for _, r := range g.Records() {
		if r.Arrived < first.Arrived {
			first = r
		}
	}
	assert.Greater(t, ttft(t, first), 250*time.Millisecond)
	assert.Greater(t, first.Sent-first.Arrived, 250*time.Millisecond, "the record shows that the client was late")
}

func TestTimesOfAStream(t *testing.T) {
	s := newServer(t, 100*time.Millisecond, 200)
	s.gap = 30 * time.Millisecond
	g := start(t, Options{Targets: targets(s), Stream: true, MaxTokens: 5})
	require.NoError(t, g.Play(t.Context(), Constant(10, 100*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	require.Equal(t, 1, accounted(t, g).OK, g.Stats().LastError)
	r := g.Records()[0]
	assert.GreaterOrEqual(t, ttft(t, r), 100*time.Millisecond, "the event with the role is no token")
	assert.GreaterOrEqual(t, r.Latency(), ttft(t, r)+4*30*time.Millisecond)
	assert.True(t, r.Counted)
	assert.EqualValues(t, 11, r.InputTokens, "as the server counted")
	assert.EqualValues(t, 5, r.OutputTokens)
	gaps := g.Gaps()
	assert.EqualValues(t, 4, gaps.TotalCount(), "between five tokens")
	assert.GreaterOrEqual(t, gaps.Min(), int64(15_000), "microseconds")
	body := s.bodies[0]
	assert.Equal(t, map[string]any{"include_usage": true}, body["stream_options"])
}

func TestRateStartsRequestsWhateverTheSpeed(t *testing.T) {
	slow := newServer(t, time.Hour, 200)
	g := start(t, Options{Targets: targets(slow), MaxInFlight: 20})
	require.NoError(t, g.Play(t.Context(), Constant(200, 250*time.Millisecond)))
	stats := accounted(t, g)
	assert.Equal(t, Stats{Offered: 50, Started: 20, InFlight: 20, Dropped: 30}, stats)
	assert.Equal(t, KindMaxInFlight, g.Records()[0].Kind)
	g.Stop()
	assert.Equal(t, 20, accounted(t, g).Canceled)
}

func TestSizesOfASchedule(t *testing.T) {
	s := newServer(t, 0, 200)
	g := start(t, Options{Targets: targets(s), TokenBound: 9})
	sizes, err := trace.Read("t", strings.NewReader("arrival_seconds,input_tokens,output_tokens\n0,100,5\n0.01,20,50\n"), trace.Options{})
	require.NoError(t, err)
	require.NoError(t, g.Play(t.Context(), sizes))
	require.NoError(t, g.Drain(t.Context()))
	require.Equal(t, 2, accounted(t, g).OK, g.Stats().LastError)
	sent := map[float64]int{}
	for _, body := range s.bodies {
		text := body["messages"].([]any)[0].(map[string]any)["content"].(string)
		sent[body["max_tokens"].(float64)] = len(strings.Fields(text)) + chatOverhead
	}
	assert.Equal(t, map[float64]int{5: 100, 9: 20}, sent, "output capped by TokenBound")
}

func TestKindsOfFailures(t *testing.T) {
	for kind, prepare := range map[string]func(*server, *Options){
		"HTTP 503":  func(s *server, _ *Options) { s.status = 503 },
		KindTimeout: func(s *server, o *Options) { s.hold, o.Timeout = time.Hour, 100*time.Millisecond },
		KindConnect: func(s *server, _ *Options) { s.Close() },
		KindStream:  func(s *server, o *Options) { s.cut, o.Stream = true, true },
	} {
		t.Run(kind, func(t *testing.T) {
			s := newServer(t, 0, 200)
			o := Options{Targets: targets(s)}
			prepare(s, &o)
			g := start(t, o)
			require.NoError(t, g.Play(t.Context(), Constant(20, 100*time.Millisecond)))
			require.NoError(t, g.Drain(t.Context()))
			assert.Equal(t, 2, accounted(t, g).Errors)
			for _, r := range g.Records() {
				assert.Equal(t, kind, r.Kind, g.Stats().LastError)
			}
			assert.LessOrEqual(t, s.peak.Load(), int64(2), "nothing is tried again in silence")
		})
	}
	t.Run(KindNoTarget, func(t *testing.T) {
		g, err := Start(t.Context(), Options{Targets: targets(), Model: "m"})
		require.NoError(t, err)
		defer g.Stop()
		require.NoError(t, g.Play(t.Context(), Constant(20, 100*time.Millisecond)))
		assert.Equal(t, 2, accounted(t, g).Dropped)
		assert.Equal(t, KindNoTarget, g.Records()[0].Kind)
	})
}

func TestKeyOfTheStackOnly(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-of-the-user")
	for _, key := range []string{"", "secret"} {
		s := newServer(t, 0, 200)
		g := start(t, Options{Targets: targets(s), APIKey: key})
		require.NoError(t, g.Play(t.Context(), Constant(10, 100*time.Millisecond)))
		require.NoError(t, g.Drain(t.Context()))
		require.Len(t, s.keys, 1)
		if key != "" {
			key = "Bearer " + key
		}
		assert.Equal(t, key, s.keys[0])
	}
}

func TestLowerShapeCancelsAtOnce(t *testing.T) {
	slow := newServer(t, time.Hour, 200)
	g := start(t, Options{Targets: targets(slow)})
	g.Set(Shape{Concurrency: 8})
	eventually(t, "eight running", func() bool { return slow.running.Load() == 8 })
	g.Set(Shape{Concurrency: 2})
	eventually(t, "two running", func() bool { return slow.running.Load() == 2 && g.Stats().InFlight == 2 })
	g.Set(Shape{})
	eventually(t, "none running", func() bool { return slow.running.Load() == 0 && g.Stats().InFlight == 0 })
	assert.Equal(t, 8, accounted(t, g).Canceled)
}

func TestTargetsAreFollowed(t *testing.T) {
	a, b := newServer(t, 20*time.Millisecond, 200), newServer(t, 20*time.Millisecond, 200)
	var both atomic.Bool
	changed := make(chan struct{}, 1)
	g := start(t, Options{Changed: changed, Targets: func(ctx context.Context) ([]Target, error) {
		if both.Load() {
			return targets(a, b)(ctx)
		}
		return targets(a)(ctx)
	}})
	g.Set(Shape{Concurrency: 4})
	eventually(t, "the first serves", func() bool { return a.served.Load() > 8 })
	assert.Zero(t, b.served.Load())
	both.Store(true)
	changed <- struct{}{}
	eventually(t, "the new pod serves", func() bool { return b.served.Load() > 8 })
}

func TestFailuresAreCountedNotHammered(t *testing.T) {
	broken := newServer(t, 0, 503)
	g := start(t, Options{Targets: targets(broken)})
	g.Set(Shape{Concurrency: 1})
	began := time.Now()
	eventually(t, "errors counted", func() bool { return g.Stats().Errors >= 3 })
	assert.GreaterOrEqual(t, time.Since(began), 2*retryAfter, "a failing server is asked at most five times a second")
	g.Stop()
	stats := accounted(t, g)
	assert.Zero(t, stats.OK)
	assert.Contains(t, stats.LastError, "503")
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
			accounted(t, g)
			eventually(t, "no goroutine of the package left", func() bool {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				return !strings.Contains(string(stacks), "load.(*Generator)")
			})
		})
	}
}

func TestPlayEndsWithItsContext(t *testing.T) {
	s := newServer(t, 0, 200)
	g := start(t, Options{Targets: targets(s)})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Play(ctx, Constant(1, time.Hour)), context.DeadlineExceeded)
	accounted(t, g)
}

func TestOptionsAreRequired(t *testing.T) {
	_, err := Start(t.Context(), Options{Model: "m"})
	require.Error(t, err)
	_, err = Start(t.Context(), Options{Targets: targets()})
	require.Error(t, err)
}

func TestShapeSaysWhatItIs(t *testing.T) {
	assert.Equal(t, "40 requests in flight", Shape{Concurrency: 40}.String())
	assert.Equal(t, "20 users, 5s between their requests", Shape{Concurrency: 20, Think: 5 * time.Second}.String())
	assert.Equal(t, "no load", Shape{}.String())
}
