package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
)

// Decoded is a configuration of the stack.
type Decoded struct {
	// Settings are the deployment's.
	Settings simulate.Settings
	// Values are those of the keys that a search sets; see ValuesOf.
	Values map[string]string
}

// Input is what is searched.
type Input struct {
	// Decode returns the stack's configuration with assignments KEY=VALUE, or why it is not valid.
	Decode func(assignments []string) (Decoded, error)
	// Replay runs the load.
	Replay *compare.Replay
	// Ratio is the share of the requests that have to keep the objective.
	Ratio float64
	// Constant is the constant number of replicas that is known to keep the objective, 0 for none.
	Constant int
	// Candidates is the number of configurations that are run.
	Candidates int
	// Seed draws the sample and the order of the neighbours.
	Seed uint64
	// Trials are what the best candidates are judged on besides.
	Trials []Trial
	// Progress, if set, is called after each batch with the best candidate so far.
	Progress func(best compare.Candidate)
}

// Trial is a load and seed on which the best candidates are judged.
type Trial struct {
	// On describes it.
	On   string
	Seed uint64
	Load compare.Load
}

// Outcome is what a search found.
type Outcome struct {
	// Recommended is the recommended candidate; Found reports whether any keeps the objective.
	Recommended compare.Candidate
	Found       bool
	// Tried are all candidates that were run.
	Tried []compare.Candidate
	// Invalid is the number of candidates that the program's validation refused.
	Invalid int
	// Halved reports whether the load is long enough for a half to be held out.
	Halved bool
}

// batch is how many candidates are run between two choices. It does not depend on the number of cores, so that the result does not.
const batch = 8

// tried is a candidate that was run.
type tried struct {
	point     point
	candidate compare.Candidate
	// halves are the attainments of the two halves of the load.
	halves [2]float64
}

// searcher is a search in progress.
type searcher struct {
	in     Input
	space  *space
	halves halves
	random *rand.Rand
	// seen are the configurations that were run or are invalid, expanded the points whose neighbours were all tried.
	seen     map[string]bool
	expanded map[point]bool
	tried    []tried
	// onHalf reports whether candidates are compared by one half of the load.
	onHalf  bool
	heldOut []compare.Judgement
	outcome Outcome
}

// Find searches. When the context ends, it returns what is known and the cause.
func Find(ctx context.Context, in Input) (Outcome, error) {
	configured, err := in.Decode(nil)
	if err != nil {
		return Outcome{}, err
	}
	nodes := configured.Settings.Nodes
	space, err := newSpace(configured.Values, nodes.Max*nodes.Replicas)
	if err != nil {
		return Outcome{}, fmt.Errorf("search: %w", err)
	}
	s := &searcher{
		in: in, space: space, random: rand.New(rand.NewPCG(in.Seed, 4)), seen: map[string]bool{}, expanded: map[point]bool{},
		halves: halvesOf(in.Replay.Load),
	}
	s.outcome.Halved = s.halves.enough()
	err = s.search(ctx)
	s.onHalf = false // Where the context has ended, all that is known counts.
	judged := s.recommend(ctx)
	for _, t := range s.tried {
		s.outcome.Tried = append(s.outcome.Tried, t.candidate)
	}
	return s.outcome, cmp.Or(err, judged)
}

// search runs all candidates. Where the load is long enough, the first three quarters are compared by one half of it, and what
// this alone would recommend is judged on the other half; the rest is compared by all of the load.
func (s *searcher) search(ctx context.Context) error {
	s.onHalf = s.halves.enough()
	if err := s.run(ctx, s.space.starters(s.in.Constant), s.in.Candidates); err != nil {
		return err
	}
	half := s.in.Candidates / 2
	if err := s.run(ctx, s.space.sample(s.random, max(0, half-len(s.tried))), half); err != nil {
		return err
	}
	if err := s.refine(ctx, half+half/2); err != nil {
		return err
	}
	if s.onHalf {
		if best := slices.MinFunc(s.tried, s.order); s.attainment(&best) >= s.in.Ratio {
			s.heldOut = []compare.Judgement{s.halves.heldOut(&best, s.in.Ratio)}
		}
		s.onHalf = false
		clear(s.expanded)
	}
	return s.refine(ctx, s.in.Candidates)
}

// refine runs neighbours of the best candidates until a number of candidates is reached or none are left.
func (s *searcher) refine(ctx context.Context, until int) error {
	for len(s.tried) < until {
		before := len(s.tried)
		if err := s.refineBatch(ctx, min(before+batch, until)); err != nil {
			return err
		}
		if len(s.tried) == before {
			return nil
		}
	}
	return nil
}

// refineBatch runs a batch of neighbours of the best candidate that has any left.
func (s *searcher) refineBatch(ctx context.Context, until int) error {
	ranked := slices.Clone(s.tried)
	slices.SortStableFunc(ranked, s.order)
	before := len(s.tried)
	for _, t := range ranked {
		if s.expanded[t.point] {
			continue
		}
		if err := s.run(ctx, s.space.neighbours(s.random, t.point), until); err != nil {
			return err
		}
		s.expanded[t.point] = len(s.tried) < until
		if len(s.tried) > before {
			return nil
		}
	}
	return nil
}

// attainment returns that by which candidates are compared at present.
func (s *searcher) attainment(t *tried) float64 {
	if s.onHalf {
		return t.halves[chooses]
	}
	return t.candidate.Attainment
}

// order compares candidates: those that keep the objective come before the others, the cheapest first; the others by how many
// requests keep it.
func (s *searcher) order(a, b tried) int {
	one, other := s.attainment(&a), s.attainment(&b)
	keeps, otherKeeps := one >= s.in.Ratio, other >= s.in.Ratio
	switch {
	case keeps && !otherKeeps:
		return -1
	case otherKeeps && !keeps:
		return 1
	case !keeps:
		return cmp.Compare(other, one)
	}
	return cmp.Or(cheaper(&a.candidate, &b.candidate), cmp.Compare(s.space.changed(a.point), s.space.changed(b.point)))
}

// cheaper compares candidates by GPU-hours, then by attainment to a tenth of a percent, and turns.
func cheaper(a, b *compare.Candidate) int {
	rounded := func(c *compare.Candidate) float64 { return math.Round(1000 * c.Attainment) }
	return cmp.Or(cmp.Compare(a.GPUHours, b.GPUHours), cmp.Compare(rounded(b), rounded(a)), cmp.Compare(a.TurnsPerHour, b.TurnsPerHour))
}

// run runs points that were not run yet, until a number of candidates is reached.
func (s *searcher) run(ctx context.Context, points []point, until int) error {
	for len(points) > 0 && len(s.tried) < until {
		var chosen []tried
		for len(points) > 0 && len(chosen) < min(batch, until-len(s.tried)) {
			if t, ok := s.decode(points[0]); ok {
				chosen = append(chosen, t)
			}
			points = points[1:]
		}
		err := s.runAll(ctx, chosen)
		if s.in.Progress != nil && len(s.tried) > 0 {
			s.in.Progress(slices.MinFunc(s.tried, s.order).candidate)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// key returns a text that is equal for points of the same configuration.
func (s *searcher) key(p point) string { return strings.Join(s.assignments(p), " ") }

// assignments returns those of a point, none for the configured one.
func (s *searcher) assignments(p point) []string {
	if p == s.space.configured {
		return nil
	}
	return s.space.assignments(p)
}

// decode returns the deployment of a point, and false where it was run before or is not valid.
func (s *searcher) decode(p point) (tried, bool) {
	key := s.key(p)
	if s.seen[key] {
		return tried{}, false
	}
	s.seen[key] = true
	assignments := s.assignments(p)
	decoded, err := s.in.Decode(assignments)
	if err != nil {
		s.outcome.Invalid++
		return tried{}, false
	}
	c := compare.Candidate{Name: fmt.Sprintf("candidate-%d", len(s.seen)), Set: assignments, Settings: decoded.Settings}
	return tried{point: p, candidate: c}, true
}

// runAll runs a batch and keeps the candidates that finish.
func (s *searcher) runAll(ctx context.Context, chosen []tried) error {
	finished := make([]bool, len(chosen))
	err := compare.Each(ctx, s.in.Replay.Workers, len(chosen), func(i int) error {
		t := &chosen[i]
		var missed [2]int
		d := compare.Deployment{Name: t.candidate.Name, Settings: t.candidate.Settings}
		d.Settings.Missed = func(arrival float64) { missed[s.halves.of(arrival)]++ }
		c, err := s.in.Replay.Run(ctx, &d)
		if err != nil {
			return err
		}
		c.Set, c.Settings = t.candidate.Set, t.candidate.Settings
		t.candidate, t.halves, finished[i] = c, s.halves.attainments(missed), true
		return nil
	})
	for i, t := range chosen {
		if finished[i] {
			s.tried = append(s.tried, t)
		}
	}
	return err
}
