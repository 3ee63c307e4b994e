package trace

import (
	"iter"
	"math"
	"math/rand/v2"
)

// poisson draws the arrivals of independent users, whose rate changes in time and is at most top. Candidates arrive at the
// highest rate, and each is kept with the probability of the current rate (thinning).
func poisson(top float64, rate func(at float64) float64) process {
	return func(chance *rand.Rand, length float64) iter.Seq[float64] {
		return func(yield func(float64) bool) {
			for at := chance.ExpFloat64() / top; at < length; at += chance.ExpFloat64() / top {
				if chance.Float64()*top > rate(at) {
					continue
				}
				if !yield(at) {
					return
				}
			}
		}
	}
}

// daily is a rate that goes from low to high and back in each period.
func daily(low, high, period float64) func(float64) float64 {
	return func(at float64) float64 { return low + (high-low)*(1-math.Cos(2*math.Pi*at/period))/2 }
}

// ramp is a rate that changes in a straight line.
func ramp(from, to, length float64) func(float64) float64 {
	return func(at float64) float64 { return from + (to-from)*at/length }
}

// steps is one rate after the other.
func steps(rates []float64, each float64) func(float64) float64 {
	return func(at float64) float64 { return rates[min(len(rates)-1, int(at/each))] }
}

// renewal draws arrivals whose gaps have a gamma distribution with a coefficient of variation: 1 is Poisson, above it the
// arrivals come in bursts.
func renewal(rate, cv float64) process {
	shape := 1 / (cv * cv)
	scale := 1 / (rate * shape)
	return func(chance *rand.Rand, length float64) iter.Seq[float64] {
		return func(yield func(float64) bool) {
			// The load begins at some moment of a gap, more likely of a long one, and not with an arrival. Its number of
			// arrivals is then the rate times the length on average.
			for at := chance.Float64() * gamma(chance, shape+1) * scale; at < length; at += gamma(chance, shape) * scale {
				if !yield(at) {
					return
				}
			}
		}
	}
}

// gamma draws a number from a gamma distribution of scale 1, by the method of Marsaglia and Tsang (2000),
// https://doi.org/10.1145/358407.358414.
func gamma(chance *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(chance, shape+1) * math.Pow(1-chance.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := chance.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-chance.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
