package search

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"vllm-autoscaling/components/signals"
)

// The dimensions of the space.
const (
	dimMaxNumSeqs = iota
	dimMinReplicas
	dimMaxReplicas
	dimInFlight // The first of the signals, in the order of signalKeys.
	dimRunning
	dimWaiting
	dimGPU
	dimKVCache
	dimUpStabilization
	dimUpPods
	dimUpPeriod
	dimDownStabilization
	dimDownPods
	dimDownPeriod
	dimensions
)

// off is the value of a signal that is not enabled.
const off = 0

// point has an index into the levels of each dimension.
type point [dimensions]int

// space has the levels of each dimension in ascending order: numbers, and seconds. The targets of requests in flight and running are shares of
// maxNumSeqs. The configured values are among them.
type space struct {
	levels     [dimensions][]float64
	configured point
}

// newSpace returns the space around a configuration, up to a number of replicas.
func newSpace(configured map[string]string, most int) (*space, error) {
	s := &space{}
	s.levels = [dimensions][]float64{
		dimMaxNumSeqs:        {4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256},
		dimMinReplicas:       count(most),
		dimMaxReplicas:       count(most),
		dimInFlight:          {off, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5},
		dimRunning:           {off, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9},
		dimWaiting:           {off, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 32},
		dimGPU:               {off, 30, 40, 50, 60, 70, 80, 90},
		dimKVCache:           {off, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90},
		dimUpStabilization:   {0, 15, 30, 60, 120},
		dimUpPods:            {1, 2, 4, 8},
		dimUpPeriod:          {15, 30, 60, 120},
		dimDownStabilization: {0, 30, 60, 120, 180, 300, 600, 900, 1800},
		dimDownPods:          {1, 2, 4},
		dimDownPeriod:        {15, 30, 60, 120, 300},
	}
	values, err := coordinates(configured)
	if err != nil {
		return nil, err
	}
	for d, value := range values {
		i, found := slices.BinarySearch(s.levels[d], value)
		if !found {
			s.levels[d] = slices.Insert(s.levels[d], i, value)
		}
		s.configured[d] = i
	}
	return s, nil
}

func count(most int) []float64 {
	numbers := make([]float64, most)
	for i := range numbers {
		numbers[i] = float64(i + 1)
	}
	return numbers
}

// coordinates returns the values of a configuration in each dimension.
func coordinates(configured map[string]string) ([dimensions]float64, error) {
	keys := [dimensions]string{
		dimMaxNumSeqs: keyMaxNumSeqs, dimMinReplicas: keyMinReplicas, dimMaxReplicas: keyMaxReplicas,
		dimUpStabilization: keyScaleUp + stabilization, dimUpPods: keyScaleUp + pods, dimUpPeriod: keyScaleUp + period,
		dimDownStabilization: keyScaleDown + stabilization, dimDownPods: keyScaleDown + pods, dimDownPeriod: keyScaleDown + period,
	}
	for i, key := range signalKeys {
		keys[dimInFlight+i] = keySignals + string(key) + target
	}
	var values [dimensions]float64
	for d, key := range keys {
		text, ok := configured[key]
		if !ok {
			continue // A signal that is off.
		}
		if length, err := time.ParseDuration(text); err == nil {
			values[d] = length.Seconds()
			continue
		}
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return values, fmt.Errorf("%s=%s: %w", key, text, err)
		}
		values[d] = number
	}
	values[dimInFlight] /= values[dimMaxNumSeqs]
	values[dimRunning] /= values[dimMaxNumSeqs]
	return values, nil
}

// value returns the value of a point in a dimension.
func (s *space) value(p point, dimension int) float64 { return s.levels[dimension][p[dimension]] }

// repair makes minReplicas and maxReplicas of a point consistent.
func (s *space) repair(p point) point {
	p[dimMaxReplicas] = max(p[dimMinReplicas], p[dimMaxReplicas])
	return p
}

// constant reports whether the number of replicas cannot change.
func (p point) constant() bool { return p[dimMinReplicas] == p[dimMaxReplicas] }

// assignments returns the configuration of a point. With a constant number of replicas, the signals and the rules have no effect
// and are left as they are configured.
func (s *space) assignments(p point) []string {
	whole := func(key string, dimension int) string { return fmt.Sprintf("%s=%.0f", key, s.value(p, dimension)) }
	length := func(key string, dimension int) string {
		return key + "=" + durationText(time.Duration(s.value(p, dimension)*float64(time.Second)))
	}
	all := []string{whole(keyMaxNumSeqs, dimMaxNumSeqs), whole(keyMinReplicas, dimMinReplicas), whole(keyMaxReplicas, dimMaxReplicas)}
	if p.constant() {
		return all
	}
	for i, key := range signalKeys {
		all = append(all, s.signal(p, key, dimInFlight+i)...)
	}
	return append(all,
		length(keyScaleUp+stabilization, dimUpStabilization), whole(keyScaleUp+pods, dimUpPods), length(keyScaleUp+period, dimUpPeriod),
		length(keyScaleDown+stabilization, dimDownStabilization), whole(keyScaleDown+pods, dimDownPods), length(keyScaleDown+period, dimDownPeriod),
	)
}

// signal returns the assignments of a signal.
func (s *space) signal(p point, key signals.Key, dimension int) []string {
	prefix, value := keySignals+string(key), s.value(p, dimension)
	if value == off {
		return []string{prefix + enabled + "=false"}
	}
	if dimension == dimInFlight || dimension == dimRunning {
		value = s.requests(p, dimension)
	}
	return []string{prefix + enabled + "=true", prefix + target + "=" + numberText(value)}
}

// requests returns the target of a signal whose levels are shares of maxNumSeqs: whole, except for replicas that work on one request
// only.
func (s *space) requests(p point, dimension int) float64 {
	exact := s.value(p, dimension) * s.value(p, dimMaxNumSeqs)
	if p[dimMaxNumSeqs] == s.configured[dimMaxNumSeqs] && p[dimension] == s.configured[dimension] || exact < 1 {
		return exact
	}
	return math.Round(exact)
}
