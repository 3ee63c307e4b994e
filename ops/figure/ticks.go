package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
)

// RoundTicks puts about N labelled ticks on multiples of 1, 2 or 5 times a power of ten.
type RoundTicks struct {
	N int
	// Least is the smallest step.
	Least float64
}

// Ticks implements plot.Ticker.
func (t RoundTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(t.N))))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= float64(t.N) {
			step *= factor
			break
		}
	}
	step = math.Max(step, t.Least)
	var ticks []plot.Tick
	// Computed from the index: adding steps of 0.1 would accumulate rounding errors.
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: fmt.Sprintf("%.6g", i*step)})
	}
	return ticks
}

// Unlabelled keeps the ticks for the grid and removes their text.
type Unlabelled struct{ plot.Ticker }

// Ticks implements plot.Ticker.
func (u Unlabelled) Ticks(low, high float64) []plot.Tick {
	ticks := u.Ticker.Ticks(low, high)
	for i := range ticks {
		ticks[i].Label = ""
	}
	return ticks
}
