package simulate

import "math/rand/v2"

// NewRandomRouting returns the draws of Random for a seed: each call chooses one of a number of replicas, in the order in which they
// became ready. They do not depend on what else is drawn, so that a load on a real cluster can be routed in the same way.
func NewRandomRouting(seed uint64) func(replicas int) int {
	random := rand.New(rand.NewPCG(seed, 2))
	return func(replicas int) int { return min(replicas-1, int(random.Float64()*float64(replicas))) }
}
