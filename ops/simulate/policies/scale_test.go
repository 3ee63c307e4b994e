package policies

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/compare"
)

// objective is the one that defaults are judged by.
var objective = compare.Objective{TTFT: 2, Ratio: 0.95}

// earlier returns the baseline of a subject.
func earlier(t *testing.T, s Subject) compare.Deployment {
	t.Helper()
	decode, err := s.decoder(objective, 1)
	require.NoError(t, err)
	d, err := decode(earlierServer)
	require.NoError(t, err)
	assert.Equal(t, 16, d.Settings.Server.Limits.MaxNumSeqs)
	assert.Equal(t, 2048, d.Settings.Server.Limits.BatchedTokens, "vLLM's own number")
	return published(d.Settings, func(name string) bool { return name == Baseline })[0]
}

// everySecond writes a trace with a request in each second of an hour, and returns its file.
func everySecond(t *testing.T) string {
	t.Helper()
	text := &strings.Builder{}
	text.WriteString("arrival_seconds,input_tokens,output_tokens\n")
	for at := range 3600 {
		fmt.Fprintf(text, "%d,600,200\n", at)
	}
	file := filepath.Join(t.TempDir(), "trace.csv")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	return file
}

func TestScale(t *testing.T) {
	subject := Subjects()[1]
	for _, load := range []Load{{Name: "slow", text: "daily:low={0.1},high={1},period=1h,input=600,output=200"}, GivenTrace(everySecond(t))} {
		for _, replicas := range []float64{1.5, 3} {
			s, err := scale(context.Background(), load, earlier(t, subject), replicas)
			require.NoError(t, err)
			assert.InEpsilon(t, replicas, s.replicas, 0.1, "%s: %s", load.Name, s.trace)
			assert.Less(t, s.baseline.Most, MostReplicas)
			assert.Equal(t, s.trace.Requests(), s.baseline.Requests, "the result is that of the load")
		}
	}
}

// A rate is too high where the baseline reaches its maximum, whatever its mean is.
func TestScaleStaysBelowTheMaximum(t *testing.T) {
	load := Load{Name: "peak", text: "steps:rates={0.1}/{20}/{0.1},each=10m,input=600,output=200"}
	s, err := scale(context.Background(), load, earlier(t, Subjects()[1]), 25)
	require.NoError(t, err)
	assert.Less(t, s.baseline.Most, MostReplicas)
	assert.Less(t, s.replicas, 25.0)
}

func TestLoads(t *testing.T) {
	for _, l := range Loads() {
		one, err := l.at(1, 1)
		require.NoError(t, err, l.Name)
		two, err := l.at(2, 1)
		require.NoError(t, err, l.Name)
		assert.InEpsilon(t, 2*one.Requests(), two.Requests(), 0.15, l.Name)
		other, err := l.at(1, 2)
		require.NoError(t, err, l.Name)
		assert.NotEqual(t, one.Requests(), other.Requests(), "%s: the seed draws it", l.Name)
		assert.False(t, l.Given())
	}
	given, err := GivenTrace(everySecond(t)).at(2.5, 1)
	require.NoError(t, err)
	assert.InDelta(t, 2.5*3600, given.Requests(), 100)
}
