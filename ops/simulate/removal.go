package simulate

import (
	"cmp"
	"math"
	"slices"
)

// sortForRemoval orders pods as the ReplicaSet controller removes them (ActivePodsWithRanks in pkg/controller/controller_utils.go):
// those without a node first, then those that are Pending, those that are not ready, those that share their node with the most
// others, and the youngest. Ages are compared by their powers of two, so that of pods of about the same age a random one is removed.
func sortForRemoval(now float64, pods []*pod) {
	onNode := map[*node]int{}
	for _, p := range pods {
		onNode[p.node]++
	}
	slices.SortStableFunc(pods, func(a, b *pod) int {
		return cmp.Or(
			cmp.Compare(a.phase, b.phase),
			cmp.Compare(onNode[b.node], onNode[a.node]),
			cmp.Compare(a.magnitude(now), b.magnitude(now)),
			cmp.Compare(a.uid, b.uid),
		)
	})
}

// magnitude returns the power of two of the pod's age in nanoseconds: since it became ready, or else since it was created.
func (p *pod) magnitude(now float64) int {
	since := p.created
	if p.phase == ready {
		since = p.since
	}
	if now <= since {
		return -1
	}
	return int(math.Log2((now - since) * 1e9))
}
