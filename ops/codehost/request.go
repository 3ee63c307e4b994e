package codehost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// attempts is how often a request is tried before it fails.
	attempts = 5
	// longestWait limits the wait that a server may request: a job that sleeps for an hour is useless.
	longestWait = 90 * time.Second
	// requestLimit limits one request.
	requestLimit = 30 * time.Second
	// longestAnswer limits what is read of one page.
	longestAnswer = 32 << 20
)

// waiter decides how long to wait between attempts.
type waiter struct {
	// sleep waits, or returns the context's error.
	sleep func(context.Context, time.Duration) error
	now   func() time.Time
}

func realWaiter() waiter {
	return waiter{now: time.Now, sleep: func(ctx context.Context, d time.Duration) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		}
	}}
}

// temporary marks an error after which another attempt may succeed, and when.
type temporary struct {
	err   error
	after time.Duration // 0 for the default
}

func (t *temporary) Error() string { return t.err.Error() }
func (t *temporary) Unwrap() error { return t.err }

// retry calls do until it succeeds or fails permanently.
func (w waiter) retry(ctx context.Context, do func() error) error {
	wait := time.Second
	for attempt := 1; ; attempt++ {
		err := do()
		var passing *temporary
		if err == nil || !errors.As(err, &passing) {
			return err
		}
		if attempt == attempts {
			return fmt.Errorf("%w (tried %d times)", err, attempts)
		}
		pause := wait
		if passing.after > 0 {
			pause = passing.after
		}
		if pause > longestWait {
			return fmt.Errorf("%w (the server requires a wait of %s, which is too long for a job)", err, pause.Round(time.Second))
		}
		if err := w.sleep(ctx, pause); err != nil {
			return err
		}
		wait *= 2
	}
}

// api is one host's REST API.
type api struct {
	base    string // address without a slash at the end
	headers map[string]string
	client  *http.Client
	wait    waiter
	// explain returns what to do about an error answer; empty for nothing to add.
	explain func(status int, action, message string) string
}

// newClient returns a client that does not follow redirects to another host, or from https to http: they would get the
// token.
func newClient() *http.Client {
	return &http.Client{CheckRedirect: func(request *http.Request, via []*http.Request) error {
		from, to := via[0].URL, request.URL
		if to.Host != from.Host || from.Scheme == "https" && to.Scheme != "https" {
			return fmt.Errorf("redirect to %s://%s, which must not get the token: check the API's address", to.Scheme, to.Host)
		}
		if len(via) >= 10 {
			return errors.New("too many redirects")
		}
		return nil
	}}
}

// call sends one request and decodes the answer into result, unless that is nil. action names in the error what
// failed.
func (a *api) call(ctx context.Context, method, path, action string, body, result any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", action, err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	for name, value := range a.headers {
		request.Header.Set(name, value)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, &temporary{err: fmt.Errorf("%s: %w", action, err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	if err != nil {
		return nil, &temporary{err: fmt.Errorf("%s: %w", action, err)}
	}
	if response.StatusCode >= 300 {
		return nil, a.refused(response, action, text)
	}
	if result != nil {
		if err := json.Unmarshal(text, result); err != nil {
			return nil, fmt.Errorf("%s: %s did not answer as the API: %w", action, a.base, err)
		}
	}
	return response.Header, nil
}

// refused returns the error of an answer with an error status.
func (a *api) refused(response *http.Response, action string, body []byte) error {
	message := reason(body)
	err := fmt.Errorf("%s: %s: %s", action, response.Status, message)
	if hint := a.explain(response.StatusCode, action, message); hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	limited := response.StatusCode == http.StatusTooManyRequests ||
		response.StatusCode == http.StatusForbidden && (response.Header.Get("X-RateLimit-Remaining") == "0" ||
			response.Header.Get("Retry-After") != "" || strings.Contains(strings.ToLower(message), "rate limit"))
	if limited {
		return &temporary{err: err, after: a.askedFor(response.Header)}
	}
	if response.StatusCode >= 500 {
		return &temporary{err: err}
	}
	return err
}

// askedFor returns the wait that the server requires.
func (a *api) askedFor(header http.Header) time.Duration {
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	for _, limit := range []string{"X-RateLimit-", "RateLimit-"} {
		// Every answer has the time at which the quota is renewed; it counts only if the quota is used up.
		if header.Get(limit+"Remaining") != "0" {
			continue
		}
		if at, err := strconv.ParseInt(header.Get(limit+"Reset"), 10, 64); err == nil {
			if pause := time.Unix(at, 0).Sub(a.wait.now()); pause > 0 {
				return pause + time.Second
			}
		}
	}
	// GitHub's advice for secondary limits without a header.
	return time.Minute
}

// reason returns the message of an error's body, on one line.
func reason(body []byte) string {
	var answer struct {
		Message any `json:"message"`
		Error   any `json:"error"`
		Errors  any `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err == nil {
		var parts []string
		for _, part := range []any{answer.Message, answer.Error, answer.Errors} {
			switch value := part.(type) {
			case nil:
			case string:
				parts = append(parts, value)
			default:
				if text, err := json.Marshal(value); err == nil {
					parts = append(parts, string(text))
				}
			}
		}
		if len(parts) > 0 {
			return strings.Join(parts, "; ")
		}
	}
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + " ..."
	}
	if text == "" {
		return "no message"
	}
	return text
}
