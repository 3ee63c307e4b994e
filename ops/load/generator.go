package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

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
	closed    map[int]bool // ids of the closed load: in flight, or ended while their users think
	next      int          // id of the next request
	turn      int
	chance    *rand.Rand
	stats     Stats
	records   []Record
	messages  map[string]string // of the first failure of each kind
	gaps      *hdrhistogram.Histogram
	wake      chan struct{}
	idle      chan struct{} // closed and replaced when a request ends
}

const (
	refreshEvery = time.Second
	retryAfter   = 200 * time.Millisecond
	// longestGap is the longest recorded gap between two tokens; longer ones are recorded as this.
	longestGap = 10 * time.Minute
)

// Start returns a generator without load; Play or Set applies one. It ends with ctx or Stop.
func Start(ctx context.Context, options Options) (*Generator, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
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
		chance:    rand.New(rand.NewPCG(options.Seed, options.Seed)),
		messages:  map[string]string{},
		gaps:      hdrhistogram.New(1, longestGap.Microseconds(), 3),
		wake:      make(chan struct{}, 1),
		idle:      make(chan struct{}),
	}
	g.done.Add(2)
	go g.refresh()
	go g.keepUp()
	return g, nil
}

// Started returns the zero of every Record's times.
func (g *Generator) Started() time.Time { return g.started }

// Play sends the requests of a schedule at their times, counted from now, and returns at the end of the schedule;
// requests may then still be in flight, see Drain. A request that the client could not send in time is sent at once,
// with its latency counted from its scheduled time. Play returns ctx's error if that ends first.
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

// Drain waits until no request is in flight, or ctx ends.
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

// Stop cancels the requests in flight, waits until every goroutine has ended and returns the final counts. It may be
// called more than once.
func (g *Generator) Stop() Stats {
	// Under the lock: requests start only with the lock held, so none starts while Stop waits.
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

// refresh updates the list of servers.
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

// keepUp starts requests of the closed load whenever fewer than its concurrency are in flight.
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
			g.offer(time.Now(), g.shape.arrival(g.chance))
			// Not if the context has ended in between: Set would look for a request that was never sent.
			if g.inFlight[id] != nil {
				g.closed[id] = true
			}
		}
		g.mu.Unlock()
	}
}
