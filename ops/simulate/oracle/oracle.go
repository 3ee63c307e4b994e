package oracle

import (
	"context"
	"slices"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
)

// Input is what a plan is found for.
type Input struct {
	// Settings are the server, the nodes and the objective; the autoscaler is of no importance.
	Settings simulate.Settings
	// Ratio is the share of the requests that have to keep the objective.
	Ratio float64
	// Known are candidates that were run with the same load, seed and objective.
	Known []compare.Candidate
}

const (
	// batch is how many plans are run between two choices. It does not depend on the number of cores, so that the result does not.
	batch = 8
	// narrowings and rounds are how often the price of a miss is narrowed, and the plan improved.
	narrowings, rounds = 3, 8
)

// Runs is about how many runs Find takes, for estimates of the time left.
const Runs = batch * (1 + narrowings + rounds)

// finder is a search in progress.
type finder struct {
	in     Input
	replay *compare.Replay
	misses misses
	best   compare.Candidate
	found  bool
}

// Find returns the oracle's candidate and whether there is one that keeps the objective. When the context ends, it returns the best
// that is known and the cause.
func Find(ctx context.Context, replay *compare.Replay, in Input) (compare.Candidate, bool, error) {
	f := &finder{in: in, replay: replay}
	for _, c := range in.Known {
		f.consider(c)
	}
	err := f.find(ctx)
	f.best.Name, f.best.Set, f.best.Robustness, f.best.Source, f.best.Note = compare.NameOracle, nil, nil, "", ""
	return f.best, f.found, err
}

func (f *finder) find(ctx context.Context) error {
	if length, _ := f.replay.Load.Length(); length == 0 {
		return nil // Requests that wait for the answers of others have no time of their own.
	}
	var err error
	if f.misses, err = countMisses(ctx, f.replay, f.in.Settings); err != nil {
		return err
	}
	if err := f.price(ctx); err != nil {
		return err
	}
	if !f.found {
		return nil
	}
	return f.improve(ctx)
}

// consider keeps a candidate that keeps the objective and is the cheapest so far. It reports whether it did.
func (f *finder) consider(c compare.Candidate) bool {
	if !c.Keeps(f.in.Ratio) || f.found && c.GPUHours >= f.best.GPUHours {
		return false
	}
	f.best, f.found = c, true
	return true
}

// run runs plans with the server of some settings.
func (f *finder) run(ctx context.Context, s simulate.Settings, plans [][]simulate.Step) ([]compare.Candidate, error) {
	deployments := make([]compare.Deployment, len(plans))
	for i, plan := range plans {
		deployments[i] = compare.Deployment{Name: compare.NameOracle, Settings: planned(s, plan)}
	}
	return f.replay.All(ctx, deployments)
}

// planned returns settings that follow a plan. Its first step is at 0. No node is spare: a plan asks for replicas as early as they need a node.
func planned(s simulate.Settings, plan []simulate.Step) simulate.Settings {
	s.Plan, s.Replicas, s.Nodes.Spare = plan, plan[0].Replicas, 0
	return s
}

// price runs the plans of several prices of a miss. The more a miss costs, the more replicas there are; the prices between the last
// one that is too low and the first one that is high enough are divided again.
func (f *finder) price(ctx context.Context) error {
	low, high := f.misses.lowestPrice(), f.misses.highestPrice()
	known := map[string]bool{}
	for range 1 + narrowings {
		prices := between(low, high, batch)
		keeps, err := f.keep(ctx, prices, known)
		if err != nil {
			return err
		}
		enough := slices.Index(keeps, true)
		if enough <= 0 {
			return nil
		}
		low, high = prices[enough-1], prices[enough]
	}
	return nil
}

// keep runs the plans of prices that are not known yet, and reports which of all keep the objective.
func (f *finder) keep(ctx context.Context, prices []float64, known map[string]bool) ([]bool, error) {
	keys := make([]string, len(prices))
	var plans [][]simulate.Step
	var keysOfPlans []string
	for i, price := range prices {
		plan := f.misses.plan(price)
		keys[i] = keyOf(plan)
		if _, ok := known[keys[i]]; !ok && !slices.Contains(keysOfPlans, keys[i]) {
			plans, keysOfPlans = append(plans, plan), append(keysOfPlans, keys[i])
		}
	}
	candidates, err := f.run(ctx, f.in.Settings, plans)
	for _, c := range candidates {
		f.consider(c)
	}
	if err != nil {
		return nil, err
	}
	for i, c := range candidates {
		known[keysOfPlans[i]] = c.Keeps(f.in.Ratio)
	}
	keeps := make([]bool, len(prices))
	for i, key := range keys {
		keeps[i] = known[key]
	}
	return keeps, nil
}
