package oracle

import (
	"context"
	"math"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
)

// misses are the requests that miss the objective, by the constant number of replicas and the window in which they arrive.
type misses struct {
	settings simulate.Settings
	// width is that of a window, length that of the load, in seconds.
	width, length float64
	// counts has a row for each number of replicas, beginning with 1, up to the pool's or the first without a miss.
	counts [][]int
	// cold is how long a replica takes on a new node.
	cold float64
}

const (
	shortestWindow = 15
	longestWindow  = 60
	// windows is about how many there are, between these limits.
	windows = 240
)

// countMisses runs constant numbers of replicas.
func countMisses(ctx context.Context, replay *compare.Replay, s simulate.Settings) (misses, error) {
	length, _ := replay.Load.Length()
	m := misses{settings: s, length: length, cold: s.Start.Total()}
	m.width = min(longestWindow, max(shortestWindow, length/windows))
	statics := compare.Statics(s)
	for first := 0; first < len(statics); first += batch {
		group := statics[first:min(first+batch, len(statics))]
		rows := make([][]int, len(group))
		for i := range group {
			row := make([]int, int(length/m.width)+1)
			rows[i] = row
			group[i].Settings.Missed = func(arrival float64) { row[int(arrival/m.width)]++ }
		}
		candidates, err := replay.All(ctx, group)
		if err != nil {
			return m, err
		}
		for i := range candidates {
			m.counts = append(m.counts, rows[i])
			if candidates[i].Attainment == 1 {
				return m, nil
			}
		}
	}
	return m, nil
}

// lowestPrice is so low, in node-seconds, that no replica is added for all misses of a window, highestPrice so high that
// one is added for a single miss.
func (m *misses) lowestPrice() float64 {
	most := 1
	for _, count := range m.counts[0] {
		most = max(most, count)
	}
	return m.width / float64(most) / 4
}

func (m *misses) highestPrice() float64 {
	return 4 * (m.cold + m.settings.Nodes.Idle + m.length)
}

// between returns n numbers from low to high with equal ratios.
func between(low, high float64, n int) []float64 {
	numbers := make([]float64, n)
	for i := range numbers {
		numbers[i] = low * math.Pow(high/low, float64(i)/float64(n-1))
	}
	return numbers
}

// nodes returns the nodes that hold a number of replicas.
func (m *misses) nodes(replicas int) float64 {
	per := m.settings.Nodes.Replicas
	return float64(max(m.settings.Nodes.Min, (replicas+per-1)/per))
}

// plan returns the replicas that minimize node-seconds plus the price of the misses.
func (m *misses) plan(price float64) []simulate.Step {
	count := len(m.counts[0])
	cost := make([]float64, len(m.counts))
	from := make([][]int, count)
	for w := range count {
		next := make([]float64, len(cost))
		from[w] = make([]int, len(cost))
		for to := range cost {
			least, best := math.Inf(1), to
			for before := range cost {
				if c := cost[before] + m.change(w, before+1, to+1); c < least {
					least, best = c, before
				}
			}
			next[to] = least + m.nodes(to+1)*m.width + price*float64(m.counts[to][w])
			from[w][to] = best
		}
		cost = next
	}
	last := 0
	for i := range cost {
		if cost[i] < cost[last] {
			last = i
		}
	}
	levels := make([]int, count)
	for w := count - 1; w >= 0; w-- {
		levels[w] = last + 1
		last = from[w][last]
	}
	return m.steps(levels)
}

// change returns the node-seconds of another number of replicas from a window on: of the cold start, or of the nodes until they
// are removed. Before the first window any number costs nothing, and none can be added until a cold start has passed.
func (m *misses) change(window, from, to int) float64 {
	at := float64(window) * m.width
	nodes := m.nodes(to) - m.nodes(from)
	switch {
	case window == 0 || from == to:
		return 0
	case to > from && at < m.cold:
		return math.Inf(1)
	case to > from:
		return nodes * m.cold
	}
	return -nodes * min(m.settings.Nodes.Idle, m.length-at)
}

// steps returns the plan of a number of replicas for each window.
func (m *misses) steps(levels []int) []simulate.Step {
	plan := []simulate.Step{{Replicas: levels[0]}}
	for w, level := range levels {
		before := plan[len(plan)-1].Replicas
		if level == before {
			continue
		}
		at := float64(w) * m.width
		if level > before {
			at = max(0, at-m.cold)
		}
		plan = append(plan, simulate.Step{At: at, Replicas: level})
	}
	return ordered(plan)
}

// ordered removes the steps that a later one, asked for earlier because of its cold start, makes void.
func ordered(plan []simulate.Step) []simulate.Step {
	kept := plan[:0]
	for _, step := range plan {
		for len(kept) > 1 && kept[len(kept)-1].At >= step.At {
			kept = kept[:len(kept)-1]
		}
		if n := len(kept); n == 0 || kept[n-1].Replicas != step.Replicas {
			kept = append(kept, step)
		}
	}
	return kept
}
