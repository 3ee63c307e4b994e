package trace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// closedKind is the kind of a closed loop.
const closedKind = "closed"

// closedKeys are the keys of a closed loop alone.
var closedKeys = []string{"users", "think", "length"}

// maxUsers bounds the users of a closed loop.
const maxUsers = 100_000

// Closed is a closed loop: each user sends a request, waits for the end of the answer, thinks, and sends the next. When a
// request is sent depends on the servers, so that a closed loop is no Trace.
type Closed struct {
	// Users is their number, at least 1.
	Users int
	// Think is the mean time from an answer to the next request, with an exponential distribution; 0 for none.
	Think time.Duration
	// Length is how long requests are sent.
	Length time.Duration
	// Sizes are the distributions of the tokens.
	Sizes Sizes
	// Seed draws the tokens and the times to think.
	Seed uint64

	text string
}

// IsClosed reports whether a name is the text of a closed loop.
func IsClosed(name string) bool {
	kind, _, _ := strings.Cut(name, ":")
	return kind == closedKind && isSpec(name)
}

// ParseClosed returns the closed loop of a text such as closed:users=20,think=5s,length=30m. Of the options it uses the caps
// on tokens and the seed; the others must not be set.
func ParseClosed(text string, o Options) (Closed, error) {
	o, err := o.withDefaults()
	if err == nil && (o.Speed != 1 || o.Scale != 1 || o.Start != 0 || o.Length != 0) {
		err = errNoClosedOption
	}
	if err != nil {
		return Closed{}, fmt.Errorf("load %s: %w", text, err)
	}
	v, err := parseSpec(text)
	if err != nil {
		return Closed{}, err
	}
	users := v.number("users", required, 1, maxUsers)
	v.require(users == float64(int(users)), "users=%g: want a whole number", users)
	c := Closed{Users: int(users), Think: v.durationFrom("think", 0, 0), Length: v.length(defaultLength), Sizes: v.sizes(), Seed: v.seed(o.Seed)}
	if o.MaxInput > 0 {
		c.Sizes.Input.Most = min(c.Sizes.Input.Most, o.MaxInput)
	}
	if o.MaxOutput > 0 {
		c.Sizes.Output.Most = min(c.Sizes.Output.Most, o.MaxOutput)
	}
	c.text = v.String()
	return c, v.err()
}

// Tokens draws the tokens of a request.
func (c Closed) Tokens(chance *rand.Rand) (input, output int) { return c.Sizes.Draw(chance) }

// String returns the text of the closed loop with all values that are in use.
func (c Closed) String() string { return c.text }
