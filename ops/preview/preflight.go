package preview

import (
	"fmt"
	"strings"

	"vllm-autoscaling/ops/preflight"
)

// nothingToAsk is the report of a preflight without checks.
const nothingToAsk = "nothing to check: the update creates no cluster and no nodes in a cloud"

// PreflightText returns the preflight alone, for a terminal, with the checks that passed.
func (r *Report) PreflightText() string {
	var b strings.Builder
	r.textPreflight(&b, true)
	if b.Len() == 0 {
		fmt.Fprintf(&b, "\nPreflight: %s\n", nothingToAsk)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// PreflightMarkdown returns the preflight alone.
func (r *Report) PreflightMarkdown() string {
	var b strings.Builder
	r.writePreflight(&b)
	if b.Len() == 0 {
		fmt.Fprintf(&b, "\n### Preflight\n\n%s\n", nothingToAsk)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// WithoutPreflight returns the report without what depends on the account and the day: what two previews of one plan share.
func (r *Report) WithoutPreflight() *Report {
	plain := *r
	plain.Preflight = nil
	return &plain
}

// preflightCounts returns a text such as "1 check failed, 2 warnings, 3 unknown, 9 passed"; strong is put around failures.
func (r *Report) preflightCounts(strong string) string {
	p := r.Preflight
	parts := []string{"no check failed"}
	if n := p.Count(preflight.Failed); n > 0 {
		parts[0] = strong + plural(n, "check failed", "checks failed") + strong
	}
	if n := p.Count(preflight.Warning); n > 0 {
		parts = append(parts, plural(n, "warning", "warnings"))
	}
	if n := p.Count(preflight.Unknown); n > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", n))
	}
	return strings.Join(append(parts, fmt.Sprintf("%d passed", p.Count(preflight.Passed))), ", ")
}

func (r *Report) textPreflight(b *strings.Builder, all bool) {
	if r.Preflight == nil {
		return
	}
	fmt.Fprintf(b, "\nPreflight, with %s: %s.\n", r.Preflight.Program, r.preflightCounts(""))
	for _, c := range r.Preflight.Checks {
		if c.Outcome == preflight.Failed || c.Outcome == preflight.Warning {
			fmt.Fprintf(b, "  %s %s\n", c.Outcome, clean(c.String()))
		}
	}
	for _, u := range r.Preflight.Unanswered() {
		fmt.Fprintf(b, "  unknown %s: %s\n", strings.Join(u.Names, ", "), clean(u.Reason))
	}
	for _, c := range r.Preflight.Checks {
		if all && c.Outcome == preflight.Passed {
			fmt.Fprintf(b, "  passed %s\n", clean(c.String()))
		}
	}
}

func (r *Report) writePreflight(b *strings.Builder) {
	if r.Preflight == nil {
		return
	}
	fmt.Fprintf(b, "\n### Preflight\n\n%s answered: %s.\n", code(r.Preflight.Program), r.preflightCounts("**"))
	var lines []string
	for _, c := range r.Preflight.Checks {
		if c.Outcome == preflight.Failed || c.Outcome == preflight.Warning {
			lines = append(lines, fmt.Sprintf("- **%s** %s: %s: %s. Fix: "+
				"%s\n", c.Outcome, code(c.Name), escaped(clean(c.Asked)), escaped(clean(c.Found)), code(clean(c.Fix))))
		}
	}
	for _, u := range r.Preflight.Unanswered() {
		lines = append(lines, fmt.Sprintf("- **unknown** %s: %s\n", code(strings.Join(u.Names, ", ")), escaped(clean(u.Reason))))
	}
	if len(lines) > 0 {
		b.WriteString("\n")
	}
	for i, line := range lines {
		if i == maxListed {
			fmt.Fprintf(b, "- and %d more\n", len(lines)-i)
			break
		}
		b.WriteString(line)
	}
}
