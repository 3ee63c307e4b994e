package search

import (
	"context"
	"maps"
	"slices"

	"vllm-autoscaling/ops/simulate/compare"
)

const (
	// margin is how much dearer than the cheapest a candidate may be that is recommended because it keeps the objective in more trials.
	margin = 1.1
	// group is how many of the cheapest candidates are judged at a time, and groups how many times at most.
	group, groups = 4, 4
)

// Runs is about how many runs Find takes for a number of candidates and trials, for estimates of the time left.
func Runs(candidates, trials int) int { return candidates + 2*group*trials + dimensions }

// recommend judges the cheapest candidates that keep the objective, and recommends the first that keeps it in every trial, or else
// the one that keeps it in the most.
func (s *searcher) recommend(ctx context.Context) error {
	few := s.cheapest()
	best, most := -1, -1
	var err error
	for first := 0; first < len(few) && err == nil && most < len(s.in.Trials); first += group {
		last := min(first+group, len(few))
		err = s.judge(ctx, few[first:last])
		for i := first; i < last; i++ {
			if held := held(few[i].candidate.Robustness); held > most {
				best, most = i, held
			}
		}
	}
	if best < 0 {
		return err
	}
	chosen := few[best]
	if err == nil {
		chosen, err = s.simplify(ctx, chosen)
	}
	s.outcome.Recommended, s.outcome.Found = chosen.candidate, true
	c := &s.outcome.Recommended
	c.Name, c.Set, c.Robustness = compare.NameRecommended, Minimal(s.in.Decode, c.Set), append(s.heldOut, c.Robustness...)
	return err
}

// cheapest returns the candidates that keep the objective for little more GPU-hours than the cheapest one, but for no more than
// the configured one and the best constant number of replicas.
func (s *searcher) cheapest() []tried {
	all := slices.DeleteFunc(slices.Clone(s.tried), func(t tried) bool { return !t.candidate.Keeps(s.in.Ratio) })
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, s.order)
	limit := margin * all[0].candidate.GPUHours
	for _, t := range all {
		if t.point == s.space.configured || t.point.constant() {
			limit = min(limit, t.candidate.GPUHours)
		}
	}
	few := slices.DeleteFunc(all, func(t tried) bool { return t.candidate.GPUHours > limit })
	return few[:min(len(few), group*groups)]
}

func held(robustness []compare.Judgement) (n int) {
	for _, j := range robustness {
		if j.Met {
			n++
		}
	}
	return n
}

// judge runs the trials of some candidates. When the context ends, they have no judgements.
func (s *searcher) judge(ctx context.Context, candidates []tried) error {
	trials := s.in.Trials
	all := make([]compare.Judgement, len(candidates)*len(trials))
	err := compare.Each(ctx, s.in.Replay.Workers, len(all), func(i int) error {
		trial, settings := trials[i%len(trials)], candidates[i/len(trials)].candidate.Settings
		settings.Seed = trial.Seed
		c, err := s.in.Replay.With(trial.Load).Run(ctx, &compare.Deployment{Name: trial.On, Settings: settings})
		all[i] = compare.Judgement{On: trial.On, Attainment: c.Attainment, Met: c.Keeps(s.in.Ratio), GPUHours: c.GPUHours}
		return err
	})
	if err != nil {
		return err
	}
	for i := range candidates {
		candidates[i].candidate.Robustness = all[i*len(trials) : (i+1)*len(trials)]
	}
	return nil
}

// simplify takes back the changes of a candidate, one after the other, as long as it keeps the objective in as many trials for no
// more GPU-hours: what has no effect is not recommended.
func (s *searcher) simplify(ctx context.Context, t tried) (tried, error) {
	simple := t
	for d := range dimensions {
		p := simple.point
		if p[d] = s.space.configured[d]; p == simple.point || p != s.space.repair(p) {
			continue
		}
		next, ok := s.decode(p)
		if !ok {
			if next, ok = s.known(p); !ok {
				continue
			}
		} else if err := s.runAll(ctx, []tried{next}); err != nil {
			return t, err
		} else {
			next = s.tried[len(s.tried)-1]
		}
		if next.candidate.Keeps(s.in.Ratio) && next.candidate.GPUHours <= simple.candidate.GPUHours {
			simple = next
		}
	}
	if simple.point == t.point {
		return t, nil
	}
	judged := []tried{simple}
	if err := s.judge(ctx, judged); err != nil || held(judged[0].candidate.Robustness) < held(t.candidate.Robustness) {
		return t, err
	}
	return judged[0], nil
}

// known returns the candidate of a point that was run before, or one with the same configuration.
func (s *searcher) known(p point) (tried, bool) {
	key := s.key(p)
	for _, t := range s.tried {
		if s.key(t.point) == key {
			return t, true
		}
	}
	return tried{}, false
}

// Minimal returns assignments without those whose keys have the same value when they are left out.
func Minimal(decode func([]string) (Decoded, error), assignments []string) []string {
	want, err := decode(assignments)
	if err != nil {
		return assignments
	}
	minimal := slices.Clone(assignments)
	for i := 0; i < len(minimal); {
		without := slices.Delete(slices.Clone(minimal), i, i+1)
		if got, err := decode(without); err == nil && maps.Equal(got.Values, want.Values) {
			minimal = without
			continue
		}
		i++
	}
	return minimal
}
