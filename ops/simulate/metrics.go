package simulate

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"vllm-autoscaling/ops/simulate/hpa"
)

// The model of the way from a replica's gauges to the autoscaler: Prometheus scrapes each replica that serves at a phase of its own, the
// recording rules are evaluated at one phase for all, and the adapter reads the newest sample.
//
// Replicas that drain are scraped until they end: Kubernetes keeps them in the EndpointSlice, as terminating. The controller ignores
// them in metrics of type Pods; in a sum they count. One that has ended leaves nothing behind here. Prometheus marks its series stale
// two to three scrape intervals after the target is gone (endOfRunStaleness in scrape/scrape.go), and the adapter lists the pods first
// and asks for the samples of these only (GetMetricBySelector in pkg/custom-provider/provider.go). So metrics of type Pods are exact,
// and a sum lacks what the real one has for these few seconds.

// scrape is a scrape whose values an autoscaler's round reads.
type scrape struct {
	at  float64
	pod *pod
}

// sample is what a scrape of a pod read: for each signal its gauge and that of its guard.
type sample struct {
	at             float64
	values, guards []float64
}

// scrapes are those that the next round reads. All others have no effect and are not simulated.
type scrapes struct {
	// planned are in the order of their time, of which done have happened.
	planned []scrape
	done    int
	// reads are the times at which samples are read.
	reads []float64
	// evaluations is the number of evaluations of the recording rules whose samples a round reads.
	evaluations int
	// reach is the highest age of a sample that a round reads.
	reach float64
}

func newScrapes(s *Settings) scrapes {
	var c scrapes
	for _, signal := range s.Signals {
		if signal.Recorded {
			c.evaluations = max(c.evaluations, 1)
		}
		if signal.Guard != nil {
			c.evaluations = max(c.evaluations, signal.Guard.Scrapes)
		}
	}
	c.reach = s.Metrics.Scrape + s.Metrics.Rule*float64(c.evaluations)
	return c
}

func (s *scrapes) next() float64 {
	if s.done == len(s.planned) {
		return math.Inf(1)
	}
	return s.planned[s.done].at
}

// planScrapes finds the scrapes to come of each pod that serves that the next round reads. It is called when a round begins to be
// awaited and when pods become ready.
func (r *run) planScrapes(now float64) {
	if r.controller == nil {
		return
	}
	s := &r.scrapes
	s.planned, s.done = s.planned[:0], 0
	r.planReads()
	for _, p := range r.fleet.pods {
		if !p.serves() {
			continue
		}
		for _, read := range s.reads {
			at := lastBefore(read, p.scrape, r.settings.Metrics.Scrape)
			if at >= now && at >= p.since {
				s.planned = append(s.planned, scrape{at, p})
			}
		}
	}
	slices.SortFunc(s.planned, func(a, b scrape) int { return cmp.Compare(a.at, b.at) })
	s.planned = slices.Compact(s.planned)
}

// planReads finds the times at which samples are read for the next round: by the adapter, and by those evaluations of the rules whose
// results the round depends on. Later rounds need no other scrape from before it: an evaluation after the round reads a later scrape, or
// the last one before the round, as the adapter does.
func (r *run) planReads() {
	s := &r.scrapes
	s.reads = append(s.reads[:0], r.round)
	for n := range s.evaluations {
		s.reads = append(s.reads, r.evaluation(r.round, n))
	}
}

// evaluation returns the time of the evaluation of the rules that is the given number before the last one before a round.
func (r *run) evaluation(round float64, before int) float64 {
	return lastBefore(round, r.ruled, r.settings.Metrics.Rule) - float64(before)*r.settings.Metrics.Rule
}

// lastBefore returns the last of the times phase, phase + interval and so on that is not after a time.
func lastBefore(at, phase, interval float64) float64 {
	return phase + math.Floor((at-phase)/interval)*interval
}

// scrape reads the gauges of a pod.
func (r *run) scrape() {
	s := r.scrapes.planned[r.scrapes.done]
	r.scrapes.done++
	if !s.pod.serves() {
		return
	}
	r.fleet.advance(s.at, s.pod)
	into := s.pod.newSample(s.at, s.at-r.scrapes.reach, len(r.settings.Signals))
	for i := range r.settings.Signals {
		signal := &r.settings.Signals[i]
		into.values[i] = signal.Value(s.pod.engine)
		if signal.Guard != nil {
			into.guards[i] = signal.Guard.Value(s.pod.engine)
		}
	}
}

// newSample adds a sample, in the place of the first one if that is from before a time.
func (p *pod) newSample(at, expired float64, signals int) *sample {
	if len(p.samples) > 0 && p.samples[0].at < expired {
		oldest := p.samples[0]
		copy(p.samples, p.samples[1:])
		oldest.at = at
		p.samples[len(p.samples)-1] = oldest
	} else {
		p.samples = append(p.samples, sample{at: at, values: make([]float64, signals), guards: make([]float64, signals)})
	}
	return &p.samples[len(p.samples)-1]
}

// sampleAt returns the last sample up to a time, nil for none.
func (p *pod) sampleAt(at float64) *sample {
	for i := len(p.samples) - 1; i >= 0; i-- {
		if p.samples[i].at <= at {
			return &p.samples[i]
		}
	}
	return nil
}

var errNoSamples = errors.New("no samples")

// readings returns what the adapter answers in a round.
func (r *run) readings() []hpa.Reading {
	readings := make([]hpa.Reading, len(r.settings.Signals))
	for i := range readings {
		reading := &readings[i]
		reading.Err = errNoSamples
		reading.Pods = make([]hpa.Sample, len(r.fleet.pods))
		for n, p := range r.fleet.pods {
			value, present := r.read(p, &r.settings.Signals[i], i)
			if !present {
				continue
			}
			milli := int64(math.Ceil(1000 * value))
			reading.Pods[n] = hpa.Sample{Milli: milli, Present: true}
			reading.TotalMilli += milli
			reading.Err = nil
		}
	}
	return readings
}

// read returns the value of a signal of a pod in a round, and whether there is one.
func (r *run) read(p *pod, signal *Signal, index int) (float64, bool) {
	if !p.serves() {
		return 0, false
	}
	at := r.round
	if signal.Recorded {
		at = r.evaluation(r.round, 0)
	}
	newest := p.sampleAt(at)
	if newest == nil {
		return 0, false
	}
	value := newest.values[index]
	if g := signal.Guard; g != nil {
		value *= min(1, r.guarded(p, g, index)/g.Full)
	}
	return value, true
}

// guarded returns the mean of a guard's gauge over its evaluations, of those at which the pod had a sample.
func (r *run) guarded(p *pod, g *Guard, index int) float64 {
	sum, count := 0.0, 0.0
	for n := range g.Scrapes {
		if s := p.sampleAt(r.evaluation(r.round, n)); s != nil {
			sum += s.guards[index]
			count++
		}
	}
	return sum / count
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
