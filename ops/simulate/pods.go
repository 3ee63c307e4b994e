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
	starting              // On a node, not ready.
	ready                 // Gets requests.
	draining              // Deleted, works on what it has.
	gone
)

// pod is a replica.
type pod struct {
	phase  phase
	node   *node
	engine *replica.Engine
	// since is when the pod came into its phase, until when it is looked at again.
	since, until float64
	// scrape is the phase of the scrapes of the pod within their interval.
	scrape float64
	// samples are what the autoscaler's next round reads, one for each signal.
	samples []hpa.Sample
	// deadline is when a pod that is being deleted loses what it has not finished.
	deadline float64
}

// node is a machine of the GPU pool.
type node struct {
	// billed is when it was asked for, usable when it accepts pods, and idle since when it has no pods.
	billed, usable, idle float64
	// joined reports whether it accepts pods already.
	joined bool
	pods   int
}

// fleet is the pods and nodes.
type fleet struct {
	settings *Settings
	pods     []*pod // In the order of creation, without those that are gone.
	nodes    []*node
	ready    []*pod
	// nodeSeconds are those of the nodes that are gone.
	nodeSeconds float64
	random      func() float64
	// finished and lost receive the requests that end, and those that end with their pod.
	finished, lost func(*replica.Request)
}

// add creates a pod.
func (f *fleet) add(now float64) *pod {
	p := &pod{
		phase: pending, since: now, until: math.Inf(1), scrape: f.random() * f.settings.Metrics.Scrape,
		engine:  replica.New(f.settings.Server.Profile, f.settings.Server.Limits, f.settings.Server.Cache),
		samples: make([]hpa.Sample, len(f.settings.Signals)),
	}
	f.pods = append(f.pods, p)
	return p
}

// scale creates and removes pods until the number of those that are not being deleted is the given one.
func (f *fleet) scale(now float64, replicas int) {
	live := f.live()
	for range replicas - len(live) {
		f.add(now)
	}
	if surplus := len(live) - replicas; surplus > 0 {
		slices.SortStableFunc(live, removedFirst)
		for _, p := range live[:surplus] {
			f.remove(now, p)
		}
	}
	f.place(now)
}

// removedFirst orders pods as the ReplicaSet controller removes them: those without a node, those that are not ready, and then
// the youngest.
func removedFirst(a, b *pod) int {
	if a.phase != b.phase {
		return int(a.phase) - int(b.phase)
	}
	switch {
	case a.since > b.since:
		return -1
	case a.since < b.since:
		return 1
	}
	return 0
}

// live returns the pods that are not being deleted.
func (f *fleet) live() []*pod {
	return slices.DeleteFunc(slices.Clone(f.pods), func(p *pod) bool { return p.phase >= draining })
}

// drainCheck is how often a pod that is being deleted is asked whether it has finished, in seconds.
const drainCheck = 1

// remove deletes a pod. One that serves works on its requests for a while.
func (f *fleet) remove(now float64, p *pod) {
	if p.phase != ready {
		f.end(now, p)
		return
	}
	p.deadline = now + f.settings.Drain
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

// place puts pending pods on nodes with room, and asks for nodes for the rest up to the pool's maximum.
func (f *fleet) place(now float64) {
	waiting := 0
	for _, p := range f.pods {
		if p.phase != pending {
			continue
		}
		if n := f.room(); n != nil {
			n.pods++
			p.node = n
			f.set(p, starting, now, now+f.settings.Start.Pod)
			continue
		}
		waiting++
	}
	coming := 0
	for _, n := range f.nodes {
		if !n.joined {
			coming += f.settings.Nodes.Replicas
		}
	}
	for waiting > coming && len(f.nodes) < f.settings.Nodes.Max {
		f.nodes = append(f.nodes, &node{billed: now, usable: now + f.settings.Start.Node, idle: now + f.settings.Start.Node})
		coming += f.settings.Nodes.Replicas
	}
}

// room returns a node that accepts one more pod, the fullest first, or nil.
func (f *fleet) room() *node {
	var best *node
	for _, n := range f.nodes {
		if n.joined && n.pods < f.settings.Nodes.Replicas && (best == nil || n.pods > best.pods) {
			best = n
		}
	}
	return best
}

// next returns the time of the next change of a pod or node that needs no decision.
func (f *fleet) next() float64 {
	at := math.Inf(1)
	for _, p := range f.pods {
		at = min(at, p.until)
	}
	for _, n := range f.nodes {
		switch {
		case !n.joined:
			at = min(at, n.usable)
		case n.pods == 0 && len(f.nodes) > f.settings.Nodes.Min:
			at = min(at, n.idle+f.settings.Nodes.Idle)
		}
	}
	return at
}

// turn makes the changes that are due: pods that become ready or end, nodes that become usable or are removed.
func (f *fleet) turn(now float64) {
	for _, p := range slices.Clone(f.pods) {
		if p.until > now {
			continue
		}
		switch p.phase {
		case starting:
			f.set(p, ready, now, math.Inf(1))
			p.engine.Advance(now)
		case draining:
			f.drain(now, p)
		}
	}
	for _, n := range f.nodes {
		n.joined = n.joined || n.usable <= now
	}
	// Pods without a node come first: a node that just became free is of use to them.
	f.place(now)
	f.removeIdleNodes(now)
}

// removeIdleNodes removes the nodes that had no pods for long enough, down to the pool's minimum.
func (f *fleet) removeIdleNodes(now float64) {
	surplus := len(f.nodes) - f.settings.Nodes.Min
	f.nodes = slices.DeleteFunc(f.nodes, func(n *node) bool {
		if surplus <= 0 || !n.joined || n.pods > 0 || n.idle+f.settings.Nodes.Idle > now {
			return false
		}
		surplus--
		f.nodeSeconds += now - n.billed
		return true
	})
}

// observed returns the pods as the autoscaler's controller sees them.
func (f *fleet) observed() []hpa.Pod {
	pods := make([]hpa.Pod, len(f.pods))
	for i, p := range f.pods {
		pods[i] = hpa.Pod{Pending: p.phase == pending, Ready: p.phase == ready, Ignored: p.phase == draining}
	}
	return pods
}

// begin creates ready replicas on nodes of their own before the load.
func (f *fleet) begin(replicas int) {
	size := max(f.settings.Nodes.Min, (replicas+f.settings.Nodes.Replicas-1)/f.settings.Nodes.Replicas)
	for range size {
		f.nodes = append(f.nodes, &node{joined: true})
	}
	for range replicas {
		f.add(0)
	}
	f.place(0)
	for _, p := range f.pods {
		f.set(p, ready, 0, math.Inf(1))
	}
}

// nodeSecondsUntil returns the seconds of all nodes up to a time, the present one.
func (f *fleet) nodeSecondsUntil(now float64) float64 {
	total := f.nodeSeconds
	for _, n := range f.nodes {
		total += now - n.billed
	}
	return total
}

// inFlight returns the number of requests that a pod has not finished.
func (p *pod) inFlight() int { return p.engine.Running() + p.engine.Waiting() }
