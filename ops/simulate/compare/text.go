package compare

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteTable writes the candidates as a table, and below it what follows for the configuration. Of the constant numbers of
// replicas it shows a few around the best.
func WriteTable(to io.Writer, candidates []Candidate, ratio float64) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tmet\tGPU-hours\tUSD\tTTFT p50\tp95\tp99\tmost\tturns/h\t")
	for _, c := range shown(candidates, ratio) {
		_, _ = fmt.Fprintf(table, "%s\t%.2f %%\t%.2f\t%s\t%s\t%s\t%s\t%d\t%.1f\t\n",
			c.Name, 100*c.Attainment, c.GPUHours, Money(c.Cost), Duration(c.TTFT.P50), Duration(c.TTFT.P95), Duration(c.TTFT.P99), c.Most, c.TurnsPerHour)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	_, err := fmt.Fprintf(to, "\n%s\n", Verdict(candidates, ratio))
	return err
}

// shown leaves out constant numbers of replicas but for five around the cheapest that keeps the objective, or the largest.
func shown(candidates []Candidate, ratio float64) []Candidate {
	const most = 5
	statics, at := 0, -1
	best, found := StaticBest(candidates, ratio)
	for _, c := range candidates {
		if static(&c) {
			if statics++; found && c.Name == best.Name {
				at = statics
			}
		}
	}
	if at < 0 {
		at = statics
	}
	first := max(1, min(at-most/2, statics-most+1))
	var rows []Candidate
	number := 0
	for _, c := range candidates {
		if static(&c) {
			if number++; number < first || number >= first+most {
				continue
			}
		}
		rows = append(rows, c)
	}
	return rows
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
