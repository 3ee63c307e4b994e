package report

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/simulate/compare"
)

// Report is what a picture and a page show.
type Report struct {
	// Title names the stack and the load, and Verdict is the result in a sentence.
	Title, Verdict string
	Objective      Objective
	// Candidates are the rows of the table, by their names in package compare. Those with a Series are shown over time.
	Candidates []compare.Candidate
	// Searched are the candidates that a search tried; they are points without a name.
	Searched []compare.Candidate
	// Settings are the values that the result depends on, and Notes how far to trust it.
	Settings []Row
	Notes    []string
	// Recommendation is nil without one.
	Recommendation *Recommendation
}

// Objective is what a share of the requests has to keep.
type Objective struct {
	// Text describes all of it.
	Text string
	// TTFT is the limit of the time to the first token in seconds, 0 for none, and Ratio the share of the requests.
	TTFT, Ratio float64
}

// Row is a name and its value.
type Row struct{ Name, Value string }

// Recommendation is a configuration and how to make it.
type Recommendation struct {
	// Text describes it in a sentence, and Commands set it.
	Text     string
	Commands []string
	// Checks are its results for other loads than the one that it was found with.
	Checks []compare.Judgement
}

// role is what a candidate is in a picture.
type role int

const (
	roleConfigured role = iota
	roleRecommended
	roleOracle
	roleStaticBest
	roleStatic
	rolePreset
)

func roleOf(name string) role {
	switch {
	case name == compare.NameConfigured:
		return roleConfigured
	case name == compare.NameRecommended:
		return roleRecommended
	case name == compare.NameOracle:
		return roleOracle
	case name == compare.NameStaticBest:
		return roleStaticBest
	case strings.HasPrefix(name, compare.NameStatic):
		return roleStatic
	}
	return rolePreset
}

// mark returns how a role is drawn.
func (r role) mark() mark { return marks[r] }

// label returns the name of a candidate in a picture.
func label(c *compare.Candidate) string {
	switch roleOf(c.Name) {
	case roleStatic:
		return strings.TrimPrefix(c.Name, compare.NameStatic)
	case roleStaticBest:
		return fmt.Sprintf("%s (%d)", c.Name, c.Most)
	}
	return strings.TrimPrefix(c.Name, compare.NamePreset)
}

// overTime returns the candidates that are shown over time.
func (r *Report) overTime() []compare.Candidate {
	return slices.DeleteFunc(slices.Clone(r.Candidates), func(c compare.Candidate) bool { return c.Series == nil })
}
