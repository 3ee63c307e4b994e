package load

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// offer sends a request, or counts it as dropped. The caller must hold the lock.
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
	target := g.route()
	record.Target = target.Name
	id := g.next
	g.next++
	ctx, cancel := context.WithCancel(g.ctx)
	g.inFlight[id] = cancel
	g.perTarget[target.Name]++
	g.stats.Started++
	g.done.Go(func() { g.send(ctx, id, target, moment, arrival, record) })
}

func (g *Generator) send(parent context.Context, id int, target Target, moment time.Time, arrival Arrival, record Record) {
	ctx, cancel := context.WithDeadline(parent, moment.Add(g.options.Timeout))
	defer cancel()
	record.Sent = time.Since(g.started)
	answer, err := g.client.ask(ctx, target, g.options.Seed<<32+uint64(id), arrival)
	record.Ended = time.Since(g.started)
	if !answer.ended.IsZero() {
		record.Ended = answer.ended.Sub(g.started)
	}
	if !answer.first.IsZero() {
		record.First = answer.first.Sub(g.started)
	}
	record.Counted, record.InputTokens, record.OutputTokens = answer.counted, answer.input, answer.output
	var message string
	switch {
	case err == nil:
		record.Outcome = OK
	case parent.Err() != nil:
		record.Outcome = Canceled
	default:
		record.Outcome = Failed
		record.Kind, message = classify(err)
		message = shortened(message, g.options.APIKey)
	}
	g.finish(parent, id, record, answer.gaps, message)
}

// finish counts a request that has ended; message is that of a failure.
func (g *Generator) finish(parent context.Context, id int, record Record, gaps []time.Duration, message string) {
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
	if g.closed[id] && g.shape.Think > 0 {
		g.think(id)
	} else {
		delete(g.closed, id)
	}
	if g.perTarget[record.Target]--; g.perTarget[record.Target] == 0 {
		delete(g.perTarget, record.Target)
	}
	switch record.Outcome {
	case OK:
		g.stats.OK++
		for _, gap := range gaps {
			_ = g.gaps.RecordValue(min(max(1, gap.Microseconds()), longestGap.Microseconds()))
		}
	case Canceled:
		g.stats.Canceled++
	default:
		g.stats.Errors++
		g.stats.LastError = fmt.Sprintf("%s: %s", record.Target, strings.TrimSuffix(record.Kind+": "+message, ": "))
		if _, ok := g.messages[record.Kind]; !ok && message != "" {
			g.messages[record.Kind] = message
		}
	}
	g.records = append(g.records, record)
	close(g.idle)
	g.idle = make(chan struct{})
	g.mu.Unlock()
	g.poke()
}
