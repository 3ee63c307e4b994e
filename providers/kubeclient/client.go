// Package kubeclient reads the objects of the cluster that a kubeconfig names. Credentials are those that kubectl would use,
// exec plugins included.
package kubeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// requestTimeout is how long a request may take: longer than the API server's own pauses, such as the election of another
// leader of etcd.
const requestTimeout = 15 * time.Second

// loginGrace is how much longer than a request a login program may take before it is given up. client-go runs the program of a
// kubeconfig without a limit, and one that waits for a person would never end.
const loginGrace = time.Second

// ErrLogin is the error of a request that still waits for the kubeconfig's login program.
var ErrLogin = errors.New("the login program of the kubeconfig has not ended; does it wait for input?")

// responseLimit is the longest answer in bytes that is read. The objects of one namespace are far smaller.
const responseLimit = 64 << 20

// messageLimit is how much of an answer that is not a Kubernetes status an error quotes.
const messageLimit = 200

// Client reads from one API server. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	server string
}

// StatusError is the answer of an API server that refuses a request.
type StatusError struct {
	// Code is the HTTP status, such as 403.
	Code int
	// Message is the API server's explanation; "" for none.
	Message string
}

func (e *StatusError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the API server answered %d %s", e.Code, http.StatusText(e.Code))
	}
	return fmt.Sprintf("the API server answered %d: %s", e.Code, e.Message)
}

// New returns a client of the current context of a kubeconfig. Its errors quote no credentials.
func New(kubeconfig string) (*Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return newClient(config)
}

// NewForConfig is like New for a configuration that was read already.
func NewForConfig(config *rest.Config) (*Client, error) { return newClient(config) }

// NewUnauthenticated is like New, without any credentials but a client certificate: no exec plugin runs and no token is sent.
// It serves to find out whether a server answers at all.
func NewUnauthenticated(kubeconfig string) (*Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	bare := rest.AnonymousClientConfig(config)
	bare.CertData, bare.KeyData = config.CertData, config.KeyData
	return newClient(bare)
}

func newClient(config *rest.Config) (*Client, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	client.Timeout = requestTimeout
	// A redirect is an answer too; following it could lead to another server.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: client, server: strings.TrimRight(config.Host, "/")}, nil
}

// Close ends the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Reach reports whether the API server answers within a time. Any HTTP status is an answer.
func (c *Client) Reach(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	response, err := c.get(ctx, "/version", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Get reads the JSON object at a path such as /api/v1/namespaces/vllm/pods into a value. It returns a *StatusError when the
// API server refuses the request.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	content, err := c.Text(ctx, path, query)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("the answer to %s is not valid: %w", path, err)
	}
	return nil
}

// Text is like Get for what is not JSON, such as the log of a pod.
func (c *Client) Text(ctx context.Context, path string, query url.Values) ([]byte, error) {
	response, err := c.get(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, responseLimit))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &StatusError{Code: response.StatusCode, Message: statusMessage(content)}
	}
	return content, nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	address := c.server + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json, */*")
	return c.do(request)
}

// do sends a request. It returns ErrLogin where the request does not end in its time, which only a login program can cause.
func (c *Client) do(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(request.Context(), c.http.Timeout)
	defer cancel()
	type result struct {
		response *http.Response
		err      error
	}
	ended, abandoned := make(chan result), make(chan struct{})
	go func() {
		response, err := c.http.Do(request)
		select {
		case ended <- result{response, err}:
		case <-abandoned:
			if err == nil {
				_ = response.Body.Close()
			}
		}
	}()
	select {
	case r := <-ended:
		return r.response, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-ended:
		return r.response, r.err
	case <-time.After(loginGrace):
		close(abandoned)
		return nil, ErrLogin
	}
}

// statusMessage returns the message of a Kubernetes status, or the start of any other answer.
func statusMessage(content []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(content, &status) == nil && status.Message != "" {
		return status.Message
	}
	text := strings.TrimSpace(string(content))
	return text[:min(len(text), messageLimit)]
}
