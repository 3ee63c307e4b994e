package load

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Shape is the closed load that is applied until the next call of Set; zero is no load.
type Shape struct {
	// Concurrency is the number of requests kept in flight, independent of the servers' speed; with Think, of users.
	Concurrency int
	// Think is the mean time between the end of a user's request and the next one, with an exponential distribution. Each
	// user begins with such a time.
	Think time.Duration
	// Tokens draws the sizes of a request; nil for the generator's defaults.
	Tokens func(*rand.Rand) (input, output int)
}

func (s Shape) String() string {
	switch {
	case s.Concurrency == 0:
		return "no load"
	case s.Think > 0:
		return fmt.Sprintf("%d users, %s between their requests", s.Concurrency, s.Think)
	}
	return fmt.Sprintf("%d requests in flight", s.Concurrency)
}

// arrival returns the next request.
func (s Shape) arrival(chance *rand.Rand) Arrival {
	if s.Tokens == nil {
		return Arrival{}
	}
	input, output := s.Tokens(chance)
	return Arrival{InputTokens: input, OutputTokens: output}
}

// Set changes the closed load. A lower concurrency cancels the newest requests at once instead of waiting for them, so
// that the load drops in one step.
func (g *Generator) Set(shape Shape) {
	g.mu.Lock()
	g.shape = shape
	ids := slices.Sorted(maps.Keys(g.closed))
	for len(ids) > shape.Concurrency {
		last := ids[len(ids)-1]
		delete(g.closed, last)
		if cancel := g.inFlight[last]; cancel != nil { // else its user thinks
			cancel()
		}
		ids = ids[:len(ids)-1]
	}
	if shape.Think > 0 {
		for range shape.Concurrency - len(ids) {
			g.think(g.next)
			g.next++
		}
	}
	g.mu.Unlock()
	g.poke()
}

// Shape returns the current closed load.
func (g *Generator) Shape() Shape {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shape
}

// think lets the user of a request of the closed load wait before the next one. The caller must hold the lock.
func (g *Generator) think(id int) {
	g.closed[id] = true
	time.AfterFunc(time.Duration(g.chance.ExpFloat64()*float64(g.shape.Think)), func() {
		g.mu.Lock()
		delete(g.closed, id)
		g.mu.Unlock()
		g.poke()
	})
}
