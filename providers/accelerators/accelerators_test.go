package accelerators

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Which GPUs calculate in bfloat16 decides who can run Gemma 3.
func TestBFloat16(t *testing.T) {
	for _, a := range All() {
		old := slices.Contains([]string{"nvidia-v100", "nvidia-v100-32gb", "nvidia-t4"}, a.Name)
		assert.Equal(t, !old, a.ComputeCapability >= BFloat16, a.Name)
		assert.Positive(t, a.MemoryGiB, a.Name)
		assert.InDelta(t, 0.95*a.MemoryGiB, a.UsableGiB, 0.05*a.MemoryGiB, "%s: CUDA reports 90 to 100 %% of it", a.Name)
	}
	l4, _ := Find("nvidia-l4")
	assert.Equal(t, "8.9", l4.Capability())
}

func TestFind(t *testing.T) {
	_, ok := Find("nvidia-k80")
	assert.False(t, ok)
	assert.True(t, slices.IsSortedFunc(All(), func(a, b Accelerator) int { return int(a.MemoryGiB - b.MemoryGiB) }))
}
