// Package load sends chat completions to OpenAI-compatible servers and measures what a client sees.
//
// An open load (Play) follows a schedule: each request has a moment at which it arrives, whatever has
// become of those before, and its latency counts from that moment. Waiting inside the client is thus
// part of the latency, and a server that stalls is charged for every request that it kept waiting
// (no coordinated omission). A closed load (Set) keeps a number of requests in flight; it slows down
// with the servers and is for making them busy, not for measuring how long users wait.
//
// The pacing is the package's own: pacers of load libraries, such as vegeta's, return how long to wait
// from now and measure from the moment of sending, and have no request sizes. The client is OpenAI's.
package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Shape is the closed load to keep up until the next call of Set; zero is no load.
type Shape struct {
	// Concurrency is the number of requests kept in flight, whatever the servers' speed.
	Concurrency int
}

func (s Shape) String() string {
	if s.Concurrency > 0 {
		return fmt.Sprintf("%d requests in flight", s.Concurrency)
	}
	return "no load"
}

// Target is a server.
type Target struct {
	// Name is what reports call it, such as a pod's name.
	Name string
	// URL is the address before /v1, without a slash at the end.
	URL string
}

// ByURL makes Targets of a function that returns URLs, named by them.
func ByURL(urls func(context.Context) ([]string, error)) func(context.Context) ([]Target, error) {
	return func(ctx context.Context) ([]Target, error) {
		list, err := urls(ctx)
		targets := make([]Target, len(list))
		for i, url := range list {
			targets[i] = Target{Name: url, URL: url}
		}
		return targets, err
	}
}

// Options of a Generator. Targets and Model are required.
type Options struct {
	// Targets returns the servers that are ready now. It is called every second, and at once after
	// Changed; an error keeps the last list.
	Targets func(ctx context.Context) ([]Target, error)
	// Changed says that Targets has something new; nil for never.
	Changed <-chan struct{}
	// Model is the name that the servers serve.
	Model string
	// APIKey is sent as a bearer token when it is not empty.
	APIKey string
	// InputTokens is about how long a prompt is when the schedule does not say; default 32.
	InputTokens int
	// MaxTokens is how long every answer is when the schedule does not say; default 64. It is exact
	// (ignore_eos), so that a request's work does not vary.
	MaxTokens int
	// TokenBound caps the output tokens that any schedule asks for; 0 for no cap.
	TokenBound int
	// Stream asks for server-sent events. Without, the first token cannot be told from the last.
	Stream bool
	// Timeout of one request, from its arrival; default 2 minutes.
	Timeout time.Duration
	// MaxInFlight bounds the requests in flight of any load; default 512. What a schedule asks for above
	// it is counted as dropped and not sent.
	MaxInFlight int
	// Transport of the requests; nil for one with as many connections as MaxInFlight.
	Transport http.RoundTripper
}

// Outcome is how a request ended.
type Outcome string

// Every request that a load asked for ends as exactly one of them.
const (
	OK       Outcome = "ok"
	Failed   Outcome = "failed"
	Dropped  Outcome = "dropped"  // not sent
	Canceled Outcome = "canceled" // ended by Stop or a lower shape, not by the server
)

// Kinds of dropped requests; those of failed ones are in client.go.
const (
	KindMaxInFlight = "max in flight reached"
	KindNoTarget    = "no ready pod"
)

// Record is one request. Times are since the generator's start.
type Record struct {
	// Arrived is when the schedule asked for it, or when the closed load had room for it.
	Arrived time.Duration
	// Sent is when it was handed to the HTTP client; later than Arrived by what the client itself waited.
	Sent time.Duration
	// First is when the first token came; 0 for none, and without Stream.
	First time.Duration
	// Ended is when the answer, or what became of it, was complete.
	Ended   time.Duration
	Outcome Outcome
	// Kind says of what kind a failure or a drop is.
	Kind string
	// Target that it was sent to; empty when dropped.
	Target string
	// InputTokens and OutputTokens are what the server has counted.
	InputTokens, OutputTokens int64
}

// TTFT is the time to the first token from the arrival, waiting included; 0 when it is not known.
func (r Record) TTFT() time.Duration {
	if r.First == 0 {
		return 0
	}
	return r.First - r.Arrived
}

// Latency is the time to the end of the answer from the arrival.
func (r Record) Latency() time.Duration { return r.Ended - r.Arrived }

// Stats counts what has happened since Start.
type Stats struct {
	// Offered is every request that a load asked for: OK + Errors + Dropped + Canceled + InFlight.
	Offered  int `json:"offered"`
	Started  int `json:"started"` // sent
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

// Generator applies loads until Stop. Its methods may be called from several goroutines.
type Generator struct {
	options Options
	client  *client
	started time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu        sync.Mutex
	shape     Shape
	targets   []Target
	perTarget map[string]int // requests in flight by target's name
	inFlight  map[int]context.CancelFunc
	closed    map[int]bool // ids of the closed load
	next      int          // id of the next request
	turn      int
	stats     Stats
	records   []Record
	gaps      *hdrhistogram.Histogram
	wake      chan struct{}
	idle      chan struct{} // closed and replaced when a request ends
}

const (
	refreshEvery = time.Second
	retryAfter   = 200 * time.Millisecond
	// longestGap between two tokens that is told from longer ones.
	longestGap = 10 * time.Minute
)

// Start begins with no load; Play or Set applies one. It ends with ctx or Stop.
func Start(ctx context.Context, options Options) (*Generator, error) {
	if options.Targets == nil || options.Model == "" {
		return nil, errors.New("load: Targets and Model are required")
	}
	if options.InputTokens <= 0 {
		options.InputTokens = 32
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
	ctx, cancel := context.WithCancel(ctx)
	g := &Generator{
		options:   options,
		client:    newClient(options),
		started:   time.Now(),
		ctx:       ctx,
		cancel:    cancel,
		perTarget: map[string]int{},
		inFlight:  map[int]context.CancelFunc{},
		closed:    map[int]bool{},
		gaps:      hdrhistogram.New(1, longestGap.Microseconds(), 3),
		wake:      make(chan struct{}, 1),
		idle:      make(chan struct{}),
	}
	g.done.Add(2)
	go g.refresh()
	go g.keepUp()
	return g, nil
}

// Started is the zero of every Record's times.
func (g *Generator) Started() time.Time { return g.started }

// Set changes the closed load. A lower concurrency cancels its newest requests at once instead of
// waiting for them, so that a step down is a step.
func (g *Generator) Set(shape Shape) {
	g.mu.Lock()
	g.shape = shape
	ids := slices.Sorted(maps.Keys(g.closed))
	for len(ids) > shape.Concurrency {
		last := ids[len(ids)-1]
		delete(g.closed, last)
		g.inFlight[last]()
		ids = ids[:len(ids)-1]
	}
	g.mu.Unlock()
	g.poke()
}

// Shape returns the closed load that is applied now.
func (g *Generator) Shape() Shape {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shape
}

// Play sends the requests of a schedule at their moments, counted from now, and returns when the
// schedule's time is over; requests may then still be in flight, see Drain. A request that the client
// itself is late with is sent at once, with its latency counted from its moment. It returns ctx's
// error when that ends first.
func (g *Generator) Play(ctx context.Context, schedule Schedule) error {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	until := func(moment time.Time) error {
		if wait := time.Until(moment); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			case <-g.ctx.Done():
			}
		}
		return errors.Join(context.Cause(ctx), g.ctx.Err())
	}
	for arrival := range schedule.Arrivals() {
		moment := begin.Add(arrival.At)
		if err := until(moment); err != nil {
			return err
		}
		g.mu.Lock()
		g.offer(moment, arrival)
		g.mu.Unlock()
	}
	return until(begin.Add(schedule.Length()))
}

// Drain waits until nothing is in flight any more, or ctx ends.
func (g *Generator) Drain(ctx context.Context) error {
	for {
		g.mu.Lock()
		left, idle := len(g.inFlight), g.idle
		g.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("%d requests still in flight: %w", left, context.Cause(ctx))
		}
	}
}

// Targets returns the servers that get load now.
func (g *Generator) Targets() []Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.targets)
}

// Counts returns the counts so far without the latencies, which take longer.
func (g *Generator) Counts() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	stats := g.stats
	stats.InFlight = len(g.inFlight)
	return stats
}

// Stats returns the counts and latencies so far.
func (g *Generator) Stats() Stats {
	g.mu.Lock()
	stats := g.stats
	stats.InFlight = len(g.inFlight)
	latencies := make([]float64, 0, stats.OK)
	for _, r := range g.records {
		if r.Outcome == OK {
			latencies = append(latencies, r.Latency().Seconds())
		}
	}
	g.mu.Unlock() // no request has to wait while they are sorted
	if n := len(latencies); n > 0 {
		slices.Sort(latencies)
		stats.P50, stats.P95, stats.Max = latencies[n/2], latencies[min(n-1, n*95/100)], latencies[n-1]
	}
	return stats
}

// Records returns the requests that have ended so far, in the order in which they ended.
func (g *Generator) Records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records)
}

// RecordsSince returns those after the first n, for a reader that has seen n.
func (g *Generator) RecordsSince(n int) []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records[min(n, len(g.records)):])
}

// InFlight is the number of requests in flight now.
func (g *Generator) InFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.inFlight)
}

// Gaps are the times between tokens within an answer, in microseconds, of requests that ended well.
// A server that sends several tokens in one event has fewer, longer gaps.
func (g *Generator) Gaps() *hdrhistogram.Histogram {
	g.mu.Lock()
	defer g.mu.Unlock()
	return hdrhistogram.Import(g.gaps.Export())
}

// Stop cancels what is in flight, waits until every goroutine has ended and
// returns the final counts. It may be called more than once.
func (g *Generator) Stop() Stats {
	// Under the lock: whoever starts a request holds it, so that none starts while Stop waits.
	g.mu.Lock()
	g.cancel()
	g.mu.Unlock()
	g.done.Wait()
	g.client.close()
	return g.Stats()
}

func (g *Generator) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// refresh follows the list of servers.
func (g *Generator) refresh() {
	defer g.done.Done()
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for {
		targets, err := g.options.Targets(g.ctx)
		g.mu.Lock()
		if err == nil {
			g.targets = targets
		} else if g.ctx.Err() == nil {
			g.stats.LastError = fmt.Sprintf("list of ready pods: %v", err)
		}
		g.mu.Unlock()
		g.poke()
		select {
		case <-g.ctx.Done():
			return
		case <-ticker.C:
		case <-g.options.Changed:
		}
	}
}

// keepUp starts requests of the closed load whenever there is room.
func (g *Generator) keepUp() {
	defer g.done.Done()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.wake:
		}
		g.mu.Lock()
		for g.ctx.Err() == nil && len(g.closed) < min(g.shape.Concurrency, g.options.MaxInFlight) && len(g.inFlight) < g.options.MaxInFlight && len(g.targets) > 0 {
			id := g.next
			g.offer(time.Now(), Arrival{})
			// Not where the context has ended in between: Set would look for a request that was never sent.
			if g.inFlight[id] != nil {
				g.closed[id] = true
			}
		}
		g.mu.Unlock()
	}
}

// offer sends a request, or counts it as dropped. The caller has the lock.
func (g *Generator) offer(moment time.Time, arrival Arrival) {
	if g.ctx.Err() != nil {
		return
	}
	if arrival.InputTokens == 0 {
		arrival.InputTokens = g.options.InputTokens
	}
	if arrival.OutputTokens == 0 {
		arrival.OutputTokens = g.options.MaxTokens
	}
	if g.options.TokenBound > 0 {
		arrival.OutputTokens = min(arrival.OutputTokens, g.options.TokenBound)
	}
	record := Record{Arrived: moment.Sub(g.started)}
	g.stats.Offered++
	switch {
	case len(g.inFlight) >= g.options.MaxInFlight:
		record.Kind = KindMaxInFlight
	case len(g.targets) == 0:
		record.Kind = KindNoTarget
	}
	if record.Kind != "" {
		record.Outcome, record.Ended = Dropped, time.Since(g.started)
		g.stats.Dropped++
		g.records = append(g.records, record)
		return
	}
	target := g.leastLoaded()
	record.Target = target.Name
	id := g.next
	g.next++
	ctx, cancel := context.WithCancel(g.ctx)
	g.inFlight[id] = cancel
	g.perTarget[target.Name]++
	g.stats.Started++
	g.done.Go(func() { g.send(ctx, id, target, moment, arrival, record) })
}

// leastLoaded is how a good load balancer spreads long requests; round robin would leave a new pod
// idle until the old requests end. Equals take turns, or an idle second pod would never be asked.
func (g *Generator) leastLoaded() Target {
	g.turn++
	best := g.targets[g.turn%len(g.targets)]
	for i := range g.targets {
		target := g.targets[(g.turn+i)%len(g.targets)]
		if g.perTarget[target.Name] < g.perTarget[best.Name] {
			best = target
		}
	}
	return best
}

func (g *Generator) send(parent context.Context, id int, target Target, moment time.Time, arrival Arrival, record Record) {
	ctx, cancel := context.WithDeadline(parent, moment.Add(g.options.Timeout))
	defer cancel()
	record.Sent = time.Since(g.started)
	answer, err := g.client.ask(ctx, target, uint64(id), arrival)
	record.Ended = time.Since(g.started)
	if !answer.first.IsZero() {
		record.First = answer.first.Sub(g.started)
	}
	record.InputTokens, record.OutputTokens = answer.input, answer.output
	switch {
	case err == nil:
		record.Outcome = OK
	case parent.Err() != nil:
		record.Outcome = Canceled
	default:
		record.Outcome, record.Kind = Failed, kindOf(err)
	}
	g.mu.Lock()
	ofClosed := g.closed[id]
	if record.Outcome == Failed && ofClosed {
		// A refused connection must not turn the closed loop into a busy loop.
		g.mu.Unlock()
		select {
		case <-parent.Done():
		case <-time.After(retryAfter):
		}
		g.mu.Lock()
	}
	g.inFlight[id]()
	delete(g.inFlight, id)
	delete(g.closed, id)
	if g.perTarget[target.Name]--; g.perTarget[target.Name] == 0 {
		delete(g.perTarget, target.Name)
	}
	switch record.Outcome {
	case OK:
		g.stats.OK++
		for _, gap := range answer.gaps {
			_ = g.gaps.RecordValue(min(max(1, gap.Microseconds()), longestGap.Microseconds()))
		}
	case Canceled:
		g.stats.Canceled++
	default:
		g.stats.Errors++
		g.stats.LastError = fmt.Sprintf("%s: %v", target.Name, err)
	}
	g.records = append(g.records, record)
	close(g.idle)
	g.idle = make(chan struct{})
	g.mu.Unlock()
	g.poke()
}
