package router

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// table is a Resolver with fixed answers. A missing key is not found; an empty answer is known but not served.
type table map[string][]Backend

func (t table) lookup(key string) ([]Backend, error) {
	backends, ok := t[key]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	case len(backends) == 0:
		return nil, fmt.Errorf("%s: nothing listens", key)
	}
	return backends, nil
}

func (t table) Pod(namespace, pod, port string) (Backend, error) {
	backends, err := t.lookup("pod/" + namespace + "/" + pod + ":" + port)
	if err != nil {
		return Backend{}, err
	}
	return backends[0], nil
}

func (t table) Service(namespace, service, port string) ([]Backend, error) {
	return t.lookup("svc/" + namespace + "/" + service + ":" + port)
}

func (t table) Cluster(host, port string) ([]Backend, error) {
	return t.lookup(host + ":" + port)
}

func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s?%s", name, r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	})
}

func backendOf(t *testing.T, s *httptest.Server) Backend {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	return Backend{Address: u.Host, TLS: u.Scheme == "https"}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec // the test's own server
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestRouterFindsTheProcess(t *testing.T) {
	plain, secure, second := httptest.NewServer(echo("plain")), httptest.NewTLSServer(echo("secure")), httptest.NewServer(echo("second"))
	for _, s := range []*httptest.Server{plain, secure, second} {
		t.Cleanup(s.Close)
	}
	closed := httptest.NewServer(echo("closed"))
	gone := backendOf(t, closed)
	closed.Close()
	r, err := New(table{
		"pod/vllm/a:8000": {backendOf(t, plain)},
		"pod/vllm/a:http": {backendOf(t, plain)},
		"pod/mon/tls:443": {backendOf(t, secure)},
		"pod/vllm/b:8000": {},
		"pod/vllm/c:8000": {gone},
		"svc/vllm/one:80": {backendOf(t, second)},
	}, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })

	tests := []struct {
		name, path string
		code       int
		body       string
	}{
		{"pod by number", "/pods/vllm/a/8000/metrics?x=1", 200, "plain GET /metrics?x=1"},
		{"pod by port name", "/pods/vllm/a/http/v1/models", 200, "plain GET /v1/models?"},
		{"no path", "/pods/vllm/a/8000", 200, "plain GET /?"},
		{"escaped path stays escaped", "/pods/vllm/a/8000/a%2Fb", 200, "plain GET /a%2Fb?"},
		{"TLS backend behind plain HTTP", "/pods/mon/tls/443/apis", 200, "secure GET /apis?"},
		{"service", "/services/vllm/one/80/v1", 200, "second GET /v1?"},
		{"unknown pod", "/pods/vllm/zzz/8000/", 404, "pod/vllm/zzz:8000: not found"},
		{"known but not served", "/pods/vllm/b/8000/", 502, "nothing listens"},
		{"refused", "/pods/vllm/c/8000/", 502, gone.Address},
		{"nonsense", "/what", 404, "/pods/<namespace>/<pod>/<port>/..."},
		{"outside", OutsidePath + "10.99.0.1:10250/metrics", 404, `no process for "10.99.0.1:10250/metrics"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := get(t, r.URL()+tt.path)
			assert.Equal(t, tt.code, code)
			assert.Contains(t, body, tt.body)
		})
	}
	assert.Equal(t, r.URL()+"/pods/vllm/a/8000", r.PodURL("vllm", "a", 8000))
	assert.Equal(t, r.URL()+"/services/vllm/one/80", r.ServiceURL("vllm", "one", 80))
}

func TestRouterTakesTurnsOverEndpoints(t *testing.T) {
	one, two := httptest.NewServer(echo("one")), httptest.NewServer(echo("two"))
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	r, err := New(table{"svc/vllm/vllm:8000": {backendOf(t, one), backendOf(t, two)}}, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	seen := map[string]int{}
	for range 10 {
		_, body := get(t, r.ServiceURL("vllm", "vllm", 8000)+"/x")
		seen[strings.Fields(body)[0]]++
	}
	assert.Equal(t, map[string]int{"one": 5, "two": 5}, seen)
}

// An event must arrive while the backend is still writing, or a client sees no first token in time.
func TestRouterPassesEventsOnAtOnce(t *testing.T) {
	release := make(chan struct{})
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(stream.Close)
	r, err := New(table{"pod/vllm/a:8000": {backendOf(t, stream)}}, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })

	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(r.PodURL("vllm", "a", 8000) + "/v1/completions")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	close(release)
	require.NoError(t, err)
	assert.Equal(t, "data: first\n", line)
}

func egressFor(t *testing.T, resolver Resolver) string {
	t.Helper()
	// The path of t.TempDir can be too long for a socket address.
	dir, err := os.MkdirTemp("", "egress")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	require.NoError(t, os.WriteFile(socket, nil, 0o600), "a file left over must not be in the way")
	e, err := ListenEgress(socket, resolver)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return socket
}

func TestEgressJoinsClusterAddressToProcess(t *testing.T) {
	secure := httptest.NewTLSServer(echo("adapter"))
	t.Cleanup(secure.Close)
	socket := egressFor(t, table{"10.0.0.7:443": {backendOf(t, secure)}})

	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Proxy: func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.invalid") },
		Dial: func(string, string) (net.Conn, error) {
			return net.Dial("unix", socket)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
	}}
	resp, err := client.Get("https://10.0.0.7:443/apis/custom.metrics.k8s.io/v1beta1")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "adapter GET /apis/custom.metrics.k8s.io/v1beta1?", string(body))
}

func TestEgressAnswersInWords(t *testing.T) {
	closed := httptest.NewServer(echo("closed"))
	gone := backendOf(t, closed)
	closed.Close()
	socket := egressFor(t, table{"10.0.0.8:443": {}, "10.0.0.9:443": {gone}})
	tests := []struct{ request, status, text string }{
		{"CONNECT 10.0.0.1:443 HTTP/1.1", "404", "10.0.0.1:443: not found"},
		{"CONNECT 10.0.0.8:443 HTTP/1.1", "502", "nothing listens"},
		{"CONNECT 10.0.0.9:443 HTTP/1.1", "502", gone.Address},
		{"GET / HTTP/1.1", "405", "only CONNECT"},
	}
	for _, tt := range tests {
		t.Run(tt.request, func(t *testing.T) {
			conn, err := net.Dial("unix", socket)
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = fmt.Fprintf(conn, "%s\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", tt.request)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Contains(t, string(answer), "HTTP/1.1 "+tt.status)
			assert.Contains(t, string(answer), tt.text)
		})
	}
}

// The bytes that follow CONNECT in the same packet belong to the backend.
func TestEgressKeepsBytesSentWithTheRequest(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}()
	socket := egressFor(t, table{"10.0.0.7:443": {{Address: listener.Addr().String()}}})
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, "CONNECT 10.0.0.7:443 HTTP/1.1\r\nHost: x\r\n\r\nhello")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.UnixConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(answer), "\r\n\r\nhello"), "%q", answer)
}
