package search

import (
	"math"

	"vllm-autoscaling/ops/simulate/compare"
)

// halves are every other block of a load, and the rest.
type halves struct {
	// block is the length of a block in seconds.
	block float64
	// blocks is their number.
	blocks int
	// arrivals are those of the halves.
	arrivals [2]int
}

// chooses is the half by which candidates are compared while the other is held out.
const chooses, heldOut = 0, 1

const (
	// shortestBlock is long enough for most of what an autoscaler does: a load that is cut finer has the same minutes in both halves.
	shortestBlock = 300
	// mostBlocks bounds their number, fewestBlocks is what a half can be held out of.
	mostBlocks, fewestBlocks = 24, 4
)

func halvesOf(load compare.Load) halves {
	length, _ := load.Length()
	h := halves{block: max(shortestBlock, length/mostBlocks)}
	h.blocks = int(math.Round(length / h.block))
	if load == nil {
		return h
	}
	for a := range load() {
		h.arrivals[h.of(a.At)]++
	}
	return h
}

// of returns the half of a moment.
func (h *halves) of(at float64) int { return int(at/h.block) % 2 }

// enough reports whether the load is long enough for halves, and both have requests.
func (h *halves) enough() bool {
	return h.blocks >= fewestBlocks && h.arrivals[0] > 0 && h.arrivals[1] > 0
}

// attainments returns the share of the requests of each half that kept the objective.
func (h *halves) attainments(missed [2]int) (shares [2]float64) {
	for i, arrivals := range h.arrivals {
		shares[i] = 1
		if arrivals > 0 {
			shares[i] = 1 - float64(missed[i])/float64(arrivals)
		}
	}
	return shares
}

// heldOut returns what a candidate that was chosen by one half met in the other.
func (h *halves) heldOut(t *tried, ratio float64) compare.Judgement {
	share := t.halves[heldOut]
	return compare.Judgement{On: "held-out half, when chosen by the other half", Attainment: share, Met: share >= ratio, GPUHours: t.candidate.GPUHours}
}
