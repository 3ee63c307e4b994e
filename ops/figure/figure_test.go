package figure

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRoundTicks(t *testing.T) {
	for _, test := range []struct {
		ticks     RoundTicks
		low, high float64
		want      []string
	}{
		{RoundTicks{N: 5}, 0, 1, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		{RoundTicks{N: 5}, 0.1, 23, []string{"5", "10", "15", "20"}},
		{RoundTicks{N: 12, Least: 1}, 0, 3, []string{"0", "1", "2", "3"}},
	} {
		var labels []string
		for _, tick := range test.ticks.Ticks(test.low, test.high) {
			labels = append(labels, tick.Label)
		}
		assert.Equal(t, test.want, labels)
		for _, tick := range (Unlabelled{test.ticks}).Ticks(test.low, test.high) {
			assert.Empty(t, tick.Label)
		}
	}
}
