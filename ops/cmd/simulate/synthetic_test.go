package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A synthetic load is accepted where the name of a trace is; it and -scale are drawn from -seed.
func TestSyntheticLoad(t *testing.T) {
	inProject(t)
	requests := func(args ...string) int {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), append([]string{"-stack", "prod", "-json", "-search=false", "-presets=false"}, args...), &out, io.Discard))
		var got document
		require.NoError(t, json.Unmarshal(out.Bytes(), &got))
		return got.Candidates[0].Requests
	}
	const load = "poisson:rate=2,length=10m,input=200,output=50"
	one := requests("-trace", load)
	assert.InDelta(t, 1200, one, 150)
	assert.Equal(t, one, requests("-trace", load, "-seed", "1"))
	assert.NotEqual(t, one, requests("-trace", load, "-seed", "2"))
	assert.Equal(t, 2*one, requests("-trace", load, "-scale", "2"))
	assert.InDelta(t, 600, requests("-trace", "trace.csv", "-scale", "0.25"), 100)
}

// Users of a closed loop wait for their answers, so that their requests depend on the replicas.
func TestClosedLoop(t *testing.T) {
	inProject(t)
	requests := map[string]int{}
	var out bytes.Buffer
	args := []string{"-stack", "prod", "-json", "-candidates", "8", "-presets=false", "-trace", "closed:users=40,think=1s,length=10m,input=200,output=400"}
	require.NoError(t, run(context.Background(), args, &out, io.Discard))
	var got document
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	assert.Contains(t, got.Trace, "closed:users=40")
	for _, c := range got.Candidates {
		requests[c.Name] = c.Requests
	}
	assert.Greater(t, requests["static-3"], requests["static-1"], "they wait less for more replicas")
	assert.Contains(t, requests, "oracle")

	assert.ErrorContains(t, run(context.Background(), append(args, "-speed", "2"), &out, io.Discard), "change users, think and length instead")
}

// The recommendation is judged on other draws of a load, where it is drawn.
func TestRedrawn(t *testing.T) {
	inProject(t)
	for name, same := range map[string]bool{"poisson:rate=2,length=10m": false, "poisson:rate=2,length=10m,seed=5": true, "trace.csv": true} {
		o, err := parse([]string{"-stack", "prod", "-trace", name}, io.Discard)
		require.NoError(t, err)
		drawn, err := openTraffic(o.trace, o.part)
		require.NoError(t, err)
		other, err := drawn.redrawn(o, 2)
		require.NoError(t, err)
		assert.Equal(t, same, slices.Equal(slices.Collect(drawn.load()()), slices.Collect(other())), name)
	}
}
