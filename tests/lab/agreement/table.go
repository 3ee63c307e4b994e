package agreement

import (
	"fmt"
	"io"
	"strings"
)

// WriteTable writes a table in Markdown with rows for each load.
func WriteTable(w io.Writer, comparisons []*Comparison) error {
	var text strings.Builder
	text.WriteString("| load | requests | | lab | simulated | difference | other seeds |\n|---|--:|---|--:|--:|--:|--:|\n")
	for _, c := range comparisons {
		writeRows(&text, c)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeRows(w io.Writer, c *Comparison) {
	name, requests := c.Load, fmt.Sprint(c.Requests)
	row := func(what, format string, of func(Run) float64, difference string) {
		least, greatest := c.span(of)
		_, _ = fmt.Fprintf(w, "| %s | %s | %s | "+format+" | "+format+" | %s | "+format+" to "+format+" |\n",
			name, requests, what, of(c.Lab), of(c.Simulated), difference, least, greatest)
		name, requests = "", ""
	}
	share := func(of func(Run) float64) string { return fmt.Sprintf("%+.1f %%", 100*(of(c.Simulated)/of(c.Lab)-1)) }
	row("replica-seconds wanted", "%.0f", Run.WantedSeconds, share(Run.WantedSeconds))
	row("replica-seconds ready", "%.0f", Run.ReadySeconds, share(Run.ReadySeconds))
	row("objective met", "%.1f %%", func(r Run) float64 { return 100 * r.Attainment },
		fmt.Sprintf("%+.1f points", 100*(c.Simulated.Attainment-c.Lab.Attainment)))
	row("decisions", "%.0f", func(r Run) float64 { return float64(len(r.Decisions())) },
		fmt.Sprintf("%.0f %% the same", 100*c.decisions(c.Simulated)))
}
