package simulate

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRandomRoutingIsEvenAndTheSameForTheSameSeed(t *testing.T) {
	one, again := NewRandomRouting(7), NewRandomRouting(7)
	counts := make([]int, 4)
	for range 4000 {
		choice := one(4)
		counts[choice]++
		assert.Equal(t, choice, again(4))
	}
	for _, n := range counts {
		assert.InDelta(t, 1000, n, 100)
	}
	assert.Zero(t, one(1))
}

func TestRoundsCanBeGiven(t *testing.T) {
	s := scaled(1, 4)
	s.FirstRound, s.RoundTime = 3.25, 0.5
	r, err := Run(s, steady(1, 0, 120, 12))
	require.NoError(t, err)
	changes := 0
	for i, now := range r.Timeline[1:] {
		if now.Wanted != r.Timeline[i].Wanted {
			changes++
			assert.InDelta(t, 3.25, math.Mod(now.At, 15.5), 1e-9)
		}
	}
	assert.Positive(t, changes)
}
