package load

import (
	"maps"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Targets returns the current servers.
func (g *Generator) Targets() []Target {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.targets)
}

// Counts returns the counts so far without the latencies, which take longer to compute.
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
	g.mu.Unlock() // do not block requests while sorting
	if n := len(latencies); n > 0 {
		slices.Sort(latencies)
		stats.P50, stats.P95, stats.Max = latencies[n/2], latencies[min(n-1, n*95/100)], latencies[n-1]
	}
	return stats
}

// Records returns the requests that have ended so far, in the order of their ends.
func (g *Generator) Records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records)
}

// RecordsSince returns the records after the first n.
func (g *Generator) RecordsSince(n int) []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records[min(n, len(g.records)):])
}

// InFlight returns the current number of requests in flight.
func (g *Generator) InFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.inFlight)
}

// Gaps returns the times between tokens within an answer, in microseconds, of successful requests. A server that sends
// several tokens in one event has fewer, longer gaps.
func (g *Generator) Gaps() *hdrhistogram.Histogram {
	g.mu.Lock()
	defer g.mu.Unlock()
	return hdrhistogram.Import(g.gaps.Export())
}

// Messages returns the message of the first failure of each kind that had one, in the words of the server or of the
// connection.
func (g *Generator) Messages() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.messages)
}
