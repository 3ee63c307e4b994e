package speed

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSlidingWindowsBoundTheCache(t *testing.T) {
	c := Cache{FullBytes: 2, SlidingBytes: 3, Window: 100}
	assert.InDelta(t, 5*80, c.Bytes(1, 80), 1e-9)
	assert.InDelta(t, 2*300+3*200, c.Bytes(2, 300), 1e-9)
	assert.InDelta(t, 5*300, Cache{FullBytes: 2, SlidingBytes: 3}.Bytes(1, 300), 1e-9, "no window is no bound")
}
