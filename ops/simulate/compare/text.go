package compare

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteTable writes the candidates as a table, and below it what follows for the configuration.
func WriteTable(to io.Writer, candidates []Candidate, ratio float64) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tmet\tGPU-hours\tUSD\tTTFT p50\tp95\tp99\tmost\tturns/h\t")
	for _, c := range candidates {
		_, _ = fmt.Fprintf(table, "%s\t%.2f %%\t%.2f\t%s\t%s\t%s\t%s\t%d\t%.1f\t\n",
			c.Name, 100*c.Attainment, c.GPUHours, Money(c.Cost), Duration(c.TTFT.P50), Duration(c.TTFT.P95), Duration(c.TTFT.P99), c.Most, c.TurnsPerHour)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	_, err := fmt.Fprintf(to, "\n%s\n", Verdict(candidates, ratio))
	return err
}

// Verdict compares the configuration with the cheapest constant number of replicas that keeps the objective.
func Verdict(candidates []Candidate, ratio float64) string {
	configured := candidates[0]
	best, found := StaticBest(candidates, ratio)
	keeps := configured.Attainment >= ratio
	switch {
	case !found && !keeps:
		closest := configured
		for _, c := range candidates {
			if c.Attainment > closest.Attainment {
				closest = c
			}
		}
		return fmt.Sprintf("Nothing here keeps the objective for %.4g %% of the requests. The closest is %s with %.2f %%.", 100*ratio, closest.Name, 100*closest.Attainment)
	case !found:
		return "The configuration keeps the objective; no constant number of replicas does."
	case !keeps && best.GPUHours <= configured.GPUHours:
		return fmt.Sprintf("The configuration misses the objective, and a constant number of replicas keeps it for less: %s with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	case !keeps:
		return fmt.Sprintf("The configuration misses the objective. The cheapest constant number of replicas that keeps it is %s, with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	case best.GPUHours == configured.GPUHours:
		return fmt.Sprintf("The configuration keeps the objective, and so does %s for the same GPU-hours: nothing had to be scaled.", best.Name)
	case best.GPUHours < configured.GPUHours:
		return fmt.Sprintf("The configuration keeps the objective, but a constant number of replicas does so for less: %s with %.2f GPU-hours instead of %.2f.",
			best.Name, best.GPUHours, configured.GPUHours)
	}
	return fmt.Sprintf("The configuration keeps the objective with %.0f %% less GPU-hours than %s, the cheapest constant number of replicas that does.",
		100*(1-configured.GPUHours/best.GPUHours), best.Name)
}

// Money writes a price in US dollars, "-" for unknown.
func Money(usd float64) string {
	if usd == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", usd)
}

// Duration writes seconds, "-" for none.
func Duration(seconds float64) string {
	if seconds == 0 {
		return "-" // No request was answered.
	}
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
