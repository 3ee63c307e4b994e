package load

import (
	"context"
	"errors"
	"net/http"
	"time"
)

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

// withDefaults returns the options with their defaults filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Targets == nil || o.Model == "" {
		return o, errors.New("load: Targets and Model are required")
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
