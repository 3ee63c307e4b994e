package presets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/replica"
)

func TestKubeAIAveragesAndWaitsBeforeItRemoves(t *testing.T) {
	law := kubeAI{interval: 10, window: 40, scaleDownDelay: 30, targetRequests: 100}
	d, err := law.decider(limits{minimum: 1, maximum: 5}, simulate.Objective{})
	require.NoError(t, err)
	wanted := 1
	for i, step := range []struct{ inFlight, want int }{
		{400, 1}, {400, 2}, {400, 3}, {400, 4}, // The average of four, with zeros before the first.
		{900, 5}, {900, 5}, // Up to the maximum.
		{0, 5}, {0, 5}, // 550 and 450.
		{0, 5}, {0, 5}, {0, 5}, // 225, 0, 0: fewer replicas, three times.
		{0, 1}, {0, 1}, {0, 1},
		{600, 2}, {0, 2}, {0, 2}, {0, 2}, {0, 2}, {0, 2}, {0, 2}, {0, 1},
	} {
		wanted = d.Decide(float64(10*i), simulate.Observation{Wanted: wanted, InFlight: step.inFlight})
		assert.Equal(t, step.want, wanted, "step %d", i)
	}
}

// The cases follow the formula of the ScaledObject.
func TestSLOAwareReplicas(t *testing.T) {
	for name, test := range map[string]struct {
		share          float64
		created, ready int
		want           int
	}{
		"within the band":                        {0.5, 4, 4, 4},
		"at the upper limit":                     {0.55, 4, 4, 4},
		"above it":                               {0.6, 4, 4, 5},
		"at the limit of a share":                {2, 4, 4, 15},
		"less for replicas that start":           {2, 8, 4, 15},
		"which may ask for fewer than there are": {0.6, 4, 1, 2},
		"no credit without a ready replica":      {2, 4, 0, 15},
		"below the band":                         {0.2, 4, 4, 2},
		"a bit below it":                         {0.35, 4, 4, 4},
		"no load":                                {0, 4, 4, 0},
	} {
		assert.Equal(t, test.want, llmdSLOAware.replicas(test.share, test.created, test.ready), name)
	}
}

func TestSLOAwareComparesLatenciesWithTheObjective(t *testing.T) {
	answered := func(at, first, inter float64) *replica.Request {
		return &replica.Request{Arrival: at, FirstToken: at + first, Finish: at + first + 10*inter, Output: 11}
	}
	for name, test := range map[string]struct {
		objective   simulate.Objective
		first, tpot float64
		want        float64
	}{
		"the guide's first token":  {simulate.Objective{}, 1.5, 0.01, 0.5},
		"the guide's other tokens": {simulate.Objective{}, 0.3, 0.08, 0.8},
		"the simulation's":         {simulate.Objective{FirstToken: 1, InterToken: 1}, 0.7, 0.08, 0.7},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := llmdSLOAware.decider(limits{minimum: 1, maximum: 5}, test.objective)
			require.NoError(t, err)
			law := d.(*sloAwareDecider)
			requests := []*replica.Request{answered(0, 60, 1)} // Longer ago than a minute at 200 s.
			for range 9 {
				requests = append(requests, answered(190, test.first, test.tpot))
			}
			requests = append(requests, answered(190, 5, 0.5)) // Above the quantile.
			law.Decide(200, simulate.Observation{Wanted: 1, Created: 1, Ready: 1, Ended: requests})
			assert.InDelta(t, test.want, law.shares[0], 1e-9)
		})
	}
}

// One request with a late first token counts for a minute as a share of 2: replicas are added when it has done so for 30 s. They are
// removed when the average, which is below the band from 90 s on, was above it in no evaluation of 180 s: one every 120 s.
func TestSLOAwareSmoothsAndStabilizes(t *testing.T) {
	d, err := llmdSLOAware.decider(limits{minimum: 1, maximum: 5}, simulate.Objective{})
	require.NoError(t, err)
	type change struct {
		at       float64
		replicas int
	}
	wanted, changes := 1, []change{}
	for now := 0.0; now <= 900; now += 15 {
		o := simulate.Observation{Wanted: wanted, Created: wanted, Ready: wanted}
		if now == 0 {
			o.Ended = []*replica.Request{{Arrival: -100, FirstToken: -1, Finish: -1, Output: 1}}
		}
		if decided := d.Decide(now, o); decided != wanted {
			wanted = decided
			changes = append(changes, change{now, wanted})
		}
	}
	assert.Equal(t, []change{{30, 4}, {60, 5}, {255, 4}, {375, 3}, {495, 2}, {615, 1}}, changes)
}
