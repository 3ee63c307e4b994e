package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/policies"
)

// inFolder makes a folder with a trace of half an hour the working folder.
func inFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	trace := &strings.Builder{}
	trace.WriteString("TIMESTAMP,ContextTokens,GeneratedTokens\n")
	for i := range 900 {
		fmt.Fprintf(trace, "%d,500,100\n", 2*i)
	}
	require.NoError(t, os.WriteFile("trace.csv", []byte(trace.String()), 0o600))
}

func TestTraceAsDocument(t *testing.T) {
	inFolder(t)
	args := []string{
		"-trace", "trace.csv", "-loads", "none", "-subjects", "gke-4b-l4,aks-default", "-replicas", "2", "-candidates", "12", "-json", "-png", "p.png",
		"-variant", "autoscaling.signals.gpuUtilization.enabled=false model.maxNumSeqs=32", "-objective", "ttft=1s",
	}
	var out, progress, again bytes.Buffer
	require.NoError(t, run(context.Background(), args, &out, &progress))
	require.NoError(t, run(context.Background(), args, &again, io.Discard))
	assert.Equal(t, out.String(), again.String(), "the same seed has the same result")
	assert.Contains(t, progress.String(), "2 of 2 after ")

	var got policies.Document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	assert.Equal(t, compare.Objective{TTFT: 1, Ratio: 0.95}, got.Objective, "what is not given is the default")
	require.Len(t, got.Cases, 2)
	for _, c := range got.Cases {
		assert.Equal(t, "trace.csv", c.Load)
		assert.True(t, c.Given)
		assert.InDelta(t, 2, c.Replicas, 0.2)
		var names []string
		for _, candidate := range c.Candidates {
			names = append(names, candidate.Name)
			assert.Equal(t, c.Candidates[0].Requests, candidate.Requests, candidate.Name)
		}
		assert.Equal(t, []string{"preset-202218d", "configured", "with autoscaling.signals.gpuUtilization.enabled=false model.maxNumSeqs=32",
			"preset-exercise", "preset-exercise-gpu", "preset-production-stack", "preset-accelerated-platforms", "preset-accelerated-platforms-running",
			"preset-llm-d-in-flight", "preset-llm-d-slo-aware", "preset-kubeai", "preset-kserve", "static-best", "recommended", "oracle",
		}, names, c.Subject)
	}
	picture, err := os.ReadFile("p.png")
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")))
}

func TestTables(t *testing.T) {
	inFolder(t)
	args := []string{"-trace", "trace.csv", "-loads", "none", "-subjects", "gke-4b-l4", "-replicas", "2", "-candidates", "0", "-oracle=false", "-presets=false"}
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), args, &out, io.Discard))
	assert.Regexp(t, `gke-4b-l4 +trace\.csv +[12]\.\d +\d`, out.String())
	assert.Contains(t, out.String(), "Given traces:")
	assert.NotContains(t, out.String(), "kserve")
}

func TestErrors(t *testing.T) {
	inFolder(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an argument":       {[]string{"x"}, `unexpected argument "x"`},
		"no such trace":     {[]string{"-trace", "none.csv"}, "none.csv"},
		"no such subject":   {[]string{"-subjects", "gke-4b-l4,b"}, `-subjects: "b" is not one of gke-1b-l4, `},
		"no such load":      {[]string{"-loads", "night"}, `-loads: "night" is not one of day, `},
		"nothing to replay": {[]string{"-loads", "none"}, "-loads none: give a file with -trace"},
		"a bad objective":   {[]string{"-objective", "p99=2s"}, `"p99" is not ttft, itl or ratio`},
		"too many replicas": {[]string{"-replicas", "30"}, "-replicas 30: want a number above 0 and below 30"},
		"no replicas":       {[]string{"-replicas", "0"}, "-replicas 0: want a number above 0"},
		"few candidates":    {[]string{"-candidates", "-1"}, "-candidates -1: want a number from 0 on"},
		"no folder":         {[]string{"-png", "none/p.png"}, "-png none/p.png: none is not a folder"},
		"a bad variant":     {[]string{"-variant", "model.maxNumSeqs=0"}, "model.maxNumSeqs"},
		"no assignment":     {[]string{"-variant", "model"}, `"model" is not KEY=VALUE`},
		"no trace":          {[]string{"-loads", "none", "-trace", "."}, "directory"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.ErrorContains(t, run(context.Background(), test.args, &out, io.Discard), test.want)
			assert.NotContains(t, out.String(), "Loads of the project", "no report")
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	require.ErrorIs(t, run(ctx, nil, &out, io.Discard), context.Canceled)
	assert.Empty(t, out.String())
}
