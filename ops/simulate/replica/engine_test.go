package replica

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config/speed"
)

// profile has round numbers: a pass takes 10 ms to read the weights and 1 ms besides, and computes 10 tokens in a ms.
var profile = speed.Profile{Fixed: 0.001, Weights: 0.010, PerCacheByte: 1e-9, PerToken: 0.0001}

// cache takes a byte for each token, so that the tests' caches are counted in tokens.
var cache = speed.Cache{FullBytes: 1}

func limits(maxNumSeqs, batched int, cacheBytes float64) Limits {
	return Limits{MaxNumSeqs: maxNumSeqs, BatchedTokens: batched, CacheBytes: cacheBytes}
}

func TestOneRequest(t *testing.T) {
	for name, test := range map[string]struct {
		input, output, batched int
		first, rest            float64
	}{
		"reading the weights takes longest": {input: 50, output: 11, batched: 2048, first: 0.011, rest: 10 * 0.011},
		"computing the prompt does":         {input: 1000, output: 2, batched: 2048, first: 0.001 + 0.1, rest: 0.011},
		"a prompt in three passes":          {input: 2500, output: 1, batched: 1000, first: 2*(0.001+0.1) + 0.001 + 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			e := New(profile, limits(4, test.batched, 1e6), cache)
			r := &Request{Arrival: 5, Input: test.input, Output: test.output}
			e.Submit(r)
			e.Drain()
			assert.InDelta(t, 5+test.first, r.FirstToken, 1e-4)
			assert.InDelta(t, 5+test.first+test.rest, r.Finish, 1e-4)
			assert.Equal(t, []*Request{r}, e.Finished())
			assert.Empty(t, e.Finished())
			assert.Zero(t, e.Running()+e.Waiting())
			assert.Zero(t, e.CacheUsage())
		})
	}
}

func TestARequestWaitsForAPlace(t *testing.T) {
	e := New(profile, limits(2, 2048, 1e6), cache)
	var requests []*Request
	for range 3 {
		r := &Request{Input: 10, Output: 100}
		requests = append(requests, r)
		e.Submit(r)
	}
	e.Advance(0.5)
	assert.Equal(t, 2, e.Running())
	assert.Equal(t, 1, e.Waiting())
	e.Drain()
	assert.InDelta(t, requests[0].Finish+0.011, requests[2].FirstToken, 1e-4, "the third begins when the others have ended")
}

func TestAFullCacheKeepsRequestsWaiting(t *testing.T) {
	e := New(profile, limits(8, 2048, 250), cache)
	for range 4 {
		e.Submit(&Request{Input: 100, Output: 5})
	}
	e.Advance(0.001)
	assert.Equal(t, 2, e.Running())
	assert.Equal(t, 2, e.Waiting())
	assert.InDelta(t, (202.0+2*7.5)/250, e.CacheUsage(), 1e-9, "with half a block for each")
	e.Drain()
	assert.Len(t, e.Finished(), 4)
	assert.Zero(t, e.Preemptions())
}

func TestAnOverflowingCachePreemptsTheLastAdmitted(t *testing.T) {
	e := New(profile, limits(8, 2048, 250), cache)
	first, second := &Request{Input: 100, Output: 100}, &Request{Input: 100, Output: 100}
	e.Submit(first)
	e.Submit(second)
	e.Drain()
	assert.Equal(t, 1, e.Preemptions())
	assert.Less(t, first.Finish, second.Finish)
	assert.InDelta(t, first.FirstToken, second.FirstToken, 1e-9, "what was streamed stays")
	assert.Greater(t, second.Finish, first.Finish+50*0.011, "about three quarters of its answer were missing")
	assert.Zero(t, e.CacheUsage())
}

func TestARequestLargerThanTheCacheRunsAlone(t *testing.T) {
	e := New(profile, limits(8, 2048, 50), cache)
	e.Submit(&Request{Input: 100, Output: 10})
	e.Submit(&Request{Input: 100, Output: 10})
	e.Drain()
	assert.Len(t, e.Finished(), 2)
}

func TestAbandon(t *testing.T) {
	e := New(profile, limits(1, 2048, 1e6), cache)
	e.Submit(&Request{Input: 10, Output: 1000})
	e.Submit(&Request{Input: 10, Output: 1000})
	e.Advance(1)
	assert.Len(t, e.Abandon(), 2)
	assert.Zero(t, e.Running()+e.Waiting())
	assert.Zero(t, e.CacheUsage())
}

// TestJumpsAreManySmallSteps compares passes that are done at once with passes done one by one, on random loads.
func TestJumpsAreManySmallSteps(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := limits(1+r.IntN(24), 64+r.IntN(2048), float64(2000+r.IntN(20000)))
		var load []Request
		at := 0.0
		for range 1 + r.IntN(80) {
			at += r.ExpFloat64() * 0.2
			load = append(load, Request{Arrival: at, Input: 1 + r.IntN(1500), Output: 1 + r.IntN(300)})
		}
		atOnce, oneByOne := run(l, load, false), run(l, load, true)
		require.Len(t, atOnce, len(load))
		for i := range load {
			require.InDelta(t, oneByOne[i].FirstToken, atOnce[i].FirstToken, 1e-6, "seed %d, request %d", seed, i)
			require.InDelta(t, oneByOne[i].Finish, atOnce[i].Finish, 1e-6, "seed %d, request %d", seed, i)
			require.Positive(t, atOnce[i].FirstToken-load[i].Arrival)
			require.GreaterOrEqual(t, atOnce[i].Finish, atOnce[i].FirstToken)
		}
	}
}

// run returns what becomes of a load, in its order.
func run(l Limits, load []Request, oneByOne bool) []Request {
	e := New(profile, l, cache)
	requests := make([]Request, len(load))
	copy(requests, load)
	for i := range requests {
		for oneByOne && e.now < requests[i].Arrival && e.Running()+e.Waiting() > 0 {
			e.Advance(math.Nextafter(e.now, math.Inf(1)))
		}
		e.Submit(&requests[i])
	}
	if oneByOne {
		e.Drain()
	} else {
		e.Advance(1e6)
	}
	return requests
}

// BenchmarkDay simulates 250,000 requests of a day on one replica that is about half busy.
func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		r := rand.New(rand.NewPCG(1, 2))
		e := New(speed.Profile{Fixed: 0.002, Weights: 0.008, PerCacheByte: 4e-12, PerToken: 0.00002}, limits(128, 2048, 8e9), speed.Cache{FullBytes: 30000})
		at := 0.0
		for range 250000 {
			at += r.ExpFloat64() * 86400 / 250000
			e.Submit(&Request{Arrival: at, Input: 200 + r.IntN(1500), Output: 20 + r.IntN(400)})
			e.Finished()
		}
	}
}
