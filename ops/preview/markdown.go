package preview

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/policy"
	"vllm-autoscaling/ops/preview/plan"
)

// CommentLimit is the default maximum of a report, in bytes: GitHub accepts comments and issues of 65,536 characters.
const CommentLimit = 65000

// Limits for the parts before the list of changes, so that no part uses all the space.
const (
	maxErrorBytes = 8000
	maxListed     = 40
	// unfolded is how many changes are shown without expanding a section.
	unfolded = 12
)

// Marker is an HTML comment that readers do not see and by which a CI finds its earlier comment.
func (r *Report) Marker() string {
	kind := "preview"
	if r.Mode == Drift {
		kind = "drift"
	}
	return fmt.Sprintf("<!-- vllm-autoscaling %s: %s -->", kind, r.Stack)
}

// Title returns one line without markup, also used as the title of an issue.
func (r *Report) Title() string {
	switch {
	case r.Failed && r.Mode == Drift:
		return fmt.Sprintf("Drift check of stack %s failed", r.Stack)
	case r.Failed && r.Mode == Destroy:
		return fmt.Sprintf("Preview of destroying stack %s failed", r.Stack)
	case r.Failed:
		return fmt.Sprintf("Preview of stack %s failed", r.Stack)
	case r.Mode == Drift && !r.Changed():
		return fmt.Sprintf("Stack %s has not drifted", r.Stack)
	case r.Mode == Drift:
		return fmt.Sprintf("Stack %s has drifted", r.Stack)
	case r.Mode == Destroy:
		return fmt.Sprintf("Preview of destroying stack %s", r.Stack)
	}
	return fmt.Sprintf("Preview of stack %s", r.Stack)
}

// Markdown returns the report as a comment of at most limit bytes; 0 for CommentLimit.
func (r *Report) Markdown(limit int) string {
	if limit <= 0 {
		limit = CommentLimit
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n## %s\n\n%s\n", r.Marker(), escaped(r.Title()), r.countsLine("**"))
	r.writeErrors(&b)
	r.writeDangers(&b)
	r.writePreflight(&b)
	r.writePolicy(&b)
	r.writeCost(&b)
	r.writeShares(&b)
	r.writeSpares(&b)
	r.writeRightGPU(&b)
	r.writeChanges(&b, limit)
	r.writeDiff(&b, limit)
	text := b.String()
	if len(text) > limit {
		note := "\n\n_Cut: the report is longer than a comment can be. `make preview STACK=" + r.Stack + "` prints all of it._\n"
		text = cutLines(text, limit-len(note)) + note
	}
	return text
}

// countsLine returns how many resources change and how; strong is put around numbers that are not 0.
func (r *Report) countsLine(strong string) string {
	var parts []string
	for _, op := range []string{plan.OpCreate, plan.OpUpdate, plan.OpReplace, plan.OpDelete} {
		n := r.Counts[op]
		if n == 0 {
			parts = append(parts, fmt.Sprintf("0 to %s", op))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s%d to %s%s", strong, n, op, strong))
	}
	line := strings.Join(append(parts, fmt.Sprintf("%d unchanged", r.Counts[plan.OpSame])), ", ")
	if r.Mode == Drift && !r.Failed {
		if !r.Changed() {
			return line + ": what is there is what the state says, and what the program declares."
		}
		return line + ": this is what `pulumi up --refresh` would do to get back to what the program declares."
	}
	if !r.Changed() && !r.Failed {
		return line + ": nothing changes."
	}
	return line + "."
}

func (r *Report) writeErrors(b *strings.Builder) {
	if r.Failed {
		b.WriteString("\n### The preview failed\n\nNothing was changed. What follows is what it had found until then.\n\n")
		b.WriteString(fenced("", shortenBytes(strings.Join(r.Errors, "\n\n"), maxErrorBytes)))
	}
	r.writeNotes(b)
}

func (r *Report) writeDangers(b *strings.Builder) {
	if len(r.Dangers) == 0 {
		return
	}
	b.WriteString("\n> [!WARNING]\n")
	fmt.Fprintf(b, "> **This takes away %s.**\n>\n", r.dangerCounts())
	for i, d := range r.Dangers {
		if i == maxListed {
			fmt.Fprintf(b, "> - and %d more\n", len(r.Dangers)-i)
			break
		}
		fmt.Fprintf(b, "> - **%s** %s %s (%s): %s\n", d.Op, d.What, code(d.Name), code(d.Type), d.Loses)
		for _, cause := range d.Causes {
			fmt.Fprintf(b, ">   - forced by %s: %s → %s\n", code(cause.Path), code(cause.Old), code(cause.New))
		}
	}
}

// dangerCounts returns a text such as "1 cluster, 2 node pools".
func (r *Report) dangerCounts() string {
	counts := map[string]int{}
	var order []string
	for _, d := range r.Dangers {
		if counts[d.What] == 0 {
			order = append(order, d.What)
		}
		counts[d.What]++
	}
	var parts []string
	for _, what := range order {
		one, many := what, what+"s"
		if what == data {
			one, many = "set of volumes", "sets of volumes"
		}
		parts = append(parts, plural(counts[what], one, many))
	}
	return strings.Join(parts, ", ")
}

func (r *Report) writePolicy(b *strings.Builder) {
	if r.PolicyError != "" {
		fmt.Fprintf(b, "\n### Policy\n\n**Not checked:** %s\n", escaped(clean(r.PolicyError)))
		return
	}
	if r.Policy == nil {
		return
	}
	b.WriteString("\n### Policy\n\n")
	if len(r.Policy.Violations) == 0 {
		fmt.Fprintf(b, "All %d rules are kept%s.\n", len(r.Policy.Rules), r.incomplete())
	} else {
		mandatory := r.Policy.Mandatory()
		fmt.Fprintf(b, "**%s**, %s%s.\n\n", plural(mandatory, "rule is broken", "rules are broken"),
			plural(len(r.Policy.Violations)-mandatory, "advice", "pieces of advice"), r.incomplete())
		for i, v := range r.Policy.Violations {
			if i == maxListed {
				fmt.Fprintf(b, "- and %d more\n", len(r.Policy.Violations)-i)
				break
			}
			fmt.Fprintf(b, "- **%s** %s\n", v.Severity, violation(v))
		}
	}
	if len(r.Policy.Allowed) > 0 {
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n",
			plural(len(r.Policy.Allowed), "violation is allowed by an exception", "violations are allowed by exceptions"))
		for _, v := range r.Policy.Allowed[:min(maxListed, len(r.Policy.Allowed))] {
			fmt.Fprintf(b, "- %s — allowed: %s\n", violation(v), escaped(v.Reason))
		}
		b.WriteString("\n</details>\n")
	}
	for _, e := range r.Policy.Unused {
		fmt.Fprintf(b, "\nThe exception for %s of %s allows nothing that is planned: remove it.\n", code(e.Rule), code(e.Resource))
	}
}

// incomplete returns what is missing if the preview left out unchanged resources.
func (r *Report) incomplete() string {
	if r.Complete {
		return ""
	}
	return " by what changes (unchanged resources are not in the preview: run it with `--show-sames`)"
}

func violation(v policy.Violation) string {
	at := code(v.Resource) + " (" + code(v.Type) + ")"
	if v.Property != "" {
		at += ", " + code(v.Property)
	}
	return fmt.Sprintf("%s: %s: %s. Fix: %s.", code(v.Rule), at, escaped(clean(v.Found)), escaped(v.Fix))
}

func (r *Report) writeCost(b *strings.Builder) {
	if !r.hasCost() {
		return
	}
	b.WriteString("\n### Cost, USD per hour\n\n")
	after := r.After
	if r.Mode == Destroy {
		fmt.Fprintf(b, "Saves %s to %s%s.\n", money(r.Before.Min), money(r.Before.Max), openEnd(*r.Before))
		return
	}
	low, high := "fewest replicas", "most replicas"
	if after.MaxReplicas > 0 {
		low, high = plural(after.MinReplicas, "replica", "replicas"), plural(after.MaxReplicas, "replica", "replicas")
	}
	fmt.Fprintf(b, "| | each | at %s | at %s |\n|---|---:|---:|---:|\n", low, high)
	for _, item := range after.Items {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(itemName(item)), cell(each(item)), cell(count(item, item.Min)), cell(count(item, item.Max)))
	}
	fmt.Fprintf(b, "| **total%s** | | **%s** | **%s** |\n", openEnd(*after), money(after.Min), money(after.Max))
	if r.Before != nil {
		fmt.Fprintf(b, "| deployed now%s | | %s | %s |\n", openEnd(*r.Before), money(r.Before.Min), money(r.Before.Max))
		fmt.Fprintf(b, "| **change** | | **%s** | **%s** |\n", signed(after.Min-r.Before.Min), signed(after.Max-r.Before.Max))
	}
	fmt.Fprintf(b, "\nPer month of %d hours: %s to %s. ", cost.HoursPerMonth, money(after.Min*cost.HoursPerMonth), money(after.Max*cost.HoursPerMonth))
	if r.SpendCeiling > 0 {
		fmt.Fprintf(b, "GPU nodes at their maximum: %s, of a ceiling of %s. ", money(after.GPULimit), money(r.SpendCeiling))
	}
	b.WriteString(priceNote(*after) + "\n")
}

// openEnd marks a sum that excludes items without a price.
func openEnd(e cost.Estimate) string {
	if e.Known() {
		return ""
	}
	return ", without what is unknown"
}

func itemName(item cost.Item) string {
	name := item.What
	if item.Kind != "" {
		name += " " + code(item.Kind)
	}
	return name + " of " + code(item.Resource)
}

func each(item cost.Item) string {
	switch {
	case item.Unknown:
		return "unknown"
	case item.Spot:
		return "up to " + price(item.Each)
	}
	return price(item.Each)
}

func count(item cost.Item, n int) string {
	if item.Unknown {
		return fmt.Sprintf("%d × unknown", n)
	}
	return fmt.Sprintf("%d × = %s", n, money(float64(n)*item.Each))
}

// priceNote returns where the prices come from and what they leave out.
func priceNote(e cost.Estimate) string {
	var regions, dates []string
	spot, own, reserved, prepaid := false, false, false, false
	for _, item := range e.Items {
		if item.Region != "" && item.Region != "every region" && !slices.Contains(regions, item.Region) {
			regions = append(regions, item.Region)
		}
		if item.Date != "" && !slices.Contains(dates, item.Date) {
			dates = append(dates, item.Date)
		}
		spot, reserved, prepaid = spot || item.Spot, reserved || item.Reserved, prepaid || item.Prepaid
		own = own || item.Kind != "" && item.Region == "" && !item.Unknown
	}
	slices.Sort(dates)
	note := ""
	if len(regions) > 0 {
		note = fmt.Sprintf("List prices on demand in %s, read %s; yours differ by region and contract. ", strings.Join(regions, ", "), strings.Join(dates, ", "))
	}
	if own {
		note += "Prices of `policy.prices` and of the command line win. "
	}
	if spot {
		note += "Spot machines are counted at the price on demand, which they never exceed. "
	}
	if reserved {
		note += "Reserved machines cost the same whether they run or not: the size of the reservation is billed, from its beginning to its end. "
	}
	if prepaid {
		note += "A Capacity Block is paid in advance, at its own price; its machines are counted at the price on demand. "
	}
	if !e.Known() {
		note += fmt.Sprintf("No price is known for %s: state it in `policy.prices`. ", strings.Join(e.Unknown, ", "))
	}
	return note + "Not included: " + cost.NotIncluded + "."
}

func (r *Report) writeChanges(b *strings.Builder, limit int) {
	if len(r.Groups) == 0 {
		return
	}
	total := 0
	for _, g := range r.Groups {
		total += len(g.Changes)
	}
	b.WriteString("\n### Changes\n")
	if r.Mode == Drift {
		b.WriteString("\nMarked **drifted**: somebody else changed or deleted it since the last update.\n")
	}
	// The changes must leave space for the note below and the end of the report.
	const reserve = 600
	left := 0
	for i, g := range r.Groups {
		text := groupMarkdown(g, total <= unfolded)
		if b.Len()+len(text)+reserve > limit {
			for _, rest := range r.Groups[i:] {
				left += len(rest.Changes)
			}
			// As many changes of this group as fit: the first number that is too large, less one.
			part := func(n int) string { return groupMarkdown(Group{Component: g.Component, Changes: g.Changes[:n]}, false) }
			room := limit - reserve - b.Len()
			if n := sort.Search(len(g.Changes), func(n int) bool { return len(part(n+1)) > room }); n > 0 {
				b.WriteString(part(n))
				left -= n
			}
			break
		}
		b.WriteString(text)
	}
	if left > 0 {
		fmt.Fprintf(b, "\n_%s left out, because a comment has a limit. `make preview STACK=%s` prints all._\n", plural(left, "change is", "changes are"), r.Stack)
	}
}

func groupMarkdown(g Group, open bool) string {
	var b strings.Builder
	attribute := ""
	if open {
		attribute = " open"
	}
	fmt.Fprintf(&b, "\n<details%s><summary>%s: %s</summary>\n\n", attribute, html(g.name()), g.counts())
	for _, c := range g.Changes {
		mark := ""
		if c.Drifted {
			mark = ", **drifted**"
		}
		if c.Waits {
			mark += waits
		}
		fmt.Fprintf(&b, "- %s %s (%s)%s\n", c.Op, code(c.Name), code(c.Type), mark)
		for _, p := range c.Properties {
			forces := ""
			if p.Forces {
				forces = ", **forces the replacement**"
			}
			fmt.Fprintf(&b, "  - %s: %s → %s%s\n", code(p.Path), code(p.Old), code(p.New), forces)
		}
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

func (g Group) name() string {
	if g.Component == "" {
		return "the stack itself"
	}
	return g.Component
}

// counts returns a text such as "1 to replace, 2 to update".
func (g Group) counts() string {
	counts := map[string]int{}
	for _, c := range g.Changes {
		counts[c.Op]++
	}
	var parts []string
	for _, op := range []string{plan.OpReplace, plan.OpDelete, plan.OpUpdate, plan.OpCreate} {
		if counts[op] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", counts[op], op))
		}
		delete(counts, op)
	}
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d to %s", counts[op], op))
	}
	return strings.Join(parts, ", ")
}

func (r *Report) writeDiff(b *strings.Builder, limit int) {
	if r.Diff == "" {
		return
	}
	const frame = 400
	room := limit - b.Len() - frame
	if room < 500 {
		b.WriteString("\n_The full diff is left out, because a comment has a limit._\n")
		return
	}
	diff, note := r.Diff, ""
	if len(diff) > room {
		diff = cutLines(diff, room)
		note = "\n_The end of the diff is left out, because a comment has a limit._\n"
	}
	fmt.Fprintf(b, "\n<details><summary>Full diff</summary>\n\n%s%s\n</details>\n", fenced("diff", diff), note)
}

// plural returns a text such as "1 node pool" or "2 node pools".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func money(usd float64) string {
	if usd > 0 && usd < 0.0995 {
		return fmt.Sprintf("%.3f", usd)
	}
	return fmt.Sprintf("%.2f", usd)
}

// price formats small fees with more digits.
func price(usd float64) string {
	if usd < 1 {
		return fmt.Sprintf("%.4f", usd)
	}
	return fmt.Sprintf("%.2f", usd)
}

func signed(usd float64) string {
	if usd > -0.005 && usd < 0.005 {
		return "0.00"
	}
	return fmt.Sprintf("%+.2f", usd)
}

// code formats any text as inline code.
func code(text string) string {
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}

// fenced formats any text as a code block.
func fenced(language, text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + text + "\n" + fence + "\n"
}

// escaped escapes Markdown and HTML in a text.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", "&lt;", ">", "&gt;", "[", `\[`, "`", "\\`", "@", "@\u200b", "#", `\#`).
		Replace(strings.Join(strings.Fields(text), " "))
}

// html escapes a text inside a tag.
func html(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// cell escapes a text inside a table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// cutLines cuts a text to a number of bytes, at the end of a line if possible.
func cutLines(text string, most int) string {
	if len(text) <= most {
		return text
	}
	if most <= 0 {
		return ""
	}
	text = strings.ToValidUTF8(text[:most], "")
	if i := strings.LastIndexByte(text, '\n'); i > 0 {
		text = text[:i]
	}
	return text
}

func shortenBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return cutLines(text, most) + "\n… cut"
}
