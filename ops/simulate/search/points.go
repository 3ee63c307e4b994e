package search

import (
	"math/rand/v2"
	"slices"
)

// starters returns the configured point, it with other values of maxNumSeqs, and constant numbers of replicas: the one that keeps
// the objective with the configured maxNumSeqs, or the largest where none does or 0 is given, and smaller ones.
func (s *space) starters(constant int) []point {
	if constant == 0 {
		constant = len(s.levels[dimMinReplicas])
	}
	points := []point{s.configured}
	for _, size := range []int{s.configured[dimMaxNumSeqs], s.nearest(dimMaxNumSeqs, 64), s.nearest(dimMaxNumSeqs, 256)} {
		p := s.configured
		p[dimMaxNumSeqs] = size
		points = append(points, p)
		for _, n := range []int{constant, constant - 1, (constant + 1) / 2, (constant + 3) / 4} {
			if p[dimMinReplicas], p[dimMaxReplicas] = n-1, n-1; n >= 1 {
				points = append(points, p)
			}
		}
	}
	return points
}

// nearest returns the index of the first level that is not below a value, or of the last one.
func (s *space) nearest(dimension int, value float64) int {
	i, _ := slices.BinarySearch(s.levels[dimension], value)
	return min(i, len(s.levels[dimension])-1)
}

// sample returns a Latin hypercube of points: in each dimension, every part of the levels has the same number of points.
func (s *space) sample(r *rand.Rand, n int) []point {
	points := make([]point, n)
	for d := range dimensions {
		for i, part := range r.Perm(n) {
			points[i][d] = s.level(d, (float64(part)+r.Float64())/float64(n))
		}
	}
	for i, p := range points {
		points[i] = s.repair(p)
	}
	return points
}

// level returns the level of a dimension for a number of 0 up to 1. A signal is off for offShare of the numbers.
func (s *space) level(dimension int, u float64) int {
	const offShare = 0.4
	levels := len(s.levels[dimension])
	if dimension < dimInFlight || dimension > dimKVCache {
		return int(u * float64(levels))
	}
	if u < offShare {
		return 0
	}
	return 1 + int((u-offShare)/(1-offShare)*float64(levels-1))
}

// changed returns in how many dimensions a point is not the configured one.
func (s *space) changed(p point) (n int) {
	for d := range dimensions {
		if p[d] != s.configured[d] {
			n++
		}
	}
	return n
}

// neighbours returns the points that differ from one in a single value, by one or two levels or by taking the configured one, in a
// signal that is switched, or in the number of replicas, which may become constant. Their order is drawn.
func (s *space) neighbours(r *rand.Rand, p point) []point {
	var all []point
	add := func(q point) {
		if q = s.repair(q); q != p && !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	for d := range dimensions {
		for _, by := range []int{-2, -1, 1, 2} {
			q := p
			q[d] = min(max(0, p[d]+by), len(s.levels[d])-1)
			add(q)
		}
		q := p
		q[d] = s.configured[d]
		add(q)
	}
	for d := dimInFlight; d <= dimKVCache; d++ {
		q := p
		if q[d] = 0; p[d] == 0 {
			q[d] = len(s.levels[d]) / 2
		}
		add(q)
	}
	for n := p[dimMinReplicas]; n <= p[dimMaxReplicas]; n++ {
		q := p
		q[dimMinReplicas], q[dimMaxReplicas] = n, n
		add(q)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
