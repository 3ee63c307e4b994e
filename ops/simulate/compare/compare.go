package compare

import (
	"fmt"
	"iter"
	"strings"

	"vllm-autoscaling/ops/simulate"
)

// Names of candidates. Those of a constant number of replicas are NameStatic and the number, those of the policies that others
// ship NamePreset and the system.
const (
	NameConfigured  = "configured"
	NameRecommended = "recommended"
	NameOracle      = "oracle"
	NameStatic      = "static-"
	NameStaticBest  = "static-best"
	NamePreset      = "preset-"
)

// Candidate is a deployment and what became of it.
type Candidate struct {
	// Name is one of the names above.
	Name string `json:"name"`
	// Attainment is the share of the requests that kept the objective.
	Attainment float64 `json:"attainment"`
	// GPUHours are those of all nodes for the length of the load, Cost their price in US dollars; 0 where it is not known.
	GPUHours float64 `json:"gpuHours"`
	Cost     float64 `json:"cost,omitempty"`
	// TurnsPerHour is how often in an hour the autoscaler changed the direction.
	TurnsPerHour float64 `json:"turnsPerHour"`
	// TTFT are quantiles of the time to the first token, in seconds.
	TTFT Quantiles `json:"ttft"`
	// Most is the highest number of replicas.
	Most int `json:"mostReplicas"`
	// Requests, Refused and Lost are as in simulate.Result.
	Requests int `json:"requests"`
	Refused  int `json:"refused"`
	Lost     int `json:"lost"`
	// Series is what became of it over time, where Record was asked for it; documents do not show it.
	Series *Series `json:"-"`
	// Set are the assignments KEY=VALUE that make the stack's configuration this one, where there is a configuration for it.
	Set []string `json:"set,omitempty"`
	// Robustness is what else the recommended configuration was judged on.
	Robustness []Judgement `json:"robustness,omitempty"`
	// Source and Note are those of a policy that others ship.
	Source string `json:"source,omitempty"`
	Note   string `json:"note,omitempty"`
	// Settings are what was run, and Plan the replicas that were asked for.
	Settings simulate.Settings `json:"-"`
	Plan     []simulate.Step   `json:"-"`
}

// Keeps reports whether a share of the requests kept the objective.
func (c *Candidate) Keeps(ratio float64) bool { return c.Attainment >= ratio }

// Constant reports whether the number of replicas cannot change.
func (c *Candidate) Constant() bool {
	s := &c.Settings
	if len(s.Plan) > 0 {
		return false
	}
	return s.Autoscaler == nil || s.Autoscaler.MinReplicas != nil && *s.Autoscaler.MinReplicas == s.Autoscaler.MaxReplicas
}

// Quantiles are some quantiles of a duration, in seconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Judgement is what a configuration met on something other than the load and seed that it was chosen on.
type Judgement struct {
	// On describes it.
	On string `json:"on"`
	// Attainment is the share of the requests that kept the objective, and Met whether that was enough.
	Attainment float64 `json:"attainment"`
	Met        bool    `json:"met"`
	// GPUHours are those of all nodes; 0 for a part of a load, whose nodes also serve the rest.
	GPUHours float64 `json:"gpuHours,omitempty"`
}

// Load returns the load from its beginning, as often as it is called.
type Load func() iter.Seq[simulate.Arrival]

// Deployment is what is run under a name.
type Deployment struct {
	Name     string
	Settings simulate.Settings
	// Source and Note are those of a policy that others ship.
	Source, Note string
}

// Statics returns each constant number of replicas up to the pool's maximum, with the server of the settings. No node is spare: nothing is
// ever added.
func Statics(s simulate.Settings) []Deployment {
	var statics []Deployment
	for n := 1; n <= s.Nodes.Max*s.Nodes.Replicas; n++ {
		static := s
		static.Autoscaler, static.Signals, static.Replicas = nil, nil, n
		static.Nodes.Spare = 0
		statics = append(statics, Deployment{Name: fmt.Sprint(NameStatic, n), Settings: static})
	}
	return statics
}

// Find returns the candidate of a name, and whether there is one.
func Find(candidates []Candidate, name string) (Candidate, bool) {
	for _, c := range candidates {
		if c.Name == name {
			return c, true
		}
	}
	return Candidate{}, false
}

// Cheapest returns the cheapest candidate that keeps the objective, or else the closest one.
func Cheapest(candidates []Candidate, ratio float64) Candidate {
	best, found := Candidate{}, false
	for _, c := range candidates {
		if c.Keeps(ratio) && (!found || c.GPUHours < best.GPUHours) {
			best, found = c, true
		}
	}
	if !found {
		return Closest(candidates)
	}
	return best
}

// StaticBest returns the cheapest constant number of replicas that keeps the objective, and whether there is one.
func StaticBest(candidates []Candidate, ratio float64) (best Candidate, found bool) {
	for _, c := range candidates {
		if static(&c) && c.Keeps(ratio) && (!found || c.GPUHours < best.GPUHours) {
			best, found = c, true
		}
	}
	return best, found
}

// static reports whether a candidate is one of Statics.
func static(c *Candidate) bool {
	return strings.HasPrefix(c.Name, NameStatic) && c.Name != NameStaticBest
}

// Closest returns the candidate with the highest attainment, the cheaper of two with the same.
func Closest(candidates []Candidate) Candidate {
	closest := candidates[0]
	for _, c := range candidates[1:] {
		if c.Attainment > closest.Attainment || c.Attainment == closest.Attainment && c.GPUHours < closest.GPUHours {
			closest = c
		}
	}
	return closest
}
