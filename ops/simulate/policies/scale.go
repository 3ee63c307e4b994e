package policies

import (
	"context"
	"fmt"
	"math"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/trace"
)

// scaled is a load with the rates at which the baseline needs the mean number of replicas.
type scaled struct {
	trace    *trace.Trace
	load     compare.Load
	baseline compare.Candidate
	// replicas is the mean number that the baseline takes.
	replicas float64
}

const (
	// leastFactor and mostFactor bound the factors of a synthetic load, and of a trace, which is read once for each copy.
	leastFactor, mostFactor, mostCopies = 0.01, 1000, 64
	// halvings narrows a factor between a value and its double down to 1 %.
	halvings = 6
	// enough is how close to the wanted mean number of replicas is close enough.
	enough = 0.02
)

// scale finds the factor of a load at which a baseline takes a mean number of replicas, and less than its maximum at any time. Where
// no factor does, because a little more load needs many more replicas, the closest is taken.
func scale(ctx context.Context, l Load, baseline compare.Deployment, replicas float64) (scaled, error) {
	var best scaled
	distance := math.Inf(1)
	// try reports whether a factor is too large.
	try := func(factor float64) (bool, error) {
		s, err := at(ctx, l, factor, baseline)
		if err != nil {
			return false, err
		}
		binding := s.baseline.Most >= MostReplicas
		if d := math.Abs(math.Log(s.replicas / replicas)); !binding && d < distance {
			best, distance = s, d
		}
		return binding || s.replicas > replicas, nil
	}
	low, high := 0.0, 0.0
	for factor := 1.0; low == 0 || high == 0; {
		large, err := try(factor)
		if err != nil {
			return best, err
		}
		if large {
			high = factor
			factor /= 2
		} else {
			low = factor
			factor *= 2
		}
		if factor < leastFactor || factor > mostFactor {
			break
		}
	}
	for i := 0; i < halvings && low > 0 && high > 0 && distance > enough; i++ {
		factor := math.Sqrt(low * high)
		large, err := try(factor)
		if err != nil {
			return best, err
		}
		if large {
			high = factor
		} else {
			low = factor
		}
	}
	if best.load == nil {
		return best, fmt.Errorf("load %s: %s takes its maximum of %d replicas at every rate", l.Name, baseline.Name, MostReplicas)
	}
	return best, nil
}

// at runs the baseline with a factor of a load.
func at(ctx context.Context, l Load, factor float64, baseline compare.Deployment) (scaled, error) {
	t, err := l.at(factor, baseline.Settings.Seed)
	if err != nil {
		return scaled{}, err
	}
	s := scaled{trace: t, load: compare.LoadOf(t)}
	if s.baseline, err = (&compare.Replay{Load: s.load, Workers: 1}).Run(ctx, &baseline); err != nil {
		return scaled{}, err
	}
	s.replicas = s.baseline.GPUHours / t.Length().Hours() / gpus(&baseline.Settings)
	return s, t.Err()
}

// gpus returns the number of GPUs of a replica.
func gpus(s *simulate.Settings) float64 { return float64(s.Nodes.GPUs) / float64(s.Nodes.Replicas) }
