package load

import (
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

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
