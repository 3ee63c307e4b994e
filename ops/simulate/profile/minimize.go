package profile

import (
	"math"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config/speed"
)

// problem is what is minimized.
type problem struct {
	points []Point
	limits replica.Limits
	cache  speed.Cache
}

// unknown is a constant that a fit may change.
type unknown func(*Constants) *float64

var (
	withoutFixed = []unknown{
		func(c *Constants) *float64 { return &c.WeightsSeconds },
		func(c *Constants) *float64 { return &c.SecondsPerCacheByte },
		func(c *Constants) *float64 { return &c.SecondsPerToken },
		func(c *Constants) *float64 { return &c.RequestSeconds },
	}
	all = append([]unknown{func(c *Constants) *float64 { return &c.FixedSeconds }}, withoutFixed...)
)

// guess returns constants of the right magnitude, all above 0.
func (p problem) guess() Constants {
	step, longest, shortest := math.Inf(1), p.points[0], p.points[0]
	slowest := 0.0
	for _, point := range p.points {
		switch {
		case point.Quantity == InterToken:
			step, slowest = min(step, point.Seconds), max(slowest, point.Seconds)
		case longest.Quantity != FirstToken:
			longest, shortest = point, point
		case point.InputTokens > longest.InputTokens:
			longest = point
		case point.InputTokens < shortest.InputTokens:
			shortest = point
		}
	}
	perToken := (longest.Seconds - shortest.Seconds) / float64(longest.InputTokens-shortest.InputTokens)
	full := (p.cache.FullBytes + p.cache.SlidingBytes) * float64(longest.InputTokens*p.limits.MaxNumSeqs)
	return Constants{
		FixedSeconds: step / 4, WeightsSeconds: step * 3 / 4, SecondsPerToken: max(perToken, step/1e4),
		SecondsPerCacheByte: max(slowest-step, step/100) / full, RequestSeconds: max(shortest.Seconds-step, step/10),
	}
}

const (
	iterations = 100
	// converged is the relative decrease of the sum of squares below which an iteration has found the minimum.
	converged = 1e-10
	// telling is the standard error of WeightsSeconds, relative to the time of a pass, above which it is not known.
	telling = 0.25
)

// minimize changes the unknowns of the start so that the sum of squares is least, by the Levenberg-Marquardt method. Constants stay
// at 0 or above. It reports whether the points determine WeightsSeconds.
func (p problem) minimize(start Constants, unknowns []unknown) (Constants, bool) {
	c, damping := start, 1e-3
	residuals := p.residuals(c)
	for range iterations {
		normal, gradient := p.normalEquations(c, start, unknowns, residuals)
		for j, u := range unknowns {
			normal[j][j] *= 1 + damping
			if *u(&c) == 0 && gradient[j] > 0 {
				hold(normal, gradient, j)
			}
		}
		step, ok := solve(normal, gradient)
		if !ok {
			return c, false
		}
		next := c
		for j, u := range unknowns {
			*u(&next) = max(0, *u(&next)-step[j]**u(&start))
		}
		attempt := p.residuals(next)
		before, after := sumOfSquares(residuals), sumOfSquares(attempt)
		if after >= before {
			if damping *= 10; damping > 1e9 {
				break
			}
			continue
		}
		c, residuals, damping = next, attempt, damping/10
		if before-after < converged*before {
			break
		}
	}
	return c, p.determines(c, start, unknowns, residuals)
}

// hold takes an unknown out of the equations, one that is at 0 and would go below.
func hold(normal [][]float64, gradient []float64, j int) {
	for k := range normal {
		normal[j][k], normal[k][j] = 0, 0
	}
	normal[j][j], gradient[j] = 1, 0
}

func sumOfSquares(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v * v
	}
	return sum
}

// residuals returns the relative differences of the predictions.
func (p problem) residuals(c Constants) []float64 {
	r := make([]float64, len(p.points))
	for i, point := range p.points {
		r[i] = point.predict(c, p.limits, p.cache)/point.Seconds - 1
	}
	return r
}

// normalEquations returns the matrix and the right side of the normal equations, for changes in units of the start.
func (p problem) normalEquations(c, start Constants, unknowns []unknown, residuals []float64) ([][]float64, []float64) {
	const bump = 1e-4
	slopes := make([][]float64, len(unknowns))
	for j, u := range unknowns {
		moved := c
		*u(&moved) += bump * *u(&start)
		slopes[j] = p.residuals(moved)
		for i := range slopes[j] {
			slopes[j][i] = (slopes[j][i] - residuals[i]) / bump
		}
	}
	normal, gradient := make([][]float64, len(unknowns)), make([]float64, len(unknowns))
	for j := range normal {
		normal[j] = make([]float64, len(unknowns))
		for k := range normal {
			normal[j][k] = dot(slopes[j], slopes[k])
		}
		gradient[j] = dot(slopes[j], residuals)
	}
	return normal, gradient
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// determines reports whether the standard error of WeightsSeconds is small enough to tell it from FixedSeconds.
func (p problem) determines(c, start Constants, unknowns []unknown, residuals []float64) bool {
	normal, _ := p.normalEquations(c, start, unknowns, residuals)
	freedom := max(1, len(residuals)-len(unknowns))
	variance := sumOfSquares(residuals) / float64(freedom)
	for j, u := range unknowns {
		if u(&start) != &start.WeightsSeconds {
			continue
		}
		unit := make([]float64, len(unknowns))
		unit[j] = 1
		column, ok := solve(normal, unit)
		if !ok {
			return false
		}
		standardError := math.Sqrt(max(0, column[j])*variance) * start.WeightsSeconds
		return standardError < telling*(c.FixedSeconds+c.WeightsSeconds) && c.WeightsSeconds > 0
	}
	return false
}

// solve returns the solution of a system of linear equations by Gaussian elimination, and whether there is exactly one.
func solve(matrix [][]float64, right []float64) ([]float64, bool) {
	n := len(right)
	m := make([][]float64, n)
	for i := range m {
		m[i] = append(append([]float64(nil), matrix[i]...), right[i])
	}
	for i := range n {
		pivot := i
		for k := i; k < n; k++ {
			if math.Abs(m[k][i]) > math.Abs(m[pivot][i]) {
				pivot = k
			}
		}
		m[i], m[pivot] = m[pivot], m[i]
		if math.Abs(m[i][i]) < 1e-12*math.Abs(matrix[i][i]) || m[i][i] == 0 {
			return nil, false
		}
		for k := i + 1; k < n; k++ {
			factor := m[k][i] / m[i][i]
			for j := i; j <= n; j++ {
				m[k][j] -= factor * m[i][j]
			}
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		x[i] = m[i][n]
		for j := i + 1; j < n; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
	}
	return x, true
}
