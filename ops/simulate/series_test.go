package simulate

import (
	"iter"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func recorded(t *testing.T, s Settings, length float64, load iter.Seq[Arrival]) Result {
	t.Helper()
	s.Series = length
	got, err := Run(s, load)
	require.NoError(t, err)
	require.NotNil(t, got.Series)
	return got
}

func TestSeriesAddsUpToTheResult(t *testing.T) {
	s := scaled(1, 8)
	s.Replicas, s.Drain = 3, 0 // The replicas that are removed lose requests.
	load := join(steady(1, 0, 1200, 1), steady(2, 1200, 600, 20))
	plain, err := Run(s, load)
	require.NoError(t, err)
	assert.Nil(t, plain.Series, "only on demand")
	got := recorded(t, s, 10, load)

	sum := Interval{FirstToken: Histogram{merged: seriesMerged}}
	for i := range got.Series.Intervals {
		sum.add(&got.Series.Intervals[i])
	}
	require.Positive(t, got.Lost)
	assert.Equal(t, got.Requests, sum.Requests)
	assert.Equal(t, got.Met, sum.Met)
	assert.Equal(t, got.FirstToken.Count(), sum.FirstToken.Count())
	for _, q := range []float64{0, 0.5, 0.95, 1} {
		assert.InEpsilon(t, got.FirstToken.Quantile(q), sum.FirstToken.Quantile(q), 0.04, q)
	}
	got.Series = nil
	assert.Equal(t, plain, got, "recording changes nothing")
}

func TestSeriesCountsRequestsWhereTheyArrive(t *testing.T) {
	got := recorded(t, settings(2), 60, steady(1, 0, 600, 5))
	want := make([]int, 10)
	for a := range steady(1, 0, 600, 5) {
		want[int(a.At/60)]++
	}
	require.Len(t, got.Series.Intervals, 10)
	for i, interval := range got.Series.Intervals {
		assert.Equal(t, want[i], interval.Requests, i)
		assert.Equal(t, want[i], interval.FirstToken.Count(), i)
	}
}

func TestMergedIntervalsAreThoseOfALongerLength(t *testing.T) {
	load := join(steady(1, 0, 300, 2), steady(2, 1500, 300, 5))
	short, long := recorded(t, settings(2), 1, load), recorded(t, settings(2), 4, load)
	assert.Equal(t, 4.0, short.Series.Length, "1800 s are 450 intervals of 4 s")
	assert.Equal(t, long.Series, short.Series)
	assert.Greater(t, len(short.Series.Intervals), seriesMost/2)
	assert.Zero(t, short.Series.Intervals[200].Requests, "a pause")
}

func TestTimelineIsBounded(t *testing.T) {
	var r Result
	for i := range 10 * timelineMost {
		r.replicas(float64(i), 1+i%3, 1+i%2)
	}
	assert.LessOrEqual(t, len(r.Timeline), timelineMost)
	assert.Greater(t, len(r.Timeline), timelineMost/4)
	assert.Equal(t, Replicas{At: 0, Wanted: 1, Ready: 1}, r.Timeline[0])
	last := 10*timelineMost - 1
	assert.Equal(t, Replicas{At: float64(last), Wanted: 1 + last%3, Ready: 1 + last%2}, r.Timeline[len(r.Timeline)-1])
	for i := 1; i < len(r.Timeline); i++ {
		assert.Greater(t, r.Timeline[i].At, r.Timeline[i-1].At)
		at := int(r.Timeline[i].At)
		assert.Equal(t, 1+at%3, r.Timeline[i].Wanted)
		if t.Failed() {
			break
		}
	}
	assert.Equal(t, 3, r.Most)
}

func TestAnIntervalBelowZeroIsRefused(t *testing.T) {
	for _, length := range []float64{-1, math.NaN()} {
		s := settings(1)
		s.Series = length
		_, err := Run(s, steady(1, 0, 1, 1))
		assert.ErrorContains(t, err, "the length of an interval of the series")
	}
}
