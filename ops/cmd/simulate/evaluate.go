package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/oracle"
	"vllm-autoscaling/ops/simulate/presets"
	"vllm-autoscaling/ops/simulate/search"
)

// evaluation runs everything that is compared.
type evaluation struct {
	options  *options
	stack    *stack
	goal     compare.Objective
	traffic  traffic
	load     compare.Load
	progress *progress
}

// newEvaluation reads the stack's file and the load.
func newEvaluation(o *options, progress *progress) (*evaluation, error) {
	stack, err := readStack(o)
	if err != nil {
		return nil, err
	}
	e := &evaluation{options: o, stack: stack, goal: o.objective.Or(objectiveOf(stack.configured)), progress: progress}
	if e.traffic, err = openTraffic(o.trace, o.part); err != nil {
		return nil, err
	}
	if e.traffic.closed != nil {
		o.seed = e.traffic.closed.Seed
	}
	e.load, stack.clients = e.traffic.load(), e.traffic.clients()
	return e, nil
}

// evaluate runs the configuration and what it is compared with. When the context ends, it returns what is known and the cause.
func (e *evaluation) evaluate(ctx context.Context) (document, error) {
	found := document{Schema: schema, Stack: e.stack.configured.Stack, Trace: e.traffic.String(), Objective: e.goal}
	if alone := e.stack.alone(); alone != "" {
		found.Server = e.stack.configured.Server
		found.Notes = append(found.Notes, alone)
	}
	configured, err := e.stack.decode(nil)
	if err != nil {
		return found, err
	}
	if err := e.possible(configured.Settings); err != nil {
		return found, err
	}
	replay := &compare.Replay{Load: e.load, Price: gpuPrice(e.stack.configured), Done: e.progress.done}
	deployments := append([]compare.Deployment{{Name: compare.NameConfigured, Settings: configured.Settings}}, compare.Statics(configured.Settings)...)
	if e.options.presets {
		deployments = append(deployments, published(configured.Settings)...)
	}
	e.progress.begin("comparing", len(deployments)+e.searchRuns()+oracle.Runs)
	found.Candidates, err = replay.All(ctx, deployments)
	if _, ok := compare.Find(found.Candidates, compare.NameConfigured); !ok {
		found.Candidates = nil
	}
	e.addStaticBest(&found)
	if err == nil && e.options.search {
		err = e.search(ctx, replay, &found)
	}
	if err == nil {
		err = e.oracle(ctx, replay, &found)
	}
	found.Interrupted = ctx.Err() != nil
	return found, err
}

// published returns the configured deployment with the scaling policies that other projects publish.
func published(configured simulate.Settings) []compare.Deployment {
	var all []compare.Deployment
	for _, p := range presets.All() {
		all = append(all, compare.Deployment{Name: compare.NamePreset + p.Name, Settings: p.Settings(configured), Source: p.Source, Note: p.Note})
	}
	return all
}

// addStaticBest adds the cheapest constant number of replicas that keeps the objective after the last of them.
func (e *evaluation) addStaticBest(found *document) {
	best, ok := compare.StaticBest(found.Candidates, e.goal.Ratio)
	if !ok {
		return
	}
	best.Name = compare.NameStaticBest
	best.Set = e.stack.assignments(constant(best.Most, e.stack.configured.Autoscaling.SpareNodes))
	at := slices.IndexFunc(found.Candidates, func(c compare.Candidate) bool { return strings.HasPrefix(c.Name, compare.NamePreset) })
	if at < 0 {
		at = len(found.Candidates)
	}
	found.Candidates = slices.Insert(found.Candidates, at, best)
}

// constant returns the assignments of a constant number of replicas, to which no spare node is of use.
func constant(replicas, spareNodes int) []string {
	all := []string{fmt.Sprint("autoscaling.minReplicas=", replicas), fmt.Sprint("autoscaling.maxReplicas=", replicas)}
	if spareNodes > 0 {
		all = append(all, "autoscaling.spareNodes=0")
	}
	return all
}

// possible returns an error where too many requests miss the objective even alone on an idle replica: no autoscaling helps then.
func (e *evaluation) possible(s simulate.Settings) error {
	if e.load == nil {
		return nil
	}
	s.Autoscaler, s.Signals, s.Replicas, s.Nodes.Reclaim = nil, nil, 1, 0
	r, err := simulate.Run(s, e.load.Alone()())
	if err != nil || r.Attainment() >= e.goal.Ratio {
		return err
	}
	closest := compare.Objective{Ratio: e.goal.Ratio}
	if e.goal.TTFT > 0 {
		closest.TTFT = r.FirstToken.Quantile(e.goal.Ratio)
	}
	if e.goal.ITL > 0 && r.InterToken.Count() > 0 {
		closest.ITL = r.InterToken.Quantile(e.goal.Ratio)
	}
	return fmt.Errorf("no autoscaling can keep the objective, %s: even alone on an idle replica only %.2f %% of the requests do. "+
		"The closest is about -objective %s; a faster GPU or a smaller model can do more", e.goal, 100*r.Attainment(), closest.Flag())
}

// trialSeeds is the number of other seeds that a recommendation is judged on.
const trialSeeds = 3

// trials returns what a recommendation is judged on: other draws of the simulation and of what is drawn of the load, and the load
// from its middle on.
func (e *evaluation) trials() ([]search.Trial, error) {
	var all []search.Trial
	for i := range uint64(trialSeeds) {
		seed := e.options.seed + 1 + i
		load, err := e.traffic.redrawn(e.options, seed)
		if err != nil {
			return nil, err
		}
		all = append(all, search.Trial{On: fmt.Sprint("seed ", seed), Seed: seed, Load: load})
	}
	length, _ := e.load.Length()
	if length == 0 {
		return all, nil
	}
	return append(all, search.Trial{On: "the load from its middle on", Seed: e.options.seed, Load: e.load.Shifted(length/2, length)}), nil
}

func (e *evaluation) searchRuns() int {
	if !e.options.search {
		return 0
	}
	return search.Runs(e.options.candidates, trialSeeds+1)
}

// search adds the recommended candidate after the configured one.
func (e *evaluation) search(ctx context.Context, replay *compare.Replay, found *document) error {
	e.progress.begin("searching", e.searchRuns()+oracle.Runs)
	constant := 0
	if best, ok := compare.Find(found.Candidates, compare.NameStaticBest); ok {
		constant = best.Most
	}
	trials, err := e.trials()
	if err != nil {
		return err
	}
	outcome, err := search.Find(ctx, search.Input{
		Decode: e.stack.decode, Replay: replay, Ratio: e.goal.Ratio, Constant: constant,
		Candidates: e.options.candidates, Seed: e.options.seed, Trials: trials, Progress: e.progress.best,
	})
	found.Search = &searched{Candidates: len(outcome.Tried), Invalid: outcome.Invalid, Seed: e.options.seed, HeldOut: outcome.Halved}
	found.tried = outcome.Tried
	if outcome.Found {
		recommended := outcome.Recommended
		found.Notes = append(found.Notes, e.stack.notes(recommended.Set)...)
		recommended.Set = e.stack.assignments(recommended.Set)
		found.Candidates = slices.Insert(found.Candidates, 1, recommended)
		if !outcome.Halved {
			found.Notes = append(found.Notes, "The load is too short to hold out a half of it: the recommendation was chosen on all of it.")
		}
		return err
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(found.Candidates, func(c compare.Candidate) bool { return c.Keeps(e.goal.Ratio) }) {
		found.Notes = append(found.Notes, "No configuration that was tried keeps the objective.")
		return nil
	}
	for i := range outcome.Tried {
		outcome.Tried[i].Name = "this configuration"
	}
	all := append(slices.Clone(found.Candidates), outcome.Tried...)
	closest := compare.Closest(all)
	closest.Set = e.stack.assignments(closest.Set)
	return compare.Unreachable(&closest, e.goal.Ratio, len(all))
}

// oracle adds the oracle with the server of the recommended configuration, or of the configured one.
func (e *evaluation) oracle(ctx context.Context, replay *compare.Replay, found *document) error {
	e.progress.begin("looking ahead", oracle.Runs)
	settings := found.Candidates[0].Settings
	if recommended, ok := compare.Find(found.Candidates, compare.NameRecommended); ok {
		settings = recommended.Settings
	}
	c, ok, err := oracle.Find(ctx, replay, oracle.Input{Settings: settings, Ratio: e.goal.Ratio, Known: found.Candidates})
	if ok {
		found.Candidates = append(found.Candidates, c)
	}
	return err
}
