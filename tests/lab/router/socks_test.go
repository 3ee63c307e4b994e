package router

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// through returns a client that reaches cluster addresses through a SOCKS proxy.
func through(t *testing.T, resolver Resolver) *http.Client {
	t.Helper()
	s, err := ListenSocks(resolver)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	at, err := url.Parse(s.URL())
	require.NoError(t, err)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyURL(at)}}
}

func TestSocksFindsTheProcess(t *testing.T) {
	one := httptest.NewServer(echo("one"))
	t.Cleanup(one.Close)
	client := through(t, table{"10.0.0.7:8000": {backendOf(t, one)}, "vllm.vllm.svc:8000": {backendOf(t, one)}, "10.0.0.8:8000": {}})
	for address, want := range map[string]string{
		"http://10.0.0.7:8000/v1/models?x=1": "one GET /v1/models?x=1",
		"http://vllm.vllm.svc:8000/":         "one GET /?",
		"http://10.0.0.8:8000/":              "host unreachable",
		"http://10.0.0.9:8000/":              "host unreachable",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		request.Host = "llm.example.com" // is not what is connected to
		response, err := client.Do(request)
		if err != nil {
			assert.ErrorContains(t, err, want, address)
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		require.NoError(t, err, address)
		assert.Equal(t, want, string(body), address)
	}
}

// An event must arrive while the backend is still writing.
func TestSocksPassesEventsOnAtOnce(t *testing.T) {
	release := make(chan struct{})
	stream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-release
	}))
	t.Cleanup(stream.Close)
	response, err := through(t, table{"10.0.0.7:8000": {backendOf(t, stream)}}).Get("http://10.0.0.7:8000/v1/completions")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	close(release)
	require.NoError(t, err)
	assert.Equal(t, "data: first\n", line)
}
