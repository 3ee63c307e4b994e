// Package load sends real chat-completion requests to the vLLM pods of the
// lab, spread over those that are ready, so that their own metrics rise the
// way they do in production.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Shape is the load to keep up until the next call of Set. At most one of
// Concurrency and Rate may be above zero; both zero is no load.
type Shape struct {
	// Concurrency is the number of requests kept in flight, whatever the
	// servers' speed (closed loop).
	Concurrency int
	// Rate is the number of requests started per second, whether earlier ones
	// have ended or not (open loop). Requests above MaxInFlight are counted as
	// dropped and not sent.
	Rate float64
}

func (s Shape) String() string {
	switch {
	case s.Concurrency > 0:
		return fmt.Sprintf("%d requests in flight", s.Concurrency)
	case s.Rate > 0:
		return fmt.Sprintf("%g requests/s", s.Rate)
	default:
		return "no load"
	}
}

// Options of a Generator. Targets and Model are required.
type Options struct {
	// Targets returns the base URLs of the pods that are ready now. It is
	// called every second; an error keeps the last list.
	Targets func(ctx context.Context) ([]string, error)
	// Model is the name that the servers serve.
	Model string
	// APIKey is sent as a bearer token when it is not empty.
	APIKey string
	// Prompt is the user's message; default "Tell me a long story."
	Prompt string
	// MaxTokens bounds every answer; default 64, and every answer is exactly
	// that long (ignore_eos), so that a request's length does not vary.
	MaxTokens int
	// Stream asks for server-sent events and reads them to the end.
	Stream bool
	// Timeout of one request; default 2 minutes.
	Timeout time.Duration
	// MaxInFlight bounds the requests in flight of any shape; default 512.
	MaxInFlight int
}

// Stats counts what has happened since Start.
type Stats struct {
	Started  int `json:"started"`
	OK       int `json:"ok"`
	Errors   int `json:"errors"`
	Dropped  int `json:"dropped"`  // not sent: MaxInFlight reached, or no ready pod (open loop)
	Canceled int `json:"canceled"` // ended by Stop or a lower shape, not by the server
	InFlight int `json:"inFlight"`
	// Latency of requests that ended well, in seconds.
	P50 float64 `json:"p50Seconds"`
	P95 float64 `json:"p95Seconds"`
	Max float64 `json:"maxSeconds"`
	// LastError is the newest failure, for the reader of a report.
	LastError string `json:"lastError,omitempty"`
}

// Generator keeps up a Shape until Stop. Its methods may be called from
// several goroutines.
type Generator struct {
	options Options
	client  *http.Client
	body    []byte
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu        sync.Mutex
	shape     Shape
	targets   []string
	perTarget map[string]int // requests in flight by target
	inFlight  map[int]context.CancelFunc
	next      int // id of the next request
	credit    float64
	stats     Stats
	latencies []float64
	wake      chan struct{}
}

const (
	refreshEvery = time.Second
	tick         = 20 * time.Millisecond
	retryAfter   = 200 * time.Millisecond
)

// Start begins with no load; Set applies one. It ends with ctx or Stop.
func Start(ctx context.Context, options Options) (*Generator, error) {
	if options.Targets == nil || options.Model == "" {
		return nil, errors.New("load: Targets and Model are required")
	}
	if options.Prompt == "" {
		options.Prompt = "Tell me a long story."
	}
	if options.MaxTokens <= 0 {
		options.MaxTokens = 64
	}
	if options.Timeout <= 0 {
		options.Timeout = 2 * time.Minute
	}
	if options.MaxInFlight <= 0 {
		options.MaxInFlight = 512
	}
	body, err := json.Marshal(map[string]any{
		"model":      options.Model,
		"messages":   []map[string]string{{"role": "user", "content": options.Prompt}},
		"max_tokens": options.MaxTokens,
		"ignore_eos": true,
		"stream":     options.Stream,
	})
	if err != nil {
		return nil, fmt.Errorf("load: encode the request: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &Generator{
		options:   options,
		body:      body,
		cancel:    cancel,
		perTarget: map[string]int{},
		inFlight:  map[int]context.CancelFunc{},
		wake:      make(chan struct{}, 1),
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: options.MaxInFlight,
			IdleConnTimeout:     5 * time.Second,
		}},
	}
	g.done.Add(2)
	go g.refresh(ctx)
	go g.dispatch(ctx)
	return g, nil
}

// Set changes the load. A lower concurrency cancels the newest requests at
// once instead of waiting for them, so that a step down is a step.
func (g *Generator) Set(shape Shape) {
	g.mu.Lock()
	g.shape = shape
	g.credit = 0
	limit := shape.Concurrency
	if shape.Rate > 0 {
		limit = g.options.MaxInFlight
	}
	ids := make([]int, 0, len(g.inFlight))
	for id := range g.inFlight {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for len(ids) > limit {
		g.inFlight[ids[len(ids)-1]]()
		ids = ids[:len(ids)-1]
	}
	g.mu.Unlock()
	g.poke()
}

// Shape returns the load that is applied now.
func (g *Generator) Shape() Shape {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shape
}

// Stats returns the counts so far.
func (g *Generator) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	stats := g.stats
	stats.InFlight = len(g.inFlight)
	if n := len(g.latencies); n > 0 {
		sorted := slices.Clone(g.latencies)
		slices.Sort(sorted)
		stats.P50, stats.P95, stats.Max = sorted[n/2], sorted[min(n-1, n*95/100)], sorted[n-1]
	}
	return stats
}

// Stop cancels what is in flight, waits until every goroutine has ended and
// returns the final counts. It may be called more than once.
func (g *Generator) Stop() Stats {
	g.cancel()
	g.done.Wait()
	g.client.CloseIdleConnections()
	return g.Stats()
}

func (g *Generator) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *Generator) refresh(ctx context.Context) {
	defer g.done.Done()
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		targets, err := g.options.Targets(ctx)
		g.mu.Lock()
		if err == nil {
			g.targets = targets
		} else if ctx.Err() == nil {
			g.stats.LastError = fmt.Sprintf("list of ready pods: %v", err)
		}
		g.mu.Unlock()
		g.poke()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (g *Generator) dispatch(ctx context.Context) {
	defer g.done.Done()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-ticker.C:
		}
		now := time.Now()
		g.startDue(ctx, now.Sub(last))
		last = now
	}
}

// startDue starts the requests that the shape asks for after elapsed time.
func (g *Generator) startDue(ctx context.Context, elapsed time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := min(g.shape.Concurrency, g.options.MaxInFlight) - len(g.inFlight)
	if g.shape.Rate > 0 {
		g.credit += g.shape.Rate * elapsed.Seconds()
		due = int(g.credit)
		g.credit -= float64(due)
	}
	for ; due > 0; due-- {
		if len(g.targets) == 0 || len(g.inFlight) >= g.options.MaxInFlight {
			if g.shape.Rate > 0 {
				g.stats.Dropped++
				continue
			}
			return
		}
		target := g.leastLoaded()
		id := g.next
		g.next++
		requestCtx, cancel := context.WithTimeout(ctx, g.options.Timeout)
		g.inFlight[id] = cancel
		g.perTarget[target]++
		g.stats.Started++
		g.done.Add(1)
		go g.send(requestCtx, cancel, id, target)
	}
}

// leastLoaded is how a good load balancer spreads long requests; round robin
// would leave a new pod idle until the old requests end.
func (g *Generator) leastLoaded() string {
	best := g.targets[0]
	for _, target := range g.targets[1:] {
		if g.perTarget[target] < g.perTarget[best] {
			best = target
		}
	}
	return best
}

func (g *Generator) send(ctx context.Context, cancel context.CancelFunc, id int, target string) {
	defer g.done.Done()
	started := time.Now()
	err := g.post(ctx, target)
	if err != nil && ctx.Err() == nil {
		// A refused connection must not turn the closed loop into a busy loop.
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
	canceled := errors.Is(ctx.Err(), context.Canceled)
	cancel()
	g.mu.Lock()
	delete(g.inFlight, id)
	if g.perTarget[target]--; g.perTarget[target] == 0 {
		delete(g.perTarget, target)
	}
	switch {
	case err == nil:
		g.stats.OK++
		g.latencies = append(g.latencies, time.Since(started).Seconds())
	case canceled:
		g.stats.Canceled++
	default:
		g.stats.Errors++
		g.stats.LastError = err.Error()
	}
	g.mu.Unlock()
	g.poke()
}

func (g *Generator) post(ctx context.Context, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/v1/chat/completions", bytes.NewReader(g.body))
	if err != nil {
		return fmt.Errorf("request to %s: %w", target, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if g.options.APIKey != "" {
		request.Header.Set("Authorization", "Bearer "+g.options.APIKey)
	}
	response, err := g.client.Do(request)
	if err != nil {
		return fmt.Errorf("request to %s: %w", target, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("answer of %s: %w", target, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %.200s", target, response.Status, answer)
	}
	if g.options.Stream && !bytes.Contains(answer, []byte("data: [DONE]")) {
		return fmt.Errorf("stream of %s ended early: %.200s", target, answer)
	}
	return nil
}
