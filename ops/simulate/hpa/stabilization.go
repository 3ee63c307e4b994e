package hpa

import "time"

// proposal is what the metrics asked for in one round.
type proposal struct {
	replicas int32
	time     time.Duration
}

// stabilize moves the current replicas towards what the metrics ask for, no further than every proposal of the respective
// window agrees to: up to the lowest one of the window for additions, down to the highest one of the window for removals. Without a behavior the highest one of the window
// for removals is the result.
func (c *Controller) stabilize(now time.Duration, current, proposed int32) int32 {
	up, down := proposed, proposed
	upCutoff, downCutoff := now-c.up.window, now-c.down.window
	kept := c.proposals[:0]
	for _, p := range c.proposals {
		if p.time > upCutoff {
			up = min(up, p.replicas)
		}
		// The limit of the window belongs to it where the autoscaler has no behavior, and not where it has one.
		if p.time > downCutoff || p.time == downCutoff && c.spec.Behavior == nil {
			down = max(down, p.replicas)
		}
		if p.time >= min(upCutoff, downCutoff) {
			kept = append(kept, p)
		}
	}
	c.proposals = append(kept, proposal{replicas: proposed, time: now})
	if c.spec.Behavior == nil {
		return down
	}
	return min(max(current, up), down)
}
