package promql

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/telemetry"
)

// startedPod are the moments of a pod with the given labels that was ready after 200 s, by a short name.
func startedPod(pod string) map[string]string {
	of := func(series, labels, samples string) string { return series + "{" + labels + "} " + samples }
	return map[string]string{
		"created":     of(telemetry.SeriesPodCreated, pod, "0x400"),
		"scheduled":   of(telemetry.SeriesPodScheduled, pod, "100x400"),
		"initialized": of(telemetry.SeriesPodInitialized, pod, "101x400"),
		"started":     of(telemetry.SeriesContainerStarted, pod+`,container="vllm"`, "140x400"),
		"ready since": of(telemetry.SeriesPodReadyTime, pod, "_x3 200x400"),
	}
}

// starts returns the recorded phases of the starts of pods at a minute, by pod.
func (a *alerting) starts(minute int) map[string]map[telemetry.Phase]float64 {
	a.t.Helper()
	found := map[string]map[telemetry.Phase]float64{}
	for _, sample := range a.read.query(telemetry.SeriesReplicaStart, time.Duration(minute)*time.Minute) {
		pod := sample.Metric.Get("pod")
		if found[pod] == nil {
			found[pod] = map[telemetry.Phase]float64{}
		}
		phase := telemetry.Phase(sample.Metric.Get(telemetry.LabelPhase))
		require.NotContains(a.t, found[pod], phase, "%s twice", sample.Metric)
		found[pod][phase] = sample.F
	}
	return found
}

func TestPhasesOfAStart(t *testing.T) {
	usual := map[telemetry.Phase]float64{"node": 100, "init": 1, "image": 39, "server": 60, "total": 200}
	changed := func(phases map[telemetry.Phase]float64) map[telemetry.Phase]float64 {
		all := maps.Clone(usual)
		maps.Copy(all, phases)
		return all
	}
	for name, tc := range map[string]struct {
		samples map[string]string
		// want are the phases of pod b at minute 20; nil for none.
		want map[telemetry.Phase]float64
	}{
		"usual": {nil, usual},
		"init containers that copy the weights": {
			map[string]string{"initialized b": "130x400"}, changed(map[telemetry.Phase]float64{"init": 30, "image": 10})},
		"clocks that differ": {
			map[string]string{"initialized b": "99x400"}, changed(map[telemetry.Phase]float64{"init": 0, "image": 41})},
		"never ready":         {map[string]string{"ready since b": "", "pod ready b": "0x400"}, nil},
		"not ready yet":       {map[string]string{"ready since b": "_x21 1240x400"}, nil},
		"ready at last":       {map[string]string{"ready since b": "_x18 1040x400"}, changed(map[telemetry.Phase]float64{"server": 900, "total": 1040})},
		"no node":             {map[string]string{"scheduled b": "", "initialized b": "", "started b": "", "ready since b": ""}, nil},
		"ready again":         {map[string]string{"ready since b": "_x3 200x5 _x4 780x400"}, usual},
		"the container ended": {map[string]string{"restarts b": "0x9 1x400", "started b": "140x9 560x400", "ready since b": "_x3 200x5 _x4 600x400"}, nil},
		"started twice":       {map[string]string{"restarts b": "1x400", "started b": "150x400"}, nil},
		"the pod is gone": {map[string]string{"created b": "0x15 stale", "scheduled b": "100x15 stale", "initialized b": "101x15 stale",
			"started b": "140x15 stale", "ready since b": "_x3 200x12 stale", "restarts b": "0x15 stale"}, nil},
		"state metrics restart": {map[string]string{"ready since b": "_x3 200x5 _x3 200x400", "started b": "140x9 _x3 140x400"}, usual},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAlerting(t, block(change(healthy(), tc.samples)), alertSettings(t))
			a.firing(20)
			got := a.starts(20)
			assert.Equal(t, usual, got[podA], "another pod")
			if tc.want == nil {
				assert.NotContains(t, got, podB)
				return
			}
			assert.Equal(t, tc.want, got[podB])
			sum := 0.0
			for _, phase := range telemetry.Phases() {
				sum += got[podB][phase]
			}
			assert.InDelta(t, got[podB][telemetry.PhaseTotal], sum, 1, "the phases follow each other")
		})
	}
}

// A start is recorded for an hour after it can have ended, and a pod from before the alerts has none.
func TestStartsAreKeptForAWhile(t *testing.T) {
	a := newAlerting(t, block(healthy()), alertSettings(t))
	a.firing(100)
	assert.Contains(t, a.starts(91), podA)
	assert.NotContains(t, a.starts(94), podA, "30 minutes and an hour after the container has started")
}

// Two servers have starts of their own, with their names.
func TestEachServerHasItsStarts(t *testing.T) {
	ofChat, ofCode := twoServers(t)
	samples, _ := ofServer(code, map[string]string{"ready since a": "_x3 260x400"})
	a := newAlerting(t, block(change(healthyServers(), samples)), ofChat, ofCode)
	a.firing(10)
	for server, total := range map[string]float64{chat: 200, code: 260} {
		pod := server + "-5d4f9-abcde"
		assert.InDelta(t, total, a.starts(10)[pod][telemetry.PhaseTotal], 0, pod)
		for _, sample := range a.read.query(telemetry.SeriesReplicaStart+`{pod="`+pod+`"}`, 10*time.Minute) {
			assert.Equal(t, server, sample.Metric.Get(telemetry.LabelServer))
		}
	}
}

// The alert is on nine of ten starts: one slow start among many is none, one of two is. It ends a day after the slow start.
func TestSlowStarts(t *testing.T) {
	const slow, usual = 1600, 300 // of the server, in seconds; the limit is 80 % of 30 minutes
	for name, tc := range map[string]struct {
		starts []float64
		fires  bool
	}{
		"none":                  {nil, false},
		"one as usual":          {[]float64{usual}, false},
		"one slow":              {[]float64{slow}, true},
		"one slow of two":       {[]float64{usual, slow}, true},
		"one slow of ten":       {append(repeated(usual, 9), slow), false},
		"three slow of twenty":  {append(repeated(usual, 17), repeated(slow, 3)...), true},
		"just below the limit":  {[]float64{1440}, false},
		"just above it":         {[]float64{1441}, true},
		"one very slow of many": {append(repeated(usual, 30), 1799), false},
	} {
		t.Run(name, func(t *testing.T) {
			load := "load 1m\n"
			for i, seconds := range tc.starts {
				load += fmt.Sprintf("  %s{namespace=\"vllm\",pod=\"vllm-5d4f9-%05d\",phase=\"server\"} %gx60 stale\n", telemetry.SeriesReplicaStart, i, seconds)
			}
			a := newAlerting(t, load, alertSettings(t))
			for _, minute := range []int{1, 59, 12 * 60, 24*60 + 59} {
				assert.Equal(t, tc.fires, len(a.firingAt(minute)["VLLMColdStartSlow"]) > 0, "at minute %d", minute)
			}
			assert.NotContains(t, a.firingAt(25*60+2), "VLLMColdStartSlow", "a day after the last sample")
		})
	}
}

func repeated(value float64, times int) []float64 { return slices.Repeat([]float64{value}, times) }

// Nothing is recorded where nothing can be.
func TestNoStartsWithoutStateMetrics(t *testing.T) {
	s := alertSettings(t)
	s.NoStateMetrics = true
	spec, err := alerts.Rules(s)
	require.NoError(t, err)
	for _, group := range spec.Groups {
		for _, rule := range group.Rules {
			assert.NotEqual(t, telemetry.SeriesReplicaStart, rule.Record)
			assert.NotEqual(t, "VLLMColdStartSlow", rule.Alert)
		}
	}
}
