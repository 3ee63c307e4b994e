package agreement

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
)

// step is a run of 100 s that wants two replicas more from a moment on, which are ready 20 s later.
func step(at, attainment float64) Run {
	return Run{Seconds: 100, Attainment: attainment, Replicas: []simulate.Replicas{
		{At: 0, Wanted: 1, Ready: 1}, {At: at, Wanted: 3, Ready: 1}, {At: at + 20, Wanted: 3, Ready: 3}, {At: 120, Wanted: 1, Ready: 3},
	}}
}

func TestRun(t *testing.T) {
	r := step(40, 1)
	assert.InDelta(t, 40+3*60, r.WantedSeconds(), 1e-9)
	assert.InDelta(t, 60+3*40, r.ReadySeconds(), 1e-9)
	assert.Equal(t, []Decision{{At: 40, Replicas: 3}}, r.Decisions(), "without those after the load")

	for name, test := range map[string]struct {
		other   Run
		matched int
	}{
		"the same":        {step(40, 1), 1},
		"within a period": {step(54, 1), 1},
		"earlier":         {step(26, 1), 1},
		"too late":        {step(56, 1), 0},
		"other replicas":  {Run{Seconds: 100, Replicas: []simulate.Replicas{{Wanted: 1}, {At: 40, Wanted: 4}}}, 0},
		"no decision":     {Run{Seconds: 100, Replicas: []simulate.Replicas{{Wanted: 3}}}, 0},
	} {
		matched, all := r.Matched(test.other, 15)
		assert.Equal(t, test.matched, matched, name)
		assert.Equal(t, 1, all)
	}
}

func TestRoundsOfTheLab(t *testing.T) {
	c := &Comparison{Rounds: []float64{47, 47.1, 62.2, 77.4, 107.6}}
	assert.InDelta(t, 2, c.firstRound(), 1e-9)
	assert.InDelta(t, 0.15, c.roundTime(), 1e-9)
	none := &Comparison{}
	assert.Zero(t, none.firstRound()+none.roundTime())
}

func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		simulated Run
		want      []string
	}{
		"equal":   {step(40, 0.9), nil},
		"cheaper": {step(48, 0.9), []string{"replica-seconds differ by -7.3 %, more than 5 %"}},
		"better":  {step(40, 0.94), []string{"attainment differs by +4.0 points, more than 3"}},
		"too early": {
			Run{Seconds: 100, Attainment: 0.9, Replicas: []simulate.Replicas{{Wanted: 1}, {At: 10, Wanted: 2}, {At: 30, Wanted: 1}, {At: 66, Wanted: 4}}},
			[]string{"0 % of the decisions"},
		},
	} {
		c := &Comparison{Load: "x", Requests: 10, Lab: step(40, 0.9), Simulated: test.simulated}
		problems := c.Problems()
		require.Len(t, problems, len(test.want), "%s: %v", name, problems)
		for i, want := range test.want {
			assert.Contains(t, problems[i], "x: "+want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, WriteTable(&out, []*Comparison{
		{Load: "step", Requests: 10, Lab: step(40, 0.9), Simulated: step(41, 0.91), Others: []Run{step(39, 0.89), step(60, 0.95)}},
	}))
	assert.Equal(t, `| load | requests | | lab | simulated | difference | other seeds |
|---|--:|---|--:|--:|--:|--:|
| step | 10 | replica-seconds wanted | 220 | 218 | -0.9 % | 180 to 222 |
|  |  | replica-seconds ready | 180 | 178 | -1.1 % | 140 to 182 |
|  |  | objective met | 90.0 % | 91.0 % | +1.0 points | 89.0 % to 95.0 % |
|  |  | decisions | 1 | 1 | 100 % the same | 1 to 1 |
`, out.String())
}

func TestShapedLoadsAreTheSameForTheSameSeed(t *testing.T) {
	for _, shape := range Shapes() {
		l, err := Shaped(shape, 5, 4*time.Minute, 1)
		require.NoError(t, err)
		again, err := Shaped(shape, 5, 4*time.Minute, 1)
		require.NoError(t, err)
		assert.Equal(t, slices.Collect(l.Arrivals()), slices.Collect(again.Arrivals()))
		assert.Equal(t, 4*time.Minute, l.Length())
		simulated := slices.Collect(l.Simulated())
		require.Len(t, simulated, l.Requests())
		for i, a := range slices.Collect(l.Arrivals()) {
			assert.Equal(t, simulate.Arrival{At: a.At.Seconds(), Input: 1, Output: a.OutputTokens}, simulated[i])
		}
	}
	_, err := Shaped("wave", 5, time.Minute, 1)
	assert.ErrorContains(t, err, `load "wave" is not one of step, ramp, burst`)
	_, err = Shaped("step", 0, time.Minute, 1)
	assert.ErrorContains(t, err, "is no load")
}

func TestTraced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.csv")
	require.NoError(t, os.WriteFile(file, []byte("TIMESTAMP,ContextTokens,GeneratedTokens\n0,1000,5\n30,10,6\n70,10,7\n200,10,8\n"), 0o600))
	l, err := Traced(file+"@2", time.Minute)
	require.NoError(t, err)
	assert.Equal(t, "trace, 2x its speed, 3 requests in 1m0s", l.String())
	assert.Equal(t, []simulate.Arrival{{At: 0, Input: 1, Output: 5}, {At: 15, Input: 1, Output: 6}, {At: 35, Input: 1, Output: 7}},
		slices.Collect(l.Simulated()))
	_, err = Traced(file+"@fast", time.Minute)
	assert.ErrorContains(t, err, `"fast" is not a factor above 0`)
}
