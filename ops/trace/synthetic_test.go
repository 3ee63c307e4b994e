package trace

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func opened(t *testing.T, text string, o Options) *Trace {
	t.Helper()
	trace, err := Open(text, o)
	require.NoError(t, err)
	return trace
}

func TestSyntheticLoads(t *testing.T) {
	for text, test := range map[string]struct {
		name     string
		length   time.Duration
		requests float64
		// rates are those around some times.
		rates map[time.Duration]float64
	}{
		"poisson:rate=4": {"poisson:rate=4,length=1h,input=1020,inputSigma=0.77,output=129,outputSigma=0.93,seed=7", time.Hour, 14400, nil},
		"gamma:rate=40,cv=2,length=20m": {"gamma:rate=40,cv=2,length=20m,input=1020,inputSigma=0.77,output=129,outputSigma=0.93,seed=7",
			20 * time.Minute, 48000, nil},
		"daily:low=1,high=40,period=2h,seed=3": {"daily:low=1,high=40,period=2h,length=2h,input=1020,inputSigma=0.77,output=129,outputSigma=0.93,seed=3",
			2 * time.Hour, 147600, map[time.Duration]float64{0: 1, 30 * time.Minute: 20.5, time.Hour: 40, 90 * time.Minute: 20.5}},
		"ramp:from=0,to=50,length=10m,input=9,inputSigma=0": {"ramp:from=0,to=50,length=10m,input=9,inputSigma=0,output=129,outputSigma=0.93,seed=7",
			10 * time.Minute, 15000, map[time.Duration]float64{time.Minute: 5, 9 * time.Minute: 45}},
		"steps:rates=1/50/0,each=90s": {"steps:rates=1/50/0,each=1m30s,input=1020,inputSigma=0.77,output=129,outputSigma=0.93,seed=7",
			270 * time.Second, 4590, map[time.Duration]float64{30 * time.Second: 1, 2 * time.Minute: 50, 4 * time.Minute: 0}},
	} {
		t.Run(text, func(t *testing.T) {
			trace := opened(t, text, Options{Seed: 7})
			assert.Equal(t, test.name, trace.name)
			assert.Contains(t, trace.String(), test.name+", ")
			assert.Equal(t, test.length, trace.Length())
			assert.Equal(t, synthetic, trace.Format())
			assert.InDelta(t, test.requests, trace.Requests(), 5*math.Sqrt(test.requests)*2)
			for at, want := range test.rates {
				assert.InDelta(t, want, trace.Rate(at), 5*math.Sqrt(want/10)+0.8, at)
			}
			all := slices.Collect(trace.Arrivals())
			assert.Len(t, all, trace.Requests())
			assert.Equal(t, all, slices.Collect(opened(t, test.name, Options{}).Arrivals()), "its name makes the same requests")
			assert.True(t, slices.IsSortedFunc(all, func(a, b Request) int { return int(a.At - b.At) }))
		})
	}
}

func TestSeedOfALoad(t *testing.T) {
	first := func(text string, seed uint64) []Request {
		return slices.Collect(opened(t, text+",length=1m", Options{Seed: seed}).Arrivals())
	}
	assert.Equal(t, first("poisson:rate=4", 1), first("poisson:rate=4", 1))
	assert.NotEqual(t, first("poisson:rate=4", 1), first("poisson:rate=4", 2))
	assert.Equal(t, first("poisson:rate=4", 1), first("poisson:rate=4,seed=1", 2), "the text has precedence")
	one, two := first("poisson:rate=4", 1), first("poisson:rate=4,output=500", 1)
	require.Len(t, two, len(one))
	assert.Equal(t, one[9].At, two[9].At, "another size leaves the times as they are")
}

// Gaps and sizes have the distributions that their texts name.
func TestDistributions(t *testing.T) {
	for text, cv := range map[string]float64{
		"poisson:rate=50": 1, "gamma:rate=50,cv=1": 1, "gamma:rate=50,cv=0.3": 0.3, "gamma:rate=50,cv=3": 3,
	} {
		var gaps, inputs, outputs []float64
		last := 0.0
		for r := range opened(t, text+",length=20m,input=500,inputSigma=0.8,output=150,outputSigma=0", Options{}).Arrivals() {
			gaps, last = append(gaps, r.At.Seconds()-last), r.At.Seconds()
			inputs, outputs = append(inputs, math.Log(float64(r.InputTokens))), append(outputs, float64(r.OutputTokens))
		}
		mean, deviation := moments(gaps[1:])
		assert.InDelta(t, 0.02, mean, 0.1*0.02*cv, text)
		assert.InDelta(t, cv, deviation/mean, 0.1*cv, text)
		mean, deviation = moments(inputs)
		assert.InDelta(t, math.Log(500), mean, 0.03, text)
		assert.InDelta(t, 0.8, deviation, 0.03, text)
		assert.Equal(t, slices.Min(outputs), slices.Max(outputs), text)
		assert.InDelta(t, 150, outputs[0], 0, text)
	}
}

func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

// The default sizes have the percentiles of the trace that they come from.
func TestDefaultSizes(t *testing.T) {
	const z90 = 1.2816
	for want, of := range map[float64]LogNormal{2735: defaultSizes.Input, 424: defaultSizes.Output} {
		assert.InDelta(t, want, of.Median*math.Exp(of.Sigma*z90), 0.01*want)
	}
}

func TestOptionsOfALoad(t *testing.T) {
	const text = "ramp:from=0,to=40,length=10m,seed=1"
	all := opened(t, text, Options{})
	for name, test := range map[string]struct {
		options Options
		want    float64
		length  time.Duration
	}{
		"a part": {Options{Start: 5 * time.Minute, Length: time.Minute}, 60 * 22, time.Minute},
		"twice":  {Options{Speed: 2}, 12000, 5 * time.Minute},
		"fewer":  {Options{Scale: 0.1}, 1200, 10 * time.Minute},
		"more":   {Options{Scale: 2}, 24000, 10 * time.Minute},
	} {
		trace := opened(t, text, test.options)
		assert.InDelta(t, test.want, trace.Requests(), 6*math.Sqrt(test.want), name)
		assert.Equal(t, test.length, trace.Length(), name)
		assert.Len(t, slices.Collect(trace.Arrivals()), trace.Requests(), name)
	}
	capped := opened(t, text, Options{MaxInput: 100, MaxOutput: 10})
	for r := range capped.Arrivals() {
		require.LessOrEqual(t, r.InputTokens, 100)
		require.LessOrEqual(t, r.OutputTokens, 10)
	}
	assert.Contains(t, capped.String(), " with fewer tokens than drawn")
	assert.Equal(t, all.Requests(), capped.Requests())
}

func TestBadLoads(t *testing.T) {
	for text, message := range map[string]string{
		"posson:rate=4":    `load "posson:rate=4": there is no kind "posson" and no file of that name: want poisson:rate=,length= or gamma:`,
		"poisson:rat=4":    `load "poisson:rat=4": "rat" is no key of poisson: want rate, length, input, inputSigma, output, outputSigma, seed`,
		"poisson":          "rate is missing: want a number from 0.0001 to 10000",
		"poisson:":         "rate is missing",
		"poisson:rate":     `rate="": want a number`,
		"poisson:rate=0":   `rate="0": want a number from 0.0001 to 10000`,
		"poisson:rate=NaN": `rate="NaN": want a number`,
		"poisson:rate=-1,length=x,input=0.5": `rate="-1": want a number from 0.0001 to 10000; length="x": want a duration from 1s to 8784h0m0s, such as 20m; ` +
			`input="0.5": want a number from 1 to 1e+06`,
		"poisson:rate=4,rate=5":           "rate is given twice",
		"poisson:rate=4,":                 `"" is no key of poisson`,
		"poisson:rate=4,inputSigma=9":     `inputSigma="9": want a number from 0 to 3`,
		"poisson:rate=4,seed=-1":          `seed="-1": want a whole number from 0 on`,
		"poisson:rate=10000,length=8000h": "more than 100000000 requests",
		"poisson:rate=0.0001,length=1s":   "no request between 0s and its end: it lasts 1s",
		"gamma:rate=4":                    "cv is missing: want a number from 0.1 to 30",
		"daily:low=3,high=2":              "low is above high",
		"ramp:from=0,to=0":                "from and to are 0",
		"steps:each=1m":                   "rates is missing: want up to 200 numbers from 0 to 10000, such as 1/8/2",
		"steps:rates=1//2":                `rates="1//2": want up to 200 numbers`,
		"steps:rates=0/0":                 "rates are all 0",
		"steps:rates=1/1/1/1,each=8000h":  "all steps last longer than 8784h0m0s",
		"closed:users=5":                  "a closed loop is not a list of requests in time and cannot be replayed as one",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Open(text, Options{})
			require.ErrorContains(t, err, message)
			assert.NotContains(t, err.Error(), "\n", "one line")
		})
	}
	_, err := Open("poisson:rate=4", Options{Scale: -1})
	require.ErrorContains(t, err, "-scale -1: want a factor")
}

func TestFilesComeFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("poisson:rate=4", []byte(header+"0,1,1\n"), 0o600))
	assert.Equal(t, own, opened(t, "poisson:rate=4", Options{}).Format())
	_, err := Open("none.csv", Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}
