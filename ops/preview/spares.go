package preview

import (
	"fmt"
	"strings"
	"time"

	"vllm-autoscaling/ops/cost"
)

// sparesTitle is the heading of what spare nodes cost and save.
const sparesTitle = "Spare GPU nodes"

// showsSpares reports whether there are spare nodes whose costs are shown.
func (r *Report) showsSpares() bool { return r.hasCost() && r.Mode != Destroy && len(r.Spares) > 0 }

// spareLine returns what the spare nodes of a server cost, which the total has too, and the time that they save.
func spareLine(s cost.Spare) string {
	usd := fmt.Sprintf("%s USD/h, %.0f USD in a month of %d hours", money(s.USDPerHour), s.USDPerHour*cost.HoursPerMonth, cost.HoursPerMonth)
	switch {
	case s.Unknown:
		usd = "price unknown"
	case s.Spot:
		usd = "up to " + usd
	}
	about := func(d time.Duration) string { return d.Round(10 * time.Second).String() }
	return fmt.Sprintf("%s: %s of %s on %s, %.4g GPU-h in an hour: %s, which the total includes. "+
		"A new replica is ready after about %s on one, and about %s without (estimates, docs/cold-start.md).",
		code(s.Server), plural(s.Nodes, "node", "nodes"), code(s.MachineType), code(s.Pool), s.GPUHours, usd, about(s.Start), about(s.Without))
}

func (r *Report) textSpares(b *strings.Builder) {
	if !r.showsSpares() {
		return
	}
	fmt.Fprintf(b, "\n%s\n", sparesTitle)
	for _, s := range r.Spares {
		fmt.Fprintf(b, "  %s\n", plainCode(spareLine(s)))
	}
}

func (r *Report) writeSpares(b *strings.Builder) {
	if !r.showsSpares() {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n", sparesTitle)
	for _, s := range r.Spares {
		fmt.Fprintf(b, "- %s\n", spareLine(s))
	}
}
