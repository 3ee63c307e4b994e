package oracle

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"vllm-autoscaling/ops/simulate"
)

// change is a plan that differs a little from the best one.
type change struct {
	plan []simulate.Step
	// saved are the node-seconds that it takes less, and missed the misses that it adds, as far as the windows tell.
	saved, missed float64
}

// improve runs plans that differ a little from the best one, the most promising first, and goes on from the best of them.
func (f *finder) improve(ctx context.Context) error {
	tried := map[string]bool{}
	for range rounds {
		var plans [][]simulate.Step
		for _, c := range f.changes(f.best.Plan) {
			if key := keyOf(c.plan); !tried[key] && len(plans) < batch {
				tried[key] = true
				plans = append(plans, c.plan)
			}
		}
		if len(plans) == 0 {
			return nil
		}
		candidates, err := f.run(ctx, f.best.Settings, plans)
		for _, c := range candidates {
			f.consider(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changes returns the plans with a step left out, lowered, or moved so that replicas are there for a shorter time; those that save
// the most for a miss come first.
func (f *finder) changes(plan []simulate.Step) []change {
	var all []change
	seconds, missed := f.misses.estimate(plan)
	add := func(changed []simulate.Step) {
		c := change{plan: ordered(changed)}
		s, m := f.misses.estimate(c.plan)
		if c.saved, c.missed = seconds-s, m-missed; c.saved > 0 {
			all = append(all, c)
		}
	}
	for i := range plan {
		if i > 0 {
			add(slices.Delete(slices.Clone(plan), i, i+1))
		}
		if plan[i].Replicas > 1 {
			lowered := slices.Clone(plan)
			lowered[i].Replicas--
			add(lowered)
		}
		for _, by := range []float64{1, 4, 16} {
			if moved, ok := f.move(plan, i, by*f.misses.width); ok {
				add(moved)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return cmp.Compare(worth(b), worth(a)) })
	return all
}

// worth is the node-seconds that a change saves for each miss that it adds.
func worth(c change) float64 { return c.saved / max(1, c.missed) }

// move returns the plan with a step later if it adds replicas, earlier if it removes some.
func (f *finder) move(plan []simulate.Step, i int, by float64) ([]simulate.Step, bool) {
	if i == 0 {
		return nil, false
	}
	at, next := plan[i].At, f.misses.length
	if i+1 < len(plan) {
		next = plan[i+1].At
	}
	if plan[i].Replicas > plan[i-1].Replicas {
		at += by
	} else {
		at -= by
	}
	if at <= plan[i-1].At || at >= next {
		return nil, false
	}
	moved := slices.Clone(plan)
	moved[i].At = at
	return moved, true
}

// estimate returns the node-seconds and the misses of a plan as far as the windows tell.
func (m *misses) estimate(plan []simulate.Step) (seconds, missed float64) {
	top := len(m.counts)
	step, asked := 0, 0
	for w := range m.counts[0] {
		start := float64(w) * m.width
		for step+1 < len(plan) && plan[step+1].At <= start {
			step++
		}
		for asked+1 < len(plan) && plan[asked+1].At+m.cold <= start {
			asked++
		}
		// A replica serves a cold start after it was asked for, and until it is removed.
		wanted := plan[step].Replicas
		serving := wanted
		for s := asked; s < step; s++ {
			serving = min(serving, plan[s].Replicas)
		}
		seconds += m.nodes(wanted) * m.width
		missed += float64(m.counts[min(top, serving)-1][w])
	}
	for i := 1; i < len(plan); i++ {
		if fewer := m.nodes(plan[i-1].Replicas) - m.nodes(plan[i].Replicas); fewer > 0 {
			seconds += fewer * m.billedIdle(plan, i)
		}
	}
	return seconds, missed
}

// billedIdle returns for how long the nodes that a step frees are billed: until they are removed, used again, or the load ends.
func (m *misses) billedIdle(plan []simulate.Step, i int) float64 {
	end := m.length
	for _, later := range plan[i+1:] {
		if later.Replicas > plan[i].Replicas {
			end = later.At
			break
		}
	}
	return max(0, min(m.settings.Nodes.Idle, end-plan[i].At))
}

// keyOf returns a text that is equal for equal plans.
func keyOf(plan []simulate.Step) string {
	var key []byte
	for _, step := range plan {
		key = fmt.Appendf(key, "%g:%d ", step.At, step.Replicas)
	}
	return string(key)
}
