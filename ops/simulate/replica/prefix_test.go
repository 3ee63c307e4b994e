package replica

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/stacks/config/speed"
)

func TestPrefixHitsAreNotComputed(t *testing.T) {
	for name, test := range map[string]struct {
		hits            float64
		input, computed int
	}{
		"none":                            {0, 1000, 1000},
		"full blocks":                     {0.5, 1000, 1000 - 496},
		"less than a block":               {0.5, 30, 30},
		"all but the block of the last":   {1, 1000, 1000 - 992},
		"all, at the boundary of a block": {1, 1024, 16},
	} {
		t.Run(name, func(t *testing.T) {
			l := limits(4, 4096, 1e6)
			l.PrefixHits = test.hits
			// Only computing takes time.
			e := New(speed.Profile{PerToken: 0.001}, l, cache)
			r := &Request{Input: test.input, Output: 2}
			e.Submit(r)
			e.Advance(0.0001)
			assert.InDelta(t, 0.001*float64(test.computed), r.FirstToken, 1e-9)
			assert.InDelta(t, float64(test.input+1)+7.5, e.CacheUsage()*l.CacheBytes, 1e-6, "what is reused takes room too")
			e.Drain()
			assert.InDelta(t, 0.001*float64(test.computed+1), r.Finish, 1e-9)
			assert.Zero(t, e.CacheUsage())
		})
	}
}

func TestPrefixHitsNeedRoomInTheCache(t *testing.T) {
	l := limits(4, 4096, 250)
	l.PrefixHits = 0.9
	e := New(profile, l, cache)
	for range 4 {
		e.Submit(&Request{Input: 100, Output: 5})
	}
	e.Advance(0.001)
	assert.Equal(t, 2, e.Running())
	e.Drain()
	assert.Len(t, e.Finished(), 4)
	assert.Zero(t, e.CacheUsage())
}

// No request ends before the time that NextEnd names, and the next one ends when the engine is advanced beyond such times.
func TestNextEnd(t *testing.T) {
	e := New(profile, limits(4, 512, 400), cache)
	assert.True(t, math.IsInf(e.NextEnd(), 1))
	for i := range 6 {
		e.Submit(&Request{Arrival: float64(i) * 0.1, Input: 100, Output: 1 + 40*i})
	}
	ended := len(e.Finished())
	for !math.IsInf(e.NextEnd(), 1) {
		next := e.NextEnd()
		e.Advance(next)
		for _, r := range e.Finished() {
			assert.GreaterOrEqual(t, r.Finish, next-1e-9)
			ended++
		}
		e.Advance(math.Nextafter(next, math.Inf(1)))
		for range e.Finished() {
			ended++
		}
	}
	assert.Equal(t, 6, ended)
	assert.Positive(t, e.Preemptions())
}
