package simulate

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

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

// Run replays a load, whose arrivals must be in the order of their time, against a deployment. With Settings.Clients the load is nil.
func Run(s Settings, load iter.Seq[Arrival]) (Result, error) {
	if err := s.validate(); err != nil {
		return Result{}, fmt.Errorf("simulation: %w", err)
	}
	if (load == nil) == (s.Clients == nil) {
		return Result{}, errors.New("simulation: give either a load or clients")
	}
	r, err := newRun(&s)
	if err != nil {
		return Result{}, fmt.Errorf("simulation: %w", err)
	}
	var last float64
	if s.Clients != nil {
		last = r.play()
	} else if last, err = r.replay(load); err != nil {
		return Result{}, fmt.Errorf("simulation: %w", err)
	}
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
	// decide is the autoscaler's controller, the law or the plan, and round the time of its next decision.
	decide func()
	// law decides in place of the controller, and ended are the requests that were answered since its last decision.
	law   Decider
	ended []*replica.Request
	// followed is the number of steps of the plan that are behind.
	followed int
	// now is the time of the last event, ruled the phase of the recording rules, and phase that of the decisions as a share of their
	// period.
	now, round, ruled, phase float64
	scrapes                  scrapes
	turn                     int
	result                   Result
}

func newRun(s *Settings) (*run, error) {
	r := &run{settings: s, random: rand.New(rand.NewPCG(s.Seed, 1)), routing: NewRandomRouting(s.Seed), desired: int32(s.Replicas), round: math.Inf(1)}
	r.fleet = fleet{settings: s, random: r.random.Float64, finished: r.result.finished, lost: r.result.lost}
	r.result.objective, r.result.missed = s.Objective, s.Missed
	if s.Series > 0 {
		r.result.Series = &Series{Length: s.Series}
	}
	// Drawn for a plan, too: its pods then have the same phases as those of the decisions that it repeats.
	r.phase, r.ruled = r.random.Float64(), r.random.Float64()*s.Metrics.Rule
	if err := r.useDecider(); err != nil {
		return nil, err
	}
	r.fleet.begin(s.Replicas)
	r.result.replicas(0, s.Replicas, s.Replicas)
	r.planScrapes(0)
	return r, nil
}

// useDecider chooses what decides: the plan, the law, the autoscaler's controller, or nothing.
func (r *run) useDecider() error {
	switch s := r.settings; {
	case len(s.Plan) > 0:
		r.decide, r.round = r.follow, r.nextStep()
	case s.Law != nil:
		return r.useLaw(s.Law)
	case s.Autoscaler != nil:
		return r.useController(s.Autoscaler)
	}
	return nil
}

// useController lets an autoscaler's controller decide.
func (r *run) useController(autoscaler *autoscalingv2.HorizontalPodAutoscalerSpec) error {
	controller, err := hpa.New(*autoscaler, hpa.Options{})
	if err != nil {
		return err
	}
	r.controller, r.decide = controller, r.decideByController
	r.round = r.phase * hpa.DefaultPeriod.Seconds()
	if first := r.settings.FirstRound; first > 0 {
		r.round = first
	}
	r.scrapes = newScrapes(r.settings)
	return nil
}

// replay sends the requests of a load and returns the time of the last one.
func (r *run) replay(load iter.Seq[Arrival]) (float64, error) {
	last := 0.0
	for a := range load {
		if a.At < last {
			return 0, fmt.Errorf("an arrival at %g s after one at %g s", a.At, last)
		}
		last = a.At
		r.until(last)
		r.arrive(a)
	}
	r.until(last)
	return last, nil
}

// until makes everything happen that is due before a time.
func (r *run) until(to float64) {
	for at := r.next(); at <= to; at = r.next() {
		r.step(at)
	}
}

// next returns the time of the next event, arrivals and the passes of the replicas apart.
func (r *run) next() float64 { return min(r.fleet.next(), r.scrapes.next(), r.round) }

// step makes the next event happen, which is at a time.
func (r *run) step(at float64) {
	r.now = at
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

// arrive sends a request to a ready replica and reports whether there is one. Without one it is refused, as by a Service without
// endpoints.
func (r *run) arrive(a Arrival) bool {
	r.result.arrived(a.At)
	p := r.route(a.At)
	if p == nil {
		r.result.refused(a.At)
		return false
	}
	p.engine.Submit(&replica.Request{Arrival: a.At, Input: max(1, a.Input), Output: max(1, a.Output)})
	for _, done := range p.engine.Finished() {
		r.fleet.finished(done)
	}
	return true
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

// decideByController runs a round of the autoscaler's controller.
func (r *run) decideByController() {
	now := r.round
	r.scale(now, r.controller.Decide(&hpa.Observation{
		Time: seconds(now), SpecReplicas: r.desired, StatusReplicas: r.fleet.statusReplicas(), Pods: r.fleet.observed(), Readings: r.readings(),
	}).Replicas)
	r.round = now + r.settings.RoundTime + hpa.DefaultPeriod.Seconds()
	r.planScrapes(now)
}

// scale makes a decision take effect.
func (r *run) scale(now float64, replicas int32) {
	if replicas == r.desired {
		return
	}
	r.result.decided(replicas - r.desired)
	r.desired = replicas
	r.fleet.scale(now, int(replicas))
}

// finish lets the replicas that are there finish the requests of the load. The autoscaler no longer decides: what its
// decisions cost after the load is not counted.
func (r *run) finish(now float64) {
	for _, p := range r.fleet.pods {
		p.engine.Drain()
		r.fleet.advance(now, p)
	}
}
