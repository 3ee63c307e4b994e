package accelerators

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCatalogue(t *testing.T) {
	catalogue := Catalogue{Machines: slices.Concat(
		Carrying("nvidia-a100-80gb", 1, Size("large", 12, 170)),
		Carrying("nvidia-l4", 1, Size("small", 4, 16), Size("medium", 8, 32)),
		Carrying("nvidia-l4", 4, Size("four", 48, 192)),
	)}
	found, ok := catalogue.Find("medium")
	require.True(t, ok)
	assert.Equal(t, Machine{Type: "medium", Accelerator: "nvidia-l4", GPUs: 1, CPUs: 8, MemoryGiB: 32}, found)
	for _, unknown := range []string{"Medium", "", "med"} {
		_, ok = catalogue.Find(unknown)
		assert.False(t, ok, unknown)
	}
	catalogue.FoldCase = true
	_, ok = catalogue.Find("MEDIUM")
	assert.True(t, ok)

	var types []string
	for _, machine := range catalogue.With("nvidia-l4") {
		types = append(types, machine.Type)
	}
	assert.Equal(t, []string{"small", "medium", "four"}, types)
	assert.Empty(t, catalogue.With("nvidia-t4"))

	var names []string
	for _, accelerator := range catalogue.Accelerators() {
		names = append(names, accelerator.Name)
	}
	assert.Equal(t, []string{"nvidia-l4", "nvidia-a100-80gb"}, names, "smallest memory first")
	catalogue.Parts = []Part{{Type: "half", Accelerator: "nvidia-l4", Of: 2, MemoryGiB: 12}}
	part, ok := catalogue.FindPart("Half")
	require.True(t, ok)
	assert.Equal(t, "1/2 of nvidia-l4, with 12 GiB", part.String())
	_, ok = catalogue.Find("half")
	assert.False(t, ok, "a part is no machine with a GPU")
	catalogue.FoldCase = false
	_, ok = catalogue.FindPart("Half")
	assert.False(t, ok)
	_, ok = Catalogue{}.Find("small")
	assert.False(t, ok)
}
