package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"vllm-autoscaling/ops/load"
)

func TestAddress(t *testing.T) {
	served := &gatewayv1.Gateway{Status: gatewayv1.GatewayStatus{Addresses: []gatewayv1.GatewayStatusAddress{{Value: "192.0.2.7"}}}}
	for url, want := range map[string]string{
		"https://llm.example.com":      "192.0.2.7:443",
		"http://llm.example.com":       "192.0.2.7:80",
		"https://llm.example.com:8443": "192.0.2.7:8443",
	} {
		address, err := Address(served, url)
		require.NoError(t, err)
		assert.Equal(t, want, address)
	}
	_, err := Address(&gatewayv1.Gateway{}, "https://llm.example.com")
	require.ErrorContains(t, err, "has no address")
}

// server answers with a body at once, and records the host and the key of the request.
func server(t *testing.T, status int, body string) (address string, host, key *string) {
	t.Helper()
	host, key = new(string), new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*host, *key = r.Host, r.Header.Get("Authorization")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), host, key
}

func TestTransportKeepsTheHost(t *testing.T) {
	address, host, key := server(t, http.StatusOK, "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n")
	client := &http.Client{Transport: Transport(address, 1)}
	defer client.CloseIdleConnections()
	events, err := Stream(t.Context(), client, "http://llm.example.com", "the-key", "m", 2)
	require.NoError(t, err)
	assert.Len(t, events, 2)
	assert.Equal(t, "llm.example.com", *host, "the route is chosen by the host")
	assert.Equal(t, "Bearer the-key", *key)
}

func TestSpread(t *testing.T) {
	assert.Zero(t, Events(nil).Spread())
	assert.Equal(t, 3*time.Second, Events{time.Second, 2 * time.Second, 4 * time.Second}.Spread())
}

func TestStreamsThatFail(t *testing.T) {
	for name, test := range map[string]struct {
		status     int
		body, says string
	}{
		"refused":     {http.StatusUnauthorized, "no key the-key", "401 Unauthorized"},
		"broken off":  {http.StatusOK, "data: {}\n\n", "after 1 events without its end mark"},
		"not a chunk": {http.StatusOK, "hello", "after 0 events"},
	} {
		t.Run(name, func(t *testing.T) {
			address, _, _ := server(t, test.status, test.body)
			client := &http.Client{Transport: Transport(address, 1)}
			defer client.CloseIdleConnections()
			_, err := Stream(t.Context(), client, "http://llm.example.com", "the-key", "m", 2)
			require.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "the-key")
			var status *load.StatusError
			if test.status != http.StatusOK {
				require.ErrorAs(t, err, &status)
				assert.Equal(t, test.status, status.Code)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	address := strings.TrimPrefix(closed.URL, "http://")
	closed.Close()
	client := &http.Client{Transport: Transport(address, 1)}
	_, err := Stream(t.Context(), client, "http://llm.example.com", "", "m", 2)
	require.Error(t, err)
	assert.True(t, Unreachable(err))
	assert.False(t, Unreachable(&load.StatusError{Code: http.StatusBadGateway}))
}
