package simulate

import (
	"math"
	"slices"

	"vllm-autoscaling/ops/simulate/hpa"
	"vllm-autoscaling/ops/simulate/replica"
)

// phase is where a pod is between its creation and its end.
type phase int

const (
	pending  phase = iota // No node has room.
	pulling               // On a node, without a container: the image is missing.
	starting              // Its container runs, not ready.
	ready                 // Gets requests.
	draining              // Deleted, works on what it has.
	gone
)

// pod is a replica.
type pod struct {
	phase  phase
	node   *node
	engine *replica.Engine
	// created is when the pod was created, since when it came into its phase, until when it is looked at again.
	created, since, until float64
	// uid orders pods that nothing else distinguishes.
	uid float64
	// scrape is the phase of the scrapes of the pod within their interval, samples what the last ones read.
	scrape  float64
	samples []sample
	// deadline is when a pod that is being deleted loses what it has not finished.
	deadline float64
}

// fleet is the pods and nodes.
type fleet struct {
	settings *Settings
	pods     []*pod // In the order of creation, without those that are gone.
	nodes    []*node
	ready    []*pod
	// replicas is the number of pods that there should be.
	replicas int
	// nodeSeconds are those of the nodes that are gone, added is when a node was last asked for.
	nodeSeconds, added float64
	random             func() float64
	// finished and lost receive the requests that end, and those that end with their pod.
	finished, lost func(*replica.Request)
}

// add creates a pod.
func (f *fleet) add(now float64) *pod {
	p := &pod{
		phase: pending, created: now, since: now, until: math.Inf(1), scrape: f.random() * f.settings.Metrics.Scrape, uid: f.random(),
		engine: replica.New(f.settings.Server.Profile, f.settings.Server.Limits, f.settings.Server.Cache),
	}
	f.pods = append(f.pods, p)
	return p
}

// scale creates and removes pods until the number of those that are not being deleted is the given one.
func (f *fleet) scale(now float64, replicas int) {
	f.replicas = replicas
	live := f.live()
	for range replicas - len(live) {
		f.add(now)
	}
	if surplus := len(live) - replicas; surplus > 0 {
		sortForRemoval(now, live)
		for _, p := range live[:surplus] {
			f.remove(now, p, f.settings.Drain)
		}
	}
	f.place(now)
}

// live returns the pods that are not being deleted.
func (f *fleet) live() []*pod {
	return slices.DeleteFunc(slices.Clone(f.pods), func(p *pod) bool { return p.phase >= draining })
}

// drainCheck is how often a pod that is being deleted is asked whether it has finished, in seconds.
const drainCheck = 1

// remove deletes a pod. One that serves works on its requests for a while, the drain time.
func (f *fleet) remove(now float64, p *pod, drain float64) {
	if p.phase != ready {
		f.end(now, p)
		return
	}
	p.deadline = now + drain
	f.set(p, draining, now, now)
}

// drain ends a pod that is being deleted when it has finished its requests, or when its time is over.
func (f *fleet) drain(now float64, p *pod) {
	f.advance(now, p)
	if p.engine.Running()+p.engine.Waiting() > 0 && now < p.deadline {
		p.until = min(p.deadline, now+drainCheck)
		return
	}
	for _, r := range p.engine.Abandon() {
		f.lost(r)
	}
	f.end(now, p)
}

// advance lets a pod work up to a time and hands over what it has finished.
func (f *fleet) advance(now float64, p *pod) {
	p.engine.Advance(now)
	for _, r := range p.engine.Finished() {
		f.finished(r)
	}
}

// end frees a pod's place on its node.
func (f *fleet) end(now float64, p *pod) {
	if p.node != nil {
		p.node.pods--
		if p.node.pods == 0 {
			p.node.idle = now
		}
	}
	f.set(p, gone, now, math.Inf(1))
	f.pods = slices.DeleteFunc(f.pods, func(other *pod) bool { return other == p })
}

func (f *fleet) set(p *pod, to phase, now, until float64) {
	if p.phase == ready {
		f.ready = slices.DeleteFunc(f.ready, func(other *pod) bool { return other == p })
	}
	p.phase, p.since, p.until = to, now, until
	if to == ready {
		f.ready = append(f.ready, p)
	}
}

// next returns the time of the next change of a pod or node that needs no decision.
func (f *fleet) next() float64 {
	at := math.Inf(1)
	for _, p := range f.pods {
		at = min(at, p.until)
	}
	return min(at, f.nextOfNodes())
}

// turn makes the changes that are due: pods that become ready or end, nodes that become usable or are removed.
func (f *fleet) turn(now float64) {
	for _, p := range slices.Clone(f.pods) {
		if p.until > now {
			continue
		}
		switch p.phase {
		case pulling:
			f.start(now, p)
		case starting:
			f.set(p, ready, now, math.Inf(1))
			p.engine.Advance(now)
		case draining:
			f.drain(now, p)
		}
	}
	f.turnNodes(now)
}

// start runs the container of a pod.
func (f *fleet) start(now float64, p *pod) {
	f.set(p, starting, now, now+f.settings.Start.Weights+f.settings.Start.Warmup)
}

// observed returns the pods as the autoscaler's controller sees them. A pod's phase is Pending until its first container has
// started, that is while the image is pulled; while the server loads it is Running and has no metrics yet. For metrics of the types
// Pods, Object and External the controller looks at no time of a pod: those of its start and of its readiness count for the CPU only
// (groupPods in pkg/controller/podautoscaler/replica_calculator.go).
func (f *fleet) observed() []hpa.Pod {
	pods := make([]hpa.Pod, len(f.pods))
	for i, p := range f.pods {
		pods[i] = hpa.Pod{Pending: p.phase <= pulling, Ready: p.phase == ready, Ignored: p.phase == draining}
	}
	return pods
}

// statusReplicas returns the Deployment's status.replicas: the pods that are not being deleted, whether they are ready or not. The
// ReplicaSet controller counts active pods, and one with a deletion timestamp is none (IsPodActive in
// pkg/controller/controller_utils.go).
func (f *fleet) statusReplicas() int32 { return int32(len(f.live())) }

// begin creates ready replicas on nodes of their own, and the spare nodes, before the load.
func (f *fleet) begin(replicas int) {
	f.replicas = replicas
	size := (replicas + f.settings.Nodes.Replicas - 1) / f.settings.Nodes.Replicas
	size = max(f.settings.Nodes.Min, min(size+f.settings.Nodes.Spare, f.settings.Nodes.Max))
	for range size {
		n := f.node(0, 0)
		n.joined, n.image = true, 0
		f.nodes = append(f.nodes, n)
	}
	f.added = math.Inf(-1)
	for range replicas {
		f.add(0)
	}
	f.place(0)
	for _, p := range f.pods {
		f.set(p, ready, 0, math.Inf(1))
	}
}

// serves reports whether the pod exports metrics: it works on requests, or did not get any yet.
func (p *pod) serves() bool { return p.phase == ready || p.phase == draining }

// inFlight returns the number of requests that a pod has not finished.
func (p *pod) inFlight() int { return p.engine.Running() + p.engine.Waiting() }
