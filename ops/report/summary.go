package report

import (
	"fmt"
	"strings"
)

// LoadRows returns the summary rows about the requests; none without requests.
func (r *Report) LoadRows() []Row {
	q := r.Requests
	if q == nil {
		return nil
	}
	failed := func(counts map[string]int) string {
		var parts []string
		for _, kind := range kinds(counts) {
			parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
		}
		if parts == nil {
			return "none"
		}
		return strings.Join(parts, ", ")
	}
	rows := []Row{
		{"requests", fmt.Sprintf("%d offered, %d answered (%s)", q.Offered, q.OK, percent(q.OK, q.Offered-q.Canceled))},
		{"failed", failed(q.Failed)},
		{"not sent", failed(q.Dropped)},
	}
	if q.Canceled > 0 {
		rows = append(rows, Row{"canceled at the end", fmt.Sprint(q.Canceled)})
	}
	for _, one := range []struct {
		name string
		q    Quantiles
	}{{"time to first token", q.TTFT}, {"time between tokens", q.InterToken}, {"time to last token", q.Latency}} {
		if one.q.Count > 0 {
			rows = append(rows, Row{one.name, fmt.Sprintf("p50 %s, p95 %s, p99 %s", duration(one.q.P50), duration(one.q.P95), duration(one.q.P99))})
		}
	}
	rows = append(rows,
		Row{"rate", fmt.Sprintf("%.2f requests/s offered, %.2f answered", q.OfferedPerSecond, q.ServedPerSecond)},
		Row{"tokens", fmt.Sprintf("%.0f/s in, %.0f/s out, as the servers counted", q.InputTokensPerSecond, q.OutputTokensPerSecond)})
	if g := q.Goodput; g.Objective > 0 {
		text := fmt.Sprintf("%s with the first token within %s: %.2f requests/s", percent(g.Good, q.Offered-q.Canceled), duration(g.Objective), g.PerSecond)
		if g.Want > 0 {
			text += fmt.Sprintf("; objective %.1f %%", 100*g.Want)
		}
		rows = append(rows, Row{"goodput", text})
	}
	return rows
}

// ScalingRows returns the summary rows about the HPA; none if it was not observed.
func (r *Report) ScalingRows() []Row {
	s := r.Scaling
	if s == nil {
		return nil
	}
	after := func(seconds *float64) string {
		if seconds == nil {
			return "did not happen"
		}
		return fmt.Sprintf("%.1f s", *seconds)
	}
	rows := []Row{
		{"load to first scale-up", after(s.FirstScaleUp)},
		{"load to first new ready pod", after(s.FirstNewReady)},
		{"most replicas", fmt.Sprintf("%d desired, %d ready", s.PeakDesired, s.PeakReady)},
		{"turns of the HPA", fmt.Sprint(s.Reversals)},
		{"replica-seconds", fmt.Sprintf("%.0f", s.ReplicaSeconds)},
	}
	if s.GPUHours > 0 {
		rows = append(rows, Row{"GPU-hours", fmt.Sprintf("%.3f", s.GPUHours)})
	}
	return rows
}

func percent(part, whole int) string {
	if whole <= 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func duration(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	}
	return fmt.Sprintf("%.2f s", seconds)
}
