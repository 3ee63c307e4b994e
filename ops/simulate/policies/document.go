package policies

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/report"
)

// schema names the form of the document.
const schema = "vllm-autoscaling/policies/v1"

// Document is the result of a comparison.
type Document struct {
	Schema    string            `json:"schema"`
	Objective compare.Objective `json:"objective"`
	// Replicas is the mean number of replicas that the baseline needs, and Searched how many configurations each search ran.
	Replicas float64 `json:"replicas"`
	Searched int     `json:"searched"`
	Seed     uint64  `json:"seed"`
	// Subjects and Loads describe each of them by its name.
	Subjects []Named `json:"subjects"`
	Loads    []Named `json:"loads"`
	Cases    []Case  `json:"cases"`
	// Summary has the defaults by subject, and every policy in all cases.
	Summary []Summary `json:"summary"`
}

// Named is a name and what it stands for.
type Named struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// NewDocument returns the document of a comparison and its cases.
func NewDocument(b *Bench, cases []Case) (*Document, error) {
	d := &Document{Schema: schema, Objective: b.Objective, Replicas: b.Replicas, Searched: b.Candidates, Seed: b.Seed, Cases: cases}
	for _, s := range b.Subjects {
		about, err := s.Describe()
		if err != nil {
			return nil, err
		}
		d.Subjects = append(d.Subjects, Named{s.Name, about})
	}
	for _, l := range b.Loads {
		d.Loads = append(d.Loads, Named{l.Name, l.About})
	}
	for _, given := range []bool{false, true} {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.Given == given }) {
			continue
		}
		for _, s := range b.Subjects {
			d.Summary = append(d.Summary, Summarize(cases, compare.NameConfigured, s.Name, given, b.Objective.Ratio))
		}
		for _, policy := range Policies(cases) {
			d.Summary = append(d.Summary, Summarize(cases, policy, "", given, b.Objective.Ratio))
		}
	}
	return d, nil
}

// title returns how a candidate is called in tables and pictures.
func title(name string) string {
	switch name {
	case compare.NameConfigured:
		return "defaults"
	case compare.NameRecommended:
		return "best found"
	case compare.NameStaticBest:
		return "best static"
	}
	return strings.TrimPrefix(name, compare.NamePreset)
}

// Text writes the tables: what was compared, each case in a line or, with all, in a line for each candidate, and the summary.
func (d *Document) Text(to io.Writer, all bool) error {
	text := &strings.Builder{}
	_, _ = fmt.Fprintf(text, "Objective: %s. Each load is as high as 202218d needs %g replicas for on average.\n\n", d.Objective, d.Replicas)
	for _, list := range [][]Named{d.Subjects, d.Loads} {
		table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
		for _, n := range list {
			_, _ = fmt.Fprintf(table, "  %s\t%s\n", n.Name, n.About)
		}
		_ = table.Flush()
		_, _ = fmt.Fprintln(text)
	}
	if all {
		d.candidates(text)
	} else {
		d.cases(text)
	}
	for _, given := range []bool{false, true} {
		d.summary(text, given)
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// newTable returns a table of numbers, aligned at the right.
func newTable(text *strings.Builder, head string) *tabwriter.Writer {
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, head)
	return table
}

// cases writes a line for each case.
func (d *Document) cases(text *strings.Builder) {
	table := newTable(text, "subject\tload\treplicas\t202218d met\tGPU-h\tturns/h\tdefaults met\tratio\tturns/h\tbest static\tbest found\toracle\t")
	for _, c := range d.Cases {
		baseline, _ := c.candidate(Baseline)
		defaults, _ := c.candidate(compare.NameConfigured)
		_, _ = fmt.Fprintf(table, "%s\t%s\t%.1f\t%.2f %%\t%.1f\t%.1f\t%.2f %%\t%.2f\t%.1f\t", c.Subject, c.Load, c.Replicas,
			100*baseline.Attainment, baseline.GPUHours, baseline.TurnsPerHour,
			100*defaults.Attainment, c.Ratio(&defaults), defaults.TurnsPerHour)
		for _, name := range []string{compare.NameStaticBest, compare.NameRecommended, compare.NameOracle} {
			cell := "-"
			if other, ok := c.candidate(name); ok {
				cell = fmt.Sprintf("%.2f", c.Ratio(&other))
			}
			_, _ = fmt.Fprint(table, cell, "\t")
		}
		_, _ = fmt.Fprintln(table)
	}
	_ = table.Flush()
}

// candidates writes a line for each candidate of each case.
func (d *Document) candidates(text *strings.Builder) {
	table := newTable(text, "subject\tload\tpolicy\tmet\tGPU-hours\tratio\tturns/h\tmost\t")
	for _, c := range d.Cases {
		for _, of := range c.Candidates {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.2f %%\t%.2f\t%.2f\t%.1f\t%d\t\n", c.Subject, c.Load, title(of.Name),
				100*of.Attainment, of.GPUHours, c.Ratio(&of), of.TurnsPerHour, of.Most)
		}
	}
	_ = table.Flush()
}

// summary writes the summary of the given traces, or of the loads of Loads.
func (d *Document) summary(text *strings.Builder, given bool) {
	var rows []Summary
	for _, s := range d.Summary {
		if s.Given == given && s.Cases > 0 {
			rows = append(rows, s)
		}
	}
	if len(rows) == 0 {
		return
	}
	what := "Loads of the project"
	if given {
		what = "Given traces"
	}
	_, _ = fmt.Fprintf(text, "\n%s:\n\n", what)
	table := newTable(text, "policy\tsubject\tcases\tratio\tmet, points\tno less\tat 0.45 or less\tboth\tkept\tmore turns\t"+
		"to best static\tto best found\tto oracle\t")
	for _, s := range rows {
		subject := s.Subject
		if subject == "" {
			subject = "all"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%.2f\t%+.1f\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n",
			title(s.Policy), subject, s.Cases, s.Ratio, 100*s.Attainment, s.NoLess, s.Cheap, s.Both, s.Keeps, s.MoreTurns,
			orNone(s.ToStatic), orNone(s.ToBest), orNone(s.ToOracle))
	}
	_ = table.Flush()
}

// orNone writes a ratio, "-" for none.
func orNone(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// PNG returns a picture of all cases: attainment over the ratio, by policy. Variants are left out.
func (d *Document) PNG() ([]byte, error) {
	p := &report.Policies{
		Title: fmt.Sprintf("%d combinations of models, machines and loads", len(d.Cases)),
		Text:  "Requests that keep the objective: " + d.Objective.String(),
		Ratio: d.Objective.Ratio, Baseline: title(Baseline),
	}
	for _, name := range Policies(d.Cases) {
		if strings.HasPrefix(name, nameVariant) {
			continue
		}
		group := report.Policy{Name: name, Label: title(name), Baseline: name == Baseline}
		for _, c := range d.Cases {
			if of, ok := c.candidate(name); ok {
				group.Points = append(group.Points, report.PolicyPoint{Ratio: c.Ratio(&of), Attainment: of.Attainment})
			}
		}
		p.Policies = append(p.Policies, group)
	}
	return p.PNG()
}
