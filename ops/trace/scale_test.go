package trace

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hundred is a trace of a request in each of 100 s, whose input tokens tell it from the others.
func hundred(t *testing.T, o Options) *Trace {
	t.Helper()
	var text strings.Builder
	text.WriteString(header)
	for i := range 100 {
		fmt.Fprintf(&text, "%d,%d,7\n", i, i+1)
	}
	trace, err := Read("t", strings.NewReader(text.String()), o)
	require.NoError(t, err)
	return trace
}

func TestScaleThinsAndSuperposes(t *testing.T) {
	for scale, test := range map[float64]struct{ least, most int }{
		0.25: {10, 40}, 1: {100, 100}, 2: {200, 200}, 3: {300, 300}, 2.5: {235, 265},
	} {
		t.Run(fmt.Sprint(scale), func(t *testing.T) {
			trace := hundred(t, Options{Scale: scale, Seed: 3})
			all := slices.Collect(trace.Arrivals())
			assert.Len(t, all, trace.Requests())
			assert.GreaterOrEqual(t, len(all), test.least)
			assert.LessOrEqual(t, len(all), test.most)
			assert.True(t, slices.IsSortedFunc(all, func(a, b Request) int { return int(a.At - b.At) }))
			assert.Equal(t, 99*time.Second, trace.Length(), "the length stays")
			assert.LessOrEqual(t, all[len(all)-1].At, trace.Length())
			assert.InDelta(t, scale, trace.Rate(50*time.Second), 0.3+0.1*scale)
			seen := map[int]int{}
			for _, r := range all {
				seen[r.InputTokens]++
			}
			for input, n := range seen {
				assert.LessOrEqual(t, float64(n), scale+1, "request %d", input)
				assert.GreaterOrEqual(t, n, int(scale), "whole copies have every request")
			}
		})
	}
}

func TestSeedOfScale(t *testing.T) {
	for _, scale := range []float64{0.5, 2, 2.5} {
		one := slices.Collect(hundred(t, Options{Scale: scale, Seed: 1}).Arrivals())
		assert.Equal(t, one, slices.Collect(hundred(t, Options{Scale: scale, Seed: 1}).Arrivals()))
		assert.NotEqual(t, one, slices.Collect(hundred(t, Options{Scale: scale, Seed: 2}).Arrivals()))
	}
	unscaled := slices.Collect(hundred(t, Options{}).Arrivals())
	assert.Equal(t, unscaled, slices.Collect(hundred(t, Options{Seed: 9}).Arrivals()), "nothing else is drawn")
	// A larger scale only adds requests.
	two, more := slices.Collect(hundred(t, Options{Scale: 2}).Arrivals()), slices.Collect(hundred(t, Options{Scale: 3}).Arrivals())
	for _, r := range two {
		assert.Contains(t, more, r)
	}
}

func TestScaleIsDescribed(t *testing.T) {
	assert.Equal(t, "trace t, 200 requests in 1m39s, 2x its 100 requests (seed 5), 50 of those with fewer tokens than recorded",
		hundred(t, Options{Scale: 2, Seed: 5, MaxInput: 50}).String())
}

// Copies of requests that all come at once stay at that time.
func TestScaleOfAMoment(t *testing.T) {
	trace, err := Read("t", strings.NewReader(header+"5,1,1\n5,1,1\n"), Options{Scale: 3})
	require.NoError(t, err)
	assert.Equal(t, slices.Repeat([]Request{{0, 1, 1}}, 6), slices.Collect(trace.Arrivals()))
}

func TestHistogramOfALongTrace(t *testing.T) {
	var h histogram
	const days = 10
	for second := range days * 24 * 3600 {
		h.add(time.Duration(second) * time.Second)
		h.add(time.Duration(second) * time.Second)
	}
	assert.LessOrEqual(t, len(h.counts), mostIntervals)
	assert.Equal(t, 8*time.Second, h.width)
	for _, at := range []time.Duration{0, time.Second, 5 * 24 * time.Hour} {
		assert.InDelta(t, 2, h.rate(at), 1e-9, at)
	}
	assert.Zero(t, h.rate(11*24*time.Hour))
}
