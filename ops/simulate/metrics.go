package simulate

import (
	"cmp"
	"math"
	"slices"
	"time"

	"vllm-autoscaling/ops/simulate/hpa"
)

// scrape is a scrape whose values the next round of the autoscaler reads.
type scrape struct {
	at  float64
	pod *pod
	// recorded tells signals that a recording rule prepares, which may be of an earlier scrape, from the others.
	recorded bool
}

// scrapes are those before the next round that are to come, in the order of their time. All others have no effect and are not
// simulated.
type scrapes []scrape

func (s scrapes) next() float64 {
	if len(s) == 0 {
		return math.Inf(1)
	}
	return s[0].at
}

// planScrapes finds the last scrape of each ready pod that the next round reads. It is called when a round begins to be awaited
// and when pods become ready.
func (r *run) planScrapes(now float64) {
	if r.controller == nil {
		return
	}
	r.scrapes = r.scrapes[:0]
	evaluated := lastBefore(r.round, r.ruled, r.settings.Metrics.Rule)
	for _, p := range r.fleet.ready {
		direct := lastBefore(r.round, p.scrape, r.settings.Metrics.Scrape)
		recorded := lastBefore(evaluated, p.scrape, r.settings.Metrics.Scrape)
		for _, s := range []scrape{{direct, p, false}, {recorded, p, true}} {
			if s.at >= now && s.at >= p.since {
				r.scrapes = append(r.scrapes, s)
			}
		}
	}
	slices.SortFunc(r.scrapes, func(a, b scrape) int { return cmp.Compare(a.at, b.at) })
}

// lastBefore returns the last of the times phase, phase + interval and so on that is not after a time.
func lastBefore(at, phase, interval float64) float64 {
	return phase + math.Floor((at-phase)/interval)*interval
}

// scrape reads the gauges of a pod.
func (r *run) scrape() {
	s := r.scrapes[0]
	r.scrapes = r.scrapes[1:]
	if s.pod.phase != ready {
		return
	}
	r.fleet.advance(s.at, s.pod)
	for i, signal := range r.settings.Signals {
		if signal.Recorded == s.recorded {
			s.pod.samples[i] = hpa.Sample{Milli: int64(math.Ceil(1000 * signal.Value(s.pod.engine))), Present: true}
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
