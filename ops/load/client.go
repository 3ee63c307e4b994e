package load

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"time"
)

// maxAnswer bounds an answer that is not streamed, in bytes.
const maxAnswer = 16 << 20

// client sends the requests of a generator; it is shared so that connections are reused.
type client struct {
	options Options
	http    *http.Client
}

func newClient(o Options) *client {
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{
			// A proxy of the environment is meant for the internet, not for a forwarded port.
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    o.MaxInFlight,
			IdleConnTimeout:        5 * time.Second,
			MaxResponseHeaderBytes: 1 << 20,
			DisableCompression:     true,
		}
	}
	return &client{options: o, http: &http.Client{
		Transport: transport,
		// Another address is another server than the one that the report names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// ask sends a request and waits for the end of its answer. Its answer has what came before an error.
func (c *client) ask(ctx context.Context, target Target, id uint64, arrival Arrival) (answer, error) {
	request, err := c.request(ctx, target, id, arrival)
	if err != nil {
		return answer{}, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return answer{}, statusFailure(response)
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); c.options.Stream && kind != "application/json" {
		return readStream(response.Body, arrival.OutputTokens)
	}
	return readAnswer(response.Body, c.options.Stream)
}

// request returns the HTTP request. Its body is generated while it is sent, so that long prompts take no memory.
func (c *client) request(ctx context.Context, target Target, id uint64, arrival Arrival) (*http.Request, error) {
	fields := map[string]any{
		"model": c.options.Model, "max_tokens": arrival.OutputTokens,
		"ignore_eos": true, // an extension of vLLM
	}
	if c.options.Stream {
		fields["stream"] = true
		fields["stream_options"] = map[string]any{"include_usage": true}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL+"/v1/chat/completions", nil)
	if err != nil {
		return nil, err
	}
	setBody(request, arrival.InputTokens, id, rest)
	request.Header.Set("Content-Type", "application/json")
	if c.options.APIKey != "" {
		request.Header.Set("Authorization", "Bearer "+c.options.APIKey)
	}
	return request, nil
}

// drainTimeout bounds the wait for the end of a body after the end of its answer.
const drainTimeout = 100 * time.Millisecond

// readStream reads an answer of server-sent events, of which the answer keeps the gaps of at most that many tokens.
func readStream(body io.ReadCloser, tokens int) (answer, error) {
	var a answer
	events := newEvents(body)
	for a.ended.IsZero() {
		event, err := events.next()
		now := time.Now()
		switch {
		case errors.Is(err, io.EOF):
			a.ended = now
			return a, a.complete()
		case errors.Is(err, errTooLong):
			return a, incomplete("%v", err)
		case err != nil:
			return a, err
		}
		if string(event.data) == "[DONE]" {
			a.ended = now
			break
		}
		if err := a.addEvent(event, now, tokens); err != nil {
			return a, err
		}
	}
	// The end of the body lets the connection be used again. Nothing depends on it: the answer has ended.
	late := time.AfterFunc(drainTimeout, func() { _ = body.Close() })
	defer late.Stop()
	_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	return a, a.complete()
}

// addEvent adds an event to the answer, or returns the error that the event reports.
func (a *answer) addEvent(e event, now time.Time, tokens int) error {
	named := e.name == "error"
	var p payload
	if err := json.Unmarshal(e.data, &p); err != nil {
		if named {
			return eventFailure(serverError{message: string(e.data)})
		}
		return incomplete("an event that is no part of an answer: %v", err)
	}
	if reported, ok := p.reported(named); ok || named {
		return eventFailure(reported)
	}
	a.add(p, now, tokens)
	return nil
}

// readAnswer reads an answer that is not streamed; streamed reports whether a stream was requested.
func readAnswer(body io.Reader, streamed bool) (answer, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, err
	case len(raw) > maxAnswer:
		return answer{}, incomplete("it is longer than %d bytes", maxAnswer)
	}
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return answer{}, incomplete("it is no JSON: %v", err)
	}
	if reported, ok := p.reported(false); ok {
		return answer{}, eventFailure(reported)
	}
	switch {
	case streamed:
		return answer{}, incomplete("it is JSON instead of a stream of events")
	case len(p.Choices) == 0:
		return answer{}, incomplete("no choice in it")
	}
	a := answer{ended: time.Now()}
	a.add(p, a.ended, 0)
	// When the tokens came is not known.
	a.first = time.Time{}
	return a, a.complete()
}
