package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A synthetic load is accepted where the name of a trace is; it and -scale are drawn from -seed.
func TestSyntheticLoad(t *testing.T) {
	inProject(t)
	requests := func(args ...string) int {
		var out bytes.Buffer
		require.NoError(t, run(context.Background(), append([]string{"-stack", "prod", "-json"}, args...), &out))
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
