package load

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
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

const azure = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:13.9799600,110,27
`

func TestTraceFormats(t *testing.T) {
	want := []Arrival{{0, 4808, 10}, {52 * time.Millisecond, 3180, 8}, {10 * time.Second, 110, 27}}
	for name, text := range map[string]string{
		"as Azure's": azure,
		"seconds":    "arrival_seconds,input_tokens,output_tokens\n5,4808,10\n5.052,3180,8\n15,110,27\n",
		"in any order, with others": "model,output_tokens,arrival_seconds, input_tokens\n" +
			"m,27,15,110\nm,10,5,4808\nm,8,5.052,3180\n",
		"RFC 3339": "arrival_seconds,input_tokens,output_tokens\n2023-11-16T18:17:03Z,4808,10\n2023-11-16T18:17:03.052Z,3180,8\n2023-11-16T18:17:13Z,110,27\n",
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := ReadTrace("t.csv", strings.NewReader(text), TraceOptions{})
			require.NoError(t, err)
			got := slices.Collect(trace.Arrivals())
			require.Len(t, got, 3)
			for i := range got {
				assert.InDelta(t, want[i].At.Seconds(), got[i].At.Seconds(), 1e-6)
				got[i].At = want[i].At
			}
			assert.Equal(t, want, got)
			assert.InDelta(t, 10, trace.Length().Seconds(), 1e-6)
			assert.Equal(t, 3, trace.Requests())
		})
	}
}

func TestPartsOfATrace(t *testing.T) {
	text := "arrival_seconds,input_tokens,output_tokens\n0,10,1\n10,200,2\n20,30,300\n30,40,4\n"
	for name, test := range map[string]struct {
		options TraceOptions
		want    []Arrival
		length  time.Duration
	}{
		"all": {TraceOptions{}, []Arrival{{0, 10, 1}, {10 * time.Second, 200, 2}, {20 * time.Second, 30, 300}, {30 * time.Second, 40, 4}}, 30 * time.Second},
		"twice": {TraceOptions{Speed: 2}, []Arrival{{0, 10, 1}, {5 * time.Second, 200, 2}, {10 * time.Second, 30, 300}, {15 * time.Second, 40, 4}},
			15 * time.Second},
		"a part":    {TraceOptions{Start: 10 * time.Second, Length: 20 * time.Second}, []Arrival{{0, 200, 2}, {10 * time.Second, 30, 300}}, 20 * time.Second},
		"fast part": {TraceOptions{Start: 5 * time.Second, Length: 10 * time.Second, Speed: 5}, []Arrival{{time.Second, 200, 2}}, 2 * time.Second},
		"with a cap": {TraceOptions{MaxInput: 50, MaxOutput: 3, Start: 10 * time.Second},
			[]Arrival{{0, 50, 2}, {10 * time.Second, 30, 3}, {20 * time.Second, 40, 3}}, 20 * time.Second},
		"longer part": {TraceOptions{Start: 30 * time.Second, Length: time.Minute}, []Arrival{{0, 40, 4}}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := ReadTrace("t", strings.NewReader(text), test.options)
			require.NoError(t, err)
			assert.Equal(t, test.want, slices.Collect(trace.Arrivals()))
			assert.Equal(t, test.length, trace.Length())
		})
	}
	_, err := ReadTrace("t", strings.NewReader(text), TraceOptions{Start: time.Minute})
	require.ErrorContains(t, err, "no request between 1m0s and its end: it lasts 30s")
	_, err = ReadTrace("t", strings.NewReader(text), TraceOptions{Start: time.Second, Length: time.Second})
	require.ErrorContains(t, err, "no request between 1s and 2s: it lasts 30s")
}

func TestBadRowsNameTheirLine(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		message []string
	}{
		"number": {"arrival_seconds,input_tokens,output_tokens\n0,1,1\n1,many,1\n2,1,1\n3,1,-4\n",
			[]string{`line 3: input_tokens "many"`, `line 5: output_tokens "-4"`}},
		"time":          {"arrival_seconds,input_tokens,output_tokens\nyesterday,1,1\n", []string{`line 2: time "yesterday"`}},
		"negative time": {"arrival_seconds,input_tokens,output_tokens\n-1,1,1\n", []string{`line 2: time "-1"`}},
		"not a time":    {"arrival_seconds,input_tokens,output_tokens\nNaN,1,1\n", []string{`line 2: time "NaN"`}},
		"two zeros": {"arrival_seconds,input_tokens,output_tokens\n0,1,1\n2023-11-16 18:17:03,1,1\n2,1,1\n",
			[]string{`line 3: time "2023-11-16 18:17:03": seconds and dates`}},
		"fields":  {"arrival_seconds,input_tokens,output_tokens\n0,1,1\n1,1\n2,x,1\n", []string{"line 3", `line 4: input_tokens "x"`}},
		"quote":   {"arrival_seconds,input_tokens,output_tokens\n0,1,\"1\n", []string{"line"}},
		"column":  {"arrival_seconds,input_tokens\n0,1\n", []string{"line 1: no column output_tokens (or generatedtokens)"}},
		"no row":  {"arrival_seconds,input_tokens,output_tokens\n", []string{"no row"}},
		"nothing": {"", []string{"header"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTrace("t.csv", strings.NewReader(test.text), TraceOptions{})
			for _, message := range test.message {
				require.ErrorContains(t, err, message)
			}
			require.ErrorContains(t, err, "trace t.csv")
		})
	}
	for _, speed := range []float64{-1, math.NaN(), math.Inf(1)} {
		_, err := ReadTrace("t", strings.NewReader(azure), TraceOptions{Speed: speed})
		require.ErrorContains(t, err, "from 0 on")
	}
	_, err := OpenTrace("does-not-exist.csv", TraceOptions{})
	require.ErrorContains(t, err, "does-not-exist.csv")
	many := "arrival_seconds,input_tokens,output_tokens\n" + strings.Repeat("x,1,1\n", 100)
	_, err = ReadTrace("t", strings.NewReader(many), TraceOptions{})
	assert.Equal(t, maxProblems, strings.Count(err.Error(), "line "), "the first few are enough")
}

// The file matches the formula; UPDATE_GOLDEN=1 rewrites it.
func TestBurstIsWhatItsFormulaSays(t *testing.T) {
	var made bytes.Buffer
	require.NoError(t, WriteBurst(&made))
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		require.NoError(t, os.WriteFile("testdata/burst.csv", made.Bytes(), 0o644))
		return
	}
	assert.Equal(t, made.String(), string(burst))
	trace, err := Burst(TraceOptions{})
	require.NoError(t, err)
	assert.Greater(t, trace.Rate(95*time.Second), 7.0)
	assert.Less(t, trace.Rate(5*time.Second), 3.0)
	assert.InDelta(t, 0.6*240+9.4*35*math.Sqrt(math.Pi), trace.Requests(), 120)
}

func TestPromptsHaveTheirLength(t *testing.T) {
	for _, tokens := range []int{chatOverhead + 1, 32, 500} {
		assert.Len(t, strings.Fields(prompt(tokens, 1)), tokens-chatOverhead)
	}
	assert.NotEmpty(t, prompt(1, 1))
	assert.NotEqual(t, prompt(100, 1), prompt(100, 2), "no prefix cache answers the next")
	for _, word := range words {
		assert.Regexp(t, `^[a-z]+$`, word)
	}
}
