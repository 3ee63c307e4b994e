package profile

import (
	"fmt"
	"math"
	"slices"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// Fit is the result of a fit and how good it is.
type Fit struct {
	Constants Constants `json:"constants"`
	// FixedInWeights reports that the points do not tell FixedSeconds from WeightsSeconds: their sum is in WeightsSeconds.
	FixedInWeights bool    `json:"fixedInWeights"`
	Error          Error   `json:"error"`
	Points         []Point `json:"points"`
}

// Error is the relative difference of the predictions to the measured times.
type Error struct {
	Mean float64 `json:"meanRelative"`
	Max  float64 `json:"maxRelative"`
}

// Bound is the mean error above which a fit should not be trusted.
const Bound = 0.15

// What a fit needs at least: times to the first token of so many lengths of prompts, and times between tokens of so many batches.
const (
	leastPrompts = 3
	leastBatches = 3
)

// Of returns the constants with which a replica needs the measured times, by least squares of the relative differences. It refuses
// too few points.
func Of(points []Point, limits replica.Limits, cache speed.Cache) (Fit, error) {
	if err := enough(points); err != nil {
		return Fit{}, err
	}
	p := problem{points: points, limits: limits, cache: cache}
	start := p.guess()
	separate, known := p.minimize(start, all)
	fit := Fit{Constants: separate}
	if !known {
		start.WeightsSeconds, start.FixedSeconds = start.WeightsSeconds+start.FixedSeconds, 0
		fit.Constants, _ = p.minimize(start, withoutFixed)
		fit.FixedInWeights = true
	}
	if err := fit.Constants.check(); err != nil {
		return Fit{}, fmt.Errorf("the measured times fit no replica: %w", err)
	}
	fit.Points, fit.Error = p.judge(fit.Constants)
	return fit, nil
}

// enough returns an error that names what is missing for a fit.
func enough(points []Point) error {
	prompts, batches := map[int]bool{}, map[[2]int]bool{}
	for _, p := range points {
		if p.Quantity == FirstToken {
			prompts[p.InputTokens] = true
		} else {
			batches[[2]int{p.Concurrency, p.InputTokens}] = true
		}
	}
	if len(prompts) < leastPrompts || len(batches) < leastBatches {
		return fmt.Errorf("too few points for a fit: %d lengths of prompts and %d batches, want at least %d and %d: let it run longer",
			len(prompts), len(batches), leastPrompts, leastBatches)
	}
	return nil
}

// judge returns the points with their predictions, and the error.
func (p problem) judge(c Constants) ([]Point, Error) {
	judged, e := slices.Clone(p.points), Error{}
	for i := range judged {
		judged[i].PredictedSeconds = judged[i].predict(c, p.limits, p.cache)
		difference := math.Abs(judged[i].difference())
		e.Mean += difference / float64(len(judged))
		e.Max = max(e.Max, difference)
	}
	return judged, e
}

// Worst returns the point with the largest relative difference.
func (f Fit) Worst() Point {
	return slices.MaxFunc(f.Points, func(a, b Point) int {
		if math.Abs(a.difference()) < math.Abs(b.difference()) {
			return -1
		}
		return 1
	})
}
