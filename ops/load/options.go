package load

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Target is a server.
type Target struct {
	// Name identifies the server in reports, such as a pod's name.
	Name string
	// URL is the address before /v1, without a slash at the end.
	URL string
}

// ByURL returns a function that makes Targets of URLs, with the URLs as names.
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
	// Changed receives a value when the result of Targets has changed; nil for never.
	Changed <-chan struct{}
	// Routing chooses one of the Targets for each request; default Random.
	Routing Routing
	// Seed draws what is random: Routing, the times and sizes of a Shape, and the prompts, which a server may have in its prefix cache
	// from a run with the same seed.
	Seed uint64
	// Model is the name of the model to request.
	Model string
	// APIKey is sent as a bearer token if it is not empty.
	APIKey string
	// InputTokens is the approximate length of a prompt if the schedule has none; default 32.
	InputTokens int
	// MaxTokens is the length of every answer if the schedule has none; default 64. It is exact (ignore_eos), so that
	// a request's work does not vary.
	MaxTokens int
	// TokenBound limits the output tokens of any request; 0 for no limit.
	TokenBound int
	// Stream requests server-sent events. Without it the time to the first token is not measured.
	Stream bool
	// Timeout of one request, from its arrival; default 2 minutes.
	Timeout time.Duration
	// MaxInFlight limits the requests in flight of any load; default 512. Requests above the limit are counted as
	// dropped and not sent.
	MaxInFlight int
	// Transport of the requests; nil for one with as many connections as MaxInFlight.
	Transport http.RoundTripper
}

// withDefaults returns the options with their defaults filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Targets == nil || o.Model == "" {
		return o, errors.New("load: Targets and Model are required")
	}
	if o.Routing == "" {
		o.Routing = Random
	}
	if o.InputTokens <= 0 {
		o.InputTokens = 32
	}
	if o.MaxTokens <= 0 {
		o.MaxTokens = 64
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 512
	}
	return o, nil
}
