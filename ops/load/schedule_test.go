package load

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func times(s Schedule) []time.Duration {
	var all []time.Duration
	for a := range s.Arrivals() {
		all = append(all, a.At)
	}
	return all
}

// The offered count is the integral of the rate, in every part of the schedule.
func TestArrivalsAreTheIntegralOfTheRate(t *testing.T) {
	steps := Profile{Segments: []Segment{{2, 2, time.Minute}, {10, 10, 2 * time.Minute}, {0, 0, 10 * time.Second}, {0.5, 0.5, time.Minute}}}
	for name, p := range map[string]Profile{
		"constant": Constant(7.3, 137*time.Second), "up": Ramp(0, 20, 5*time.Minute), "down": Ramp(20, 0, 5*time.Minute),
		"ramp above zero": Ramp(3, 4, time.Minute), "steps": steps, "slow": Constant(0.01, 200*time.Second),
		"ramp and hold": {Segments: []Segment{{0, 8, time.Minute}, {8, 8, time.Minute}, {8, 0, time.Minute}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, p.Validate())
			all := times(p)
			assert.InDelta(t, p.Requests(), len(all), 0.5)
			assert.True(t, slices.IsSorted(all))
			assert.Equal(t, all, times(p), "each call starts again")
			// Up to every moment, not only in all.
			for at := time.Duration(0); at <= p.Length(); at += p.Length() / 97 {
				integral, left := 0.0, at
				for _, s := range p.Segments {
					length := min(left, s.Length)
					end := s.From + (s.To-s.From)*length.Seconds()/s.Length.Seconds()
					integral += (s.From + end) / 2 * length.Seconds()
					left -= length
				}
				arrived, _ := slices.BinarySearch(all, at)
				assert.InDelta(t, integral, arrived, 1, "until %s", at)
			}
			assert.LessOrEqual(t, all[len(all)-1], p.Length())
		})
	}
}

func TestScheduleOfEachShapeIsExact(t *testing.T) {
	assert.Equal(t, []time.Duration{125 * time.Millisecond, 375 * time.Millisecond, 625 * time.Millisecond, 875 * time.Millisecond},
		times(Constant(4, time.Second)))
	// 1 and then 4 a second.
	assert.Equal(t, []time.Duration{500 * time.Millisecond, 1125 * time.Millisecond, 1375 * time.Millisecond, 1625 * time.Millisecond, 1875 * time.Millisecond},
		times(Profile{Segments: []Segment{{1, 1, time.Second}, {4, 4, time.Second}}}))
	// The integral of a ramp from 0 to 2 in 2 s is t*t/2: 1/2 at 1 s, 3/2 at sqrt 3 s.
	ramp := times(Ramp(0, 2, 2*time.Second))
	require.Len(t, ramp, 2)
	assert.InDelta(t, 1, ramp[0].Seconds(), 1e-6)
	assert.InDelta(t, math.Sqrt(3), ramp[1].Seconds(), 1e-6)
	assert.Equal(t, 1.0, Ramp(0, 2, 2*time.Second).Rate(time.Second))
	assert.Zero(t, Ramp(0, 2, 2*time.Second).Rate(3*time.Second))
}

func TestPoissonArrivals(t *testing.T) {
	p := Constant(50, 400*time.Second)
	p.Poisson, p.Seed = true, 7
	all := times(p)
	assert.Equal(t, all, times(p), "a seed gives the same")
	assert.InDelta(t, 20000, len(all), 5*math.Sqrt(20000))
	// The gaps of a Poisson process vary as much as their mean.
	var gaps []float64
	for i := 1; i < len(all); i++ {
		gaps = append(gaps, (all[i] - all[i-1]).Seconds())
	}
	mean, square := 0.0, 0.0
	for _, gap := range gaps {
		mean += gap / float64(len(gaps))
	}
	for _, gap := range gaps {
		square += (gap - mean) * (gap - mean) / float64(len(gaps))
	}
	assert.InDelta(t, 1, math.Sqrt(square)/mean, 0.05)
	p.Seed = 8
	assert.NotEqual(t, all, times(p))
}

func TestProfilesThatCannotBePlayed(t *testing.T) {
	for message, p := range map[string]Profile{
		"is no load": Constant(0, time.Second), "above 0": Constant(1, 0), "rates are numbers": Ramp(-1, 3, time.Second),
		"no load": {},
	} {
		require.ErrorContains(t, p.Validate(), message)
	}
	require.Error(t, Constant(math.Inf(1), time.Second).Validate())
}

func TestPromptsHaveTheirLength(t *testing.T) {
	prompt := func(tokens int, id uint64) string {
		text, err := io.ReadAll(iotest.OneByteReader(newPrompt(tokens, id)))
		require.NoError(t, err)
		return string(text)
	}
	for _, tokens := range []int{chatOverhead + 1, 32, 500} {
		assert.Len(t, strings.Fields(prompt(tokens, 1)), tokens-chatOverhead)
	}
	assert.NotEmpty(t, prompt(1, 1))
	assert.NotEqual(t, prompt(100, 1), prompt(100, 2), "no prefix cache answers the next")
	require.NoError(t, iotest.TestReader(newPrompt(32, 1), []byte(prompt(32, 1))))
	for _, word := range words {
		assert.Regexp(t, `^[a-z]+$`, word)
	}
}
