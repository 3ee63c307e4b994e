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
	// joined reports whether it accepts pods already, spare whether a pod of low priority has all of it.
	joined, spare bool
	pods          int
}

// empty reports whether nothing is on the node.
func (n *node) empty() bool { return n.pods == 0 && !n.spare }

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

// place puts pending pods on nodes with room, or else on spare nodes, and asks for nodes for the rest.
func (f *fleet) place(now float64) {
	waiting := 0
	for _, p := range f.pods {
		if p.phase != pending {
			continue
		}
		n := f.room()
		if n == nil {
			n = f.preempt()
		}
		if n != nil {
			f.assign(now, p, n)
			continue
		}
		waiting++
	}
	f.grow(now, waiting, f.keepSpare(now))
}

// preempt returns a spare node, which from then on is none, or nil. Of several, it is the one that has had the server's image for longest.
func (f *fleet) preempt() *node {
	var best *node
	for _, n := range f.nodes {
		if n.spare && (best == nil || n.image < best.image) {
			best = n
		}
	}
	if best != nil {
		best.spare = false
	}
	return best
}

// keepSpare puts pods of low priority on nodes without pods, where they have the server's image pulled, and returns how many of them still
// have none.
func (f *fleet) keepSpare(now float64) int {
	missing := f.settings.Nodes.Spare
	for _, n := range f.nodes {
		if n.spare {
			missing--
		}
	}
	for _, n := range f.nodes {
		if missing > 0 && n.joined && !n.leaving() && n.empty() {
			n.spare, n.image = true, min(n.image, now+f.settings.Start.Image)
			missing--
		}
	}
	return missing
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

// grow asks for nodes for pods that fit nowhere, for spare nodes that are missing, and for the pool's minimum, up to its maximum. A node
// that the cloud takes back counts until it is gone.
func (f *fleet) grow(now float64, waiting, missing int) {
	coming, staying := 0, f.staying()
	for _, n := range f.nodes {
		if !n.joined {
			coming++
		}
	}
	needed := missing + (waiting+f.settings.Nodes.Replicas-1)/f.settings.Nodes.Replicas
	for (needed > coming || staying < f.settings.Nodes.Min) && len(f.nodes) < f.settings.Nodes.Max {
		f.nodes = append(f.nodes, f.node(now, now+f.settings.Start.Node))
		coming++
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
		if n.joined && !n.leaving() && !n.spare && n.pods < f.settings.Nodes.Replicas && (best == nil || n.pods > best.pods) {
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
		case n.empty() && surplus:
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
	n.ends, n.spare = now+f.settings.Nodes.Notice, false
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
		if surplus <= 0 || !n.joined || n.leaving() || !n.empty() || f.removable(n) > now {
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
