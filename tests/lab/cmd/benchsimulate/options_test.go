package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/load"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-length", "1m", "-loads", "step,burst"}, io.Discard)
	require.NoError(t, err)
	loads, err := o.plan()
	require.NoError(t, err)
	require.Len(t, loads, 2)
	assert.Equal(t, time.Minute, loads[1].Length())

	for flags, want := range map[string]string{
		"-max-num-seqs 1": "-max-num-seqs 1", "-seeds 0": "-seeds 0", "-pod-delay 0s": "-pod-delay", "-length 0s": "-length", "-max-replicas 0": "-max-replicas",
		"now": `unexpected argument "now"`, "-loads wave": `"wave"`, "-loads=": "give -loads or -trace", "-trace none.csv": "none.csv",
	} {
		o, err := parse(strings.Fields(flags), io.Discard)
		if err == nil {
			_, err = o.plan()
		}
		assert.ErrorContains(t, err, want, flags)
	}
}

func TestJudge(t *testing.T) {
	record := func(first time.Duration, outcome load.Outcome) load.Record {
		return load.Record{Arrived: time.Second, Sent: 1010 * time.Millisecond, First: first, Outcome: outcome}
	}
	met, late := judge([]load.Record{
		record(1500*time.Millisecond, load.OK), record(2*time.Second, load.OK), record(3*time.Second, load.OK),
		record(1500*time.Millisecond, load.Failed), record(0, load.Dropped),
	}, time.Second)
	assert.InDelta(t, 0.4, met, 1e-9)
	assert.InDelta(t, 0.01, late, 1e-9)
	met, late = judge(nil, time.Second)
	assert.Zero(t, met+late)
}
