package calibrate

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// Roughly Gemma 3 1B on an L4.
var (
	truth  = speed.Profile{Fixed: 0.004, Weights: 0.0085, PerCacheByte: 4.2e-12, PerToken: 35e-6}
	limits = replica.Limits{MaxNumSeqs: 32, BatchedTokens: 2048, CacheBytes: 16e9}
	cache  = speed.Cache{FullBytes: 4096, SlidingBytes: 22528, Window: 512}
)

const maxModelLen = 8192

// run measures a server for a time, both in virtual time.
func run(t *testing.T, length time.Duration, change func(*server)) (result Result, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(truth, limits, cache)
		change(s)
		network := newPipes()
		web := &http.Server{Handler: s}
		go func() { _ = web.Serve(network) }()
		transport := &http.Transport{DialContext: network.dial, MaxIdleConnsPerHost: 100}
		result, err = Run(t.Context(), Options{
			Target: load.Target{Name: "pod", URL: "http://pod"}, Model: "m", Plan: Plan(limits, cache, maxModelLen),
			Length: length, Seed: 1, Transport: transport, Log: t.Logf,
		})
		transport.CloseIdleConnections()
		_ = web.Close()
		time.Sleep(time.Second)
	})
	return result, err
}

// TestTheConstantsOfAServerAreFound measures a server whose constants are known.
func TestTheConstantsOfAServerAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		jitter time.Duration
		within float64
	}{
		"exact":                  {within: 0.001},
		"tokens up to 3 ms late": {jitter: 3 * time.Millisecond, within: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := run(t, 30*time.Second, func(s *server) {
				s.roundTrip, s.request, s.jitter = 3*time.Millisecond, 6*time.Millisecond, test.jitter
			})
			require.NoError(t, err)
			assert.Equal(t, 3*time.Millisecond, result.RoundTrip)
			fit, err := profile.Of(result.Points, limits, cache)
			require.NoError(t, err)
			t.Logf("%+v, error %+v", fit.Constants, fit.Error)
			got := fit.Constants.Profile()
			assert.False(t, fit.FixedInWeights)
			assert.InEpsilon(t, truth.PerToken, got.PerToken, test.within)
			// The parts of a pass are known as well as the whole pass is.
			pass := truth.Fixed + truth.Weights
			assert.InDelta(t, pass, got.Fixed+got.Weights, test.within*pass)
			assert.InDelta(t, truth.Weights, got.Weights, test.within*pass)
			const largest = 32 * (2048*4096 + 512*22528) // Bytes of the cache of the largest batch.
			assert.InDelta(t, truth.PerCacheByte*largest, got.PerCacheByte*largest, test.within*pass)
			assert.InDelta(t, 0.006+test.jitter.Seconds()/2, fit.Constants.RequestSeconds, 0.0001+test.within*pass)
			assert.Less(t, fit.Error.Mean, test.within/2)
		})
	}
}

func TestARunThatIsTooShort(t *testing.T) {
	result, err := run(t, 500*time.Millisecond, func(*server) {})
	require.NoError(t, err)
	_, err = profile.Of(result.Points, limits, cache)
	assert.ErrorContains(t, err, "too few points for a fit")
}

func TestServersThatCannotBeMeasured(t *testing.T) {
	_, err := run(t, time.Second, func(s *server) { s.others = 3 })
	assert.ErrorContains(t, err, "pod serves 3 requests of others")
	_, err = run(t, time.Second, func(s *server) { s.status = http.StatusInternalServerError })
	assert.ErrorContains(t, err, "a request failed: pod: ")
	assert.ErrorContains(t, err, "out of order")
}

func TestPlan(t *testing.T) {
	most := func(points []profile.Point) (concurrency, tokens int) {
		for _, p := range points {
			concurrency, tokens = max(concurrency, p.Concurrency), max(tokens, p.InputTokens+p.OutputTokens)
		}
		return concurrency, tokens
	}
	concurrency, tokens := most(Plan(limits, cache, maxModelLen))
	assert.Equal(t, 32, concurrency)
	assert.Equal(t, 4097, tokens)
	_, tokens = most(Plan(limits, cache, 1024))
	assert.LessOrEqual(t, tokens, 1024)
	small := limits
	small.CacheBytes = 200 * (cache.FullBytes + cache.SlidingBytes)
	concurrency, _ = most(Plan(small, cache, maxModelLen))
	assert.Equal(t, 1, concurrency, "two requests might be preempted")
}
