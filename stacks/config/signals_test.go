package config

import (
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

func TestKVCacheUsageIsOffByDefault(t *testing.T) {
	targets := func(given keys) map[signals.Key]float64 {
		c := read(t, CloudLocal, given)
		return c.Autoscaling.Signals.Targets()
	}
	assert.NotContains(t, targets(nil), signals.KeyKVCacheUsage)
	assert.InDelta(t, 80, targets(keys{"autoscaling.signals.kvCacheUsage.enabled": true})[signals.KeyKVCacheUsage], 0)
}
