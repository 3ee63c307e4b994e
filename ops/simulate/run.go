package simulate

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"vllm-autoscaling/ops/simulate/hpa"
	"vllm-autoscaling/ops/simulate/replica"
)

// Arrival is a request of the load.
type Arrival struct {
	// At is when it is sent, in seconds since the beginning.
	At float64
	// Input and Output are the tokens of the prompt and of the answer.
	Input, Output int
}

// Run replays a load, whose arrivals must be in the order of their time, against a deployment.
func Run(s Settings, load iter.Seq[Arrival]) (Result, error) {
	if err := s.validate(); err != nil {
		return Result{}, fmt.Errorf("simulation: %w", err)
	}
	r, err := newRun(&s)
	if err != nil {
		return Result{}, fmt.Errorf("simulation: %w", err)
	}
	last := 0.0
	for a := range load {
		if a.At < last {
			return Result{}, fmt.Errorf("simulation: an arrival at %g s after one at %g s", a.At, last)
		}
		last = a.At
		r.until(last)
		r.arrive(a)
	}
	r.until(last)
	r.result.close(last, r.fleet.nodeSecondsUntil(last), s.Nodes.GPUs)
	r.finish(last)
	return r.result, nil
}

// run is a simulation in progress.
type run struct {
	settings   *Settings
	random     *rand.Rand
	routing    func(replicas int) int
	fleet      fleet
	controller *hpa.Controller
	desired    int32
	// round is when the controller decides next, ruled the phase of the recording rules.
	round, ruled float64
	scrapes      scrapes
	turn         int
	result       Result
}

func newRun(s *Settings) (*run, error) {
	r := &run{settings: s, random: rand.New(rand.NewPCG(s.Seed, 1)), routing: NewRandomRouting(s.Seed), desired: int32(s.Replicas), round: math.Inf(1)}
	r.fleet = fleet{settings: s, random: r.random.Float64, finished: r.result.finished, lost: r.result.lost}
	r.result.objective = s.Objective
	if s.Autoscaler != nil {
		var err error
		if r.controller, err = hpa.New(*s.Autoscaler, hpa.Options{}); err != nil {
			return nil, err
		}
		r.round = r.random.Float64() * hpa.DefaultPeriod.Seconds()
		if s.FirstRound > 0 {
			r.round = s.FirstRound
		}
		r.ruled = r.random.Float64() * s.Metrics.Rule
	}
	r.fleet.begin(s.Replicas)
	r.result.replicas(0, s.Replicas, s.Replicas)
	r.planScrapes(0)
	return r, nil
}

// until makes everything happen that is due before a time.
func (r *run) until(to float64) {
	for {
		at := min(r.fleet.next(), r.scrapes.next(), r.round)
		if at > to {
			return
		}
		switch at {
		case r.scrapes.next():
			r.scrape()
		case r.round:
			r.decide()
		default:
			r.fleet.turn(at)
			r.planScrapes(at)
		}
		r.result.replicas(at, int(r.desired), len(r.fleet.ready))
	}
}

// arrive sends a request to a ready replica. Without one it is refused, as by a Service without endpoints.
func (r *run) arrive(a Arrival) {
	r.result.Requests++
	p := r.route(a.At)
	if p == nil {
		r.result.Refused++
		return
	}
	p.engine.Submit(&replica.Request{Arrival: a.At, Input: max(1, a.Input), Output: max(1, a.Output)})
	for _, done := range p.engine.Finished() {
		r.result.finished(done)
	}
}

func (r *run) route(now float64) *pod {
	ready := r.fleet.ready
	if len(ready) == 0 {
		return nil
	}
	switch r.settings.Routing {
	case RoundRobin:
		r.turn++
		return ready[r.turn%len(ready)]
	case LeastInFlight:
		var best *pod
		for _, p := range ready {
			r.fleet.advance(now, p)
			if best == nil || p.inFlight() < best.inFlight() {
				best = p
			}
		}
		return best
	}
	return ready[r.routing(len(ready))]
}

// decide runs a round of the autoscaler's controller.
func (r *run) decide() {
	now := r.round
	readings := make([]hpa.Reading, len(r.settings.Signals))
	for i := range readings {
		for _, p := range r.fleet.pods {
			readings[i].Pods = append(readings[i].Pods, p.samples[i])
		}
	}
	d := r.controller.Decide(&hpa.Observation{
		Time: seconds(now), SpecReplicas: r.desired, StatusReplicas: int32(len(r.fleet.pods)), Pods: r.fleet.observed(), Readings: readings,
	})
	if d.Replicas != r.desired {
		r.result.decided(d.Replicas - r.desired)
		r.desired = d.Replicas
		r.fleet.scale(now, int(d.Replicas))
	}
	for _, p := range r.fleet.pods {
		clear(p.samples)
	}
	r.round = now + r.settings.RoundTime + hpa.DefaultPeriod.Seconds()
	r.planScrapes(now)
}

// finish lets the replicas that are there finish the requests of the load. The autoscaler no longer decides: what its
// decisions cost after the load is not counted.
func (r *run) finish(now float64) {
	for _, p := range r.fleet.pods {
		p.engine.Drain()
		r.fleet.advance(now, p)
	}
}
