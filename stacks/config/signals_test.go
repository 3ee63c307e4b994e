package config

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components/signals"
)

// TestEverySignalHasItsKeys checks that the signals in the catalogue and the fields of the configuration agree.
func TestEverySignalHasItsKeys(t *testing.T) {
	c := read(t, CloudLocal, nil)
	fields := c.Autoscaling.Signals.byKey()
	assert.Len(t, fields, len(signals.Catalogue()))
	for _, definition := range signals.Catalogue() {
		field, found := fields[definition.Key]
		require.True(t, found, definition.Key)
		assert.Equal(t, definition.Default, *field.enabled, definition.Key)
		assert.InDelta(t, definition.DefaultTarget(c.Model.MaxNumSeqs), *field.target, 0, definition.Key)

		key := signalKeys + string(definition.Key)
		changed := read(t, CloudLocal, keys{key + ".enabled": !definition.Default, key + ".target": 7.5})
		field = changed.Autoscaling.Signals.byKey()[definition.Key]
		assert.Equal(t, !definition.Default, *field.enabled, "%s.enabled reaches the field", key)
		assert.InDelta(t, 7.5, *field.target, 0, "%s.target reaches the field", key)
		_, on := changed.Autoscaling.Signals.Targets()[definition.Key]
		assert.Equal(t, !definition.Default, on, key)
	}
}

func TestTargetsOfTheSignalsThatAreOn(t *testing.T) {
	targets := func(given keys) map[signals.Key]float64 {
		c := read(t, CloudLocal, given)
		return c.Autoscaling.Signals.Targets()
	}
	assert.Equal(t, map[signals.Key]float64{signals.KeyRequestsInFlight: 4, signals.KeyGPUUtilization: 50}, targets(nil))
	assert.InDelta(t, 80, targets(keys{"autoscaling.signals.kvCacheUsage.enabled": true})[signals.KeyKVCacheUsage], 0)
}

// TestReplacedSignals checks that the signals whose targets an earlier version's stack may have alone are off by default.
func TestReplacedSignals(t *testing.T) {
	for _, definition := range signals.Catalogue() {
		if slices.Contains(replacedSignals, definition.Key) {
			assert.False(t, definition.Default, definition.Key)
		}
	}
}

// TestWarningsOfSignals checks each warning of signals.
func TestWarningsOfSignals(t *testing.T) {
	for name, test := range map[string]warningTest{
		"GPU alone": {
			CloudLocal, keys{"autoscaling.signals.requestsInFlight.enabled": false},
			keys{"autoscaling.signals.requestsInFlight.enabled": false, "autoscaling.signals.requestsWaiting.enabled": true},
			"autoscaling.signals.gpuUtilization.enabled", []string{"before requests wait", "factor of 2.00", "requestsInFlight.enabled' true"},
		},
		"target of a signal that is off": {
			CloudLocal, keys{"autoscaling.signals.kvCacheUsage.target": 70},
			keys{"autoscaling.signals.kvCacheUsage.target": 70, "autoscaling.signals.kvCacheUsage.enabled": true},
			"autoscaling.signals.kvCacheUsage.target", []string{"has no effect", "remove the key", "kvCacheUsage.enabled' true"},
		},
		"target of a signal that was switched off": {
			CloudLocal, keys{"autoscaling.signals.requestsRunning.target": 12, "autoscaling.signals.requestsRunning.enabled": false},
			keys{"autoscaling.signals.requestsRunning.enabled": false},
			"autoscaling.signals.requestsRunning.target", []string{"has no effect; remove the key"},
		},
		"target of requests running of an earlier version": {
			CloudLocal, keys{"autoscaling.signals.requestsRunning.target": 12},
			keys{"autoscaling.signals.requestsRunning.target": 12, "autoscaling.signals.requestsRunning.enabled": true},
			"autoscaling.signals.requestsRunning.target",
			[]string{"has no effect; requestsInFlight", "in its place", "pulumi config set --path 'vllm-autoscaling:autoscaling.signals.requestsRunning.enabled' true"},
		},
		"target of requests waiting of an earlier version": {
			CloudLocal, keys{"autoscaling.signals.requestsWaiting.target": 4},
			keys{"autoscaling.signals.requestsWaiting.target": 4, "autoscaling.signals.requestsWaiting.enabled": true},
			"autoscaling.signals.requestsWaiting.target", []string{"has no effect; requestsInFlight", "in its place"},
		},
		"in flight above what a replica works on": {
			CloudLocal, keys{"autoscaling.signals.requestsInFlight.target": 17}, keys{"autoscaling.signals.requestsInFlight.target": 16},
			"autoscaling.signals.requestsInFlight.target", []string{"model.maxNumSeqs (16)", "requests wait before replicas are added", "lower it to 16"},
		},
		"KV cache alone": {
			CloudLocal,
			keys{
				"autoscaling.signals.kvCacheUsage.enabled": true, "autoscaling.signals.gpuUtilization.enabled": false,
				"autoscaling.signals.requestsInFlight.enabled": false,
			},
			keys{
				"autoscaling.signals.kvCacheUsage.enabled": true, "autoscaling.signals.requestsInFlight.enabled": false,
				"autoscaling.signals.requestsRunning.enabled": true,
			},
			"autoscaling.signals.kvCacheUsage.enabled", []string{"never exceeds 100 percent", "factor of 1.25", "requestsInFlight.enabled' true"},
		},
		"long queue": {
			CloudLocal, keys{"autoscaling.signals.requestsWaiting.enabled": true, "autoscaling.signals.requestsWaiting.target": 17},
			keys{"autoscaling.signals.requestsWaiting.enabled": true, "autoscaling.signals.requestsWaiting.target": 16},
			"autoscaling.signals.requestsWaiting.target", []string{"model.maxNumSeqs (16)"},
		},
	} {
		t.Run(name, test.run)
	}
}
