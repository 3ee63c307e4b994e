package policies

import (
	"math"
	"slices"

	"vllm-autoscaling/ops/simulate/compare"
)

const (
	// tolerance is how much smaller an attainment may be and still be no less: 0.05 points.
	tolerance = 0.0005
	// cheap is the ratio that the defaults are meant to take at most.
	cheap = 0.45
	// moreTurns is how many more turns in an hour are more.
	moreTurns = 0.05
)

// Summary is what became of a policy in some cases, beside the baseline.
type Summary struct {
	// Policy is the name of the candidate.
	Policy string `json:"policy"`
	// Subject is empty for all subjects. Given reports whether the loads are traces and not those of Loads.
	Subject string `json:"subject,omitempty"`
	Given   bool   `json:"given,omitempty"`
	// Cases is the number of cases in which there is such a candidate; a constant number of replicas that keeps the objective, for
	// example, does not always exist.
	Cases int `json:"cases"`
	// Ratio is the geometric mean of the ratios.
	Ratio float64 `json:"ratio"`
	// Attainment is the mean difference to the attainment of the baseline.
	Attainment float64 `json:"attainment"`
	// NoLess counts the cases with no less attainment than the baseline, Cheap those with a ratio of 0.45 or less, Both those with
	// both, Keeps those that keep the objective, and MoreTurns those with more turns.
	NoLess    int `json:"noLess"`
	Cheap     int `json:"cheap"`
	Both      int `json:"both"`
	Keeps     int `json:"keeps"`
	MoreTurns int `json:"moreTurns"`
	// ToStatic, ToBest and ToOracle are the geometric means of the GPU-hours divided by those of the best constant number of replicas,
	// of the cheapest configuration that was found, and of the oracle, in the cases in which this policy and the other one keep the
	// objective; 0 without any.
	ToStatic float64 `json:"toStaticBest,omitempty"`
	ToBest   float64 `json:"toRecommended,omitempty"`
	ToOracle float64 `json:"toOracle,omitempty"`
}

// Summarize returns the summary of a policy in the cases of a subject, or of all with an empty name, with the given traces or with
// the loads of Loads.
func Summarize(cases []Case, policy, subject string, given bool, ratio float64) Summary {
	s := Summary{Policy: policy, Subject: subject, Given: given}
	var toBaseline, toStatic, toBest, toOracle mean
	for _, c := range cases {
		of, ok := c.candidate(policy)
		if !ok || c.Given != given || subject != "" && c.Subject != subject {
			continue
		}
		baseline, _ := c.candidate(Baseline)
		s.add(&of, &baseline, ratio)
		toBaseline.add(of.GPUHours / baseline.GPUHours)
		if !of.Keeps(ratio) {
			continue
		}
		for name, to := range map[string]*mean{compare.NameStaticBest: &toStatic, compare.NameRecommended: &toBest, compare.NameOracle: &toOracle} {
			if other, ok := c.candidate(name); ok {
				to.add(of.GPUHours / other.GPUHours)
			}
		}
	}
	if s.Cases > 0 {
		s.Attainment /= float64(s.Cases)
	}
	s.Ratio, s.ToStatic, s.ToBest, s.ToOracle = toBaseline.value(), toStatic.value(), toBest.value(), toOracle.value()
	return s
}

// add counts a case, and adds its attainment.
func (s *Summary) add(of, baseline *compare.Candidate, ratio float64) {
	count := func(n *int, is bool) bool {
		if is {
			*n++
		}
		return is
	}
	s.Cases++
	s.Attainment += of.Attainment - baseline.Attainment
	noLess := count(&s.NoLess, of.Attainment >= baseline.Attainment-tolerance)
	isCheap := count(&s.Cheap, of.GPUHours <= cheap*baseline.GPUHours)
	count(&s.Both, noLess && isCheap)
	count(&s.Keeps, of.Keeps(ratio))
	count(&s.MoreTurns, of.TurnsPerHour > baseline.TurnsPerHour+moreTurns)
}

// mean is a geometric mean.
type mean struct {
	logs float64
	n    int
}

func (m *mean) add(x float64) {
	m.logs += math.Log(x)
	m.n++
}

// value returns the mean, 0 of nothing.
func (m *mean) value() float64 {
	if m.n == 0 {
		return 0
	}
	return math.Exp(m.logs / float64(m.n))
}

// Policies returns the names of the candidates in the order in which they appear first.
func Policies(cases []Case) []string {
	var names []string
	for _, c := range cases {
		at := 0
		for _, candidate := range c.Candidates {
			if known := slices.Index(names, candidate.Name); known >= 0 {
				at = known + 1
				continue
			}
			names = slices.Insert(names, at, candidate.Name)
			at++
		}
	}
	return names
}
