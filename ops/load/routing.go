package load

import "fmt"

// Routing is how a Generator chooses a server for a request.
type Routing string

// The ways to choose a server.
const (
	// Random chooses each server with the same probability, as a Service of Kubernetes does for each connection.
	Random Routing = "random"
	// RoundRobin takes the servers in turn.
	RoundRobin Routing = "round-robin"
	// Least takes the server with the fewest requests in flight of this Generator.
	Least Routing = "least"
)

// MarshalText implements encoding.TextMarshaler.
func (r Routing) MarshalText() ([]byte, error) { return []byte(r), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It accepts the names of the constants.
func (r *Routing) UnmarshalText(text []byte) error {
	switch routing := Routing(text); routing {
	case Random, RoundRobin, Least:
		*r = routing
		return nil
	}
	return fmt.Errorf("%q is not %s, %s or %s", text, Random, RoundRobin, Least)
}

// Routing returns how servers are chosen.
func (g *Generator) Routing() Routing { return g.options.Routing }

// route chooses the server of the next request. The caller must hold the lock, and there must be a server.
func (g *Generator) route() Target {
	switch g.options.Routing {
	case RoundRobin:
		g.turn++
		return g.targets[g.turn%len(g.targets)]
	case Least:
		return g.leastLoaded()
	}
	return g.targets[g.chance.IntN(len(g.targets))]
}

// leastLoaded returns the server with the fewest requests in flight. Equal servers take turns, or a second idle pod would get
// no requests.
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
