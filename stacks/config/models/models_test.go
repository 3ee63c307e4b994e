package models

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	for id, parameters := range map[string]float64{
		"google/gemma-3-1b-it": 1, "google/gemma-3-1b-pt": 1, "google/gemma-3-270m": 0.268, "google/gemma-4-31B-it": 31.3,
	} {
		model, ok := Find(id)
		require.True(t, ok, id)
		assert.Equal(t, parameters, model.Parameters, id)
	}
	for _, id := range []string{"", "google/gemma-3-1b", "google/gemma-4-31b-it", "meta-llama/Llama-3.1-8B"} {
		_, ok := Find(id)
		assert.False(t, ok, id)
	}
}

// TestCatalogueHoldsTogether checks that every entry has the values that package sizing needs.
func TestCatalogueHoldsTogether(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range All() {
		require.NotEmpty(t, m.IDs)
		name := m.IDs[0]
		for _, id := range m.IDs {
			assert.False(t, seen[id], "%s stands twice", id)
			seen[id] = true
		}
		assert.Positive(t, m.Parameters, name)
		assert.Positive(t, m.HiddenSize, name)
		assert.Positive(t, m.Window, name)
		assert.Zero(t, m.ContextLength&(m.ContextLength-1), "%s: a power of two", name)
		assert.Zero(t, m.Heads%m.Full.KVHeads, "%s: query heads share key heads evenly", name)
		assert.Zero(t, m.Heads%m.Sliding.KVHeads, name)
		assert.GreaterOrEqual(t, m.Sliding.Count, 4*m.Full.Count, "%s: at least four sliding layers for each full one", name)
		assert.GreaterOrEqual(t, m.MinCapability, 80, name)
		assert.Regexp(t, regexp.MustCompile(`^\d+\.\d+\.\d+$`), m.MinVLLM, name)
	}
}
