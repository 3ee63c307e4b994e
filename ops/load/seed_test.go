package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server may have the prompts of an earlier run in its prefix cache.
func TestSeedChangesThePrompts(t *testing.T) {
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
	}))
	defer server.Close()
	first := func(seed uint64) string {
		g, err := Start(t.Context(), Options{
			Targets: func(context.Context) ([]Target, error) { return []Target{{Name: "a", URL: server.URL}}, nil },
			Model:   "m", InputTokens: 50, Seed: seed,
		})
		require.NoError(t, err)
		defer g.Stop()
		require.Eventually(t, func() bool { return len(g.Targets()) > 0 }, 5*time.Second, time.Millisecond)
		require.NoError(t, g.Play(t.Context(), Constant(20, 50*time.Millisecond)))
		return <-bodies
	}
	assert.Equal(t, first(1), first(1))
	assert.NotEqual(t, first(1), first(2))
}
