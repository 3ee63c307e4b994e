package simulate

import (
	"math"
	"slices"
)

// node is a machine of the GPU pool.
type node struct {
	// billed is when it was asked for, usable when it accepts pods, and idle since when it has no pods.
	billed, usable, idle float64
	// image is when the server's image is on it, +Inf before a pod needs it.
	image float64
	// noticed is when the cloud announces that it takes the node back, +Inf for never, and ends when it does so, +Inf before the
	// announcement.
	noticed, ends float64
	// joined reports whether it accepts pods already.
	joined bool
	pods   int
}

// leaving reports whether the cloud has announced that it takes the node back.
func (n *node) leaving() bool { return !math.IsInf(n.ends, 1) }

// node returns a new node of the pool.
func (f *fleet) node(billed, usable float64) *node {
	n := &node{billed: billed, usable: usable, idle: usable, image: math.Inf(1), noticed: math.Inf(1), ends: math.Inf(1)}
	if mean := f.settings.Nodes.Reclaim; mean > 0 {
		n.noticed = usable - mean*math.Log(1-f.random())
	}
	f.added = billed
	return n
}

// place puts pending pods on nodes with room, and asks for nodes for the rest.
func (f *fleet) place(now float64) {
	waiting := 0
	for _, p := range f.pods {
		if p.phase != pending {
			continue
		}
		if n := f.room(); n != nil {
			f.assign(now, p, n)
			continue
		}
		waiting++
	}
	f.grow(now, waiting)
}

// assign puts a pod on a node. The first pod of a node has the image pulled, the others wait for the same pull.
func (f *fleet) assign(now float64, p *pod, n *node) {
	n.pods++
	p.node = n
	n.image = min(n.image, now+f.settings.Start.Image)
	if n.image > now {
		f.set(p, pulling, now, n.image)
		return
	}
	f.start(now, p)
}

// grow asks for nodes for pods that fit nowhere, and for the pool's minimum, up to its maximum. A node that the cloud takes back
// counts until it is gone.
func (f *fleet) grow(now float64, waiting int) {
	coming, staying := 0, f.staying()
	for _, n := range f.nodes {
		if !n.joined {
			coming += f.settings.Nodes.Replicas
		}
	}
	for (waiting > coming || staying < f.settings.Nodes.Min) && len(f.nodes) < f.settings.Nodes.Max {
		f.nodes = append(f.nodes, f.node(now, now+f.settings.Start.Node))
		coming += f.settings.Nodes.Replicas
		staying++
	}
}

// staying returns the number of nodes that the cloud does not take back.
func (f *fleet) staying() int {
	staying := 0
	for _, n := range f.nodes {
		if !n.leaving() {
			staying++
		}
	}
	return staying
}

// room returns a node that accepts one more pod, the fullest first, or nil.
func (f *fleet) room() *node {
	var best *node
	for _, n := range f.nodes {
		if n.joined && !n.leaving() && n.pods < f.settings.Nodes.Replicas && (best == nil || n.pods > best.pods) {
			best = n
		}
	}
	return best
}

// nextOfNodes returns the time of the next change of a node.
func (f *fleet) nextOfNodes() float64 {
	at, surplus := math.Inf(1), f.staying() > f.settings.Nodes.Min
	for _, n := range f.nodes {
		switch {
		case n.leaving():
			at = min(at, n.ends)
		case !n.joined:
			at = min(at, n.usable)
		case n.pods == 0 && surplus:
			at = min(at, f.removable(n), n.noticed)
		default:
			at = min(at, n.noticed)
		}
	}
	return at
}

// turnNodes makes the changes of nodes that are due.
func (f *fleet) turnNodes(now float64) {
	for _, n := range f.nodes {
		n.joined = n.joined || n.usable <= now
	}
	f.reclaim(now)
	// Pods without a node come first: a node that just became free is of use to them.
	f.place(now)
	f.removeIdleNodes(now)
}

// reclaim announces the reclaims that are due and ends the nodes whose notice is over. Their pods have ended by then.
func (f *fleet) reclaim(now float64) {
	for _, n := range f.nodes {
		if n.noticed <= now && !n.leaving() {
			f.announce(now, n)
		}
	}
	f.nodes = slices.DeleteFunc(f.nodes, func(n *node) bool {
		if n.ends > now || n.pods > 0 {
			return false
		}
		f.nodeSeconds += now - n.billed
		return true
	})
}

// announce deletes the pods of a node that the cloud takes back, with the time that they have left to drain. The ReplicaSet replaces
// pods that are being deleted at once.
func (f *fleet) announce(now float64, n *node) {
	n.ends = now + f.settings.Nodes.Notice
	for _, p := range slices.Clone(f.pods) {
		switch {
		case p.node != n:
		case p.phase == draining:
			p.deadline = min(p.deadline, n.ends)
			p.until = min(p.until, n.ends)
		default:
			f.remove(now, p, min(f.settings.Drain, f.settings.Nodes.Notice))
		}
	}
	f.scale(now, f.replicas)
}

// removable returns when the node autoscaler removes a node without pods.
func (f *fleet) removable(n *node) float64 {
	return max(n.idle+f.settings.Nodes.Idle, f.added+f.settings.Nodes.AfterAdd)
}

// removeIdleNodes removes the nodes that had no pods for long enough, down to the pool's minimum.
func (f *fleet) removeIdleNodes(now float64) {
	surplus := f.staying() - f.settings.Nodes.Min
	f.nodes = slices.DeleteFunc(f.nodes, func(n *node) bool {
		if surplus <= 0 || !n.joined || n.leaving() || n.pods > 0 || f.removable(n) > now {
			return false
		}
		surplus--
		f.nodeSeconds += now - n.billed
		return true
	})
}

// nodeSecondsUntil returns the seconds of all nodes up to a time, the present one.
func (f *fleet) nodeSecondsUntil(now float64) float64 {
	total := f.nodeSeconds
	for _, n := range f.nodes {
		total += now - n.billed
	}
	return total
}
