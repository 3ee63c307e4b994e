package simulate

import (
	"vllm-autoscaling/ops/simulate/replica"
)

// Law is a scaling law that decides in place of the HorizontalPodAutoscaler.
type Law struct {
	// Period is the time between two decisions, in seconds.
	Period float64
	// New returns a Decider without a past. Each run has one of its own.
	New func() (Decider, error)
}

// Decider returns the number of replicas that it asks for. Times are in seconds and do not go back.
type Decider interface {
	Decide(now float64, o Observation) int
}

// Observation is the deployment at the moment of a decision.
type Observation struct {
	// Wanted is the number of replicas asked for, Created the number of pods that are not being deleted, and Ready that of the
	// pods that get requests.
	Wanted, Created, Ready int
	// InFlight is the number of requests that the pods have not finished, including pods that are being deleted.
	InFlight int
	// Ended are the requests that were answered since the last decision.
	Ended []*replica.Request
}

// useLaw lets a law decide.
func (r *run) useLaw(law *Law) error {
	var err error
	if r.law, err = law.New(); err != nil {
		return err
	}
	r.decide, r.round = r.decideByLaw, r.phase*law.Period
	count := r.fleet.finished
	r.fleet.finished = func(q *replica.Request) {
		count(q)
		r.ended = append(r.ended, q)
	}
	return nil
}

// decideByLaw runs a decision of the law.
func (r *run) decideByLaw() {
	now := r.round
	o := Observation{Wanted: int(r.desired), Created: len(r.fleet.live()), Ready: len(r.fleet.ready)}
	for _, p := range r.fleet.pods {
		if p.phase == ready || p.phase == draining {
			r.fleet.advance(now, p)
			o.InFlight += p.inFlight()
		}
	}
	o.Ended, r.ended = r.ended, nil
	r.scale(now, int32(r.law.Decide(now, o)))
	r.round = now + r.settings.Law.Period
}
