package policies

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strings"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/oracle"
	"vllm-autoscaling/ops/simulate/presets"
	"vllm-autoscaling/ops/simulate/search"
)

// Baseline is the name of the candidate that every other is compared with: the defaults of commit 202218d.
const Baseline = compare.NamePreset + "202218d"

// earlierServer are the assignments that give a replica the limits that it had at commit 202218d: 16 sequences, and as many tokens in
// a forward pass as vLLM has by itself, whatever slo.interToken is.
var earlierServer = []string{"model.maxNumSeqs=16", "slo.interToken=1m20s"}

// nameVariant begins the names of candidates that change some of the defaults.
const nameVariant = "with "

// Bench is what is compared.
type Bench struct {
	Subjects  []Subject
	Loads     []Load
	Objective compare.Objective
	// Replicas is the mean number of replicas that the baseline needs for each load.
	Replicas float64
	// Variants are assignments KEY=VALUE, each list of which makes a further candidate of the defaults.
	Variants [][]string
	// Presets reports whether the policies of other projects take part.
	Presets bool
	// Candidates is the number of configurations that a search runs; 0 for no search.
	Candidates int
	// Oracle reports whether the oracle takes part, which takes as many runs as a search of a hundred candidates.
	Oracle bool
	// Seed draws what is random: the loads, the simulations and the search.
	Seed uint64
	// Done, if set, is called after each case, by several goroutines.
	Done func(c Case)
}

// Case is a subject with a load, and what became of the candidates.
type Case struct {
	Subject string `json:"subject"`
	Load    string `json:"load"`
	// Given reports whether the load is a trace file and not one of Loads.
	Given bool `json:"given,omitempty"`
	// Trace describes what was replayed.
	Trace string `json:"trace"`
	// Replicas is the mean number of replicas of the baseline.
	Replicas float64 `json:"replicas"`
	// Candidates are named as in package compare, with the defaults as NameConfigured and the result of the search as NameRecommended.
	// Variants are named after their assignments. What was not run, and what no candidate of a kind achieved, is absent.
	Candidates []compare.Candidate `json:"candidates"`
}

// candidate returns the candidate of a name, and whether there is one.
func (c *Case) candidate(name string) (compare.Candidate, bool) {
	return compare.Find(c.Candidates, name)
}

// Ratio returns the GPU-hours of a candidate divided by those of the baseline.
func (c *Case) Ratio(of *compare.Candidate) float64 {
	baseline, _ := c.candidate(Baseline)
	return of.GPUHours / baseline.GPUHours
}

// Run runs all cases, those of a subject after those of the one before it, until one fails.
func (b *Bench) Run(ctx context.Context) ([]Case, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cases := make([]Case, len(b.Subjects)*len(b.Loads))
	err := compare.Each(ctx, 0, len(cases), func(i int) (err error) {
		subject, load := b.Subjects[i/len(b.Loads)], b.Loads[i%len(b.Loads)]
		if cases[i], err = b.run(ctx, subject, load); err != nil {
			err = fmt.Errorf("%s, %s: %w", subject.Name, load.Name, err)
			cancel(err) // What follows would take minutes, and be thrown away.
			return err
		}
		if b.Done != nil {
			b.Done(cases[i])
		}
		return nil
	})
	return cases, err
}

// run runs a case. Several of them run at a time, so that each takes one core.
func (b *Bench) run(ctx context.Context, subject Subject, load Load) (Case, error) {
	c := Case{Subject: subject.Name, Load: load.Name, Given: load.Given()}
	decode, err := subject.decoder(b.Objective, b.Seed)
	if err != nil {
		return c, err
	}
	deployments, err := b.deployments(decode)
	if err != nil {
		return c, err
	}
	earlier, err := decode(earlierServer)
	if err != nil {
		return c, err
	}
	baseline := published(earlier.Settings, func(name string) bool { return name == Baseline })[0]
	s, err := scale(ctx, load, baseline, b.Replicas)
	if err != nil {
		return c, err
	}
	c.Trace, c.Replicas = s.trace.String(), math.Round(100*s.replicas)/100
	replay := &compare.Replay{Load: s.load, Workers: 1}
	others, err := replay.All(ctx, deployments)
	if err != nil {
		return c, err
	}
	c.Candidates = append([]compare.Candidate{s.baseline}, others...)
	if err := b.best(ctx, replay, &c, decode); err != nil {
		return c, err
	}
	return c, s.trace.Err()
}

// deployments returns the defaults, which come first, their variants, and the policies of other projects.
func (b *Bench) deployments(decode func([]string) (search.Decoded, error)) ([]compare.Deployment, error) {
	defaults, err := decode(nil)
	if err != nil {
		return nil, err
	}
	all := []compare.Deployment{{Name: compare.NameConfigured, Settings: defaults.Settings}}
	for _, assignments := range b.Variants {
		variant, err := decode(assignments)
		if err != nil {
			return nil, err
		}
		all = append(all, compare.Deployment{Name: nameVariant + strings.Join(assignments, " "), Settings: variant.Settings})
	}
	if b.Presets {
		all = append(all, published(defaults.Settings, func(name string) bool { return name != Baseline })...)
	}
	return all, nil
}

// published returns the policies of package presets that are chosen by their names, with the server of a deployment.
func published(settings simulate.Settings, chosen func(name string) bool) []compare.Deployment {
	var all []compare.Deployment
	for _, p := range presets.All() {
		if name := compare.NamePreset + p.Name; chosen(name) {
			all = append(all, compare.Deployment{Name: name, Settings: p.Settings(settings)})
		}
	}
	return all
}

// best adds what is possible: the best constant number of replicas, the cheapest configuration, and the oracle's plan.
func (b *Bench) best(ctx context.Context, replay *compare.Replay, c *Case, decode func([]string) (search.Decoded, error)) error {
	defaults, _ := c.candidate(compare.NameConfigured)
	constant, err := staticBest(ctx, replay, defaults.Settings, b.Objective.Ratio)
	if err != nil {
		return err
	}
	number := 0
	if constant != nil {
		number = constant.Most
		c.Candidates = append(c.Candidates, *constant)
	}
	settings := defaults.Settings
	if b.Candidates > 0 {
		outcome, err := search.Find(ctx, search.Input{
			Decode: decode, Replay: replay, Ratio: b.Objective.Ratio, Constant: number, Candidates: b.Candidates, Seed: b.Seed,
		})
		if err != nil {
			return err
		}
		if outcome.Found {
			c.Candidates = append(c.Candidates, outcome.Recommended)
			settings = outcome.Recommended.Settings
		}
	}
	if !b.Oracle {
		return nil
	}
	plan, ok, err := oracle.Find(ctx, replay, oracle.Input{Settings: settings, Ratio: b.Objective.Ratio, Known: c.Candidates})
	if ok {
		c.Candidates = append(c.Candidates, plan)
	}
	return err
}

// staticBest returns the smallest constant number of replicas that keeps the objective, nil where none does. It takes for granted that
// more replicas never keep it for fewer requests.
func staticBest(ctx context.Context, replay *compare.Replay, s simulate.Settings, ratio float64) (best *compare.Candidate, err error) {
	statics := compare.Statics(s)
	sort.Search(len(statics), func(i int) bool {
		if err != nil {
			return true
		}
		var c compare.Candidate
		if c, err = replay.Run(ctx, &statics[i]); err != nil || !c.Keeps(ratio) {
			return false
		}
		c.Name = compare.NameStaticBest
		best = &c // Later ones are smaller.
		return true
	})
	return best, err
}
