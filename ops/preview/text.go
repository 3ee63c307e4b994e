package preview

import (
	"fmt"
	"strings"

	"vllm-autoscaling/ops/cost"
)

// Text returns the report for a terminal, without a limit.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.Title(), strings.Repeat("=", len(r.Title())), r.countsLine(""))
	if r.Failed {
		fmt.Fprintf(&b, "\nTHE PREVIEW FAILED; nothing was changed.\n%s", indented(strings.Join(r.Errors, "\n")))
	}
	r.textNotes(&b)
	if len(r.Dangers) > 0 {
		fmt.Fprintf(&b, "\nWARNING: this takes away %s.\n", r.dangerCounts())
		for _, d := range r.Dangers {
			fmt.Fprintf(&b, "  %s %s %s (%s): %s\n", d.Op, d.What, d.Name, d.Type, d.Loses)
			for _, cause := range d.Causes {
				fmt.Fprintf(&b, "    forced by %s: %s -> %s\n", cause.Path, cause.Old, cause.New)
			}
		}
	}
	r.textPreflight(&b, false)
	r.textPolicy(&b)
	r.textCost(&b)
	r.textShares(&b)
	r.textSpares(&b)
	r.textRightGPU(&b)
	if len(r.Groups) > 0 {
		b.WriteString("\nChanges\n")
	}
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "  %s: %s\n", g.name(), g.counts())
		for _, c := range g.Changes {
			mark := ""
			if c.Drifted {
				mark = ", drifted"
			}
			if c.Waits {
				mark += waits
			}
			fmt.Fprintf(&b, "    %s %s (%s)%s\n", c.Op, c.Name, c.Type, mark)
			for _, p := range c.Properties {
				forces := ""
				if p.Forces {
					forces = " (forces the replacement)"
				}
				fmt.Fprintf(&b, "      %s: %s -> %s%s\n", p.Path, p.Old, p.New, forces)
			}
		}
	}
	if r.Diff != "" {
		fmt.Fprintf(&b, "\nFull diff\n%s", indented(r.Diff))
	}
	return b.String()
}

func (r *Report) textPolicy(b *strings.Builder) {
	switch {
	case r.PolicyError != "":
		fmt.Fprintf(b, "\nPolicy: not checked: %s\n", clean(r.PolicyError))
		return
	case r.Policy == nil:
		return
	case len(r.Policy.Violations) == 0:
		fmt.Fprintf(b, "\nPolicy: all %d rules are kept%s.\n", len(r.Policy.Rules), r.incomplete())
	default:
		fmt.Fprintf(b, "\nPolicy: %s%s\n", plural(r.Policy.Mandatory(), "rule is broken", "rules are broken"), r.incomplete())
	}
	for _, v := range r.Policy.Violations {
		fmt.Fprintf(b, "  %s %s\n", v.Severity, clean(v.String()))
	}
	for _, v := range r.Policy.Allowed {
		fmt.Fprintf(b, "  allowed (%s) %s\n", v.Reason, clean(v.String()))
	}
	for _, e := range r.Policy.Unused {
		fmt.Fprintf(b, "  the exception for %s of %s allows nothing that is planned: remove it\n", e.Rule, e.Resource)
	}
}

func (r *Report) textCost(b *strings.Builder) {
	if !r.hasCost() {
		return
	}
	if r.Mode == Destroy {
		fmt.Fprintf(b, "\nCost: saves %s to %s USD/h%s\n", money(r.Before.Min), money(r.Before.Max), openEnd(*r.Before))
		return
	}
	b.WriteString("\nCost, USD per hour: fewest and most replicas\n")
	line := func(name, low, high string) { fmt.Fprintf(b, "  %-58s %10s %10s\n", name, low, high) }
	for _, item := range r.After.Items {
		low, high := money(item.Each*float64(item.Min)), money(item.Each*float64(item.Max))
		if item.Unknown {
			low, high = "unknown", "unknown"
		}
		line(fmt.Sprintf("%s (%d to %d)", plainItem(item), item.Min, item.Max), low, high)
	}
	line("total"+openEnd(*r.After), money(r.After.Min), money(r.After.Max))
	if r.Before != nil {
		line("change from what is deployed", signed(r.After.Min-r.Before.Min), signed(r.After.Max-r.Before.Max))
	}
	if r.SpendCeiling > 0 {
		line("GPU nodes at their maximum, and the ceiling", money(r.After.GPULimit), money(r.SpendCeiling))
	}
	fmt.Fprintf(b, "  %s\n", strings.ReplaceAll(priceNote(*r.After), "`", ""))
}

func plainItem(item cost.Item) string { return strings.ReplaceAll(itemName(item), "`", "") }

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}
